#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/str.h"
#include "vfs/names.h"

#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789abcdef0123456789abcdef"

static char *repeat(const char *s, size_t times)
{
    BUF(out, 1 << 16);
    for (size_t k = 0; k < times; k++)
        buf_add_str(&out, s);
    return buf_take(&out);
}

static char *name_of(const char *component, bool taken)
{
    BUF(out, 1024);
    name_of_component(&out, component, strlen(component), taken);
    assert_false(out.failed);
    return buf_take(&out);
}

static void components_have_their_names(void **state)
{
    static const struct {
        const char *component, *name;
        bool taken;
    } cases[] = {
        {"plain", "plain", false},
        {"f +%", "f +%", false},
        {"100%", "100%", false},
        {"100%", "100%25", true},
        {"a%b%", "a%25b%25", true},
        {"", "%", false},
        {".", "%2E", false},
        {"..", "%2E%2E", false},
        {"...", "...", false},
        {"%", "%25", false},
        {"%2E", "%252E", false},
        {"%2E%2E", "%252E%252E", false},
        {"%25", "%2525", false},
        {"%2525", "%252525", false},
        {"%252E", "%25252E", false},
        {"%2e", "%2e", false},
        {"%2E.", "%2E.", false},
        {"%25x", "%25x", false},
        {"x%25", "x%25", false},
        {"%41", "%41", false},
        {"x%~" DIGITS, "x%25~" DIGITS, false},
        {"%~" DIGITS, "%25~" DIGITS, false},
        {"x%25~" DIGITS, "x%2525~" DIGITS, false},
        {"x%~0123", "x%~0123", false},
        {"x%~" DIGITS "0", "x%~" DIGITS "0", false},
        {"a\\b:c*?\"<>|", "a\\b:c*?\"<>|", false},
        {"\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80", "\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80", false},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        CLEANUP(free) char *name = name_of(cases[k].component, cases[k].taken);
        assert_string_equal(name, cases[k].name);
    }
}

static void names_stand_for_components(void **state)
{
    static const struct {
        const char *name, *component;
        enum name_meaning meaning;
    } cases[] = {
        {"plain", "", NAME_LITERAL},
        {"%", "", NAME_ESCAPE},
        {"%2E", ".", NAME_ESCAPE},
        {"%2E%2E", "..", NAME_ESCAPE},
        {"%25", "%", NAME_ESCAPE},
        {"%252E", "%2E", NAME_ESCAPE},
        {"%2525", "%25", NAME_ESCAPE},
        {"x%25~" DIGITS, "x%~" DIGITS, NAME_ESCAPE},
        {"x%~" DIGITS, "", NAME_DEPENDS},
        {"x%", "", NAME_DEPENDS},
        {"x%25", "", NAME_DEPENDS},
        {"a%b%25", "", NAME_LITERAL},
        {"%2e", "", NAME_LITERAL},
        {"x%25y", "", NAME_LITERAL},
        {"", "", NAME_BAD},
        {"a/b", "", NAME_BAD},
        {"\xFF", "", NAME_BAD},
        {"a\xC3", "", NAME_BAD},
        {"\xED\xA0\x80", "", NAME_BAD},
        {"\xC0\x80", "", NAME_BAD},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        BUF(component, 1024);
        assert_int_equal(name_to_component(cases[k].name, &component), cases[k].meaning);
        assert_string_equal(buf_str(&component), cases[k].component);
    }
}

static void long_components_are_shortened_to_a_prefix_and_a_digest(void **state)
{
    CLEANUP(free) char *just = repeat("a", 255), *over = repeat("a", 256), *other = repeat("a", 257);
    CLEANUP(free) char *same = name_of(just, false), *a = name_of(over, false), *b = name_of(other, false);
    assert_string_equal(same, just);
    assert_int_equal(strlen(a), 200 + 2 + 32);
    assert_memory_equal(a, just, 200);
    assert_memory_equal(a + 200, "%~", 2);
    assert_string_not_equal(a, b);
}

