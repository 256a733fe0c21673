/* Odd keys: each is put, read, listed and removed as it is. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* True when the listing of the case's prefix has the key. */
static bool listed(struct suite *s, const char *key)
{
    struct store_list l = {.prefix = s->base};
    struct store_page page;
    struct err e = ERR_INIT;
    assert_ok(store_list(s->store, &l, NULL, &page, &e), &e);
    bool found = false;
    for (size_t i = 0; i < page.n; i++)
        found |= strcmp(page.entries[i].key, key) == 0;
    store_page_release(&page);
    return found;
}

static void lives(struct suite *s, const char *name)
{
    char key[2048];
    (void)snprintf(key, sizeof(key), "%s%s", s->base, name);
    struct err e = ERR_INIT;
    (void)put_str(s, key, name);
    assert_content(s, key, name);
    if (!listed(s, key))
        fail_msg("'%s' is not listed", key);
    assert_ok(store_remove(s->store, key, NULL, NULL, &e), &e);
    assert_absent(s, key);
}

static void all_live(struct suite *s, const char *const *names)
{
    for (; *names != NULL; names++)
        lives(s, *names);
}

static void punctuation_is_kept(struct suite *s)
{
    static const char *const names[] = {"100%",        "f +%",      "%",
                                        "%2E",         "%2e",       "%25",
                                        "%%",          "a%20b",     "+",
                                        "a+b",         " lead",     "trail ",
                                        "two  blanks", "~",         "!",
                                        "'",           "(",         ")",
                                        "*",           "a'b\"c",    "a&b",
                                        "a<b>c",       "a=b",       "a?b",
                                        "a#b",         "a;b",       "a:b",
                                        "a@b",         "a,b",       "a$b",
                                        "[x]",         "{x}",       "a|b",
                                        "a\\b",        "a^b",       "a`b",
                                        "&amp;",       "<![CDATA[", "name (conflict host 2026)",
                                        "x~1",         "-",         "_",
                                        "..a",         "...",       "%~abc",
                                        NULL};
    all_live(s, names);
}

static void every_script_is_kept(struct suite *s)
{
    static const char *const names[] = {"\xc3\xa9t\xc3\xa9",
                                        "e\xcc\x81",
                                        "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82",
                                        "\xe4\xb8\xad\xe6\x96\x87",
                                        "\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a",
                                        "\xe0\xa4\xb9\xe0\xa4\xbf",
                                        "\xf0\x9f\x98\x80",
                                        "\xe2\x80\xae"
                                        "rtl",
                                        "\xef\xbb\xbf"
                                        "bom",
                                        "\xc2\xa0nbsp",
                                        "\xc3\xbf\xc3\xbe",
                                        NULL};
    all_live(s, names);
}

static void control_characters_are_kept(struct suite *s)
{
    static const char *const names[] = {"tab\there", "bell\a", "esc\x1b[0m", "del\x7f", "cr\rx", "lf\nx", NULL};
    all_live(s, names);
}

static void odd_components_are_kept(struct suite *s)
{
    static const char *const names[] = {"a//b", "//x", "d/./f", "d/../f", ".", "..", "./x", "x/..", NULL};
    all_live(s, names);
}

static void long_components_are_kept(struct suite *s)
{
    char name[700];
    memset(name, 'n', sizeof(name));
    name[600] = 0;
    lives(s, name);
    name[255] = 0;
    lives(s, name);
    name[256] = 'n';
    name[600] = 0;
    name[300] = '/';
    lives(s, name);
}

static void the_longest_key_is_kept(struct suite *s)
{
    char name[1100];
    size_t room = (s->max_key > 0 ? s->max_key : store_caps(s->store)->max_key) - strlen(s->base);
    memset(name, 'k', sizeof(name));
    for (size_t i = 200; i < room - 1; i += 200)
        name[i] = '/';
    name[room] = 0;
    lives(s, name);
}

static void an_object_beside_its_directory_is_kept(struct suite *s)
{
    (void)put_str(s, key_of(s, "a"), "object");
    (void)put_str(s, key_of(s, "a/b"), "child");
    (void)put_str(s, key_of(s, "a-"), "between");
    assert_content(s, key_of(s, "a"), "object");
    assert_content(s, key_of(s, "a/b"), "child");
    struct store_list l = {.prefix = s->base, .delimiter = true};
    struct store_page page;
    struct err e = ERR_INIT;
    assert_ok(store_list(s->store, &l, NULL, &page, &e), &e);
    assert_int_equal(page.n, 3);
    assert_false(page.entries[0].is_prefix);
    assert_string_equal(page.entries[1].key, key_of(s, "a-"));
    assert_true(page.entries[2].is_prefix);
    store_page_release(&page);
}

static void a_marker_with_a_body_is_kept(struct suite *s)
{
    lives(s, "dir/");
    (void)put_str(s, key_of(s, "d/"), "body");
    (void)put_str(s, key_of(s, "d/x"), "x");
    assert_content(s, key_of(s, "d/"), "body");
}

const struct suite_case name_cases[] = {
    {"punctuation in keys is kept", punctuation_is_kept, 0},
    {"every script in keys is kept", every_script_is_kept, 0},
    {"control characters in keys are kept", control_characters_are_kept, NEED_CONTROL},
    {"odd components of keys are kept", odd_components_are_kept, NEED_ODD_COMPONENTS},
    {"long components of keys are kept", long_components_are_kept, NEED_LONG_COMPONENT},
    {"the longest key is kept", the_longest_key_is_kept, 0},
    {"an object beside its directory is kept", an_object_beside_its_directory_is_kept, NEED_BESIDE},
    {"a directory marker with a body is kept", a_marker_with_a_body_is_kept, NEED_MARKER_BODY},
    {NULL, NULL, 0},
};
