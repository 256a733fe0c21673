#include "journal/left_info.h"

#include "journal/durable.h"
#include "journal/left.h"
#include "util/json.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Text from elsewhere may have been cut inside a character. */
static void quote(struct buf *b, const char *text)
{
    if (utf8_valid(text, strlen(text))) {
        json_quote(b, text, strlen(text));
        return;
    }
    CLEANUP(free) char *plain = strdup(text);
    for (char *p = plain; p && *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    json_quote(b, plain ? plain : "", plain ? strlen(plain) : 0);
}

static void add_version(struct buf *b, const struct stage_about *a)
{
    buf_addf(b, ",\"origin\":\"%s\"", left_origin_name(a->origin));
    if (a->origin == STAGE_OF_VERSION) {
        buf_add_str(b, ",\"etag\":");
        quote(b, a->etag);
    }
    if (a->mode)
        buf_addf(b, ",\"mode\":%u,\"uid\":%u,\"gid\":%u,\"mtime\":%lld,\"mtime_ns\":%ld", (unsigned)a->mode, (unsigned)a->uid,
                 (unsigned)a->gid, (long long)a->mtime.tv_sec, a->mtime.tv_nsec);
}

static void add_upload(struct buf *b, const struct stage_about *a)
{
    if (!a->upload_id)
        return;
    buf_add_str(b, ",\"upload\":");
    quote(b, a->upload_id);
    buf_add_str(b, ",\"parts\":[");
    for (size_t i = 0; i < a->n_sent; i++) {
        const struct stage_sent *p = &a->sent[i];
        buf_addf(b, "%s[%llu,%llu", i ? "," : "", (unsigned long long)p->start, (unsigned long long)p->size);
        if (p->etag) {
            buf_addf(b, ",\"%016llx\",", (unsigned long long)p->crc64nvme);
            quote(b, p->etag);
        }
        buf_add_char(b, ']');
    }
    buf_add_char(b, ']');
}

void left_info_begin(struct buf *b, const struct stage_about *about, uint64_t size)
{
    char when[32];
    struct tm tm;
    time_t now = time(NULL);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    buf_add_str(b, "{\"key\":");
    quote(b, about->key);
    buf_addf(b, ",\"size\":%llu,\"reason\":", (unsigned long long)size);
    quote(b, about->reason);
    add_version(b, about);
    add_upload(b, about);
    buf_addf(b, ",\"time\":\"%s\"", when);
}

enum err_code left_info_put(struct buf *b, const char *path, struct err *e)
{
    buf_add_str(b, "}\n");
    enum err_code code = buf_check(b, "the description of a staged file", e);
    if (code)
        return code;
    CLEANUP(free) char *info = str_printf("%s" LEFT_INFO, path);
    if (!info)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    return durable_put(info, b->data, b->len, e);
}

enum err_code left_describe(const char *path, const char *key, uint64_t size, const char *reason, struct err *e)
{
    const struct stage_about about = {.key = key, .reason = reason};
    BUF(info, LEFT_INFO_MAX);
    left_info_begin(&info, &about, size);
    buf_add_str(&info, ",\"unfetched\":[],\"unfetched_more\":0");
    return left_info_put(&info, path, e);
}