static void a_shortened_name_does_not_cut_a_character_in_two(void **state)
{
    for (size_t lead = 0; lead < 4; lead++) {
        BUF(component, 4096);
        for (size_t k = 0; k < lead; k++)
            buf_add_char(&component, 'a');
        for (size_t k = 0; k < 100; k++)
            buf_add_str(&component, "\xF0\x9F\x98\x80");
        CLEANUP(free) char *name = name_of(buf_str(&component), false);
        assert_true(utf8_valid(name, strlen(name)));
        assert_true(strlen(name) <= NAME_BYTES_MAX);
        assert_true(strlen(name) > 200 - 4 + 34);
    }
}

static void an_escape_that_is_too_long_is_shortened(void **state)
{
    CLEANUP(free) char *percents = repeat("%", 200);
    CLEANUP(free) char *name = name_of(percents, true);
    assert_true(strlen(name) <= NAME_BYTES_MAX);
    BUF(component, 1024);
    assert_int_equal(name_to_component(name, &component), NAME_DEPENDS);
}

static void an_object_beside_a_directory_gets_a_percent_sign(void **state)
{
    static const char *const cases[][2] = {{"a", "a%"}, {"a%", "a%%"}, {"", "%%"}, {".", "%2E%"}, {"%", "%25%"}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        BUF(out, 1024);
        name_beside_dir(&out, cases[k][0], strlen(cases[k][0]));
        assert_string_equal(buf_str(&out), cases[k][1]);
    }
    CLEANUP(free) char *longest = repeat("b", 255), *longer = repeat("b", 300);
    BUF(one, 1024);
    BUF(two, 1024);
    name_beside_dir(&one, longest, 255);
    name_beside_dir(&two, longer, 300);
    assert_true(one.len <= NAME_BYTES_MAX && two.len <= NAME_BYTES_MAX);
    assert_string_not_equal(buf_str(&one), buf_str(&two));
}

/* No object's own key may yield the name that this rule makes of another. */
static void the_name_beside_a_directory_of_a_long_component_is_an_escape(void **state)
{
    CLEANUP(free) char *longer = repeat("b", 300);
    BUF(beside, 1024);
    name_beside_dir(&beside, longer, 300);
    CLEANUP(free) char *literal = name_of(buf_str(&beside), false);
    assert_string_not_equal(literal, buf_str(&beside));
}

/* Both an object and a directory of the component `arg` exist. */
static bool only_one(void *arg, const char *component, size_t len)
{
    return arg && strlen(arg) == len && memcmp(arg, component, len) == 0;
}

static void what_a_doubled_component_takes_is_escaped(void **state)
{
    static const struct {
        const char *component, *twin;
        bool taken;
    } cases[] = {
        {"x%", "x", true},        {"x%", "y", false},       {"x%25", "x", true},     {"x%2525", "x", true},
        {"x%2525", "x%25", false}, {"x", "x", false},       {"%", "", false},        {"%%", "", true},
        {"%2E%", ".", true},      {"%2E%2E%", "..", true},  {"%25%", "%", true},     {"a%b%", "a%b", true},
        {"a%25b%25", "a%b", true}, {"a%25b%", "a%25b", true}, {"a%b%25", "a%b", false}, {"x%25%", "x%", true},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        const char *c = cases[k].component;
        assert_int_equal(name_is_taken(c, strlen(c), only_one, (void *)cases[k].twin), cases[k].taken);
        if (cases[k].taken)
            assert_true(name_may_be_taken(c, strlen(c)));
    }
}

