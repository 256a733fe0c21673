#include "net/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void an_endpoint_is_taken_apart(void **state)
{
    static const struct {
        const char *url, *host, *authority, *path;
        unsigned port;
        bool tls, ip;
    } cases[] = {
        {"https://s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "s3.eu-west-1.amazonaws.com", "", 443,
         true, false},
        {"http://127.0.0.1:5000", "127.0.0.1", "127.0.0.1:5000", "", 5000, false, true},
        {"http://127.0.0.1:5000/", "127.0.0.1", "127.0.0.1:5000", "", 5000, false, true},
        {"http://LocalHost:80/a/../b//", "localhost", "localhost", "/a/../b", 80, false, false},
        {"https://[::1]:443/x%20y", "::1", "[::1]", "/x%20y", 443, true, true},
        {"http://[fd00:ec2::254]:8080", "fd00:ec2::254", "[fd00:ec2::254]:8080", "", 8080, false, true},
        {"https://h:80", "h", "h:80", "", 80, true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct url u;
        struct err e = ERR_INIT;
        if (url_parse(cases[i].url, &u, &e) != ERR_OK)
            fail_msg("%s: %s", cases[i].url, e.msg);
        assert_string_equal(u.host, cases[i].host);
        assert_string_equal(u.authority, cases[i].authority);
        assert_string_equal(u.path, cases[i].path);
        assert_int_equal(u.port, cases[i].port);
        assert_int_equal(u.tls, cases[i].tls);
        assert_int_equal(u.host_is_ip, cases[i].ip);
        url_release(&u);
    }
}

static void what_no_endpoint_can_be_is_refused_with_what_is_legal(void **state)
{
    static const char *const cases[] = {
        "",
        "s3.amazonaws.com",
        "ftp://host",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://host:0",
        "http://host:65536",
        "http://host:port",
        "http://user@host",
        "http://user:pass@host",
        "http://host/?a=b",
        "http://host/#f",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://h\xc3\xb6st",
        "http://[::1",
        "http://[::g]",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct url u;
        struct err e = ERR_INIT;
        if (url_parse(cases[i], &u, &e) != ERR_INVAL)
            fail_msg("accepted: %s", cases[i]);
        assert_true(strlen(e.msg) > 10);
        assert_null(strstr(e.msg, "pass@"));
    }
    char longer[3000] = "http://";
    memset(longer + 7, 'a', sizeof(longer) - 8);
    struct url u;
    assert_int_equal(url_parse(longer, &u, NULL), ERR_INVAL);
}

static void a_request_must_be_percent_encoded_and_names_its_host(void **state)
{
    const char *authority;
    size_t len;
    assert_int_equal(url_check_request("https://h:1/a/../%2e?x=%00", &authority, &len, NULL), ERR_OK);
    assert_int_equal(len, 3);
    assert_memory_equal(authority, "h:1", 3);
    assert_int_equal(url_check_request("http://[::1]?x", &authority, &len, NULL), ERR_OK);
    assert_int_equal(len, 5);
    static const char *const bad[] = {"h/a",         "http:/h",       "http:///a",   "http://h/a b",
                                      "http://h/\n", "http://h/\xff", "http://h/#a", "http://u@h/"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(url_check_request(bad[i], &authority, &len, NULL), ERR_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_endpoint_is_taken_apart),
        cmocka_unit_test(what_no_endpoint_can_be_is_refused_with_what_is_legal),
        cmocka_unit_test(a_request_must_be_percent_encoded_and_names_its_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
