#include "aws/sigv4a.h"

#include "util/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FILE_MAX = 1 << 20 };

static const struct sigv4_key key = {"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", NULL};
static const struct sigv4_scope scope = {"us-east-1", "service", 1440938160};

static char *read_vectors(void)
{
    FILE *f = fopen(AWS_VECTORS "/aws4a_testsuite.txt", "r");
    char *text = calloc(1, FILE_MAX);

    assert_non_null(f);
    assert_true(text && fread(text, 1, FILE_MAX - 1, f) > 1000);
    fclose(f);
    return text;
}

/* Cuts off what follows `marker` and returns it. */
static char *cut(char *text, const char *marker)
{
    char *at = strstr(text, marker);

    assert_non_null(at);
    at[-1] = '\0';
    return at + strlen(marker);
}

static bool verifies(const struct ecdsa_key *k, const char *text, const char *hex)
{
    uint8_t signature[ECDSA_SIGNATURE_MAX];
    size_t len = strlen(hex) / 2;

    return len <= sizeof(signature) && hex_decode(hex, signature, len) &&
           ecdsa_verify(k, text, strlen(text), signature, len);
}

static void check_vector(const struct ecdsa_key *k, char *vector)
{
    char *creq = cut(vector, "@@@ creq\n"), *sts = cut(creq, "@@@ sts\n"), *sig = cut(sts, "@@@ sig\n");
    struct err e = ERR_INIT;
    BUF(canonical, 65536);
    BUF(text, 4096);

    sig[strcspn(sig, "\n")] = '\0';
    buf_add_str(&canonical, creq);
    assert_int_equal(sigv4a_string_to_sign(&canonical, &scope, &text, &e), ERR_OK);
    assert_string_equal(buf_str(&text), sts);
    if (!verifies(k, sts, sig))
        fail_msg("the published signature is not of our key: %s", vector);
    sts[0] ^= 1;
    assert_false(verifies(k, sts, sig));
}

static void the_published_key_and_signatures_come_of_it(void **state)
{
    char *text = read_vectors(), *vector = cut(text, "@@@@ public-key\n"), *next;
    struct err e = ERR_INIT;
    CLEANUP(ecdsa_key_free) struct ecdsa_key *k = sigv4a_key(&key, &e);
    uint8_t x[ECDSA_SCALAR], y[ECDSA_SCALAR];
    char hex[2 * ECDSA_SCALAR + 1];
    unsigned n = 0;

    assert_non_null(k);
    ecdsa_public(k, x, y);
    next = cut(vector, "@@@@ ");
    hex_encode(x, sizeof(x), hex);
    assert_non_null(strstr(vector, hex));
    hex_encode(y, sizeof(y), hex);
    assert_non_null(strstr(vector, hex));
    while (next) {
        vector = next;
        next = strstr(vector, "@@@@ ") ? cut(vector, "@@@@ ") : NULL;
        check_vector(k, vector);
        n++;
    }
    assert_true(n >= 38);
    free(text);
}

static void the_header_carries_a_signature_that_verifies(void **state)
{
    static const struct aws_param headers[] = {
        {"Host", "example.amazonaws.com"}, {"X-Amz-Date", "20150830T123600Z"}, {"X-Amz-Region-Set", "us-east-1"}, {0}};
    static const char begins[] = "AWS4-ECDSA-P256-SHA256 Credential=AKIDEXAMPLE/20150830/service/aws4_request, "
                                 "SignedHeaders=host;x-amz-date;x-amz-region-set, Signature=";
    /* Of the vector get-vanilla. */
    static const char text[] = "AWS4-ECDSA-P256-SHA256\n20150830T123600Z\n20150830/service/aws4_request\n"
                               "cf59db423e841c8b7e3444158185aa261b724a5c27cbe762676f3eed19f4dc02";
    const struct sigv4_request r = {"GET", "/", NULL, headers,
                                    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"};
    struct err e = ERR_INIT;
    BUF(out, 4096);
    CLEANUP(ecdsa_key_free) struct ecdsa_key *k = sigv4a_key(&key, &e);

    assert_int_equal(sigv4a_authorization(&r, &key, &scope, &out, &e), ERR_OK);
    assert_memory_equal(buf_str(&out), begins, strlen(begins));
    assert_true(verifies(k, text, buf_str(&out) + strlen(begins)));
}

static void numbers_that_are_no_keys_are_refused(void **state)
{
    uint8_t number[ECDSA_SCALAR] = {0};
    struct err e = ERR_INIT;

    assert_null(ecdsa_key_new(number, &e));
    assert_int_equal(e.code, ERR_INVAL);
    memset(number, 0xff, sizeof(number));
    assert_null(ecdsa_key_new(number, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_key_and_signatures_come_of_it),
        cmocka_unit_test(the_header_carries_a_signature_that_verifies),
        cmocka_unit_test(numbers_that_are_no_keys_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
