#include "util/digest.h"
#include "util/str.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    enum digest_alg alg;
    const char *of_abc;
} known[] = {
    {DIGEST_MD5, "900150983cd24fb0d6963f7d28e17f72"},
    {DIGEST_SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {DIGEST_SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {DIGEST_SHA512, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
};

static void digests_are_the_published_ones(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        char hex[2 * DIGEST_MAX + 1];
        assert_int_equal(digest_hex(known[i].alg, "abc", 3, hex, NULL), ERR_OK);
        assert_string_equal(hex, known[i].of_abc);
        assert_int_equal(strlen(hex), 2 * digest_size(known[i].alg));
    }
    char empty[2 * DIGEST_MAX + 1];
    assert_int_equal(digest_hex(DIGEST_SHA256, NULL, 0, empty, NULL), ERR_OK);
    assert_string_equal(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void streaming_gives_the_same(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        CLEANUP(digest_free) struct digest *d = digest_new(known[i].alg, NULL);
        assert_non_null(d);
        assert_int_equal(digest_update(d, "a", 1, NULL), ERR_OK);
        assert_int_equal(digest_update(d, "", 0, NULL), ERR_OK);
        assert_int_equal(digest_update(d, "bc", 2, NULL), ERR_OK);
        uint8_t raw[DIGEST_MAX];
        char hex[2 * DIGEST_MAX + 1];
        assert_int_equal(digest_final(d, raw, NULL), ERR_OK);
        hex_encode(raw, digest_size(known[i].alg), hex);
        assert_string_equal(hex, known[i].of_abc);
    }
    digest_free(NULL);
}

/* RFC 4231, test cases 2 and 6. */
static void hmac_is_the_published_one(void **state)
{
    uint8_t mac[32];
    char hex[65];
    const char *text = "what do ya want for nothing?";
    assert_int_equal(hmac_sha256("Jefe", 4, text, strlen(text), mac, NULL), ERR_OK);
    hex_encode(mac, 32, hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    uint8_t key[131];
    memset(key, 0xaa, sizeof(key));
    text = "Test Using Larger Than Block-Size Key - Hash Key First";
    assert_int_equal(hmac_sha256(key, sizeof(key), text, strlen(text), mac, NULL), ERR_OK);
    hex_encode(mac, 32, hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void hmac_of_nothing_under_no_key(void **state)
{
    uint8_t mac[32];
    char hex[65];
    assert_int_equal(hmac_sha256(NULL, 0, NULL, 0, mac, NULL), ERR_OK);
    hex_encode(mac, 32, hex);
    assert_string_equal(hex, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void random_bytes_differ(void **state)
{
    uint8_t a[64] = {0}, b[64] = {0}, zero[64] = {0};
    random_bytes(a, sizeof(a));
    random_bytes(b, sizeof(b));
    random_bytes(b, 0);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, zero, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_the_published_ones),
        cmocka_unit_test(streaming_gives_the_same),
        cmocka_unit_test(hmac_is_the_published_one),
        cmocka_unit_test(hmac_of_nothing_under_no_key),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
