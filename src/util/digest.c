#include "util/digest.h"

#include "util/str.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <sys/random.h>

struct digest {
    EVP_MD_CTX *ctx;
};

static const EVP_MD *md_of(enum digest_alg alg)
{
    switch (alg) {
    case DIGEST_MD5:
        return EVP_md5();
    case DIGEST_SHA1:
        return EVP_sha1();
    case DIGEST_SHA256:
        return EVP_sha256();
    case DIGEST_SHA512:
        return EVP_sha512();
    }
    return NULL;
}

static const char *alg_name(enum digest_alg alg)
{
    static const char *const names[] = {"MD5", "SHA-1", "SHA-256", "SHA-512"};
    return names[alg];
}

size_t digest_size(enum digest_alg alg)
{
    static const size_t sizes[] = {16, 20, 32, 64};
    return sizes[alg];
}

static enum err_code refused(enum digest_alg alg, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "%s is not available from OpenSSL", alg_name(alg));
}

enum err_code digest_once(enum digest_alg alg, const void *p, size_t len, uint8_t out[DIGEST_MAX], struct err *e)
{
    if (EVP_Digest(p, len, out, NULL, md_of(alg), NULL) != 1)
        return refused(alg, e);
    return ERR_OK;
}

enum err_code digest_hex(enum digest_alg alg, const void *p, size_t len, char out[2 * DIGEST_MAX + 1], struct err *e)
{
    uint8_t raw[DIGEST_MAX];
    enum err_code rc = digest_once(alg, p, len, raw, e);
    if (rc != ERR_OK)
        return rc;
    hex_encode(raw, digest_size(alg), out);
    return ERR_OK;
}

enum err_code hmac_sha256(const void *key, size_t key_len, const void *p, size_t len, uint8_t out[32], struct err *e)
{
    unsigned out_len = 0;
    if (key_len > INT_MAX)
        return err_set(e, ERR_INVAL, "HMAC key of %zu bytes", key_len);
    /* A NULL key means "the key of the last call" to OpenSSL: an empty one is an address with no bytes. */
    const void *key_bytes = key ? key : "";
    const void *data = p ? p : "";
    if (!HMAC(EVP_sha256(), key_bytes, (int)key_len, data, len, out, &out_len) || out_len != 32)
        return err_set(e, ERR_UNSUPPORTED, "HMAC-SHA-256 is not available from OpenSSL");
    return ERR_OK;
}

struct digest *digest_new(enum digest_alg alg, struct err *e)
{
    CLEANUP(digest_free) struct digest *d = calloc(1, sizeof(*d));
    if (d)
        d->ctx = EVP_MD_CTX_new();
    if (!d || !d->ctx) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    if (EVP_DigestInit_ex(d->ctx, md_of(alg), NULL) != 1) {
        refused(alg, e);
        return NULL;
    }
    return TAKE(d);
}

void digest_free(struct digest *d)
{
    if (!d)
        return;
    EVP_MD_CTX_free(d->ctx);
    free(d);
}

enum err_code digest_update(struct digest *d, const void *p, size_t len, struct err *e)
{
    if (EVP_DigestUpdate(d->ctx, p, len) != 1)
        return err_set(e, ERR_IO, "OpenSSL refused to digest %zu bytes", len);
    return ERR_OK;
}

enum err_code digest_final(struct digest *d, uint8_t out[DIGEST_MAX], struct err *e)
{
    if (EVP_DigestFinal_ex(d->ctx, out, NULL) != 1)
        return err_set(e, ERR_IO, "OpenSSL refused to end a digest");
    return ERR_OK;
}

void random_bytes(void *p, size_t len)
{
    unsigned char *at = p;
    while (len) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            perror("getrandom");
            abort();
        }
        at += n;
        len -= (size_t)n;
    }
}