static void new_names_are_their_keys_but_where_a_name_is_taken(void **state)
{
    static const struct {
        const char *name, *component, *doubled;
        bool possible;
    } cases[] = {
        {"100%", "100%", NULL, true},
        {"x%25", "x%25", NULL, true},
        {"x%25", "x%", "x", true},
        {"x%2525", "x%25", "x", true},
        {"a%25b%25", "a%b%", "a%b", true},
        {"x%~" DIGITS, "", NULL, false},
    };
    for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
        BUF(component, 1024);
        assert_int_equal(name_for_new(cases[k].name, only_one, (void *)cases[k].doubled, &component), cases[k].possible);
        if (cases[k].possible)
            assert_string_equal(buf_str(&component), cases[k].component);
    }
}

static uint64_t random_state = 20261121;

static unsigned pick(unsigned n)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(random_state >> 33) % n;
}

static size_t random_component(char out[64])
{
    static const char *const pieces[] = {"%", "2", "5", "E", ".", "25", "2E", "%25", "%2E", "a", "~", "%~", DIGITS, "\xC3\xA9"};
    size_t len = 0;
    for (unsigned n = pick(6); n > 0; n--) {
        const char *piece = pieces[pick(ARRAY_LEN(pieces))];
        if (len + strlen(piece) < 63) {
            memcpy(out + len, piece, strlen(piece));
            len += strlen(piece);
        }
    }
    out[len] = 0;
    return len;
}

/* Every name leads back to its component, or says that only the listing can tell. */
static void random_components_come_back(void **state)
{
    for (int round = 0; round < 200000; round++) {
        char component[64];
        random_component(component);
        CLEANUP(free) char *name = name_of(component, false);
        assert_true(*name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0);
        BUF(back, 1024);
        switch (name_to_component(name, &back)) {
        case NAME_LITERAL:
            assert_string_equal(name, component);
            break;
        case NAME_ESCAPE:
            assert_string_equal(buf_str(&back), component);
            break;
        case NAME_DEPENDS:
            assert_true(str_ends(name, "%") || name_may_be_taken(name, strlen(name)) || strstr(name, "%~"));
            break;
        default:
            fail_msg("the name \"%s\" of \"%s\" is refused", name, component);
        }
    }
}

static void two_random_components_never_have_one_name(void **state)
{
    for (int round = 0; round < 200000; round++) {
        char one[64], two[64];
        random_component(one);
        random_component(two);
        if (strcmp(one, two) == 0)
            continue;
        CLEANUP(free) char *a = name_of(one, false), *b = name_of(two, false);
        assert_string_not_equal(a, b);
    }
}

static void a_listing_that_starts_before_a_name_does_not_miss_it(void **state)
{
    static const char *const names[] = {"a", "abc", "a b", "a ", " ", "!", "\x01", "caf\xC3\xA9", "\xC3\xA9", "\xF0\x9F\x98\x80", "~", "\x7F"};
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        for (int nested = 0; nested < 2; nested++) {
            BUF(start, 1024);
            BUF(key, 1024);
            const char *prefix = nested ? "dir/" : "";
            name_list_start(&start, prefix, names[k]);
            buf_addf(&key, "%s%s", prefix, names[k]);
            assert_true(strcmp(buf_str(&start), buf_str(&key)) < 0);
            assert_true(str_starts(buf_str(&start), prefix));
            assert_true(utf8_valid(buf_str(&start), start.len));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(components_have_their_names),
        cmocka_unit_test(names_stand_for_components),
        cmocka_unit_test(long_components_are_shortened_to_a_prefix_and_a_digest),
        cmocka_unit_test(a_shortened_name_does_not_cut_a_character_in_two),
        cmocka_unit_test(an_escape_that_is_too_long_is_shortened),
        cmocka_unit_test(an_object_beside_a_directory_gets_a_percent_sign),
        cmocka_unit_test(the_name_beside_a_directory_of_a_long_component_is_an_escape),
        cmocka_unit_test(what_a_doubled_component_takes_is_escaped),
        cmocka_unit_test(new_names_are_their_keys_but_where_a_name_is_taken),
        cmocka_unit_test(random_components_come_back),
        cmocka_unit_test(two_random_components_never_have_one_name),
        cmocka_unit_test(a_listing_that_starts_before_a_name_does_not_miss_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
