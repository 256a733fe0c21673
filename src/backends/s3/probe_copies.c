/* Questions about copies on the server and about uploads by parts. */
#include "backends/s3/probe.h"
#include "util/digest.h"
#include "util/str.h"

#include <string.h>

/* ---- copies */

static enum err_code copy(struct probe *p, const char *name, const char *value, const char *name2, const char *value2,
                          struct s3_answer *a)
{
    PARAMS(h);
    s3_add_source(p->s, p->a, NULL, &h);
    if (name != NULL)
        params_add(&h, name, value);
    if (name2 != NULL)
        params_add(&h, name2, value2);
    s3_add_class(p->s, NULL, &h);
    struct s3_request r = {
        .method = HTTP_PUT, .what = "CopyObject", .key = p->b, .source = p->a, .headers = &h, .xml_error_in_200 = true};
    return probe_ask(p, &r, a);
}

void probe_copy(struct probe *p)
{
    S3_ANSWER(a);
    char etag[STORE_ETAG_SIZE + 16], source[STORE_ETAG_SIZE + 2], target[STORE_ETAG_SIZE + 2];
    p->found[S3_COPY] = probe_of_feature(copy(p, NULL, NULL, NULL, NULL, &a), &a);
    if (p->found[S3_COPY] != S3_YES ||
        s3_answer_text(&a, "CopyObjectResult", "ETag", etag, sizeof(etag), NULL) != ERR_OK)
        return;
    p->found[S3_COPY_SOURCE_MATCH] =
        probe_of_false(copy(p, "x-amz-copy-source-if-match", "\"" NO_ETAG "\"", NULL, NULL, &a), &a);
    p->found[S3_COPY_IF_ABSENT] = probe_of_false(copy(p, "If-None-Match", "*", NULL, NULL, &a), &a);
    p->found[S3_COPY_IF_MATCH] = probe_of_false(copy(p, "If-Match", "\"" NO_ETAG "\"", NULL, NULL, &a), &a);
    char plain[STORE_ETAG_SIZE];
    if (!s3_etag_copy(plain, etag))
        return;
    probe_quote(source, p->etag);
    probe_quote(target, plain);
    if (p->found[S3_COPY_SOURCE_MATCH] == S3_YES &&
        copy(p, "x-amz-copy-source-if-match", source, NULL, NULL, &a) != ERR_OK)
        p->found[S3_COPY_SOURCE_MATCH] = S3_REFUSES;
    if (p->found[S3_COPY_IF_MATCH] == S3_YES && copy(p, "If-Match", target, NULL, NULL, &a) != ERR_OK)
        p->found[S3_COPY_IF_MATCH] = S3_REFUSES;
}

/* ---- uploads by parts */

static const struct aws_param *part_query(const struct probe *p, struct params *query)
{
    params_add(query, "partNumber", "1");
    params_add(query, "uploadId", p->upload);
    return params_list(query);
}

static uint64_t body_crc(void)
{
    return crc64nvme(0, PROBE_BODY, sizeof(PROBE_BODY) - 1);
}

static void add_crc(struct params *h)
{
    BUF(text, 64);
    s3_crc_text(body_crc(), &text);
    params_add(h, "x-amz-checksum-crc64nvme", buf_str(&text));
}

/* Begins an upload of `a`, and sends its only part. */
static enum err_code begin(struct probe *p, bool crc, char part_etag[STORE_ETAG_SIZE], struct s3_answer *a)
{
    static const struct aws_param uploads[] = {{"uploads", NULL}, {NULL, NULL}};
    PARAMS(h);
    PARAMS(part);
    PARAMS(query);
    struct store_version v;
    if (crc) {
        params_add(&h, "x-amz-checksum-algorithm", "CRC64NVME");
        params_add(&h, "x-amz-checksum-type", "FULL_OBJECT");
        add_crc(&part);
    }
    s3_add_class(p->s, NULL, &h);
    struct s3_request r = {
        .method = HTTP_POST, .what = "CreateMultipartUpload", .key = p->a, .query = uploads, .headers = &h};
    enum err_code code = probe_ask(p, &r, a);
    p->uploads_left |= a->unanswered > 0 || code == ERR_CANCELED;
    if (code == ERR_OK) {
        code = s3_answer_text(a, "InitiateMultipartUploadResult", "UploadId", p->upload, sizeof(p->upload), NULL);
        p->uploads_left |= code != ERR_OK;
    }
    if (code != ERR_OK)
        return code;
    r = (struct s3_request){.method = HTTP_PUT,
                            .what = "UploadPart",
                            .key = p->a,
                            .query = part_query(p, &query),
                            .headers = &part,
                            .body = probe_body()};
    code = probe_ask(p, &r, a);
    if (code == ERR_OK)
        code = s3_answer_etag(a, "UploadPart", &v, NULL);
    if (code == ERR_OK)
        memcpy(part_etag, v.etag, STORE_ETAG_SIZE);
    return code;
}

