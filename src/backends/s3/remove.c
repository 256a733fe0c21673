#include "aws/errors.h"
#include "backends/s3/impl.h"
#include "util/digest.h"
#include "util/pool.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 1,000 keys of 1,024 bytes, each byte at worst a numeric reference. */
enum { REQUEST_MAX = 8 << 20, REPLY_MAX = 8 << 20, PARALLEL = 16 };

enum err_code s3_remove(void *impl, const char *key, const char *etag, const struct store_call *call, struct err *e)
{
    struct s3_store *s = impl;
    PARAMS(headers);
    S3_ANSWER(a);
    if (etag != NULL) {
        const struct store_cond cond = {.kind = STORE_IF_MATCH, .etag = etag};
        enum err_code guarded = s3_guard(s, key, &cond, S3_REMOVE_IF_MATCH, call, e);
        if (guarded != ERR_OK)
            return guarded == ERR_NOT_FOUND ? ERR_OK : guarded;
        if (s3_traits_get(s->traits, S3_REMOVE_IF_MATCH) != S3_REFUSES)
            params_addf(&headers, "If-Match", "\"%s\"", etag);
    }
    const struct s3_request r = {
        .method = HTTP_DELETE, .what = "DeleteObject", .key = key, .headers = &headers, .call = call};
    enum err_code code = s3_call(s, &r, &a, e);
    if (code == ERR_OK || code == ERR_NOT_FOUND)
        s3_lost_forget(s, key);
    if (code != ERR_CONFLICT)
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    /* Servers also say 412 where nothing is there, among others after our own attempt whose answer was lost. */
    CLEANUP_RELEASE(store_object_release) struct store_object there = {0};
    struct err local = ERR_INIT;
    enum err_code asked = s3_stat(s, key, call, &there, &local);
    if (asked == ERR_NOT_FOUND)
        return ERR_OK;
    return asked == ERR_OK ? code : err_copy(e, &local);
}

static enum err_code write_request(const struct s3_store *s, const char *const *keys, const char *const *etags,
                                   size_t n, struct buf *xml, struct err *e)
{
    buf_add_str(xml, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; i < n; i++) {
        buf_add_str(xml, "<Object><Key>");
        xml_escape(xml, s->prefix, s->prefix_len);
        xml_escape(xml, keys[i], strlen(keys[i]));
        buf_add_str(xml, "</Key>");
        if (etags != NULL && etags[i] != NULL) {
            buf_add_str(xml, "<ETag>\"");
            xml_escape(xml, etags[i], strlen(etags[i]));
            buf_add_str(xml, "\"</ETag>");
        }
        buf_add_str(xml, "</Object>");
    }
    buf_add_str(xml, "</Delete>");
    return buf_check(xml, "DeleteObjects", e);
}

/* The keys are told without their order: each is looked up. */
static void note_failure(const struct s3_store *s, const char *const *keys, size_t n, const struct xml_node *node,
                         enum err_code *results)
{
    struct aws_error error = {.recognised = true};
    const char *key = xml_child_text(node, "Key");
    if (!str_starts(key, s->prefix))
        return;
    (void)snprintf(error.code, sizeof(error.code), "%s", xml_child_text(node, "Code"));
    enum err_code code = aws_error_decide("s3", 500, &error).code;
    for (size_t i = 0; i < n; i++)
        if (strcmp(keys[i], key + s->prefix_len) == 0)
            results[i] = code == ERR_NOT_FOUND ? ERR_OK : code;
}

static enum err_code read_result(const struct s3_store *s, const struct s3_answer *a, const char *const *keys, size_t n,
                                 enum err_code *results, struct err *e)
{
    struct err local = ERR_INIT;
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(buf_str(&a->body), a->body.len, &local);
    if (doc == NULL)
        return err_copy(e, &local);
    const struct xml_node *root = xml_root(doc);
    if (strcmp(xml_name(root), "DeleteResult") != 0)
        return err_set(e, ERR_PROTO, "DeleteObjects: the reply is a %.40s", xml_name(root));
    for (size_t i = 0; i < n; i++)
        results[i] = ERR_OK;
    for (const struct xml_node *c = xml_child(root, "Error"); c != NULL; c = xml_next(c, "Error"))
        note_failure(s, keys, n, c, results);
    return ERR_OK;
}

