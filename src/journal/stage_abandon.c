/* What could not be uploaded is left behind for its owner: the file with its holes as zeros, and what it was in a
 * second one. */
#include "journal/durable.h"
#include "journal/left.h"
#include "journal/stage_impl.h"
#include "util/buf.h"
#include "util/json.h"
#include "util/log.h"
#include "util/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INFO_MAX      (16u * 1024 * 1024)
#define UNFETCHED_MAX 100000
#define ZEROS         65536

static enum err_code write_zeros(struct stage_bytes *b, uint64_t offset, uint64_t len, struct err *e)
{
    static const char zeros[ZEROS];
    for (uint64_t done = 0; done < len;) {
        size_t n = len - done < ZEROS ? (size_t)(len - done) : ZEROS;
        enum err_code code = stage_bytes_write(b, offset + done, zeros, n, e);
        if (code)
            return code;
        done += n;
    }
    return ERR_OK;
}

/* Whatever a failed write left where the map says zeros. */
static enum err_code clear_rest_locked(struct stage *s, struct err *e)
{
    for (uint64_t offset = 0, len; offset < s->live.size; offset += len) {
        enum map_kind kind = stage_map_at(&s->live, offset, &len);
        if (kind == MAP_HELD || stage_bytes_drop(&s->main, offset, len))
            continue;
        enum err_code code = write_zeros(&s->main, offset, len, e);
        if (code)
            return code;
    }
    if (ftruncate(s->main.fd, (off_t)s->live.size) != 0)
        return durable_failed(e, errno, "resize", s->path);
    return ERR_OK;
}

static enum err_code settle(struct stage *s, struct err *e)
{
    LOCK_SCOPE(&s->lock);
    bool more;
    if (s->is_frozen)
        stage_unfreeze_locked(s);
    enum err_code code = stage_merge_locked(s, UINT64_MAX, &more, e);
    if (code || stage_is_as_lent_locked(s, &s->live))
        return code;
    code = stage_own_locked(s, e);
    return code ? code : clear_rest_locked(s, e);
}

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

static void add_unfetched(struct buf *b, const struct stage_map *m)
{
    unsigned n = 0, more = 0;
    buf_add_str(b, ",\"unfetched\":[");
    for (uint64_t offset = 0, len; offset < m->size; offset += len) {
        enum map_kind kind = stage_map_at(m, offset, &len);
        if (kind != MAP_BASE && kind != MAP_SENT)
            continue;
        if (n == UNFETCHED_MAX)
            more++;
        else
            buf_addf(b, "%s[%llu,%llu]", n++ ? "," : "", (unsigned long long)offset, (unsigned long long)len);
    }
    buf_addf(b, "],\"unfetched_more\":%u", more);
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

static enum err_code write_info(const struct stage *s, const struct stage_about *about, struct err *e)
{
    BUF(info, INFO_MAX);
    char when[32];
    struct tm tm;
    time_t now = time(NULL);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    buf_add_str(&info, "{\"key\":");
    quote(&info, about->key);
    buf_addf(&info, ",\"size\":%llu,\"reason\":", (unsigned long long)s->live.size);
    quote(&info, about->reason);
    add_version(&info, about);
    buf_addf(&info, ",\"time\":\"%s\",\"unfetched_bytes\":%llu", when,
             (unsigned long long)(s->live.bytes[MAP_BASE] + s->live.bytes[MAP_SENT]));
    add_unfetched(&info, &s->live);
    buf_add_str(&info, "}\n");
    enum err_code code = buf_check(&info, "the description of a staged file", e);
    if (code)
        return code;
    CLEANUP(free) char *path = str_printf("%s.info", s->path);
    if (!path)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    return durable_put(path, info.data, info.len, e);
}

enum err_code stage_abandon(struct stage *s, const struct stage_about *about, char *path, size_t path_size, struct err *e)
{
    CLEANUP(stage_free) struct stage *owned = s;
    if (!s->path)
        return err_set(e, ERR_UNSUPPORTED, "what is staged in memory is not left on a disk");
    enum err_code code = settle(s, e);
    if (!code && fsync(s->main.fd) != 0)
        code = durable_failed(e, errno, "sync", s->path);
    struct err why = ERR_INIT;
    if (!code && write_info(s, about, &why))
        LOG_WARN("journal", "no description beside %s: %s", s->path, why.msg);
    size_t len = strlen(s->path);
    if (path_size > 0) {
        size_t n = len < path_size ? len : path_size - 1;
        memcpy(path, s->path, n);
        path[n] = '\0';
    }
    free(s->path); /* the name stays on the disk */
    s->path = NULL;
    return code;
}
