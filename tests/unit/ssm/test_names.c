#include "backends/ssm/names.h"
#include "util/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ARN_PREFIX 44 /* "arn:aws:ssm:us-east-2:111122223333:parameter" */

static void a_path_loses_its_last_slash(void **state)
{
    static const char *const cases[][2] = {
        {"/", ""}, {"/prod", "/prod"}, {"/prod/app/", "/prod/app"}, {"/aws/service", "/aws/service"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char path[SSM_ARN_MAX];
        assert_int_equal(ssm_path_make(cases[i][0], path, sizeof(path), NULL), ERR_OK);
        assert_string_equal(path, cases[i][1]);
    }
}

static void a_path_that_no_parameter_can_be_below_is_refused(void **state)
{
    static const char *const cases[] = {
        "", "prod", "//", "/a//b", "/a b", "/a@b", "/a:b", "/caf\xc3\xa9", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char path[SSM_ARN_MAX] = "untouched";
        struct err e = ERR_INIT;
        assert_int_equal(ssm_path_make(cases[i], path, sizeof(path), &e), ERR_INVAL);
        assert_string_equal(path, "untouched");
        assert_true(e.msg[0] != '\0');
    }
}

static void a_path_longer_than_a_name_is_refused(void **state)
{
    char given[2 * SSM_ARN_MAX], path[SSM_ARN_MAX];
    memset(given, 'a', sizeof(given) - 1);
    given[0] = '/';
    given[sizeof(given) - 1] = '\0';
    assert_int_equal(ssm_path_make(given, path, sizeof(path), NULL), ERR_INVAL);
}

static void a_key_is_read_by_its_name_and_selector(void **state)
{
    static const struct {
        const char *path, *key, *name;
        bool selector;
    } cases[] = {
        {"", "x", "/x", false},
        {"", "x/y", "/x/y", false},
        {"/prod/app", "db/host", "/prod/app/db/host", false},
        {"/prod/app", "db/host@3", "/prod/app/db/host:3", true},
        {"/prod/app", "db/host@live", "/prod/app/db/host:live", true},
        {"/prod/app", "db@3/host", NULL, false},
        {"", "aws/service/x", "/aws/service/x", false},
        {"", "x@999999999999999999", "/x:999999999999999999", true},
        {"", "x@9999999999999999999", NULL, false},
        {"", "x@3a", NULL, false},
        {"", "x@", NULL, false},
        {"", "@3", NULL, false},
        {"", "a/@env", NULL, false},
        {"", "x@a b", NULL, false},
        {"", "x@a@b", NULL, false},
        {"", "a b", NULL, false},
        {"", "a:3", NULL, false},
        {"", "a//b", NULL, false},
        {"", "a/", NULL, false},
        {"", "/a", NULL, false},
        {"", "", NULL, false},
        {"", "\xff", NULL, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ssm_name name;
        enum err_code code = ssm_name_for_read(cases[i].path, cases[i].key, &name, NULL);
        if (cases[i].name == NULL) {
            assert_int_equal(code, ERR_NOT_FOUND);
            continue;
        }
        assert_int_equal(code, ERR_OK);
        assert_string_equal(name.text, cases[i].name);
        assert_int_equal(name.selector, cases[i].selector);
    }
}

static void a_key_of_any_length_is_refused_when_too_long(void **state)
{
    static char key[5000];
    memset(key, 'k', sizeof(key) - 1);
    struct ssm_name name;
    for (size_t len = sizeof(key) - 1; len > 1000; len--) {
        key[len] = '\0';
        enum err_code want = len + 1 <= SSM_ARN_MAX ? ERR_OK : ERR_NOT_FOUND;
        assert_int_equal(ssm_name_for_read("", key, &name, NULL), want);
    }
}

static void names_are_refused_as_the_service_would(void **state)
{
    static const struct {
        const char *path, *key;
        bool is_dir;
        enum err_code code;
    } cases[] = {
        {"/p", "a", false, ERR_OK},
        {"/p", "A-z_0.9", false, ERR_OK},
        {"/p", "a/b/c", false, ERR_OK},
        {"/p", "d/", true, ERR_OK},
        {"/p", "d", true, ERR_OK},
        {"/p", "d/", false, ERR_INVAL},
        {"/p", "a//b", false, ERR_INVAL},
        {"/p", "/a", false, ERR_INVAL},
        {"/p", "a b", false, ERR_BAD_NAME},
        {"/p", "a@3", false, ERR_BAD_NAME},
        {"/p", "a%41", false, ERR_BAD_NAME},
        {"/p", "a~", false, ERR_BAD_NAME},
        {"/p", "caf\xc3\xa9", false, ERR_BAD_NAME},
        {"/p", "\xff", false, ERR_BAD_NAME},
        {"/p", "a\nb", false, ERR_BAD_NAME},
        {"", "aws", false, ERR_INVAL},
        {"", "AWS/x", false, ERR_INVAL},
        {"", "awesome", false, ERR_OK},
        {"", "awsome", false, ERR_INVAL},
        {"", "Ssm.x", false, ERR_INVAL},
        {"", "ssm", true, ERR_INVAL},
        {"/p", "aws/y", false, ERR_OK},
        {"", "x/aws/y", false, ERR_OK},
        {"/1/2/3/4/5", "6/7/8/9/10/11/12/13/14/15", false, ERR_OK},
        {"/1/2/3/4/5", "6/7/8/9/10/11/12/13/14/15/16", false, ERR_NAME_TOO_LONG},
        {"/1/2/3/4/5", "6/7/8/9/10/11/12/13/14", true, ERR_OK},
        {"/1/2/3/4/5", "6/7/8/9/10/11/12/13/14/15", true, ERR_NAME_TOO_LONG},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ssm_name name;
        enum err_code code = ssm_name_for_write(cases[i].path, cases[i].key, cases[i].is_dir, ARN_PREFIX, &name, NULL);
        if (code != cases[i].code)
            fail_msg("'%s' '%s': %s, not %s", cases[i].path, cases[i].key, err_name(code), err_name(cases[i].code));
    }
}

static void a_name_may_have_1011_characters_with_its_arn(void **state)
{
    char key[SSM_ARN_MAX + 1];
    struct ssm_name name;
    for (size_t len = 1; len < sizeof(key); len++) {
        memset(key, 'k', len);
        key[len] = '\0';
        enum err_code want = ARN_PREFIX + 3 + len <= SSM_ARN_MAX ? ERR_OK : ERR_NAME_TOO_LONG;
        assert_int_equal(ssm_name_for_write("/p", key, false, ARN_PREFIX, &name, NULL), want);
    }
}

static void the_length_of_the_arn_follows_from_region_or_reply(void **state)
{
    assert_int_equal(ssm_arn_prefix_of_region("us-east-2"), strlen("arn:aws:ssm:us-east-2:111122223333:parameter"));
    assert_int_equal(ssm_arn_prefix_of_region(""), strlen("arn:aws:ssm:us-east-2:111122223333:parameter"));
    assert_int_equal(ssm_arn_prefix_of_region("cn-north-1"),
                     strlen("arn:aws-cn:ssm:cn-north-1:111122223333:parameter"));
    assert_int_equal(ssm_arn_prefix_of_arn("arn:aws:ssm:us-east-2:111122223333:parameter/prod/x"), ARN_PREFIX);
    assert_int_equal(ssm_arn_prefix_of_arn("arn:aws:ssm:us-east-2:111122223333:parameter"), 0);
    assert_int_equal(ssm_arn_prefix_of_arn("/parameter/x"), 0);
    assert_int_equal(ssm_arn_prefix_of_arn(""), 0);
    char hostile[1000];
    memset(hostile, 'a', sizeof(hostile));
    memcpy(hostile, "arn:", 4);
    memcpy(hostile + 900, ":parameter/x", 13);
    assert_int_equal(ssm_arn_prefix_of_arn(hostile), 0);
}

static void a_name_becomes_the_key_below_the_path(void **state)
{
    static const char *const cases[][3] = {
        {"", "/x", "x"},         {"", "x", "x"},       {"", "/x/y", "x/y"},       {"/p", "/p/x", "x"},
        {"/p", "/p/x/y", "x/y"}, {"/p", "/px", NULL},  {"/p", "/p", NULL},        {"/p", "/p/", NULL},
        {"/p", "p/x", NULL},     {"/p", "/q/x", NULL}, {"/p/a", "/p/ab/c", NULL}, {"", "/", NULL},
        {"", "", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *key = ssm_key_of(cases[i][0], cases[i][1]);
        if (cases[i][2] == NULL)
            assert_null(key);
        else
            assert_string_equal(key, cases[i][2]);
    }
}

static void values_are_refused_as_the_service_would(void **state)
{
    static const struct {
        const char *value;
        size_t len;
        enum err_code code;
    } cases[] = {
        {"x", 1, ERR_OK},          {"\n", 1, ERR_OK},         {"caf\xc3\xa9 \xf0\x9f\x98\x80", 10, ERR_OK},
        {"{}", 2, ERR_OK},         {"{ {", 3, ERR_OK},        {"", 0, ERR_INVAL},
        {"a\0b", 3, ERR_INVAL},    {"a{{b", 4, ERR_INVAL},    {"{{ssm:x}}", 9, ERR_INVAL},
        {"\xff", 1, ERR_BAD_NAME}, {"\xc3", 1, ERR_BAD_NAME}, {"\xed\xa0\x80", 3, ERR_BAD_NAME},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = ERR_INIT;
        assert_int_equal(ssm_value_check("/p/x", cases[i].value, cases[i].len, 4096, &e), cases[i].code);
    }
    static char large[SSM_VALUE_ADVANCED + 1];
    memset(large, 'v', sizeof(large));
    assert_int_equal(ssm_value_check("/p/x", large, 4096, 4096, NULL), ERR_OK);
    assert_int_equal(ssm_value_check("/p/x", large, 4097, 4096, NULL), ERR_TOO_BIG);
    assert_int_equal(ssm_value_check("/p/x", large, 8192, 8192, NULL), ERR_OK);
    assert_int_equal(ssm_value_check("/p/x", large, 8193, 8192, NULL), ERR_TOO_BIG);
}

static void the_message_about_a_value_does_not_have_it(void **state)
{
    static const char *const values[] = {"hunter2{{", "hunter2\xff"};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct err e = ERR_INIT;
        assert_int_not_equal(ssm_value_check("/p/x", values[i], strlen(values[i]), 4096, &e), ERR_OK);
        assert_null(strstr(e.msg, "hunter2"));
    }
}

static void what_editors_write_beside_a_file_stays_local(void **state)
{
    static const char *const local[] = {".host.swp", ".host.swx", ".host.swpx",         "host~",           "4913", ".#host", "#host#",
                                        "sedAbC123", ".goutputstream-X1", ".fuse_hidden0001"};
    static const char *const real[] = {"host",  "host.swp", "49130",  "sed",  "sedAbC1234",
                                       "#host", ".host",    ".swp.x", "host#"};
    for (size_t i = 0; i < ARRAY_LEN(local); i++)
        assert_true(ssm_name_stays_local(local[i]));
    for (size_t i = 0; i < ARRAY_LEN(real); i++)
        assert_false(ssm_name_stays_local(real[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_loses_its_last_slash),
        cmocka_unit_test(a_path_that_no_parameter_can_be_below_is_refused),
        cmocka_unit_test(a_path_longer_than_a_name_is_refused),
        cmocka_unit_test(a_key_is_read_by_its_name_and_selector),
        cmocka_unit_test(a_key_of_any_length_is_refused_when_too_long),
        cmocka_unit_test(names_are_refused_as_the_service_would),
        cmocka_unit_test(a_name_may_have_1011_characters_with_its_arn),
        cmocka_unit_test(the_length_of_the_arn_follows_from_region_or_reply),
        cmocka_unit_test(a_name_becomes_the_key_below_the_path),
        cmocka_unit_test(values_are_refused_as_the_service_would),
        cmocka_unit_test(the_message_about_a_value_does_not_have_it),
        cmocka_unit_test(what_editors_write_beside_a_file_stays_local),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
