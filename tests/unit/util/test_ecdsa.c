#include "util/ecdsa.h"

#include "util/str.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Made for this test by `openssl ecparam -genkey`. */
static const char key_pem[] = "-----BEGIN EC PRIVATE KEY-----\n"
                              "MHcCAQEEICqCSOsmTwGFUWiBKU1Ld7oCWnZPPxkrMf4GShQnuXExoAoGCCqGSM49\n"
                              "AwEHoUQDQgAE+5a2cc0totE1RB7WgeGtXMkQGQqbmFqBUdspzq3kP/Jgm592ptX+\n"
                              "ltTiog5xo39BBFdH6oax9hqRm+Y2YrQgoQ==\n"
                              "-----END EC PRIVATE KEY-----\n";
static const char other_curve[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                  "MIGkAgEBBDAGvF8c3HtOn+fKnUzOH+z/v/VHb2CKLht50Ex8reHycqOsFI1/MIpi\n"
                                  "Xd8yZBvlkVKgBwYFK4EEACKhZANiAAR3H5/uklfeUoyHhpOlP6aQ1Z7GnEbmC6+K\n"
                                  "XBI6SV3Bbql44aQfda3niflVWQRIWlIr2V0oFyRjKDsfddyL/0pS7xVhjQEytmX4\n"
                                  "nc0Pvc52wPj9gehdxAeBv2DyvLg+QRE=\n"
                                  "-----END EC PRIVATE KEY-----\n";

static void the_public_point_is_that_of_the_key(void **state)
{
    CLEANUP(ecdsa_key_free) struct ecdsa_key *key = ecdsa_key_read(key_pem, NULL);
    uint8_t x[32], y[32];
    char hex[65];

    assert_non_null(key);
    ecdsa_public(key, x, y);
    hex_encode(x, 32, hex);
    assert_string_equal(hex, "fb96b671cd2da2d135441ed681e1ad5cc910190a9b985a8151db29ceade43ff2");
    hex_encode(y, 32, hex);
    assert_string_equal(hex, "609b9f76a6d5fe96d4e2a20e71a37f41045747ea86b1f61a919be63662b420a1");
}

/* By OpenSSL itself, from r and s. */
static int verifies(const char *text, const uint8_t signature[64])
{
    BIO *bio = BIO_new_mem_buf(key_pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char *der = NULL;

    ECDSA_SIG_set0(sig, BN_bin2bn(signature, 32, NULL), BN_bin2bn(signature + 32, 32, NULL));
    int len = i2d_ECDSA_SIG(sig, &der);
    EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key);
    int ok = EVP_DigestVerify(ctx, der, (size_t)len, (const unsigned char *)text, strlen(text));
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    ECDSA_SIG_free(sig);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok == 1;
}

static void a_signature_verifies_and_one_of_another_text_does_not(void **state)
{
    CLEANUP(ecdsa_key_free) struct ecdsa_key *key = ecdsa_key_read(key_pem, NULL);
    uint8_t signature[64];

    /* Often enough that a part with leading zeroes comes up. */
    for (int i = 0; i < 300; i++) {
        assert_int_equal(ecdsa_sign_numbers(key, "header.payload", 14, signature, NULL), ERR_OK);
        assert_true(verifies("header.payload", signature));
    }
    assert_false(verifies("header.payloaD", signature));
}

static void what_is_no_such_key_is_refused_without_quoting_it(void **state)
{
    static const char *const bad[] = {
        "", "MARKER", "-----BEGIN EC PRIVATE KEY-----\nMARKER\n-----END EC PRIVATE KEY-----\n", other_curve};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err e = ERR_INIT;

        assert_null(ecdsa_key_read(bad[i], &e));
        assert_int_equal(e.code, ERR_INVAL);
        assert_null(strstr(e.msg, "MARKER"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_public_point_is_that_of_the_key),
        cmocka_unit_test(a_signature_verifies_and_one_of_another_text_does_not),
        cmocka_unit_test(what_is_no_such_key_is_refused_without_quoting_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