/* Completes the upload, beginning one where none is under way. */
static enum err_code finish(struct probe *p, bool crc, const char *name, const char *value,
                            char part_etag[STORE_ETAG_SIZE], struct s3_answer *a)
{
    PARAMS(query);
    PARAMS(h);
    BUF(xml, 4096);
    enum err_code code = p->upload[0] == 0 ? begin(p, crc, part_etag, a) : ERR_OK;
    if (code != ERR_OK)
        return code;
    params_add(&query, "uploadId", p->upload);
    params_add(&h, "Content-Type", "application/xml");
    if (name != NULL)
        params_add(&h, name, value);
    if (crc) {
        params_add(&h, "x-amz-checksum-type", "FULL_OBJECT");
        add_crc(&h);
    }
    const struct store_part part = {.number = 1, .crc64nvme = body_crc()};
    struct store_part with_etag = part;
    memcpy(with_etag.etag, part_etag, STORE_ETAG_SIZE);
    s3_complete_xml(&with_etag, 1, crc, &xml);
    struct s3_request r = {.method = HTTP_POST,
                           .what = "CompleteMultipartUpload",
                           .key = p->a,
                           .query = params_list(&query),
                           .headers = &h,
                           .text = &xml,
                           .xml_error_in_200 = true};
    code = probe_ask(p, &r, a);
    if (code == ERR_OK) {
        char etag[STORE_ETAG_SIZE + 16];
        p->upload[0] = 0;
        if (s3_answer_text(a, "CompleteMultipartUploadResult", "ETag", etag, sizeof(etag), NULL) == ERR_OK)
            (void)s3_etag_copy(p->etag, etag);
    }
    return code;
}

static void ask_crc(struct probe *p, char part_etag[STORE_ETAG_SIZE])
{
    S3_ANSWER(a);
    PARAMS(h);
    params_add(&h, "x-amz-checksum-mode", "ENABLED");
    struct s3_request head = {.method = HTTP_HEAD, .what = "HeadObject", .key = p->a, .headers = &h};
    p->found[S3_CRC64] = probe_of_feature(finish(p, true, NULL, NULL, part_etag, &a), &a);
    (void)probe_drop_upload(p);
    if (p->found[S3_CRC64] == S3_YES &&
        (probe_ask(p, &head, &a) != ERR_OK || params_get(&a.headers, "x-amz-checksum-crc64nvme") == NULL))
        p->found[S3_CRC64] = S3_IGNORES;
}

void probe_parts(struct probe *p)
{
    S3_ANSWER(a);
    char part_etag[STORE_ETAG_SIZE] = "", etag[STORE_ETAG_SIZE + 2];
    ask_crc(p, part_etag);
    p->found[S3_FINISH_IF_ABSENT] = probe_of_false(finish(p, false, "If-None-Match", "*", part_etag, &a), &a);
    p->found[S3_FINISH_IF_MATCH] = probe_of_false(finish(p, false, "If-Match", "\"" NO_ETAG "\"", part_etag, &a), &a);
    if (p->found[S3_FINISH_IF_MATCH] == S3_YES) {
        probe_quote(etag, p->etag);
        if (finish(p, false, "If-Match", etag, part_etag, &a) != ERR_OK)
            p->found[S3_FINISH_IF_MATCH] = S3_REFUSES;
    }
    (void)probe_drop_upload(p);
}

/* Copies `b` as a part of an upload of `a`. */
static enum err_code copy_part(struct probe *p, const char *match, struct s3_answer *a)
{
    PARAMS(query);
    PARAMS(h);
    s3_add_source(p->s, p->b, NULL, &h);
    if (match != NULL)
        params_add(&h, "x-amz-copy-source-if-match", match);
    struct s3_request r = {.method = HTTP_PUT,
                           .what = "UploadPartCopy",
                           .key = p->a,
                           .source = p->b,
                           .query = part_query(p, &query),
                           .headers = &h,
                           .xml_error_in_200 = true};
    return probe_ask(p, &r, a);
}

void probe_part_copy(struct probe *p)
{
    S3_ANSWER(a);
    char part_etag[STORE_ETAG_SIZE];
    if (begin(p, false, part_etag, &a) == ERR_OK) {
        p->found[S3_PART_COPY] = probe_of_feature(copy_part(p, NULL, &a), &a);
        if (p->found[S3_PART_COPY] == S3_YES)
            p->found[S3_PART_SOURCE_MATCH] = probe_of_false(copy_part(p, "\"" NO_ETAG "\"", &a), &a);
    }
    (void)probe_drop_upload(p);
}
