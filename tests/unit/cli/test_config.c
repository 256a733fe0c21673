#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/config.h"
#include "util/cleanup.h"

#include <string.h>

#define SOURCE "s3://bucket/data"

static enum err_code parse(const char *text, size_t len, struct options *o, struct err *e)
{
    assert_int_equal(options_init(o, NULL), ERR_OK);
    return config_parse(text, len, "/etc/awsfs.conf", SOURCE, o, e);
}

static void lines_comments_and_blanks_are_read(void **state)
{
    static const char text[] = "# comment\r\n\n  ; another\n  ttl =  10 \r\nro\nregion=eu-west-1\n\tfile_mode\t=\t0604\nprofile = a b";
    CLEANUP_RELEASE(options_release) struct options o;

    assert_int_equal(parse(text, strlen(text), &o, NULL), ERR_OK);
    assert_int_equal(o.ttl_ms, 10000);
    assert_true(o.read_only);
    assert_string_equal(o.region, "eu-west-1");
    assert_int_equal(o.file_mode, 0604);
    assert_string_equal(o.profile, "a b");
}

static void a_section_is_for_its_source_only(void **state)
{
    static const char text[] = "ttl = 1\n[s3://other]\nttl = 2\nro\n[s3://bucket/data/]\ntimeout = 30\n[ssm:/x]\nssm_rate = 3\n";
    CLEANUP_RELEASE(options_release) struct options o;

    assert_int_equal(parse(text, strlen(text), &o, NULL), ERR_OK);
    assert_int_equal(o.ttl_ms, 1000);
    assert_false(o.read_only);
    assert_int_equal(o.timeout_ms, 30000);
    assert_false(options_given(&o, "ssm_rate"));
}

static void an_error_names_file_line_and_what_is_legal(void **state)
{
    static const struct {
        const char *text, *line, *told;
    } cases[] = {
        {"ttl = 5\nttll = 6\n", ":2:", "ttll"},
        {"\n\n\nmemory = lots\n", ":4:", "whole number"},
        {"attrs = some", ":1:", "head"},
        {"[bucket]\n", ":1:", "s3://bucket"},
        {"[s3://bucket\n", ":1:", "[SOURCE]"},
        {"[]\n", ":1:", "[SOURCE]"},
        {"ttl = 1\n= 5\n", ":2:", "option = value"},
        {"config = /other\n", ":1:", "config"},
        {"[s3://other]\nttl = soon\n", ":2:", "ttl"},
        {"ttl\n", ":1:", "needs a value"},
        {"write = later\n", ":1:", "through, back"},
        {"offline = serve\n", ":1:", "not available"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP_RELEASE(options_release) struct options o;
        struct err e = ERR_INIT;

        assert_int_not_equal(parse(cases[i].text, strlen(cases[i].text), &o, &e), ERR_OK);
        if (!strstr(e.msg, "/etc/awsfs.conf") || !strstr(e.msg, cases[i].line) || !strstr(e.msg, cases[i].told))
            fail_msg("%s: %s", cases[i].text, e.msg);
    }
}

static void a_line_that_looks_like_a_credential_is_not_repeated(void **state)
{
    static const char text[] = "aws_secret_access_key = wJalrXUtnFEMI\n";
    CLEANUP_RELEASE(options_release) struct options o;
    struct err e = ERR_INIT;

    assert_int_equal(parse(text, strlen(text), &o, &e), ERR_INVAL);
    assert_null(strstr(e.msg, "wJalr"));
}

static void hostile_bytes_are_errors(void **state)
{
    CLEANUP(free) char *text = malloc(20000);
    struct err e = ERR_INIT;

    memset(text, 'a', 20000);
    CLEANUP_RELEASE(options_release) struct options o;
    assert_int_equal(parse(text, 20000, &o, &e), ERR_INVAL);
    options_release(&o);
    assert_int_equal(parse("ttl = 5\0x\n", 10, &o, &e), ERR_INVAL);
    assert_non_null(strstr(e.msg, "NUL"));
    options_release(&o);
    assert_int_equal(parse("\xff\xfe = \x01\n", 8, &o, &e), ERR_INVAL);
    options_release(&o);
    assert_int_equal(parse("", 0, &o, &e), ERR_OK);
}

static void a_file_that_is_no_text_file_is_an_error_and_does_not_hang(void **state)
{
    static const char *const paths[] = {"/none/such/file", "/tmp", "/dev/zero"};

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        CLEANUP_RELEASE(options_release) struct options o;
        struct err e = ERR_INIT;

        assert_int_equal(options_init(&o, NULL), ERR_OK);
        assert_int_not_equal(config_read(paths[i], SOURCE, &o, &e), ERR_OK);
        assert_non_null(strstr(e.msg, paths[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_comments_and_blanks_are_read),
        cmocka_unit_test(a_section_is_for_its_source_only),
        cmocka_unit_test(an_error_names_file_line_and_what_is_legal),
        cmocka_unit_test(a_line_that_looks_like_a_credential_is_not_repeated),
        cmocka_unit_test(hostile_bytes_are_errors),
        cmocka_unit_test(a_file_that_is_no_text_file_is_an_error_and_does_not_hang),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
