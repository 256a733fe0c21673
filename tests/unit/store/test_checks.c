#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/checks.h"
#include "store/mem.h"

#include <string.h>

#define PREFIX(k)                                                                                                      \
    {                                                                                                                  \
        .key = (char *)(k), .is_prefix = true                                                                          \
    }
#define OBJECT(k)                                                                                                      \
    {                                                                                                                  \
        .key = (char *)(k), .object = {.version = {.etag = "e"} }                                                      \
    }

static enum err_code check(const char *prefix, bool delimiter, const char *token, struct store_entry *entries, size_t n,
                           char *next)
{
    struct store_caps caps;
    struct err e = ERR_INIT;
    mem_default_caps(&caps);
    struct store_list l = {.prefix = prefix, .delimiter = delimiter, .token = token};
    struct store_page p = {.entries = entries, .n = n, .next = next};
    return store_check_page(&caps, &l, &p, &e);
}

static void a_page_that_is_right_passes(void **state)
{
    struct store_entry entries[] = {OBJECT("d/"), OBJECT("d/a"), OBJECT("d/a-"), PREFIX("d/a/"), OBJECT("d/b")};
    assert_int_equal(check("d/", true, NULL, entries, 5, NULL), ERR_OK);
    assert_int_equal(check("d/", true, "t", entries, 5, "u"), ERR_OK);
    assert_int_equal(check("", true, "t", NULL, 0, "u"), ERR_OK);
}

static void entries_out_of_order_or_twice_are_refused(void **state)
{
    struct store_entry wrong[] = {OBJECT("b"), OBJECT("a")}, twice[] = {OBJECT("a"), OBJECT("a")};
    assert_int_equal(check("", true, NULL, wrong, 2, NULL), ERR_PROTO);
    assert_int_equal(check("", false, NULL, twice, 2, NULL), ERR_PROTO);
}

static void entries_that_do_not_belong_there_are_refused(void **state)
{
    struct store_entry outside[] = {OBJECT("e/x")}, deep[] = {OBJECT("d/x/y")}, group[] = {PREFIX("d/x")};
    struct store_entry deep_group[] = {PREFIX("d/x/y/")}, fine[] = {PREFIX("d/x/")},
                       no_etag[] = {{.key = (char *)"d/x"}};
    assert_int_equal(check("d/", true, NULL, outside, 1, NULL), ERR_PROTO);
    assert_int_equal(check("d/", true, NULL, deep, 1, NULL), ERR_PROTO);
    assert_int_equal(check("d/", false, NULL, deep, 1, NULL), ERR_OK);
    assert_int_equal(check("d/", true, NULL, group, 1, NULL), ERR_PROTO);
    assert_int_equal(check("d/", true, NULL, deep_group, 1, NULL), ERR_PROTO);
    assert_int_equal(check("d/", true, NULL, fine, 1, NULL), ERR_OK);
    assert_int_equal(check("d/", false, NULL, fine, 1, NULL), ERR_PROTO);
    assert_int_equal(check("d/", true, NULL, no_etag, 1, NULL), ERR_PROTO);
}

static void a_token_that_does_not_move_on_is_refused(void **state)
{
    struct store_entry entries[] = {OBJECT("a")};
    assert_int_equal(check("", true, "t", entries, 1, (char *)"t"), ERR_PROTO);
    assert_int_equal(check("", true, NULL, entries, 1, (char *)""), ERR_PROTO);
}

static void keys_are_checked(void **state)
{
    struct store_caps caps;
    struct err e = ERR_INIT;
    char key[2000];
    mem_default_caps(&caps);
    memset(key, 'k', sizeof(key));
    key[1024] = 0;
    assert_int_equal(store_check_key(&caps, key, &e), ERR_OK);
    key[1024] = 'k';
    key[1025] = 0;
    assert_int_equal(store_check_key(&caps, key, &e), ERR_NAME_TOO_LONG);
    assert_int_equal(store_check_key(&caps, "", &e), ERR_INVAL);
    assert_int_equal(store_check_key(&caps, "\xc3", &e), ERR_BAD_NAME);
}

static void sizes_are_checked(void **state)
{
    struct store_caps caps;
    struct err e = ERR_INIT;
    mem_default_caps(&caps);
    caps.max_object = 100;
    assert_int_equal(store_check_body(&caps, "k", 100, 100, &e), ERR_OK);
    assert_int_equal(store_check_body(&caps, "k", 101, 100, &e), ERR_TOO_BIG);
    assert_int_equal(store_check_body(&caps, "k", 0, 100, &e), ERR_OK);
    caps.flags |= STORE_EMPTY_REFUSED;
    assert_int_equal(store_check_body(&caps, "k", 0, 100, &e), ERR_INVAL);
    struct store_part parts[] = {{.number = 1, .size = 60, .etag = "a"},
                                 {.number = 2, .size = UINT64_MAX, .etag = "b"}};
    assert_int_equal(store_check_parts(&caps, "k", parts, 1, &e), ERR_OK);
    assert_int_equal(store_check_parts(&caps, "k", parts, 2, &e), ERR_TOO_BIG);
    parts[0].etag[0] = 0;
    assert_int_equal(store_check_parts(&caps, "k", parts, 1, &e), ERR_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_that_is_right_passes),
        cmocka_unit_test(entries_out_of_order_or_twice_are_refused),
        cmocka_unit_test(entries_that_do_not_belong_there_are_refused),
        cmocka_unit_test(a_token_that_does_not_move_on_is_refused),
        cmocka_unit_test(keys_are_checked),
        cmocka_unit_test(sizes_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
