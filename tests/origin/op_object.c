/* PutObject, GetObject, HeadObject, DeleteObject. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "keys.h"
#include "keyspace.h"
#include "s3.h"

enum op_result op_PutObject(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    struct object *o;
    enum sum_alg alg;
    const char *code;

    if (!b || !verify_payload(r, p, &alg))
        return OP_DONE;
    code = cond_write(r, keyspace_object(&s->store, b, r->key));
    if (!r->has_length)
        code = "MissingContentLength";
    if (code) {
        reply_error(p, r, code);
        return OP_DONE;
    }
    o = object_new(body_ref(r->payload));
    if (!object_from_headers(s, r, o, p)) {
        object_free(o);
        return OP_DONE;
    }
    object_set_md5_etag(o);
    opaque_etag(s, r, o);
    object_set_checksum(o, alg == SUM_ALGS ? SUM_CRC64NVME : alg);
    map_put(b->objects, r->key, o);
    p->status = 200;
    reply_header(p, "ETag", "%s", told_etag(r, o->etag));
    reply_checksum(p, &o->checksum);
    reply_encryption(p, o);
    return OP_DONE;
}

static void describe(const struct request *r, const struct object *o, struct reply *p)
{
    char date[32];

    http_date_format(o->mtime, date);
    reply_header(p, "ETag", "%s", told_etag(r, o->etag));
    reply_header(p, "Last-Modified", "%s", date);
    reply_header(p, "Accept-Ranges", "bytes");
    if (!attrs_get(&o->headers, "content-type"))
        reply_header(p, "Content-Type", "binary/octet-stream");
    for (size_t i = 0; i < o->headers.count; i++)
        if (strncmp(o->headers.list[i].name, "x-amz-server-side-encryption", 28) != 0)
            reply_header(p, o->headers.list[i].name, "%s", o->headers.list[i].value);
    if (strcmp(o->storage_class, "STANDARD") != 0)
        reply_header(p, "x-amz-storage-class", "%s", o->storage_class);
    if (o->tags.count)
        reply_header(p, "x-amz-tagging-count", "%zu", o->tags.count);
    reply_encryption(p, o);
}

/* Of whole replies only: S3 gives no checksum with a range. */
static void describe_checksum(const struct request *r, const struct object *o, struct reply *p)
{
    const char *mode = request_header(r, "x-amz-checksum-mode");

    if (mode && strcasecmp(mode, "ENABLED") == 0)
        reply_checksum(p, &o->checksum);
}

enum range { RANGE_ALL, RANGE_PART, RANGE_BAD };

/* One byte range; anything S3 does not understand is ignored, as RFC 9110 asks. */
static enum range parse_range(const char *header, uint64_t size, uint64_t *first, uint64_t *last)
{
    char text[64];
    char *dash;

    if (!header || strncasecmp(header, "bytes=", 6) != 0 || strlen(header) >= sizeof(text))
        return RANGE_ALL;
    snprintf(text, sizeof(text), "%s", header + 6);
    dash = strchr(text, '-');
    if (!dash)
        return RANGE_ALL;
    *dash++ = 0;
    if (!*text) {
        uint64_t suffix;

        if (!parse_u64(dash, &suffix))
            return RANGE_ALL;
        if (suffix == 0 || size == 0)
            return RANGE_BAD;
        *first = suffix < size ? size - suffix : 0;
        *last = size - 1;
        return RANGE_PART;
    }
    *last = size - 1;
    if (!parse_u64(text, first) || (*dash && !parse_u64(dash, last)) || (*dash && *last < *first))
        return RANGE_ALL;
    if (*first >= size)
        return RANGE_BAD;
    if (*last >= size)
        *last = size - 1;
    return RANGE_PART;
}

static void set_range(const struct request *r, const struct object *o, struct reply *p, uint64_t first, uint64_t last)
{
    uint64_t size = o->body->size;
    uint64_t shift = r->plan.wrong_range == RANGE_SHIFTED;

    if (r->plan.wrong_range == RANGE_WHOLE)
        return;
    if (shift && last + 1 < size) {
        first++;
        last++;
    } else if (shift && first) {
        first--;
        last--;
    } else if (shift) {
        size++;
    }
    p->status = 206;
    p->offset = first;
    p->length = last - first + 1;
    reply_header(p, "Content-Range", "bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)last,
                 (unsigned long long)size);
}

static bool readable(const struct object *o)
{
    return strcmp(o->storage_class, "GLACIER") != 0 && strcmp(o->storage_class, "DEEP_ARCHIVE") != 0;
}

enum op_result op_GetObject(struct server *s, struct request *r, struct reply *p)
{
    struct object *o = need_object(s, r, p);
    uint64_t first = 0, last = 0;
    enum cond cond;

    if (!o || !key_fits(r, o, false, p))
        return OP_DONE;
    cond = cond_read(r, o);
    if (cond == COND_FAILED) {
        reply_error(p, r, "PreconditionFailed");
        return OP_DONE;
    }
    if (request_param(r, "partNumber")) {
        reply_error(p, r, "NotImplemented");
        return OP_DONE;
    }
    if (r->op == OP_GetObject && cond == COND_TRUE && !readable(o)) {
        reply_error(p, r, "InvalidObjectState");
        return OP_DONE;
    }
    describe(r, o, p);
    p->status = 200;
    if (cond == COND_NOT_MODIFIED) {
        p->status = 304;
        p->no_length = true;
        return OP_DONE;
    }
    p->body = body_ref(o->body);
    p->length = o->body->size;
    switch (parse_range(request_header(r, "range"), o->body->size, &first, &last)) {
    case RANGE_ALL:
        describe_checksum(r, o, p);
        break;
    case RANGE_PART:
        set_range(r, o, p, first, last);
        break;
    case RANGE_BAD:
        reply_error(p, r, "InvalidRange");
        reply_header(p, "Content-Range", "bytes */%llu", (unsigned long long)o->body->size);
        break;
    }
    return OP_DONE;
}

enum op_result op_HeadObject(struct server *s, struct request *r, struct reply *p)
{
    return op_GetObject(s, r, p);
}

enum op_result op_DeleteObject(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    const char *match = request_header(r, "if-match");
    struct object *o = b ? keyspace_object(&s->store, b, r->key) : NULL;

    if (!b)
        return OP_DONE;
    if (match && (!o || !etag_listed(match, o->etag))) {
        reply_error(p, r, "PreconditionFailed");
        return OP_DONE;
    }
    keyspace_delete(b, r->key);
    p->status = 204;
    p->no_length = true;
    return OP_DONE;
}
