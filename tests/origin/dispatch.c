/* From a request to its operation, and the lookups that most operations start with. */
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "keyspace.h"
#include "s3.h"

enum { KEY_MAX = 1024 };

enum op_result op_PutObjectAnnotation(struct server *s, struct request *r, struct reply *p)
{
    return op_Unknown(s, r, p);
}

enum op_result op_GetObjectAnnotation(struct server *s, struct request *r, struct reply *p)
{
    return op_Unknown(s, r, p);
}

enum op_result op_DeleteObjectAnnotation(struct server *s, struct request *r, struct reply *p)
{
    return op_Unknown(s, r, p);
}

enum op_result op_Unknown(struct server *s, struct request *r, struct reply *p)
{
    (void)s;
    reply_error(p, r, "NotImplemented");
    return OP_DONE;
}

#define OP_FUNCTION(name) op_##name,
static enum op_result (*const functions[])(struct server *, struct request *,
                                           struct reply *) = {S3_OPERATIONS(OP_FUNCTION)};

enum op_result s3_perform(struct server *s, struct request *r, struct reply *p)
{
    keyspace_forget(&s->store);
    if (r->key && strlen(r->key) > KEY_MAX) {
        reply_error(p, r, "KeyTooLongError");
        return OP_DONE;
    }
    if (!directory_allows(s, r, p) || !lacks_apply(&s->lacks, r, p) || !payer_agrees(s, r, p))
        return OP_DONE;
    return functions[r->op](s, r, p);
}

struct bucket *need_bucket(struct server *s, const struct request *r, struct reply *p)
{
    struct bucket *b = store_bucket(&s->store, r->bucket);

    if (!b)
        reply_error(p, r, "NoSuchBucket");
    return b;
}

struct object *need_object(struct server *s, const struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    struct object *o = b ? keyspace_object(&s->store, b, r->key) : NULL;

    if (b && !o)
        reply_error(p, r, "NoSuchKey");
    return o;
}

struct object *need_own_object(struct server *s, const struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    struct object *o = b ? keyspace_own(b, r->key) : NULL;

    if (b && !o)
        reply_error(p, r, "NoSuchKey");
    return o;
}

struct object *need_copy_source(struct server *s, const struct request *r, struct reply *p)
{
    char *bucket = NULL, *key = NULL;
    struct bucket *b;
    struct object *o = NULL;

    if (!parse_copy_source(request_header(r, "x-amz-copy-source"), &bucket, &key)) {
        reply_error_text(p, r, "InvalidArgument", "Invalid copy source object key");
        return NULL;
    }
    b = store_bucket(&s->store, bucket);
    o = b ? keyspace_own(b, key) : NULL;
    free(bucket);
    free(key);
    if (!o) {
        reply_error(p, r, b ? "NoSuchKey" : "NoSuchBucket");
    } else if (!key_fits(r, o, true, p)) {
        return NULL;
    } else if (cond_copy_source(r, o) != COND_TRUE) {
        reply_error(p, r, "PreconditionFailed");
        return NULL;
    }
    return o;
}

const char *bucket_ownership(const struct server *s, const struct bucket *b)
{
    return b->ownership ? b->ownership : s->ownership;
}

void fresh_id(struct server *s, char *out)
{
    unsigned char random[16];

    if (RAND_bytes(random, sizeof(random)) != 1)
        abort();
    for (int i = 0; i < 4; i++)
        random[i] = (unsigned char)(s->store.ids >> (24 - 8 * i));
    s->store.ids++;
    hex_encode(random, sizeof(random), out);
}
