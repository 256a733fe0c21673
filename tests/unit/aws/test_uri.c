#include "aws/uri.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void good_endpoints_are_taken_apart(void **state)
{
    static const struct {
        const char *url;
        bool tls, ip;
        const char *host;
        unsigned port;
        const char *path;
    } table[] = {
        {"https://example.com", true, false, "example.com", 0, ""},
        {"HTTPS://Example.COM:443/", true, false, "example.com", 0, ""},
        {"http://127.0.0.1:9000", false, true, "127.0.0.1", 9000, ""},
        {"http://localhost:80/base/path//", false, false, "localhost", 0, "/base/path"},
        {"http://[::1]:5000/x", false, true, "[::1]", 5000, "/x"},
        {"https://[fd00:ec2::254]", true, true, "[fd00:ec2::254]", 0, ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct uri u;
        struct err e = ERR_INIT;

        if (uri_parse(table[i].url, &u, &e))
            fail_msg("%s: %s", table[i].url, e.msg);
        assert_int_equal(u.tls, table[i].tls);
        assert_int_equal(u.ip, table[i].ip);
        assert_string_equal(u.host, table[i].host);
        assert_int_equal(u.port, table[i].port);
        assert_string_equal(u.path, table[i].path);
    }
}

static void bad_endpoints_are_refused_without_quoting_a_password(void **state)
{
    static const char *const table[] = {
        "",
        "example.com",
        "ftp://example.com",
        "http://",
        "http:///path",
        "http://user:MARKER@example.com",
        "http://example.com:0",
        "http://example.com:65536",
        "http://example.com:",
        "http://example.com:8x",
        "http://exa mple.com",
        "http://example..com",
        "http://-example.com",
        "http://example.com/a?token=MARKER",
        "http://example.com/#MARKER",
        "http://example.com/a b",
        "http://example.com/\x80",
        "http://[::1",
        "http://[zz::1]",
        "http://[::1]x",
        "http://exam\nple.com",
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct uri u;
        struct err e = ERR_INIT;

        if (uri_parse(table[i], &u, &e) != ERR_INVAL)
            fail_msg("'%s' was taken", table[i]);
        assert_null(strstr(e.msg, "MARKER"));
    }
}

static void endpoints_that_are_too_long_are_refused(void **state)
{
    char url[2048] = "http://";
    struct uri u;

    memset(url + 7, 'a', 300);
    assert_int_equal(uri_parse(url, &u, NULL), ERR_INVAL);
    strcpy(url, "http://h/");
    memset(url + 9, 'a', 600);
    url[609] = '\0';
    assert_int_equal(uri_parse(url, &u, NULL), ERR_INVAL);
}

static void a_query_is_encoded_and_sorted(void **state)
{
    const struct aws_param params[] = {{"b", "2"}, {"a b", "x/y+z&"}, {"b", "1"}, {"acl", NULL}, {"e", ""}, {0}};
    BUF(wire, 4096);
    BUF(canonical, 4096);

    assert_int_equal(uri_query(&wire, params, true, NULL), ERR_OK);
    assert_string_equal(buf_str(&wire), "a%20b=x%2Fy%2Bz%26&acl&b=1&b=2&e=");
    assert_int_equal(uri_query(&canonical, params, false, NULL), ERR_OK);
    assert_string_equal(buf_str(&canonical), "a%20b=x%2Fy%2Bz%26&acl=&b=1&b=2&e=");
}

static void a_query_over_its_maximum_is_refused(void **state)
{
    const struct aws_param params[] = {{"name", "0123456789"}, {0}};
    BUF(out, 8);

    assert_int_equal(uri_query(&out, params, true, NULL), ERR_TOO_BIG);
}

static void paths_are_normalised_and_never_leave_the_root(void **state)
{
    static const char *const table[][2] = {
        {"", "/"},
        {"/", "/"},
        {"//", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"/a/..", "/"},
        {"/../../a", "/a"},
        {"/./a", "/a"},
        {"/a/.", "/a/"},
        {"/a/b/../c", "/a/c"},
        {"//a//b", "/a/b"},
        {"/..a/.b", "/..a/.b"},
        {"/a/b/../../..", "/"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        BUF(out, 256);

        uri_normalise(&out, table[i][0]);
        assert_string_equal(buf_str(&out), table[i][1]);
    }
}

static void only_addresses_of_this_machine_are_loopback(void **state)
{
    static const char *const yes[] = {"127.0.0.1", "127.8.9.10", "[::1]"};
    static const char *const no[] = {"localhost", "128.0.0.1", "10.0.0.1", "127.0.0.1.example.com", "[::2]", "::1", "[::1", "[::1x", "[]", ""};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        assert_true(uri_host_is_loopback(yes[i]));
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        assert_false(uri_host_is_loopback(no[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_endpoints_are_taken_apart),
        cmocka_unit_test(bad_endpoints_are_refused_without_quoting_a_password),
        cmocka_unit_test(endpoints_that_are_too_long_are_refused),
        cmocka_unit_test(a_query_is_encoded_and_sorted),
        cmocka_unit_test(a_query_over_its_maximum_is_refused),
        cmocka_unit_test(paths_are_normalised_and_never_leave_the_root),
        cmocka_unit_test(only_addresses_of_this_machine_are_loopback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
