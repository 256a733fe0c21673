/* Uploads by parts, with a CRC64NVME for each part and for the whole where the server takes them. */
#include "backends/s3/impl.h"
#include "util/digest.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 64 * 1024, COMPLETE_MAX = 4 << 20 };

/* A server that does not know the checksums, as far as that is not known. */
static bool refused(const struct s3_store *s, const struct s3_answer *a)
{
    return a->status == 501 || (a->status == 400 && s3_traits_get(s->traits, S3_CRC64) == S3_UNKNOWN);
}

static bool is_sent(enum s3_verdict crc)
{
    return crc == S3_YES || crc == S3_IGNORES;
}

enum err_code s3_upload_create(struct s3_store *s, const char *key, const struct params *headers,
                               const struct params *more, const struct store_call *call, char upload_id[STORE_ID_SIZE],
                               struct err *e)
{
    static const struct aws_param query[] = {{"uploads", NULL}, {NULL, NULL}};
    S3_ANSWER(a);
    const struct s3_request r = {.method = HTTP_POST,
                                 .what = "CreateMultipartUpload",
                                 .key = key,
                                 .query = query,
                                 .headers = headers,
                                 .more = more,
                                 .call = call};
    enum err_code code = s3_call(s, &r, &a, e);
    unsigned unheard = a.unanswered;
    if (code == ERR_OK) {
        code = s3_answer_text(&a, "InitiateMultipartUploadResult", "UploadId", upload_id, STORE_ID_SIZE, e);
        unheard += code != ERR_OK; /* begun, under an id that the answer does not tell */
    }
    if (call != NULL && call->unanswered != NULL)
        *call->unanswered += unheard;
    if (code != ERR_OK && more != NULL && more->n > 0 && refused(s, &a)) {
        code = s3_upload_create(s, key, headers, NULL, call, upload_id, e);
        if (code == ERR_OK)
            s3_traits_set(s->traits, S3_CRC64, S3_REFUSES, false);
    }
    return code;
}

enum err_code s3_upload_begin(void *impl, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                              const struct store_call *call, char upload_id[STORE_ID_SIZE], struct err *e)
{
    struct s3_store *s = impl;
    PARAMS(headers);
    PARAMS(checksum);
    s3_find_out(s, call);
    s3_keep_plain(s, key, meta);
    enum err_code code = s3_meta_write(meta, key, sha512, 0, &headers, e);
    s3_add_class(s, meta, &headers);
    if (code == ERR_OK)
        code = s3_add_tags(s, key, meta, call, &headers, e);
    if (code == ERR_OK)
        code = s3_add_acl(s, s3_is_told(meta) ? key : NULL, call, &headers, e);
    if (code != ERR_OK)
        return code;
    if (s3_traits_get(s->traits, S3_CRC64) != S3_REFUSES) {
        params_add(&checksum, "x-amz-checksum-algorithm", "CRC64NVME");
        params_add(&checksum, "x-amz-checksum-type", "FULL_OBJECT");
    }
    return s3_upload_create(s, key, &headers, &checksum, call, upload_id, e);
}

static enum err_code body_crc(const struct store_body *body, uint64_t *out, struct err *e)
{
    if (body->crc64nvme != NULL) {
        *out = *body->crc64nvme;
        return ERR_OK;
    }
    CLEANUP(free) char *chunk = malloc(CHUNK);
    uint64_t crc = 0;
    if (chunk == NULL)
        return err_set(e, ERR_NOMEM, "a part's checksum");
    for (uint64_t at = 0; at < body->size;) {
        ssize_t got = body->read(body->arg, at, chunk, body->size - at < CHUNK ? body->size - at : CHUNK);
        if (got <= 0)
            return err_set(e, ERR_IO, "what is to be sent cannot be read");
        crc = crc64nvme(crc, chunk, (size_t)got);
        at += (uint64_t)got;
    }
    *out = crc;
    return ERR_OK;
}

/* Big-endian, base64. */
void s3_crc_text(uint64_t crc, struct buf *out)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(crc >> (56 - 8 * i));
    base64_encode(out, bytes, sizeof(bytes));
}

static void add_crc_header(struct params *h, uint64_t crc)
{
    BUF(text, 64);
    s3_crc_text(crc, &text);
    params_add(h, "x-amz-checksum-crc64nvme", buf_str(&text));
}