enum err_code s3_delete_objects(struct s3_store *s, const char *const *keys, const char *const *etags, size_t n,
                                const struct store_call *call, enum err_code *results, struct err *e)
{
    static const struct aws_param query[] = {{"delete", NULL}, {NULL, NULL}};
    BUF(xml, REQUEST_MAX);
    BUF(md5, 64);
    PARAMS(headers);
    S3_ANSWER(a);
    uint8_t sum[DIGEST_MAX];
    enum err_code code = write_request(s, keys, etags, n, &xml, e);
    if (code == ERR_OK)
        code = digest_once(DIGEST_MD5, xml.data, xml.len, sum, e);
    if (code != ERR_OK)
        return code;
    base64_encode(&md5, sum, 16);
    params_add(&headers, "Content-MD5", buf_str(&md5));
    params_add(&headers, "Content-Type", "application/xml");
    const struct s3_request r = {.method = HTTP_POST,
                                 .what = "DeleteObjects",
                                 .query = query,
                                 .headers = &headers,
                                 .text = &xml,
                                 .call = call,
                                 .reply_max = REPLY_MAX,
                                 .xml_error_in_200 = true};
    code = s3_call(s, &r, &a, e);
    return code == ERR_OK ? read_result(s, &a, keys, n, results, e) : code;
}

/* One DeleteObject of several. */
struct single {
    struct s3_store *s;
    const char *key, *etag;
    const struct store_call *call;
    enum err_code *result;
    volatile bool *stop;
};

/* Where nobody answers or it was given up, the next ones would not fare better. */
static bool is_hopeless(enum err_code code)
{
    return code == ERR_CANCELED || code == ERR_NET || code == ERR_TIMEOUT || code == ERR_AUTH;
}

static void remove_single(void *arg)
{
    struct single *t = arg;
    *t->result = s3_remove(t->s, t->key, t->etag, t->call, NULL);
    if (is_hopeless(*t->result))
        *t->stop = true;
}

static enum err_code remove_singly(struct s3_store *s, const char *const *keys, const char *const *etags, size_t n,
                                   const struct store_call *call, enum err_code *results, struct err *e)
{
    volatile bool stop = false;
    CLEANUP(free) struct single *all = calloc(n, sizeof(*all));
    if (all == NULL)
        return err_set(e, ERR_NOMEM, "DeleteObject of %zu keys", n);
    for (size_t i = 0; i < n; i++) {
        results[i] = ERR_CANCELED;
        all[i] = (struct single){s, keys[i], etags != NULL ? etags[i] : NULL, call, &results[i], &stop};
    }
    struct pool *pool = n > 1 ? pool_new("s3-remove", PARALLEL, NULL) : NULL;
    pool_each(pool, all, n, sizeof(*all), pool != NULL ? PARALLEL : 1, remove_single, &stop);
    pool_free(pool);
    return ERR_OK;
}

enum err_code s3_remove_many(void *impl, const char *const *keys, const char *const *etags, size_t n,
                             const struct store_call *call, enum err_code *results, struct err *e)
{
    struct s3_store *s = impl;
    struct err local = ERR_INIT;
    s3_find_out(s, call);
    if (s3_traits_get(s->traits, S3_REMOVE_MANY) == S3_REFUSES ||
        (etags != NULL && s3_traits_get(s->traits, S3_REMOVE_MANY_MATCH) != S3_YES))
        return remove_singly(s, keys, etags, n, call, results, e);
    enum err_code code = s3_delete_objects(s, keys, etags, n, call, results, &local);
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        if (results[i] == ERR_OK)
            s3_lost_forget(s, keys[i]);
    if (code == ERR_UNSUPPORTED) {
        s3_traits_set(s->traits, S3_REMOVE_MANY, S3_REFUSES, false);
        return remove_singly(s, keys, etags, n, call, results, e);
    }
    if (code != ERR_OK)
        return err_copy(e, &local);
    /* DeleteObject decides: it knows what is gone from what is another version. */
    for (size_t i = 0; etags != NULL && i < n; i++)
        if (results[i] == ERR_CONFLICT)
            results[i] = s3_remove(s, keys[i], etags[i], call, NULL);
    return ERR_OK;
}
