#include "util/ecdsa.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <string.h>

enum { POINT = 1 + 2 * ECDSA_SCALAR }; /* 4, x, y: the uncompressed form */

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
    return code ? NULL : TAKE(k);
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
    return ok ? ERR_OK : err_set(e, ERR_UNSUPPORTED, "ECDSA with P-256 failed in OpenSSL");
}

bool ecdsa_verify(const struct ecdsa_key *k, const void *text, size_t text_len, const uint8_t *signature, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->pair) == 1 &&
              EVP_DigestVerify(ctx, signature, len, text, text_len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}
