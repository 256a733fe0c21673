/* Who is trusted, and through whom requests go. The environment is read when an engine is made. */
#include "client.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const variables[] = {"AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",
                                        "http_proxy",    "https_proxy",    "HTTP_PROXY",    "HTTPS_PROXY",
                                        "all_proxy",     "ALL_PROXY",      "no_proxy",      "NO_PROXY"};

static bool answer(struct server_conn *c, const struct server_request *r, void *arg)
{
    server_reply(c, strcmp(r->method, "CONNECT") == 0 ? 403 : 200, r->head);
    return true;
}

static int setup(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        unsetenv(variables[i]);
    *state = server_start(&(struct server_options){.answer = answer, .tls = true});
    return 0;
}

static int setup_plain(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        unsetenv(variables[i]);
    *state = server_start(&(struct server_options){.answer = answer});
    return 0;
}

static int teardown(void **state)
{
    server_stop(*state);
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        unsetenv(variables[i]);
    return 0;
}

static void expect(struct http_config config, const char *url, enum err_code code)
{
    struct http_engine *h = test_engine(config);
    struct call c = {0};
    call_run(&c, h, url, "/x", (struct http_request){0});
    if (c.code != code)
        fail_msg("%s: %s", err_name(c.code), c.msg);
    assert_int_equal(c.sent, code == ERR_OK);
    call_release(&c);
    http_engine_free(h);
}

static void a_server_that_nobody_vouches_for_is_refused_before_anything_is_sent(void **state)
{
    struct server *s = *state;
    struct http_engine *h = test_engine((struct http_config){0});
    struct call c = {0};
    call_run(&c, h, server_url(s), "/x", (struct http_request){0});
    assert_int_equal(c.code, ERR_NET);
    assert_false(c.sent);
    assert_non_null(strstr(c.msg, "certificate"));
    assert_int_equal(server_requests(s), 0);
    call_release(&c);
    http_engine_free(h);
}

static void a_bundle_is_taken_from_the_configuration_or_the_environment(void **state)
{
    struct server *s = *state;
    expect((struct http_config){.ca_bundle = server_ca_file(s)}, server_url(s), ERR_OK);
    for (size_t i = 0; i < 3; i++) {
        setenv(variables[i], server_ca_file(s), 1);
        expect((struct http_config){0}, server_url(s), ERR_OK);
        unsetenv(variables[i]);
    }
    setenv("SSL_CERT_FILE", server_ca_file(s), 1);
    setenv("CURL_CA_BUNDLE", "/etc/hostname", 1); /* goes before, and vouches for nobody */
    expect((struct http_config){0}, server_url(s), ERR_NET);
    setenv("AWS_CA_BUNDLE", server_ca_file(s), 1);
    expect((struct http_config){0}, server_url(s), ERR_OK);
    expect((struct http_config){.ca_bundle = "/etc/hostname"}, server_url(s), ERR_NET);
    unsetenv("AWS_CA_BUNDLE");
    unsetenv("CURL_CA_BUNDLE");
    unsetenv("SSL_CERT_FILE");
    setenv("SSL_CERT_DIR", "/nowhere", 1);
    expect((struct http_config){0}, server_url(s), ERR_NET);
}

static void a_bundle_that_cannot_be_read_is_refused_by_name(void **state)
{
    struct err e = ERR_INIT;
    assert_null(http_engine_new(&(struct http_config){.ca_bundle = "/nowhere/bundle.pem"}, &e));
    assert_int_equal(e.code, ERR_INVAL);
    assert_non_null(strstr(e.msg, "/nowhere/bundle.pem"));
}

static void a_certificate_for_another_name_is_refused(void **state)
{
    struct server *s = *state;
    char url[64];
    snprintf(url, sizeof(url), "https://localhost:%u", server_port(s));
    expect((struct http_config){.ca_bundle = server_ca_file(s)}, url, ERR_NET);
}

static void insecure_tls_verifies_nothing(void **state)
{
    expect((struct http_config){.insecure_tls = true}, server_url(*state), ERR_OK);
}

static void uploads_and_large_bodies_work_over_tls(void **state)
{
    struct server *s = *state;
    struct http_engine *h = test_engine((struct http_config){.ca_bundle = server_ca_file(s)});
    for (int i = 0; i < 3; i++) {
        struct pattern p;
        struct call c = {0};
        pattern_init(&p, 3 * 1024 * 1024);
        call_run(&c, h, server_url(s), "/x", (struct http_request){.method = HTTP_PUT, .body = &p.body});
        assert_int_equal(c.code, ERR_OK);
        call_release(&c);
    }
    assert_int_equal(server_connections(s), 1);
    http_engine_free(h);
}

static void requests_go_through_the_proxy_of_the_environment(void **state)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"};
    struct server *proxy = *state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        setenv(names[i], server_url(proxy), 1);
        struct http_engine *h = test_engine((struct http_config){0});
        struct call c = {0};
        call_run(&c, h, "http://origin.invalid:81", "/a/../b", (struct http_request){0});
        assert_int_equal(c.code, ERR_OK);
        assert_memory_equal(c.body, "GET http://origin.invalid:81/a/../b HTTP/1.1\r\n", 46);
        call_release(&c);
        http_engine_free(h);
        unsetenv(names[i]);
    }
}

static void a_tunnel_that_is_refused_is_an_error_and_no_reply(void **state)
{
    struct server *proxy = *state;
    setenv("HTTPS_PROXY", server_url(proxy), 1);
    struct http_engine *h = test_engine((struct http_config){0});
    struct call c = {0};
    call_run(&c, h, "https://origin.invalid", "/x", (struct http_request){0});
    assert_int_equal(c.code, ERR_NET);
    assert_false(c.sent);
    assert_int_equal(c.status, 0);
    assert_int_equal(server_requests(proxy), 1);
    call_release(&c);
    http_engine_free(h);
}

static void no_proxy_goes_straight(void **state)
{
    struct server *s = *state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    struct http_engine *h = test_engine((struct http_config){0});
    struct call c = {0};
    call_run(&c, h, server_url(s), "/x", (struct http_request){0});
    assert_int_equal(c.code, ERR_NET);
    call_release(&c);
    call_run(&c, h, server_url(s), "/x", (struct http_request){.no_proxy = 1});
    assert_int_equal(c.code, ERR_OK);
    call_release(&c);
    http_engine_free(h);
    setenv("no_proxy", "127.0.0.1", 1);
    expect((struct http_config){0}, server_url(s), ERR_OK);
    unsetenv("http_proxy");
    setenv("HTTP_PROXY", "http://127.0.0.1:1", 1);
    expect((struct http_config){0}, server_url(s), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_server_that_nobody_vouches_for_is_refused_before_anything_is_sent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_bundle_is_taken_from_the_configuration_or_the_environment, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bundle_that_cannot_be_read_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_certificate_for_another_name_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(insecure_tls_verifies_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(uploads_and_large_bodies_work_over_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_go_through_the_proxy_of_the_environment, setup_plain, teardown),
        cmocka_unit_test_setup_teardown(a_tunnel_that_is_refused_is_an_error_and_no_reply, setup_plain, teardown),
        cmocka_unit_test_setup_teardown(no_proxy_goes_straight, setup_plain, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
