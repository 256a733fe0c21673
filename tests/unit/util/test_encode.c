#include "util/str.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void hex_goes_both_ways(void **state)
{
    char text[9];
    hex_encode("\x00\xff\x1a\x80", 4, text);
    assert_string_equal(text, "00ff1a80");
    unsigned char bytes[4];
    assert_true(hex_decode("00FF1a80", bytes, 4));
    assert_memory_equal(bytes, "\x00\xff\x1a\x80", 4);
    hex_encode("", 0, text);
    assert_string_equal(text, "");
    assert_true(hex_decode("", bytes, 0));
}

static void other_hex_is_refused_and_writes_nothing(void **state)
{
    static const char *const bad[] = {"", "0", "00f", "00ff0", "00fg", "00 f", "0x00", "-100", "\xff\xff\xff\xff"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        unsigned char bytes[2] = {7, 7};
        assert_false(hex_decode(bad[i], bytes, 2));
        assert_memory_equal(bytes, "\7\7", 2);
    }
}

static void base64_matches_the_rfc(void **state)
{
    static const struct {
        const char *plain, *text;
    } cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe\xfb", "//77"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        BUF(text, 100);
        base64_encode(&text, cases[i].plain, strlen(cases[i].plain));
        assert_string_equal(buf_str(&text), cases[i].text);
        BUF(plain, 100);
        assert_true(base64_decode(&plain, cases[i].text, strlen(cases[i].text)));
        assert_string_equal(buf_str(&plain), cases[i].plain);
    }
}

static void malformed_base64_is_refused_and_taken_back(void **state)
{
    static const char *const bad[] = {
        "Z",    "Zg",   "Zg=",    "Zh==",     "Zm9=", "Z===", "====",    "Zm9v=",
        "=Zg=", "Zg=v", "Zm9v\n", "Zg==Zg==", "Zm-_", "Zm9 ", "Zm9vZm9", "\xff\xff\xff\xff"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        BUF(out, 100);
        buf_add_str(&out, "keep");
        assert_false(base64_decode(&out, bad[i], strlen(bad[i])));
        assert_string_equal(buf_str(&out), "keep");
    }
    BUF(small, 2);
    assert_false(base64_decode(&small, "Zm9v", 4));
    assert_true(small.failed);
}

static void percent_encoding_is_the_one_of_sigv4(void **state)
{
    BUF(out, 200);
    const char *text = "aZ09-_.~ /+&=\xc3\xa9%*'";
    uri_encode(&out, text, strlen(text), false);
    assert_string_equal(buf_str(&out), "aZ09-_.~%20%2F%2B%26%3D%C3%A9%25%2A%27");
    buf_clear(&out);
    uri_encode(&out, "a/b c", 5, true);
    assert_string_equal(buf_str(&out), "a/b%20c");
}

static void percent_decoding_refuses_bad_escapes_and_nul(void **state)
{
    static const char *const bad[] = {"%", "%4", "a%", "%zz", "%4g", "%00", "a%2", "%%41", "%+1", "% 1", "%-1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        BUF(out, 100);
        buf_add_str(&out, "keep");
        assert_false(uri_decode(&out, bad[i], strlen(bad[i]), false));
        assert_string_equal(buf_str(&out), "keep");
    }
    BUF(raw, 10);
    assert_false(uri_decode(&raw, "a\0b", 3, false));
}

static void percent_decoding_takes_plus_as_told(void **state)
{
    BUF(out, 100);
    assert_true(uri_decode(&out, "a+b%2Bc%c3%A9", 13, false));
    assert_string_equal(buf_str(&out), "a+b+c\xc3\xa9");
    buf_clear(&out);
    assert_true(uri_decode(&out, "a+b%2Bc", 7, true));
    assert_string_equal(buf_str(&out), "a b+c");
}

static void every_byte_survives_the_way_there_and_back(void **state)
{
    char all[255];
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    BUF(encoded, 1000);
    uri_encode(&encoded, all, sizeof(all), false);
    BUF(decoded, 1000);
    assert_true(uri_decode(&decoded, encoded.data, encoded.len, true));
    assert_int_equal(decoded.len, sizeof(all));
    assert_memory_equal(decoded.data, all, sizeof(all));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(other_hex_is_refused_and_writes_nothing),
        cmocka_unit_test(base64_matches_the_rfc),
        cmocka_unit_test(malformed_base64_is_refused_and_taken_back),
        cmocka_unit_test(percent_encoding_is_the_one_of_sigv4),
        cmocka_unit_test(percent_decoding_refuses_bad_escapes_and_nul),
        cmocka_unit_test(percent_decoding_takes_plus_as_told),
        cmocka_unit_test(every_byte_survives_the_way_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
