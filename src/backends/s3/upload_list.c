/* Uploads by parts of one key, as the server tells of them. */
#include "backends/s3/impl.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES_MAX = 1000 };

/* Where the next page begins; both empty at first. */
struct marker {
    struct buf key, id;
};

static bool decoded(struct buf *out, const char *text, bool url)
{
    buf_clear(out);
    if (!url)
        buf_add_str(out, text);
    return url ? uri_decode(out, text, strlen(text), true) : !out->failed;
}

/* "2026-11-22T00:38:33.000Z"; 0 where it is none. */
static time_t time_of(const char *text)
{
    struct tm tm = {0};
    return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) != NULL ? timegm(&tm) : 0;
}

static enum err_code ask(struct s3_store *s, const char *full, const struct marker *m, const struct store_call *call,
                         struct s3_answer *a, struct err *e)
{
    PARAMS(query);
    params_add(&query, "uploads", NULL);
    params_add(&query, "encoding-type", "url");
    /* A directory bucket takes directories only. */
    size_t dir = s->directory_bucket && strrchr(full, '/') != NULL ? (size_t)(strrchr(full, '/') - full) + 1 : 0;
    params_addf(&query, "prefix", "%.*s", (int)(s->directory_bucket ? dir : strlen(full)), full);
    if (m->key.len > 0)
        params_add(&query, "key-marker", buf_str(&m->key));
    if (m->id.len > 0)
        params_add(&query, "upload-id-marker", buf_str(&m->id));
    enum err_code code = params_check(&query, "ListMultipartUploads", e);
    const struct s3_request r = {
        .method = HTTP_GET, .what = "ListMultipartUploads", .query = params_list(&query), .call = call};
    if (code == ERR_OK)
        code = s3_call(s, &r, a, e);
    /* A listing of nothing is an empty one: a 404 here says something else. */
    return code == ERR_NOT_FOUND ? err_set(e, ERR_IO, "ListMultipartUploads: no such bucket?") : code;
}

/* Tells of those that are of the key; true where another page may have more. */
static bool tell(const struct xml_node *root, const char *full, struct marker *m,
                 void (*fn)(void *arg, const char *upload_id, time_t begun), void *arg)
{
    bool url = strcmp(xml_child_text(root, "EncodingType"), "url") == 0;
    BUF(key, 16384);
    for (const struct xml_node *one = xml_child(root, "Upload"); one != NULL; one = xml_next(one, NULL)) {
        const char *id = xml_child_text(one, "UploadId");
        if (decoded(&key, xml_child_text(one, "Key"), url) && strcmp(buf_str(&key), full) == 0 && id[0] != 0 &&
            strlen(id) < STORE_ID_SIZE)
            fn(arg, id, time_of(xml_child_text(one, "Initiated")));
    }
    if (strcmp(xml_child_text(root, "IsTruncated"), "true") != 0)
        return false;
    BUF(before, 32768);
    buf_addf(&before, "%s\n%s", buf_str(&m->key), buf_str(&m->id));
    decoded(&m->key, xml_child_text(root, "NextKeyMarker"), url);
    decoded(&m->id, xml_child_text(root, "NextUploadIdMarker"), false);
    BUF(after, 32768);
    buf_addf(&after, "%s\n%s", buf_str(&m->key), buf_str(&m->id));
    return m->key.len > 0 && strcmp(buf_str(&before), buf_str(&after)) != 0;
}

enum err_code s3_upload_list(void *impl, const char *key, const struct store_call *call,
                             void (*fn)(void *arg, const char *upload_id, time_t begun), void *arg, struct err *e)
{
    struct s3_store *s = impl;
    CLEANUP(free) char *full = s3_full_key(s, key);
    struct marker m = {{.max = 16384}, {.max = STORE_ID_SIZE}};
    enum err_code code = full != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "%s", key);
    bool more = code == ERR_OK;
    for (int page = 0; more && page < PAGES_MAX; page++) {
        S3_ANSWER(a);
        more = false;
        code = ask(s, full, &m, call, &a, e);
        CLEANUP(xml_doc_free) struct xml_doc *doc = code == ERR_OK ? xml_parse(buf_str(&a.body), a.body.len, e) : NULL;
        if (code == ERR_OK && doc == NULL)
            code = e != NULL ? e->code : ERR_PROTO;
        if (doc != NULL)
            more = tell(xml_root(doc), full, &m, fn, arg);
    }
    buf_release(&m.key);
    buf_release(&m.id);
    return code;
}
