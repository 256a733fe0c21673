#include "util/str.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void numbers_are_whole_strings_of_digits(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999999999", false, 0},
        {"", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"+1", false, 0},
        {"-1", false, 0},
        {"0x10", false, 0},
        {"1e3", false, 0},
        {"\xd9\xa1", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t value = 42;
        assert_int_equal(str_parse_u64(cases[i].text, &value), cases[i].ok);
        assert_true(value == (cases[i].ok ? cases[i].value : 42));
    }
}

static void signed_numbers_reach_both_ends(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775807", true, INT64_MAX},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"-0", true, 0},
        {"-", false, 0},
        {"--1", false, 0},
        {"+1", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t value = 42;
        assert_int_equal(str_parse_i64(cases[i].text, &value), cases[i].ok);
        assert_true(value == (cases[i].ok ? cases[i].value : 42));
    }
}

static void sizes_have_one_optional_unit(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"4096", true, 4096},
        {"128M", true, 128ull << 20},
        {"10g", true, 10ull << 30},
        {"1k", true, 1024},
        {"16777215T", true, 16777215ull << 40},
        {"16777216T", false, 0},
        {"1.5T", false, 0},
        {"K", false, 0},
        {"", false, 0},
        {"1KB", false, 0},
        {"1KK", false, 0},
        {"-1K", false, 0},
        {"1 K", false, 0},
        {"00000000000000000000000000000000000000001K", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t value = 42;
        assert_int_equal(str_parse_size(cases[i].text, &value), cases[i].ok);
        assert_true(value == (cases[i].ok ? cases[i].value : 42));
    }
}

static void beginnings_ends_and_case(void **state)
{
    assert_true(str_starts("abc", "ab"));
    assert_true(str_starts("abc", ""));
    assert_false(str_starts("a", "ab"));
    assert_true(str_ends("abc", "bc"));
    assert_true(str_ends("abc", ""));
    assert_false(str_ends("c", "bc"));
    assert_true(str_ieq("Content-Length", "content-LENGTH"));
    assert_false(str_ieq("a", "ab"));
    assert_false(str_ieq("ab", "a"));
    assert_false(str_ieq("[", "{"));
    assert_true(str_ieq("", ""));
}

static void copies_are_terminated(void **state)
{
    CLEANUP(free) char *a = str_ndup("abcdef", 3);
    assert_string_equal(a, "abc");
    CLEANUP(free) char *b = str_ndup(NULL, 0);
    assert_string_equal(b, "");
    CLEANUP(free) char *c = str_printf("%s-%d", "x", 5);
    assert_string_equal(c, "x-5");
    assert_null(str_ndup("x", SIZE_MAX));
}

static void only_well_formed_utf8_is_valid(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"", true},
        {"plain", true},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", true},
        {"\xf4\x8f\xbf\xbf", true},  /* U+10FFFF */
        {"\xf4\x90\x80\x80", false}, /* beyond it */
        {"\xed\x9f\xbf", true},      /* U+D7FF */
        {"\xed\xa0\x80", false},     /* a surrogate */
        {"\xc0\xaf", false},         /* overlong */
        {"\xc1\xbf", false},
        {"\xe0\x9f\xbf", false},
        {"\xf0\x8f\xbf\xbf", false},
        {"\x80", false}, /* alone */
        {"\xc3", false}, /* cut off */
        {"\xe2\x82", false},
        {"\xf0\x9f\x98", false},
        {"\xe2\x82x", false},
        {"\xf8\x88\x80\x80\x80", false}, /* five bytes */
        {"\xff", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(utf8_valid(cases[i].text, strlen(cases[i].text)), cases[i].ok);
    assert_false(utf8_valid("a\0b", 3));
    assert_true(utf8_valid(NULL, 0));
}

static void distances_count_swapped_neighbours_once(void **state)
{
    static const struct {
        const char *a, *b;
        unsigned distance;
    } cases[] = {
        {"", "", 0},          {"abc", "abc", 0}, {"", "abc", 3},      {"abc", "", 3},  {"region", "regoin", 1},
        {"cache", "cash", 2}, {"ca", "abc", 3},  {"profile", "p", 6}, {"ab", "ba", 1}, {"kitten", "sitting", 3},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(str_distance(cases[i].a, cases[i].b, 10), cases[i].distance);
    assert_int_equal(str_distance("kitten", "sitting", 2), 3);
    assert_int_equal(str_distance("kitten", "sitting", 0), 1);
    char longer[200];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(str_distance(longer, "x", 3), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_whole_strings_of_digits),
        cmocka_unit_test(signed_numbers_reach_both_ends),
        cmocka_unit_test(sizes_have_one_optional_unit),
        cmocka_unit_test(beginnings_ends_and_case),
        cmocka_unit_test(copies_are_terminated),
        cmocka_unit_test(only_well_formed_utf8_is_valid),
        cmocka_unit_test(distances_count_swapped_neighbours_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
