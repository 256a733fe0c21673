/* Multipart uploads but for their completion. */
#include "multipart.h"

#include "keys.h"

#include <stdlib.h>
#include <string.h>

struct upload *need_upload(struct server *s, const struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    const char *id = request_param(r, "uploadId");
    struct upload *u = b && id ? map_get(b->uploads, id) : NULL;

    if (b && (!u || strcmp(u->key, r->key) != 0)) {
        reply_error(p, r, "NoSuchUpload");
        return NULL;
    }
    return u;
}

int need_part_number(const struct request *r, struct reply *p)
{
    const char *text = request_param(r, "partNumber");
    uint64_t number;

    if (text && parse_u64(text, &number) && number >= 1 && number <= UPLOAD_PARTS_MAX)
        return (int)number;
    reply_error_text(p, r, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
    return 0;
}

unsigned multipart_sums(const struct upload *u)
{
    return 1U << SUM_MD5 | 1U << u->alg;
}

void add_checksum_element(struct buf *out, enum sum_alg alg, const char *value)
{
    struct buf name = {0};

    buf_addf(&name, "Checksum%s", sum_name(alg));
    buf_add_element(out, name.data, value);
    buf_release(&name);
}

void add_sum_element(struct buf *out, enum sum_alg alg, const struct sum_set *sums)
{
    char text[SUM_BASE64_MAX];

    if (!(sums->have & 1U << alg))
        return;
    base64_encode(SUM_VALUE(sums, alg), sum_len(alg), text);
    add_checksum_element(out, alg, text);
}

/* x-amz-checksum-algorithm and -type: CRC64NVME is always of the full object, SHA never, CRC32 and CRC32C are
 * COMPOSITE unless asked otherwise. */
static bool choose_checksum(const struct request *r, struct upload *u, struct reply *p)
{
    const char *alg = request_header(r, "x-amz-checksum-algorithm");
    const char *type = request_header(r, "x-amz-checksum-type");
    bool full = type && strcmp(type, "FULL_OBJECT") == 0;
    bool composite = type && strcmp(type, "COMPOSITE") == 0;

    u->alg_given = alg != NULL;
    u->alg = alg ? sum_by_name(alg) : SUM_CRC64NVME;
    u->composite = u->alg != SUM_CRC64NVME && !full;
    if (u->alg == SUM_ALGS || (type && !full && !composite) || (composite && u->alg == SUM_CRC64NVME) ||
        (full && !sum_combines(u->alg)) || (type && !alg)) {
        reply_error_text(p, r, "InvalidRequest", "The checksum algorithm and type cannot be used together.");
        return false;
    }
    return true;
}

enum op_result op_CreateMultipartUpload(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    struct upload *u;
    char id[33];

    if (!b)
        return OP_DONE;
    u = upload_new(r->key);
    fresh_id(s, id);
    map_put(b->uploads, id, u);
    if (!object_from_headers(s, r, u->result, p) || !choose_checksum(r, u, p)) {
        map_del(b->uploads, id);
        return OP_DONE;
    }
    reply_xml(p);
    if (u->alg_given) {
        reply_header(p, "x-amz-checksum-algorithm", "%s", sum_name(u->alg));
        reply_header(p, "x-amz-checksum-type", "%s", u->composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    reply_encryption(p, u->result);
    buf_addf(&p->text, "<InitiateMultipartUploadResult %s>", s3_namespace);
    buf_add_element(&p->text, "Bucket", r->bucket);
    buf_add_element(&p->text, "Key", r->key);
    buf_add_element(&p->text, "UploadId", id);
    buf_adds(&p->text, "</InitiateMultipartUploadResult>");
    return OP_DONE;
}

enum op_result op_UploadPart(struct server *s, struct request *r, struct reply *p)
{
    struct upload *u = need_upload(s, r, p);
    int number = u ? need_part_number(r, p) : 0;
    struct checksum sum = {0};
    struct part *part;
    enum sum_alg alg;

    if (!number || !key_fits(r, u->result, false, p) || !verify_payload(r, p, &alg))
        return OP_DONE;
    if (!r->has_length) {
        reply_error(p, r, "MissingContentLength");
        return OP_DONE;
    }
    if (u->alg_given && alg != SUM_ALGS && alg != u->alg) {
        reply_error_text(p, r, "InvalidRequest", "Checksum Type mismatch occurred");
        return OP_DONE;
    }
    if (need_sums(r, r->payload, multipart_sums(u)))
        return OP_AGAIN;
    part = upload_put_part(u, number, body_ref(r->payload));
    sum.alg = alg == SUM_ALGS ? u->alg : alg;
    base64_encode(SUM_VALUE(&part->body->sums, sum.alg), sum_len(sum.alg), sum.value);
    p->status = 200;
    reply_header(p, "ETag", "%s", told_etag(r, part->etag));
    reply_checksum(p, &sum);
    return OP_DONE;
}

enum op_result op_AbortMultipartUpload(struct server *s, struct request *r, struct reply *p)
{
    if (!need_upload(s, r, p))
        return OP_DONE;
    map_del(store_bucket(&s->store, r->bucket)->uploads, request_param(r, "uploadId"));
    p->status = 204;
    p->no_length = true;
    return OP_DONE;
}

static void add_part(struct buf *out, const struct upload *u, int number)
{
    const struct part *part = u->parts[number];
    char date[32];

    iso_date(part->mtime, date);
    buf_addf(out, "<Part><PartNumber>%d</PartNumber>", number);
    buf_add_element(out, "LastModified", date);
    buf_add_element(out, "ETag", part->etag);
    buf_addf(out, "<Size>%llu</Size>", (unsigned long long)part->body->size);
    add_sum_element(out, u->alg, &part->body->sums);
    buf_adds(out, "</Part>");
}

/* A page limit of at most 1000; false when malformed. */
static bool page_limit(const struct request *r, const char *name, uint64_t *max)
{
    const char *text = request_param(r, name);

    *max = 1000;
    if (text && !parse_u64(text, max))
        return false;
    if (*max > 1000)
        *max = 1000;
    return true;
}

enum op_result op_ListParts(struct server *s, struct request *r, struct reply *p)
{
    struct upload *u = need_upload(s, r, p);
    const char *marker_text = request_param(r, "part-number-marker");
    uint64_t max, marker = 0, count = 0;
    struct buf parts = {0};
    bool truncated = false;
    int last = 0;

    if (!u)
        return OP_DONE;
    if (!page_limit(r, "max-parts", &max) || (marker_text && !parse_u64(marker_text, &marker))) {
        reply_error(p, r, "InvalidArgument");
        return OP_DONE;
    }
    for (uint64_t n = marker + 1; n <= UPLOAD_PARTS_MAX && !truncated; n++) {
        if (!u->parts[n])
            continue;
        truncated = count == max;
        if (truncated)
            break;
        add_part(&parts, u, (int)n);
        last = (int)n;
        count++;
    }
    reply_xml(p);
    buf_addf(&p->text, "<ListPartsResult %s>", s3_namespace);
    buf_add_element(&p->text, "Bucket", r->bucket);
    buf_add_element(&p->text, "Key", r->key);
    buf_add_element(&p->text, "UploadId", request_param(r, "uploadId"));
    buf_addf(&p->text,
             "<PartNumberMarker>%llu</PartNumberMarker><NextPartNumberMarker>%d</NextPartNumberMarker>"
             "<MaxParts>%llu</MaxParts><IsTruncated>%s</IsTruncated>",
             (unsigned long long)marker, last, (unsigned long long)max, truncated ? "true" : "false");
    if (parts.len)
        buf_add(&p->text, parts.data, parts.len);
    buf_add_element(&p->text, "StorageClass", u->result->storage_class);
    if (u->alg_given) {
        buf_add_element(&p->text, "ChecksumAlgorithm", sum_name(u->alg));
        buf_add_element(&p->text, "ChecksumType", u->composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    buf_adds(&p->text, "</ListPartsResult>");
    buf_release(&parts);
    return OP_DONE;
}

struct listed_upload {
    const char *id;
    const struct upload *upload;
};

/* By key, then by time of creation: identifiers start with a counter. */
static int compare_uploads(const void *a, const void *b)
{
    const struct listed_upload *x = a, *y = b;
    int by_key = strcmp(x->upload->key, y->upload->key);

    return by_key ? by_key : strcmp(x->id, y->id);
}

static size_t find_uploads(const struct bucket *b, const struct request *r, struct listed_upload *out)
{
    const char *prefix = request_param(r, "prefix");
    const char *key = request_param(r, "key-marker");
    const char *id = request_param(r, "upload-id-marker");
    size_t count = 0;

    for (struct map_node *n = map_seek(b->uploads, ""); n; n = n->next[0]) {
        const struct upload *u = n->value;
        int order = key ? strcmp(u->key, key) : 1;

        if (prefix && strncmp(u->key, prefix, strlen(prefix)) != 0)
            continue;
        if (order > 0 || (order == 0 && id && strcmp(n->key, id) > 0))
            out[count++] = (struct listed_upload){n->key, u};
    }
    qsort(out, count, sizeof(*out), compare_uploads);
    return count;
}

static void add_next_markers(struct buf *out, const struct listed_upload *l, bool url)
{
    buf_adds(out, "<NextKeyMarker>");
    if (url)
        buf_add_url(out, l->upload->key);
    else
        buf_add_xml(out, l->upload->key);
    buf_adds(out, "</NextKeyMarker>");
    buf_add_element(out, "NextUploadIdMarker", l->id);
}

static void add_listed(struct buf *out, const struct listed_upload *l, bool url)
{
    char date[32];
    struct buf coded = {0};

    if (url)
        buf_add_url(&coded, l->upload->key);
    iso_date(l->upload->initiated, date);
    buf_adds(out, "<Upload>");
    buf_add_element(out, "Key", url ? coded.data : l->upload->key);
    buf_add_element(out, "UploadId", l->id);
    buf_adds(out, "<Initiator><ID>origin</ID></Initiator><Owner><ID>origin</ID></Owner>");
    buf_add_element(out, "StorageClass", l->upload->result->storage_class);
    buf_add_element(out, "Initiated", date);
    buf_adds(out, "</Upload>");
    buf_release(&coded);
}

enum op_result op_ListMultipartUploads(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    bool url = request_param(r, "encoding-type") != NULL;
    struct listed_upload *list;
    size_t count;
    uint64_t max;

    if (!b)
        return OP_DONE;
    if (request_param(r, "delimiter") || !page_limit(r, "max-uploads", &max)) {
        reply_error(p, r, request_param(r, "delimiter") ? "NotImplemented" : "InvalidArgument");
        return OP_DONE;
    }
    list = x_alloc(map_count(b->uploads) * sizeof(*list));
    count = find_uploads(b, r, list);
    reply_xml(p);
    buf_addf(&p->text, "<ListMultipartUploadsResult %s>", s3_namespace);
    buf_add_element(&p->text, "Bucket", r->bucket);
    buf_add_element(&p->text, "Prefix", request_param(r, "prefix"));
    buf_addf(&p->text, "<MaxUploads>%llu</MaxUploads>", (unsigned long long)max);
    if (url)
        buf_adds(&p->text, "<EncodingType>url</EncodingType>");
    buf_addf(&p->text, "<IsTruncated>%s</IsTruncated>", count > max ? "true" : "false");
    if (count > max && max)
        add_next_markers(&p->text, &list[max - 1], url);
    for (size_t i = 0; i < count && i < max; i++)
        add_listed(&p->text, &list[i], url);
    buf_adds(&p->text, "</ListMultipartUploadsResult>");
    free(list);
    return OP_DONE;
}