enum err_code s3_upload_part(void *impl, const char *key, const char *upload_id, const struct store_body *body,
                             const struct store_call *call, struct store_part *part, struct err *e)
{
    struct s3_store *s = impl;
    PARAMS(query);
    PARAMS(checksum);
    S3_ANSWER(a);
    struct store_part told = {.number = part->number, .size = body->size};
    enum err_code code = body_crc(body, &told.crc64nvme, e);
    if (code != ERR_OK)
        return code;
    params_addf(&query, "partNumber", "%u", part->number);
    params_add(&query, "uploadId", upload_id);
    struct s3_request r = {
        .method = HTTP_PUT, .what = "UploadPart", .key = key, .query = params_list(&query), .body = body, .call = call};
    bool with_crc = s3_traits_get(s->traits, S3_CRC64) != S3_REFUSES;
    if (with_crc) {
        add_crc_header(&checksum, told.crc64nvme);
        r.more = &checksum;
    }
    code = s3_call(s, &r, &a, e);
    if (code == ERR_OK && with_crc && s3_traits_get(s->traits, S3_CRC64) == S3_UNKNOWN)
        s3_traits_set(s->traits, S3_CRC64, S3_YES, false);
    if (code != ERR_OK && with_crc && refused(s, &a)) {
        r.more = NULL;
        code = s3_call(s, &r, &a, e);
        if (code == ERR_OK)
            s3_traits_set(s->traits, S3_CRC64, S3_REFUSES, false);
    }
    struct store_version v = {0};
    if (code == ERR_OK)
        code = s3_answer_etag(&a, "UploadPart", &v, e);
    if (code != ERR_OK)
        return code;
    memcpy(told.etag, v.etag, sizeof(told.etag));
    *part = told;
    return ERR_OK;
}

void s3_complete_xml(const struct store_part *parts, size_t n, bool checksums, struct buf *xml)
{
    buf_add_str(xml, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < n; i++) {
        buf_addf(xml, "<Part><PartNumber>%u</PartNumber><ETag>&quot;", parts[i].number);
        xml_escape(xml, parts[i].etag, strlen(parts[i].etag));
        buf_add_str(xml, "&quot;</ETag>");
        if (checksums) {
            buf_add_str(xml, "<ChecksumCRC64NVME>");
            s3_crc_text(parts[i].crc64nvme, xml);
            buf_add_str(xml, "</ChecksumCRC64NVME>");
        }
        buf_add_str(xml, "</Part>");
    }
    buf_add_str(xml, "</CompleteMultipartUpload>");
}

static enum err_code send_complete(struct s3_store *s, const struct s3_complete *c, uint64_t size, bool checksums,
                                   const struct store_cond *cond, const struct store_call *call, struct s3_answer *a,
                                   struct err *e)
{
    PARAMS(query);
    PARAMS(headers);
    BUF(xml, COMPLETE_MAX);
    params_add(&query, "uploadId", c->upload_id);
    params_add(&headers, "Content-Type", "application/xml");
    params_addf(&headers, "x-amz-mp-object-size", "%llu", (unsigned long long)size);
    if (checksums) {
        uint64_t crc = c->parts[0].crc64nvme;
        for (size_t i = 1; i < c->n; i++)
            crc = crc64nvme_combine(crc, c->parts[i].crc64nvme, c->parts[i].size);
        params_add(&headers, "x-amz-checksum-type", "FULL_OBJECT");
        add_crc_header(&headers, crc);
    }
    s3_complete_xml(c->parts, c->n, checksums, &xml);
    enum err_code code = buf_check(&xml, "CompleteMultipartUpload", e);
    if (code != ERR_OK)
        return code;
    const struct s3_request r = {.method = HTTP_POST,
                                 .what = "CompleteMultipartUpload",
                                 .key = c->key,
                                 .query = params_list(&query),
                                 .headers = &headers,
                                 .cond = cond,
                                 .if_absent = S3_FINISH_IF_ABSENT,
                                 .text = &xml,
                                 .call = call,
                                 .xml_error_in_200 = true,
                                 .slow = true};
    return s3_call(s, &r, a, e);
}

/* The ETag that S3 gives to an upload by parts: the MD5 of the parts' MD5s, "-", their number. "" where the parts'
 * ETags are no MD5s. */
