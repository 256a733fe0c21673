#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/wanted.h"

#include <stdio.h>

enum { KEYS_MAX = 6 };

static const struct {
    const char *wanted;
    const char *keys[KEYS_MAX];
    bool told;
    bool over; /* more keys change nothing */
} cases[] = {
    {"a", {NULL}, false, false},
    {"a", {"a"}, false, false}, /* what is below a/ may still come */
    {"a", {"a", "a-"}, false, false},
    {"a", {"a", "a-", "a.b"}, false, false},
    {"a", {"a", "a-", "a0"}, true, true},
    {"a", {"a", "b"}, true, true},
    {"a", {"a", "a-", "a.b", "a/"}, false, true},
    {"a", {"a", "a/x", "b"}, false, true},
    {"a", {"a/x", "b"}, false, true},
    {"a", {"b", "c"}, false, true}, /* that it is not there is for the whole page to tell */
    {"a", {"a-", "b"}, false, true},
    {"d/a", {"d/a", "d/b"}, true, true},
    {"d/a", {"d/", "d/a", "e"}, true, true},
    {"d/a", {"d/a", "d/a/x"}, false, true},
    {"a", {"a", "\xc3\xa4"}, true, true}, /* bytes are unsigned */
    {"a", {"a", "aa"}, true, true},
    {"a", {"b", "a"}, true, true}, /* a server that has another order */
    {"a", {"a", "b", "a/x"}, false, true},
};

static void an_object_is_told_once_nothing_can_be_below_its_name(void **state)
{
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        struct store_entry entries[KEYS_MAX] = {{0}};
        size_t n = 0;
        for (; n < KEYS_MAX && cases[k].keys[n] != NULL; n++) {
            entries[n].key = (char *)cases[k].keys[n];
            snprintf(entries[n].object.version.etag, STORE_ETAG_SIZE, "%s", cases[k].keys[n]);
        }
        bool over;
        const struct store_object *o = store_wanted(cases[k].wanted, entries, n, &over);
        if ((o != NULL) != cases[k].told || over != cases[k].over)
            fail_msg("case %zu", k);
        if (o != NULL)
            assert_string_equal(o->version.etag, cases[k].wanted);
    }
}

static void an_object_without_a_version_is_not_told(void **state)
{
    struct store_entry entries[] = {{.key = (char *)"a"}, {.key = (char *)"b"}};
    assert_null(store_wanted("a", entries, 2, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_told_once_nothing_can_be_below_its_name),
        cmocka_unit_test(an_object_without_a_version_is_not_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
