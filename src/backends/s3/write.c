/* PUT, with everything that must survive a new version. */
#include "backends/s3/impl.h"
#include "util/str.h"

#include <string.h>

/* What goes with the new version: metadata, storage class, encryption, tags, ACL, condition. */
static enum err_code add_headers(struct s3_store *s, const char *key, const struct store_meta *meta,
                                 const uint8_t *sha512, const struct store_call *call, struct params *h, struct err *e)
{
    enum err_code code = s3_meta_write(meta, key, sha512, 0, h, e);
    s3_add_class(s, meta, h);
    if (code == ERR_OK)
        code = s3_add_tags(s, key, meta, call, h, e);
    if (code == ERR_OK)
        code = s3_add_acl(s, s3_is_told(meta) ? key : NULL, call, h, e);
    return code;
}

static void add_checksum(const struct store_body *body, struct params *h)
{
    BUF(text, 256);
    if (body->sha512 != NULL) {
        base64_encode(&text, body->sha512, 64);
        params_add(h, "x-amz-checksum-sha512", buf_str(&text));
        params_add(h, "x-amz-sdk-checksum-algorithm", "SHA512");
    }
}

/* A server that does not know the checksum says 400 or 501. One that found the bytes changed on their way knows it. */
static bool may_be_the_checksum(const struct s3_store *s, const struct s3_answer *a)
{
    bool unknown = s3_traits_get(s->traits, S3_SHA512) == S3_UNKNOWN && strcmp(a->code, "BadDigest") != 0;
    return a->status == 501 || (a->status == 400 && unknown);
}

static enum err_code send_put(struct s3_store *s, struct s3_request *r, struct s3_answer *a, struct err *e)
{
    PARAMS(checksum);
    struct err first = ERR_INIT;
    if (r->body->sha512 == NULL || s3_traits_get(s->traits, S3_SHA512) == S3_REFUSES)
        return s3_call(s, r, a, e);
    add_checksum(r->body, &checksum);
    r->more = &checksum;
    enum err_code code = s3_call(s, r, a, &first);
    if (code == ERR_OK && s3_traits_get(s->traits, S3_SHA512) == S3_UNKNOWN)
        s3_traits_set(s->traits, S3_SHA512, S3_YES, false);
    if (code == ERR_OK || !may_be_the_checksum(s, a))
        return code == ERR_OK ? code : err_copy(e, &first);
    r->more = NULL;
    code = s3_call(s, r, a, e);
    if (code == ERR_OK)
        s3_traits_set(s->traits, S3_SHA512, S3_REFUSES, false);
    return code;
}

struct putting {
    struct s3_store *s;
    struct s3_request request;
};

static enum err_code put_on(void *arg, const struct store_cond *cond, struct s3_tried *tried, struct store_version *out,
                            struct err *e)
{
    const struct putting *p = arg;
    S3_ANSWER(a);
    struct s3_request r = p->request;
    r.cond = cond;
    r.if_absent = S3_PUT_IF_ABSENT;
    out->size = r.body->size;
    enum err_code code = send_put(p->s, &r, &a, e);
    tried->unanswered += a.unanswered;
    if (code == ERR_CONFLICT || (code == ERR_NOT_FOUND && cond->kind == STORE_IF_MATCH))
        return err_set(e, ERR_CONFLICT, "PutObject %s: somebody else changed it", r.key);
    return code == ERR_OK ? s3_answer_etag(&a, "PutObject", out, e) : code;
}

static enum err_code describe_put(void *arg, struct s3_sent *out, struct err *e)
{
    const struct putting *p = arg;
    return s3_sent_body(p->request.body, out, e);
}

enum err_code s3_put(void *impl, const char *key, const struct store_body *body, const struct store_meta *meta,
                     const struct store_cond *cond, const struct store_call *call, struct store_version *out,
                     struct err *e)
{
    struct s3_store *s = impl;
    PARAMS(headers);
    struct store_version v;
    s3_find_out(s, call);
    s3_keep_plain(s, key, meta);
    enum err_code code = add_headers(s, key, meta, body->sha512, call, &headers, e);
    if (code == ERR_OK)
        code = params_check(&headers, key, e);
    if (code != ERR_OK)
        return code;
    struct putting p = {
        s, {.method = HTTP_PUT, .what = "PutObject", .key = key, .headers = &headers, .body = body, .call = call}};
    const struct s3_change change = {
        .key = key, .cond = cond, .call = call, .send = put_on, .describe = describe_put, .arg = &p};
    code = s3_change(s, &change, &v, e);
    if (code != ERR_OK)
        return code;
    *out = v;
    if (s3_is_told(meta))
        s3_own_forget(s, key);
    else
        s3_own_add(s, key, v.etag, body->sha512);
    return ERR_OK;
}
