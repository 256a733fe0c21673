#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/ssm/rules.h"

#include <string.h>

static void the_first_rule_that_matches_a_name_says_its_type(void **state)
{
    static const struct {
        const char *rules, *key, *type;
    } cases[] = {
        {"a:String", "a", "String"},
        {"a:String", "b", NULL},
        {"*/public/*:String *:StringList", "x/public/y/z", "String"},
        {"*/public/*:String *:StringList", "x/y", "StringList"},
        {" *.pem:SecureString\t*:String ", "tls/key.pem", "SecureString"},
        {"a:b:String", "a:b", "String"},
        {NULL, "a", NULL},
        {"  ", "a", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CLEANUP(rules_free) struct rules *r = NULL;
        assert_int_equal(rules_parse(cases[i].rules, &r, NULL), ERR_OK);
        const char *type = rules_type(r, cases[i].key);
        if (cases[i].type)
            assert_string_equal(type, cases[i].type);
        else
            assert_null(type);
    }
}

static void what_is_no_rule_is_refused_with_its_text(void **state)
{
    static const char *const wrong[] = {"", "a", ":String", "a:", "a:string", "a:String b"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CLEANUP(rules_free) struct rules *r = NULL;
        struct err e = ERR_INIT;
        assert_int_equal(rules_parse(wrong[i], &r, &e), ERR_INVAL);
        assert_non_null(strstr(e.msg, "GLOB:TYPE"));
        assert_null(r);
    }
    char many[65 * 9 + 1] = "";
    for (int i = 0; i < 65; i++)
        strcat(many, "a:String ");
    CLEANUP(rules_free) struct rules *r = NULL;
    assert_int_equal(rules_parse(many, &r, NULL), ERR_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_rule_that_matches_a_name_says_its_type),
        cmocka_unit_test(what_is_no_rule_is_refused_with_its_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
