/* RenameObject, which only directory buckets have: one atomic request that keeps bytes, ETag and metadata. */
#include "backends/s3/impl.h"
#include "util/digest.h"
#include "util/str.h"

#include <string.h>

/* A token of ours makes an attempt that is repeated succeed where the first was executed and its answer lost. */
static void add_token(struct params *h)
{
    uint8_t random[16];
    char hex[33];

    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), hex);
    params_add(h, "x-amz-client-token", hex);
}

static enum err_code add_source(const struct s3_store *s, const struct store_copy *c, struct params *h, struct err *e)
{
    BUF(encoded, 8192);

    uri_encode(&encoded, s->prefix, s->prefix_len, true);
    uri_encode(&encoded, c->from, strlen(c->from), true);
    params_add(h, "x-amz-rename-source", buf_str(&encoded));
    if (c->from_etag != NULL)
        params_addf(h, "x-amz-rename-source-if-match", "\"%s\"", c->from_etag);
    return buf_check(&encoded, "key", e);
}

/* What was known of the source because this store put it is known of the target. */
static void move_own(struct s3_store *s, const struct store_copy *c)
{
    uint8_t sha512[64];
    bool has_sha512;

    if (s3_own_find(s, c->from, c->from_etag, sha512, &has_sha512))
        s3_own_add(s, c->to, c->from_etag, has_sha512 ? sha512 : NULL);
    else
        s3_own_forget(s, c->to);
    s3_own_forget(s, c->from);
}

enum err_code s3_rename(void *impl, const struct store_copy *c, const struct store_call *call, struct err *e)
{
    static const struct aws_param query[] = {{"renameObject", NULL}, {0}};
    struct s3_store *s = impl;
    PARAMS(h);
    S3_ANSWER(a);
    enum err_code code = add_source(s, c, &h, e);

    add_token(&h);
    if (code != ERR_OK)
        return code;
    const struct s3_request r = {.method = HTTP_PUT,
                                 .what = "RenameObject",
                                 .key = c->to,
                                 .query = query,
                                 .headers = &h,
                                 .cond = &c->cond,
                                 .call = call};
    code = s3_call(s, &r, &a, e);
    if (code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "RenameObject %s to %s: somebody else changed one of them", c->from, c->to);
    if (code != ERR_OK)
        return code;
    move_own(s, c);
    s3_lost_forget(s, c->from);
    s3_lost_forget(s, c->to);
    return ERR_OK;
}
