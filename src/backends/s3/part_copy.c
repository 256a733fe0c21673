/* UploadPartCopy: parts that are ranges of objects the server has. */
#include "backends/s3/impl.h"
#include "util/str.h"

#include <string.h>

/* The CRC comes where the upload was created with it, big-endian in base64. */
static void take_crc(const struct s3_answer *a, struct store_part *part)
{
    char text[64];
    BUF(bytes, 64);
    part->unsummed = true;
    if (s3_answer_text(a, "CopyPartResult", "ChecksumCRC64NVME", text, sizeof(text), NULL) != ERR_OK ||
        !base64_decode(&bytes, text, strlen(text)) || bytes.len != 8)
        return;
    part->crc64nvme = 0;
    for (size_t i = 0; i < bytes.len; i++)
        part->crc64nvme = part->crc64nvme << 8 | (uint8_t)bytes.data[i];
    part->unsummed = false;
}

enum err_code s3_copy_part(struct s3_store *s, const char *key, const char *upload_id,
                           const struct store_part_source *source, const struct store_call *call, struct store_part *part,
                           struct err *e)
{
    PARAMS(h);
    PARAMS(query);
    S3_ANSWER(a);
    char etag[STORE_ETAG_SIZE + 16];
    s3_add_source(s, source->from, source->etag, &h);
    params_addf(&h, "x-amz-copy-source-range", "bytes=%llu-%llu", (unsigned long long)source->offset,
                (unsigned long long)(source->offset + part->size - 1));
    params_addf(&query, "partNumber", "%u", part->number);
    params_add(&query, "uploadId", upload_id);
    const struct s3_request r = {.method = HTTP_PUT,
                                 .what = "UploadPartCopy",
                                 .key = key,
                                 .source = source->from,
                                 .query = params_list(&query),
                                 .headers = &h,
                                 .call = call,
                                 .xml_error_in_200 = true,
                                 .slow = true};
    enum err_code code = s3_call(s, &r, &a, e);
    if (code == ERR_OK)
        code = s3_answer_text(&a, "CopyPartResult", "ETag", etag, sizeof(etag), e);
    if (code == ERR_OK && !s3_etag_copy(part->etag, etag))
        code = err_set(e, ERR_PROTO, "UploadPartCopy: the reply has no ETag");
    if (code == ERR_OK)
        take_crc(&a, part);
    return code;
}

static enum err_code still_there(struct s3_store *s, const struct store_part_source *source, const struct store_call *call,
                                 struct err *e)
{
    CLEANUP_RELEASE(store_object_release) struct store_object there = {0};
    struct err local = ERR_INIT;
    enum err_code code = s3_stat(s, source->from, call, &there, &local);
    if (code == ERR_NOT_FOUND || (code == ERR_OK && strcmp(there.version.etag, source->etag) != 0))
        return err_set(e, ERR_CONFLICT, "%s is not the version %s any more", source->from, source->etag);
    return code == ERR_OK ? code : err_copy(e, &local);
}

/* Where the server ignores or refuses the condition on the source, what is there is looked at before: see guard.c. */
enum err_code s3_upload_copy(void *impl, const char *key, const char *upload_id, const struct store_part_source *source,
                             const struct store_call *call, struct store_part *part, struct err *e)
{
    struct s3_store *s = impl;
    struct store_part told = {.number = part->number, .size = part->size};
    struct store_part_source sent = *source;
    struct err local = ERR_INIT;
    s3_find_out(s, call);
    enum s3_verdict match = s3_traits_get(s->traits, S3_PART_SOURCE_MATCH);
    enum err_code code = match == S3_YES ? ERR_OK : still_there(s, source, call, e);
    if (code != ERR_OK)
        return code;
    if (match == S3_REFUSES)
        sent.etag = NULL;
    code = s3_copy_part(s, key, upload_id, &sent, call, &told, &local);
    /* A 404 is about the upload or about the source. */
    if (code == ERR_NOT_FOUND && still_there(s, source, call, NULL) == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "%s is not there any more", source->from);
    if (code != ERR_OK)
        return err_copy(e, &local);
    *part = told;
    return ERR_OK;
}
