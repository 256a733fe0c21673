#include "util/ecdsa.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <string.h>

enum {
    POINT = 1 + 2 * ECDSA_SCALAR, /* 4, x, y: the uncompressed form */
    PEM_MAX = 1 << 16
};

struct ecdsa_key {
    EVP_PKEY *pair;
    uint8_t point[POINT];
};

/* OpenSSL computes no public point from a private number that it is given. */
static bool find_point(const EC_GROUP *group, const BIGNUM *number, uint8_t out[POINT])
{
    EC_POINT *point = EC_POINT_new(group);
    bool ok = point && EC_POINT_mul(group, point, number, NULL, NULL, NULL) == 1 &&
              EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, out, POINT, NULL) == POINT;

    EC_POINT_free(point);
    return ok;
}

static EVP_PKEY *make_pair(const BIGNUM *number, const uint8_t point[POINT])
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pair = NULL;

    if (build && ctx && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, number) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, POINT) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (!params || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &pair, EVP_PKEY_KEYPAIR, params) != 1)
        pair = NULL;
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return pair;
}

struct ecdsa_key *ecdsa_key_new(const uint8_t scalar[ECDSA_SCALAR], struct err *e)
{
    CLEANUP(ecdsa_key_free) struct ecdsa_key *k = calloc(1, sizeof(*k));
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    BIGNUM *number = BN_secure_new();
    enum err_code code = ERR_OK;

    if (!k || !number || !BN_bin2bn(scalar, ECDSA_SCALAR, number))
        code = err_set(e, ERR_NOMEM, "no memory for a key");
    else if (!group)
        code = err_set(e, ERR_UNSUPPORTED, "ECDSA with P-256 is not available from OpenSSL");
    else if (BN_is_zero(number) || BN_cmp(number, EC_GROUP_get0_order(group)) >= 0)
        code = err_set(e, ERR_INVAL, "the number is no private key of P-256");
    else if (!find_point(group, number, k->point) || !(k->pair = make_pair(number, k->point)))
        code = err_set(e, ERR_UNSUPPORTED, "ECDSA with P-256 is not available from OpenSSL");
    BN_clear_free(number);
    EC_GROUP_free(group);
    ERR_clear_error();
    return code ? NULL : TAKE(k);
}

static int no_password(char *out, int size, int writing, void *arg)
{
    return -1;
}

static bool coordinate(const EVP_PKEY *pair, const char *name, uint8_t out[ECDSA_SCALAR])
{
    BIGNUM *n = NULL;
    bool ok = EVP_PKEY_get_bn_param(pair, name, &n) == 1 && BN_bn2binpad(n, out, ECDSA_SCALAR) == ECDSA_SCALAR;

    BN_free(n);
    return ok;
}

static bool read_pem(struct ecdsa_key *k, const char *pem)
{
    size_t len = strlen(pem);
    BIO *bio = len < PEM_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
    char group[32] = "";

    k->pair = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
    BIO_free(bio);
    return k->pair &&
           EVP_PKEY_get_utf8_string_param(k->pair, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) == 1 &&
           strcmp(group, SN_X9_62_prime256v1) == 0 &&
           coordinate(k->pair, OSSL_PKEY_PARAM_EC_PUB_X, k->point + 1) &&
           coordinate(k->pair, OSSL_PKEY_PARAM_EC_PUB_Y, k->point + 1 + ECDSA_SCALAR);
}

struct ecdsa_key *ecdsa_key_read(const char *pem, struct err *e)
{
    CLEANUP(ecdsa_key_free) struct ecdsa_key *k = calloc(1, sizeof(*k));
    bool ok = k && read_pem(k, pem);

    ERR_clear_error();
    if (ok)
        return TAKE(k);
    err_set(e, k ? ERR_INVAL : ERR_NOMEM, k ? "this is no private key on P-256 in PEM" : "no memory for a key");
    return NULL;
}

void ecdsa_key_free(struct ecdsa_key *k)
{
    if (!k)
        return;
    EVP_PKEY_free(k->pair);
    free(k);
}

void ecdsa_public(const struct ecdsa_key *k, uint8_t x[ECDSA_SCALAR], uint8_t y[ECDSA_SCALAR])
{
    memcpy(x, k->point + 1, ECDSA_SCALAR);
    memcpy(y, k->point + 1 + ECDSA_SCALAR, ECDSA_SCALAR);
}

enum err_code ecdsa_sign(const struct ecdsa_key *k, const void *text, size_t text_len, uint8_t out[ECDSA_SIGNATURE_MAX],
                         size_t *len, struct err *e)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok;

    *len = ECDSA_SIGNATURE_MAX;
    ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->pair) == 1 &&
         EVP_DigestSign(ctx, out, len, text, text_len) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok ? ERR_OK : err_set(e, ERR_UNSUPPORTED, "ECDSA with P-256 failed in OpenSSL");
}

enum err_code ecdsa_sign_numbers(const struct ecdsa_key *k, const void *text, size_t text_len,
                                 uint8_t out[2 * ECDSA_SCALAR], struct err *e)
{
    uint8_t der[ECDSA_SIGNATURE_MAX];
    const uint8_t *at = der;
    size_t len;
    enum err_code code = ecdsa_sign(k, text, text_len, der, &len, e);

    if (code)
        return code;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &at, (long)len);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, ECDSA_SCALAR) == ECDSA_SCALAR &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + ECDSA_SCALAR, ECDSA_SCALAR) == ECDSA_SCALAR;
    ECDSA_SIG_free(sig);
    return ok ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for a signature");
}

bool ecdsa_verify(const struct ecdsa_key *k, const void *text, size_t text_len, const uint8_t *signature, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->pair) == 1 &&
              EVP_DigestVerify(ctx, signature, len, text, text_len) == 1;

    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}
