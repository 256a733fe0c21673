/* What a request says about its payload's digests, and whether it is true. */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "s3.h"

static const char prefix[] = "x-amz-checksum-";

static bool is_checksum_header(const char *name)
{
    return strncmp(name, prefix, sizeof(prefix) - 1) == 0 && strcmp(name, "x-amz-checksum-mode") != 0 &&
           strcmp(name, "x-amz-checksum-algorithm") != 0 && strcmp(name, "x-amz-checksum-type") != 0;
}

static bool is_hex_sha256(const char *s)
{
    return s && strlen(s) == 64 && strspn(s, "0123456789abcdefABCDEF") == 64;
}

/* MD5 is the ETag; CRC64NVME is what S3 stores of an object or a part when the client sends no checksum. */
unsigned s3_sums_wanted(const struct request *r)
{
    unsigned want = 0;

    for (size_t i = 0; i < r->header_count; i++)
        if (is_checksum_header(r->headers[i].name))
            want |= 1U << sum_by_name(r->headers[i].name + sizeof(prefix) - 1);
    want &= (1U << SUM_ALGS) - 1;
    if (want == 0 && (r->op == OP_PutObject || r->op == OP_UploadPart))
        want = 1U << SUM_CRC64NVME;
    if (is_hex_sha256(request_header(r, "x-amz-content-sha256")))
        want |= 1U << SUM_SHA256;
    return want | 1U << SUM_MD5;
}

bool checksum_header(const struct request *r, struct reply *p, enum sum_alg *alg, const char **value)
{
    *alg = SUM_ALGS;
    *value = NULL;
    for (size_t i = 0; i < r->header_count; i++) {
        const char *name = r->headers[i].name;

        if (!is_checksum_header(name))
            continue;
        if (*alg != SUM_ALGS) {
            reply_error_text(p, r, "InvalidRequest",
                             "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.");
            return false;
        }
        *alg = sum_by_name(name + sizeof(prefix) - 1);
        *value = r->headers[i].value;
        if (*alg == SUM_ALGS) {
            reply_error(p, r, "NotImplemented");
            return false;
        }
    }
    return true;
}

static bool verify_md5(const struct request *r, struct reply *p)
{
    const char *given = request_header(r, "content-md5");
    unsigned char md5[SUM_MAX];

    if (!given)
        return true;
    if (base64_decode(given, md5) != 16) {
        reply_error(p, r, "InvalidDigest");
        return false;
    }
    if (memcmp(md5, SUM_VALUE(&r->payload->sums, SUM_MD5), 16) != 0) {
        reply_error(p, r, "BadDigest");
        return false;
    }
    return true;
}

static bool verify_content_sha256(const struct request *r, struct reply *p)
{
    const char *given = request_header(r, "x-amz-content-sha256");
    char hex[65];

    if (given && strncmp(given, "STREAMING-", 10) == 0) {
        reply_error(p, r, "NotImplemented");
        return false;
    }
    if (!is_hex_sha256(given))
        return true;
    hex_encode(SUM_VALUE(&r->payload->sums, SUM_SHA256), 32, hex);
    if (strcasecmp(hex, given) == 0)
        return true;
    reply_error(p, r, "XAmzContentSHA256Mismatch");
    return false;
}

static bool verify_checksum(const struct request *r, struct reply *p, enum sum_alg *alg)
{
    unsigned char sum[SUM_MAX];
    char message[96];
    const char *value;

    if (!checksum_header(r, p, alg, &value))
        return false;
    if (*alg == SUM_ALGS) {
        if (!request_header(r, "x-amz-sdk-checksum-algorithm"))
            return true;
        reply_error_text(p, r, "InvalidRequest",
                         "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or "
                         "x-amz-trailer headers were found.");
        return false;
    }
    if (base64_decode(value, sum) != (int)sum_len(*alg)) {
        snprintf(message, sizeof(message), "Value for %s%s header is invalid.", prefix, sum_name(*alg));
        reply_error_text(p, r, "InvalidRequest", message);
        return false;
    }
    if (memcmp(sum, SUM_VALUE(&r->payload->sums, *alg), sum_len(*alg)) == 0)
        return true;
    snprintf(message, sizeof(message), "The %s you specified did not match the calculated checksum.", sum_name(*alg));
    reply_error_text(p, r, "BadDigest", message);
    return false;
}

bool verify_payload(const struct request *r, struct reply *p, enum sum_alg *alg)
{
    return verify_content_sha256(r, p) && verify_md5(r, p) && verify_checksum(r, p, alg);
}

char *payload_text(const struct request *r)
{
    char *text;

    if (r->payload->size > 4U << 20)
        return NULL;
    text = x_alloc((size_t)r->payload->size + 1);
    if (!body_read(r->payload, 0, text, (size_t)r->payload->size)) {
        free(text);
        return NULL;
    }
    return text;
}

bool need_sums(struct request *r, struct body *b, unsigned want)
{
    unsigned missing = want & ~b->sums.have;

    if (!missing)
        return false;
    if (body_is_large_synthetic(b)) {
        if (missing & 1U << SUM_MD5 && RAND_bytes(SUM_VALUE(&b->sums, SUM_MD5), 16) == 1)
            b->sums.have |= 1U << SUM_MD5;
        return false;
    }
    r->to_hash = body_ref(b);
    r->hash_want = missing;
    return true;
}
