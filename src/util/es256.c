#include "util/es256.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <string.h>

/* `struct es256` is EVP_PKEY. */
static EVP_PKEY *key_of(const struct es256 *key)
{
    return (EVP_PKEY *)key;
}

static int no_password(char *out, int size, int writing, void *arg)
{
    return -1;
}

struct es256 *es256_new(const char *pem, struct err *e)
{
    size_t len = strlen(pem);
    BIO *bio = len < 1 << 16 ? BIO_new_mem_buf(pem, (int)len) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    char group[32] = "";

    BIO_free(bio);
    if (key && EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) &&
        !strcmp(group, SN_X9_62_prime256v1))
        return (struct es256 *)key;
    EVP_PKEY_free(key);
    ERR_clear_error();
    err_set(e, ERR_INVAL, "this is no private key on P-256 in PEM");
    return NULL;
}

void es256_free(struct es256 *key)
{
    EVP_PKEY_free(key_of(key));
}

static int coordinate(EVP_PKEY *key, const char *name, uint8_t out[32])
{
    BIGNUM *n = NULL;
    int ok = EVP_PKEY_get_bn_param(key, name, &n) && BN_bn2binpad(n, out, 32) == 32;

    BN_free(n);
    return ok;
}

enum err_code es256_public(const struct es256 *key, uint8_t x[32], uint8_t y[32], struct err *e)
{
    if (coordinate(key_of(key), OSSL_PKEY_PARAM_EC_PUB_X, x) && coordinate(key_of(key), OSSL_PKEY_PARAM_EC_PUB_Y, y))
        return ERR_OK;
    ERR_clear_error();
    return err_set(e, ERR_INVAL, "the key has no public part");
}

/* OpenSSL gives a signature as DER. */
static int split(const uint8_t *der, size_t len, uint8_t out[64])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    int ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32) == 32 &&
             BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32) == 32;

    ECDSA_SIG_free(sig);
    return ok;
}

enum err_code es256_sign(const struct es256 *key, const void *p, size_t len, uint8_t out[64], struct err *e)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t der[128];
    size_t der_len = sizeof(der);
    int ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key_of(key)) &&
             EVP_DigestSign(ctx, der, &der_len, p, len) && split(der, der_len, out);

    EVP_MD_CTX_free(ctx);
    if (ok)
        return ERR_OK;
    ERR_clear_error();
    return err_set(e, ERR_IO, "the key cannot sign");
}
