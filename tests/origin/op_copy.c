/* CopyObject and UploadPartCopy. */
#include <stdio.h>
#include <string.h>

#include "keys.h"
#include "keyspace.h"
#include "multipart.h"
#include "s3.h"

static bool directive(const struct request *r, const char *header, struct reply *p, bool *replace)
{
    const char *value = request_header(r, header);

    *replace = value && strcmp(value, "REPLACE") == 0;
    if (!value || *replace || strcmp(value, "COPY") == 0)
        return true;
    reply_error(p, r, "InvalidArgument");
    return false;
}

static bool changes_something(const struct request *r, bool replace)
{
    return replace || request_header(r, "x-amz-storage-class") || request_header(r, "x-amz-server-side-encryption") ||
           request_header(r, "x-amz-website-redirect-location");
}

static bool is_self(const struct server *s, const struct request *r, const struct object *source)
{
    const struct bucket *b = store_bucket(&s->store, r->bucket);

    return b && map_get(b->objects, r->key) == source;
}

/* The copy's checksum algorithm: the one asked for, else the source's; *alg is SUM_ALGS for an unknown name. */
static void copy_algorithm(const struct request *r, const struct object *source, enum sum_alg *alg)
{
    const char *asked = request_header(r, "x-amz-checksum-algorithm");

    if (asked)
        *alg = sum_by_name(asked);
    else
        *alg = source->checksum.alg == SUM_ALGS ? SUM_CRC64NVME : source->checksum.alg;
}

/* Encryption is the destination's own, a redirect is never copied. */
static void copy_headers(struct object *to, const struct object *from)
{
    for (size_t i = 0; i < from->headers.count; i++) {
        const struct attr *h = &from->headers.list[i];

        if (strncmp(h->name, "x-amz-server-side-encryption", 28) != 0 &&
            strcmp(h->name, "x-amz-website-redirect-location") != 0)
            attrs_set(&to->headers, h->name, h->value);
    }
}

static bool fill_copy(struct server *s, const struct request *r, const struct object *source, struct object *o,
                      struct reply *p)
{
    bool replace, replace_tags;

    if (!directive(r, "x-amz-metadata-directive", p, &replace) ||
        !directive(r, "x-amz-tagging-directive", p, &replace_tags))
        return false;
    if (is_self(s, r, source) && !changes_something(r, replace)) {
        reply_error_text(p, r, "InvalidRequest",
                         "This copy request is illegal because it is trying to copy an object to itself without "
                         "changing the object's metadata, storage class, website redirect location or encryption "
                         "attributes.");
        return false;
    }
    if (replace && !take_metadata(r, o, p))
        return false;
    if (!replace)
        copy_headers(o, source);
    if (replace_tags && !take_tagging_header(r, o, p))
        return false;
    if (!replace_tags)
        attrs_copy(&o->tags, &source->tags);
    return take_encryption(r, o, p) && take_storage_and_acl(s, r, o, p);
}

static void reply_copied(struct reply *p, const struct request *r, const char *root, const char *etag, time_t mtime)
{
    char date[32];

    iso_date(mtime, date);
    reply_xml(p);
    buf_addf(&p->text, "<%s %s>", root, s3_namespace);
    buf_add_element(&p->text, "LastModified", date);
    buf_add_element(&p->text, "ETag", told_etag(r, etag));
}

static const char *refuse_copy(const struct object *source, const char *condition, enum sum_alg alg)
{
    if (condition)
        return condition;
    if (alg == SUM_ALGS)
        return "InvalidRequest";
    if (strcmp(source->storage_class, "GLACIER") == 0 || strcmp(source->storage_class, "DEEP_ARCHIVE") == 0)
        return "InvalidObjectState";
    return NULL;
}

enum op_result op_CopyObject(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    struct object *source = b ? need_copy_source(s, r, p) : NULL;
    enum sum_alg alg = SUM_ALGS;
    struct object *o;
    const char *code;

    if (!source)
        return OP_DONE;
    copy_algorithm(r, source, &alg);
    code = refuse_copy(source, cond_write(r, keyspace_object(&s->store, b, r->key)), alg);
    if (code) {
        reply_error(p, r, code);
        return OP_DONE;
    }
    if (source->body->size > S3_BODY_MAX) {
        reply_error_text(p, r, "InvalidRequest",
                         "The specified copy source is larger than the maximum allowable size for a copy source: "
                         "5368709120");
        return OP_DONE;
    }
    if (need_sums(r, source->body, 1U << SUM_MD5 | 1U << alg))
        return OP_AGAIN;
    o = object_new(body_ref(source->body));
    if (!fill_copy(s, r, source, o, p)) {
        object_free(o);
        return OP_DONE;
    }
    object_set_md5_etag(o);
    opaque_etag(s, r, o);
    if (o->body->sums.have & 1U << alg)
        object_set_checksum(o, alg);
    map_put(b->objects, r->key, o);
    reply_copied(p, r, "CopyObjectResult", o->etag, o->mtime);
    if (o->checksum.alg != SUM_ALGS) {
        buf_add_element(&p->text, "ChecksumType", "FULL_OBJECT");
        add_checksum_element(&p->text, alg, o->checksum.value);
    }
    buf_adds(&p->text, "</CopyObjectResult>");
    reply_encryption(p, o);
    return OP_DONE;
}

/* The slice "bytes=a-b" of the source; both ends are mandatory and within it. */
static const char *source_range(const struct request *r, const struct object *source, uint64_t *first, uint64_t *size)
{
    const char *header = request_header(r, "x-amz-copy-source-range");
    char text[64];
    char *dash;
    uint64_t last;

    *first = 0;
    *size = source->body->size;
    if (!header)
        return *size > S3_BODY_MAX ? "InvalidRequest" : NULL;
    if (strncmp(header, "bytes=", 6) != 0 || strlen(header) >= sizeof(text))
        return "InvalidArgument";
    snprintf(text, sizeof(text), "%s", header + 6);
    dash = strchr(text, '-');
    if (!dash)
        return "InvalidArgument";
    *dash++ = 0;
    if (!parse_u64(text, first) || !parse_u64(dash, &last) || last < *first || last >= *size)
        return "InvalidArgument";
    *size = last - *first + 1;
    return *size > S3_BODY_MAX ? "EntityTooLarge" : NULL;
}

enum op_result op_UploadPartCopy(struct server *s, struct request *r, struct reply *p)
{
    struct object *source;
    struct upload *u = need_upload(s, r, p);
    int number = u ? need_part_number(r, p) : 0;
    uint64_t first, size;
    const char *code;
    struct part *part;

    source = number && key_fits(r, u->result, false, p) ? need_copy_source(s, r, p) : NULL;
    if (!source)
        return OP_DONE;
    code = source_range(r, source, &first, &size);
    if (code) {
        reply_error(p, r, code);
        return OP_DONE;
    }
    if (!r->slice)
        r->slice = body_slice(source->body, first, size);
    if (need_sums(r, r->slice, multipart_sums(u)))
        return OP_AGAIN;
    part = upload_put_part(u, number, body_ref(r->slice));
    reply_copied(p, r, "CopyPartResult", part->etag, part->mtime);
    add_sum_element(&p->text, u->alg, &part->body->sums);
    buf_adds(&p->text, "</CopyPartResult>");
    return OP_DONE;
}
