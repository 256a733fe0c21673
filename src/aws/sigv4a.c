#include "aws/sigv4a.h"

#include "util/clock.h"
#include "util/digest.h"
#include "util/secret.h"
#include "util/str.h"

#include <string.h>

#define ALGORITHM "AWS4-ECDSA-P256-SHA256"

/* The curve's order minus 2: a candidate above it is passed over. */
static const uint8_t largest[ECDSA_SCALAR] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x4f,
};

/* One step of the derivation: 1 as four bytes, the algorithm, a zero, the access key's ID, the counter, 256 as four
 * bytes. */
static enum err_code candidate(const struct sigv4_key *k, uint8_t counter, uint8_t out[ECDSA_SCALAR], struct err *e)
{
    BUF_SECRET(key, 4096);
    BUF(input, 4096);
    enum err_code code;

    buf_addf(&key, "AWS4A%s", k->secret_access_key);
    buf_add(&input, "\0\0\0\1" ALGORITHM, 4 + strlen(ALGORITHM) + 1);
    buf_add_str(&input, k->access_key_id);
    buf_add_char(&input, (char)counter);
    buf_add(&input, "\0\0\1\0", 4);
    if ((code = buf_check(&key, "secret access key", e)) || (code = buf_check(&input, "access key", e)))
        return code;
    return hmac_sha256(key.data, key.len, input.data, input.len, out, e);
}

/* One byte after the other whatever they are, so that the time taken tells nothing. */
static bool is_larger(const uint8_t *a, const uint8_t *b)
{
    unsigned borrow = 0;

    for (size_t i = ECDSA_SCALAR; i-- > 0;)
        borrow = ((unsigned)b[i] - a[i] - borrow) >> 8 & 1;
    return borrow != 0;
}

static void add_one(uint8_t *number)
{
    unsigned carry = 1;

    for (size_t i = ECDSA_SCALAR; i-- > 0;) {
        carry += number[i];
        number[i] = (uint8_t)carry;
        carry >>= 8;
    }
}

struct ecdsa_key *sigv4a_key(const struct sigv4_key *k, struct err *e)
{
    uint8_t number[ECDSA_SCALAR];
    struct ecdsa_key *key = NULL;
    enum err_code code = ERR_OK;
    unsigned counter = 1;

    while (!(code = candidate(k, (uint8_t)counter, number, e)) && is_larger(number, largest) && counter < 255)
        counter++;
    if (!code && counter < 255) {
        add_one(number);
        key = ecdsa_key_new(number, e);
    } else if (!code) {
        err_set(e, ERR_AUTH, "no key for SigV4A can be derived from this access key");
    }
    secret_wipe(number, sizeof(number));
    return key;
}

/* "20150830/s3/aws4_request": no region. */
static void add_scope(struct buf *out, const struct sigv4_scope *s)
{
    char stamp[17];

    time_format_amz(s->when, stamp);
    buf_addf(out, "%.8s/%s/aws4_request", stamp, s->service);
}

enum err_code sigv4a_string_to_sign(const struct buf *canonical, const struct sigv4_scope *s, struct buf *out,
                                    struct err *e)
{
    char hash[2 * DIGEST_MAX + 1], stamp[17];
    enum err_code code = digest_hex(DIGEST_SHA256, buf_str(canonical), canonical->len, hash, e);

    if (code)
        return code;
    time_format_amz(s->when, stamp);
    buf_addf(out, ALGORITHM "\n%s\n", stamp);
    add_scope(out, s);
    buf_addf(out, "\n%s", hash);
    return buf_check(out, "string to sign", e);
}

enum err_code sigv4a_authorization(const struct sigv4_request *r, const struct sigv4_key *k,
                                   const struct sigv4_scope *s, struct buf *out, struct err *e)
{
    BUF_SECRET(canonical, SIGV4_CANONICAL_MAX);
    BUF(names, 65536);
    BUF(text, 1024);
    uint8_t signature[ECDSA_SIGNATURE_MAX];
    char hex[2 * ECDSA_SIGNATURE_MAX + 1];
    size_t len;
    enum err_code code;

    if ((code = sigv4_canonical(r, s, &canonical, &names, e)) ||
        (code = sigv4a_string_to_sign(&canonical, s, &text, e)))
        return code;
    CLEANUP(ecdsa_key_free) struct ecdsa_key *key = sigv4a_key(k, e);
    if (!key)
        return e ? e->code : ERR_AUTH;
    if ((code = ecdsa_sign(key, text.data, text.len, signature, &len, e)))
        return code;
    hex_encode(signature, len, hex);
    buf_addf(out, ALGORITHM " Credential=%s/", k->access_key_id);
    add_scope(out, s);
    buf_addf(out, ", SignedHeaders=%s, Signature=%s", buf_str(&names), hex);
    return buf_check(out, "Authorization header", e);
}
