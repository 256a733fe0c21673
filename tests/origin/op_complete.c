/* CompleteMultipartUpload. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyspace.h"
#include "multipart.h"
#include "xml.h"

#define PART_MIN (5ULL << 20)

struct completion {
    int *numbers;
    struct body **bodies;
    size_t count;
    uint64_t size;
};

static void release(struct completion *c)
{
    free(c->numbers);
    free(c->bodies);
}

static bool same_etag(const char *given, const char *etag)
{
    return etag_listed(given, etag) && !strchr(given, '*');
}

/* A checksum in the list must be the part's. */
static bool same_checksum(const xmlNode *node, const struct part *part)
{
    bool same = true;

    for (int alg = 0; alg < SUM_ALGS; alg++) {
        char name[32];
        char value[SUM_BASE64_MAX];
        char *given;

        snprintf(name, sizeof(name), "Checksum%s", sum_name((enum sum_alg)alg));
        given = xml_child_text(node, name);
        if (given && part->body->sums.have & 1U << alg) {
            base64_encode(SUM_VALUE(&part->body->sums, alg), sum_len((enum sum_alg)alg), value);
            same = same && strcmp(given, value) == 0;
        }
        free(given);
    }
    return same;
}

static const char *add_part(struct completion *c, const struct upload *u, const xmlNode *node)
{
    char *number_text = xml_child_text(node, "PartNumber");
    char *etag = xml_child_text(node, "ETag");
    uint64_t number = 0;
    const char *code = NULL;
    const struct part *part;

    if (!number_text || !etag || !parse_u64(number_text, &number))
        code = "MalformedXML";
    part = !code && number >= 1 && number <= UPLOAD_PARTS_MAX ? u->parts[number] : NULL;
    if (!code && (!part || !same_etag(etag, part->etag) || !same_checksum(node, part)))
        code = "InvalidPart";
    if (!code && c->count && c->numbers[c->count - 1] >= (int)number)
        code = "InvalidPartOrder";
    if (!code) {
        c->numbers[c->count] = (int)number;
        c->bodies[c->count++] = part->body;
        c->size += part->body->size;
    }
    free(number_text);
    free(etag);
    return code;
}

static const char *read_parts(struct completion *c, const struct upload *u, const struct request *r)
{
    xmlDoc *doc = xml_of_payload(r, "CompleteMultipartUpload");
    const char *code = NULL;

    if (!doc)
        return "MalformedXML";
    c->numbers = x_alloc(UPLOAD_PARTS_MAX * sizeof(c->numbers[0]));
    c->bodies = x_alloc(UPLOAD_PARTS_MAX * sizeof(struct body *));
    for (xmlNode *n = xml_child(xmlDocGetRootElement(doc), "Part"); n && !code; n = xml_next(n, "Part"))
        code = c->count == UPLOAD_PARTS_MAX ? "MalformedXML" : add_part(c, u, n);
    xmlFreeDoc(doc);
    if (!code && c->count == 0)
        code = "MalformedXML";
    for (size_t i = 0; !code && i + 1 < c->count; i++)
        if (c->bodies[i]->size < PART_MIN)
            code = "EntityTooSmall";
    return code;
}

/* The ETag: MD5 over the parts' MD5s, "-" and the number of parts; likewise a COMPOSITE checksum. */
static void digest_of_digests(const struct completion *c, enum sum_alg alg, unsigned char *out)
{
    struct sum_set set = {0};
    struct sums sums;

    sums_init(&sums, 1U << alg);
    for (size_t i = 0; i < c->count; i++)
        sums_update(&sums, SUM_VALUE(&c->bodies[i]->sums, alg), sum_len(alg));
    sums_final(&sums, &set);
    memcpy(out, SUM_VALUE(&set, alg), sum_len(alg));
}

static void set_digests(struct object *o, const struct upload *u, const struct completion *c)
{
    unsigned char sum[SUM_MAX];
    char hex[33];
    size_t len;

    digest_of_digests(c, SUM_MD5, sum);
    hex_encode(sum, 16, hex);
    snprintf(o->etag, sizeof(o->etag), "\"%s-%zu\"", hex, c->count);
    if (!u->composite) {
        if (o->body->sums.have & 1U << u->alg)
            object_set_checksum(o, u->alg);
        return;
    }
    for (size_t i = 0; i < c->count; i++)
        if (!(c->bodies[i]->sums.have & 1U << u->alg))
            return;
    digest_of_digests(c, u->alg, sum);
    o->checksum.alg = u->alg;
    o->checksum.composite = true;
    base64_encode(sum, sum_len(u->alg), o->checksum.value);
    len = strlen(o->checksum.value);
    snprintf(o->checksum.value + len, sizeof(o->checksum.value) - len, "-%zu", c->count);
}

/* Verifies x-amz-checksum-* and x-amz-mp-object-size of the request against the object. */
static bool verify_object(const struct request *r, struct reply *p, const struct object *o)
{
    const char *size_text = request_header(r, "x-amz-mp-object-size");
    enum sum_alg alg;
    const char *value;
    uint64_t size;

    if (!checksum_header(r, p, &alg, &value))
        return false;
    if (size_text && (!parse_u64(size_text, &size) || size != o->body->size)) {
        reply_error_text(p, r, "InvalidRequest",
                         "The provided 'x-amz-mp-object-size' header does not match what was computed.");
        return false;
    }
    if (value && o->checksum.alg != SUM_ALGS && (alg != o->checksum.alg || strcmp(value, o->checksum.value) != 0)) {
        reply_error(p, r, "BadDigest");
        return false;
    }
    return true;
}

static void reply_completed(const struct request *r, struct reply *p, const struct object *o)
{
    reply_xml(p);
    buf_addf(&p->text, "<CompleteMultipartUploadResult %s>", s3_namespace);
    buf_addf(&p->text, "<Location>/%s</Location>", r->bucket);
    buf_add_element(&p->text, "Bucket", r->bucket);
    buf_add_element(&p->text, "Key", r->key);
    buf_add_element(&p->text, "ETag", told_etag(r, o->etag));
    if (o->checksum.alg != SUM_ALGS) {
        add_checksum_element(&p->text, o->checksum.alg, o->checksum.value);
        buf_add_element(&p->text, "ChecksumType", o->checksum.composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    buf_adds(&p->text, "</CompleteMultipartUploadResult>");
    reply_encryption(p, o);
}

static void complete(struct bucket *b, struct upload *u, const struct completion *c, struct request *r, struct reply *p)
{
    struct object *o = u->result;

    body_unref(o->body);
    o->body = body_join(c->bodies, c->count);
    set_digests(o, u, c);
    if (!verify_object(r, p, o))
        return;
    o->mtime = time(NULL);
    u->result = NULL;
    map_del(b->uploads, request_param(r, "uploadId"));
    map_put(b->objects, r->key, o);
    reply_completed(r, p, o);
}

enum op_result op_CompleteMultipartUpload(struct server *s, struct request *r, struct reply *p)
{
    struct upload *u = need_upload(s, r, p);
    struct bucket *b = u ? store_bucket(&s->store, r->bucket) : NULL;
    struct completion c = {0};
    const char *code;

    if (!u)
        return OP_DONE;
    code = read_parts(&c, u, r);
    if (!code)
        code = cond_write(r, keyspace_object(&s->store, b, r->key));
    if (code)
        reply_error(p, r, code);
    else
        complete(b, u, &c, r, p);
    release(&c);
    return OP_DONE;
}
