#include "keys.h"

#include <stdio.h>
#include <string.h>

#include "s3.h"

#define KEY_MD5 "x-amz-server-side-encryption-customer-key-md5"

static const char *header(const struct request *r, bool source, const char *what)
{
    char name[96];

    snprintf(name, sizeof(name), "x-amz-%sserver-side-encryption-customer-%s", source ? "copy-source-" : "", what);
    return request_header(r, name);
}

static bool is_sound(const struct request *r, bool source)
{
    const char *algorithm = header(r, source, "algorithm"), *key = header(r, source, "key");
    const char *md5 = header(r, source, "key-md5");
    unsigned char bytes[SUM_MAX], given[SUM_MAX], sum[SUM_MAX];

    if (!algorithm || !key || !md5 || strcmp(algorithm, "AES256") != 0 || base64_decode(key, bytes) != 32 ||
        base64_decode(md5, given) != 16)
        return false;
    sum_of(SUM_MD5, bytes, 32, sum);
    return memcmp(sum, given, 16) == 0;
}

bool key_take(const struct request *r, struct object *o, struct reply *p)
{
    if (!header(r, false, "algorithm") && !header(r, false, "key"))
        return true;
    if (!is_sound(r, false)) {
        reply_error(p, r, "InvalidArgument");
        return false;
    }
    attrs_set(&o->headers, KEY_MD5, header(r, false, "key-md5"));
    return true;
}

bool key_fits(const struct request *r, const struct object *o, bool source, struct reply *p)
{
    const char *want = attrs_get(&o->headers, KEY_MD5), *given = header(r, source, "key-md5");

    if (!want && !given)
        return true;
    if (!want || !given || !is_sound(r, source)) {
        reply_error_text(p, r, "InvalidRequest",
                         want ? "The object was stored using a form of Server Side Encryption. The correct parameters must "
                                "be provided to retrieve the object."
                              : "The encryption parameters are not applicable to this object.");
        return false;
    }
    if (strcmp(want, given) == 0)
        return true;
    reply_error(p, r, "AccessDenied");
    return false;
}

void key_reply(struct reply *p, const struct object *o)
{
    const char *md5 = attrs_get(&o->headers, KEY_MD5);

    if (!md5)
        return;
    reply_header(p, "x-amz-server-side-encryption-customer-algorithm", "AES256");
    reply_header(p, "x-amz-server-side-encryption-customer-key-MD5", "%s", md5);
}

bool payer_agrees(const struct server *s, const struct request *r, struct reply *p)
{
    const struct bucket *b = r->bucket ? store_bucket(&s->store, r->bucket) : NULL;
    const char *payer = request_header(r, "x-amz-request-payer");

    if (!payer)
        payer = request_param(r, "x-amz-request-payer");
    if (!b || !b->requester_pays || (payer && strcmp(payer, "requester") == 0))
        return true;
    reply_error(p, r, "AccessDenied");
    return false;
}