static void expected_etag(const struct s3_complete *c, char out[STORE_ETAG_SIZE])
{
    CLEANUP(digest_free) struct digest *d = digest_new(DIGEST_MD5, NULL);
    uint8_t sum[DIGEST_MAX];
    char hex[33];
    out[0] = 0;
    for (size_t i = 0; d != NULL && i < c->n; i++)
        if (strlen(c->parts[i].etag) != 32 || !hex_decode(c->parts[i].etag, sum, 16) ||
            digest_update(d, sum, 16, NULL) != ERR_OK)
            return;
    if (d == NULL || digest_final(d, sum, NULL) != ERR_OK)
        return;
    hex_encode(sum, 16, hex);
    (void)snprintf(out, STORE_ETAG_SIZE, "%s-%zu", hex, c->n);
}

struct completing {
    struct s3_store *s;
    const struct s3_complete *c;
    const struct store_call *call;
    uint64_t size;
};

/* Nobody but us completes an upload of ours: one that is gone after an attempt without an answer was completed by it.
 */
static enum err_code complete_on(void *arg, const struct store_cond *cond, struct s3_tried *tried,
                                 struct store_version *out, struct err *e)
{
    const struct completing *k = arg;
    const struct s3_complete *c = k->c;
    S3_ANSWER(a);
    char etag[STORE_ETAG_SIZE + 16];
    out->size = k->size;
    enum err_code code = send_complete(k->s, c, k->size, c->checksums, cond, k->call, &a, e);
    if (code == ERR_INVAL && c->checksums && strcmp(a.code, "InvalidRequest") == 0)
        code = send_complete(k->s, c, k->size, false, cond, k->call, &a, e);
    tried->unanswered += a.unanswered;
    tried->gone = code == ERR_NOT_FOUND && strcmp(a.code, "NoSuchUpload") == 0;
    if (code == ERR_CONFLICT || (code == ERR_NOT_FOUND && !tried->gone && cond->kind == STORE_IF_MATCH))
        return err_set(e, ERR_CONFLICT, "CompleteMultipartUpload %s: somebody else changed it", c->key);
    if (code == ERR_OK)
        code = s3_answer_text(&a, "CompleteMultipartUploadResult", "ETag", etag, sizeof(etag), e);
    if (code == ERR_OK && !s3_etag_copy(out->etag, etag))
        code = err_set(e, ERR_PROTO, "CompleteMultipartUpload: the reply has no ETag");
    out->mtime = s3_answer_time(&a);
    return code;
}

static enum err_code describe_complete(void *arg, struct s3_sent *out, struct err *e)
{
    const struct completing *k = arg;
    out->size = k->size;
    s3_sent_sha512(out, k->c->sha512);
    expected_etag(k->c, out->etag);
    return ERR_OK;
}

enum err_code s3_upload_complete(struct s3_store *s, const struct s3_complete *c, const struct store_call *call,
                                 struct store_version *out, struct err *e)
{
    struct completing k = {.s = s, .c = c, .call = call};
    for (size_t i = 0; i < c->n; i++)
        k.size += c->parts[i].size;
    const struct s3_change change = {
        .key = c->key, .cond = c->cond, .call = call, .send = complete_on, .describe = describe_complete, .arg = &k};
    return s3_change(s, &change, out, e);
}

enum err_code s3_upload_finish(void *impl, const char *key, const char *upload_id, const struct store_part *parts,
                               size_t n, const uint8_t *sha512, const struct store_cond *cond,
                               const struct store_call *call, struct store_version *out, struct err *e)
{
    struct s3_store *s = impl;
    bool summed = true;
    for (size_t i = 0; i < n; i++)
        summed = summed && !parts[i].unsummed;
    const struct s3_complete c = {.key = key,
                                  .upload_id = upload_id,
                                  .parts = parts,
                                  .n = n,
                                  .sha512 = sha512,
                                  .cond = cond,
                                  .checksums = summed && is_sent(s3_traits_get(s->traits, S3_CRC64))};
    return s3_upload_complete(s, &c, call, out, e);
}

enum err_code s3_upload_abort(void *impl, const char *key, const char *upload_id, const struct store_call *call,
                              struct err *e)
{
    PARAMS(query);
    S3_ANSWER(a);
    params_add(&query, "uploadId", upload_id);
    const struct s3_request r = {
        .method = HTTP_DELETE, .what = "AbortMultipartUpload", .key = key, .query = params_list(&query), .call = call};
    enum err_code code = s3_call(impl, &r, &a, e);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}
