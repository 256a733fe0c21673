/* What servers do wrong: each is an error of its kind, in time, and never a success. */
#include "client.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void send_times(struct server_conn *c, const char *text, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        server_send(c, "%s", text);
}

/* One fault a target. Returns false where the connection ends. */
static bool answer(struct server_conn *c, const struct server_request *r, void *arg)
{
    (void)arg;
    const char *t = r->target;
    static const char ok[] = "HTTP/1.1 200 OK\r\n";
    if (strcmp(t, "/cut") == 0) {
        server_send(c, "%sContent-Length: 100\r\n\r\nonly this", ok);
    } else if (strcmp(t, "/cut-chunk") == 0) {
        server_send(c, "%sTransfer-Encoding: chunked\r\n\r\n64\r\nonly this", ok);
    } else if (strcmp(t, "/no-last-chunk") == 0) {
        server_send(c, "%sTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n", ok);
    } else if (strcmp(t, "/bad-chunk") == 0) {
        server_send(c, "%sTransfer-Encoding: chunked\r\n\r\nxyz\r\nabcd\r\n", ok);
    } else if (strcmp(t, "/cut-head") == 0) {
        server_send(c, "%sContent-Le", ok);
    } else if (strcmp(t, "/reset") == 0) {
        server_reset(c);
    } else if (strcmp(t, "/reset-in-body") == 0) {
        server_send(c, "%sContent-Length: 100\r\n\r\nonly this", ok);
        server_sleep(c, 20);
        server_reset(c);
    } else if (strcmp(t, "/close") == 0) {
        return false;
    } else if (strcmp(t, "/hang") == 0) {
        server_hang(c);
    } else if (strcmp(t, "/stall") == 0) {
        server_send(c, "%sContent-Length: 100\r\n\r\nonly this", ok);
        server_hang(c);
    } else if (strcmp(t, "/stall-head") == 0) {
        server_send(c, "%sA: b\r\n", ok);
        server_hang(c);
    } else if (strcmp(t, "/trickle") == 0) {
        server_send(c, "%sContent-Length: 12\r\n\r\n", ok);
        for (int i = 0; i < 12 && server_sleep(c, 60); i++)
            server_send(c, "x");
    } else if (strcmp(t, "/huge-head") == 0) {
        server_send(c, "%s", ok);
        send_times(c, "X-Fill: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n", 2000);
        server_send(c, "Content-Length: 0\r\n\r\n");
    } else if (strcmp(t, "/huge-line") == 0) {
        server_send(c, "%sX-Fill: ", ok);
        send_times(c, "0123456789012345678901234567890123456789012345678901234567890123456789", 4000);
        server_send(c, "\r\n\r\n");
    } else if (strcmp(t, "/two-lengths") == 0) {
        server_send(c, "%sContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", ok);
    } else if (strcmp(t, "/negative-length") == 0) {
        server_send(c, "%sContent-Length: -4\r\n\r\nabcd", ok);
    } else if (strcmp(t, "/not-http") == 0) {
        server_send(c, "220 smtp.example ESMTP\r\n");
    } else if (strcmp(t, "/nul") == 0) {
        server_send_bytes(c, "HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n", 46);
    } else if (strcmp(t, "/long-body") == 0) {
        server_send(c, "%sContent-Length: 2000\r\n\r\n", ok);
        send_times(c, "0123456789", 200);
    } else if (strcmp(t, "/endless-body") == 0) {
        server_send(c, "%s\r\n", ok);
        send_times(c, "0123456789", 1000);
    } else if (strcmp(t, "/more-than-said") == 0) {
        server_send(c, "%sContent-Length: 4\r\n\r\nabcdHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", ok);
        server_sleep(c, 50);
        return true;
    } else {
        server_reply(c, 200, "fine");
        return true;
    }
    return false;
}

static struct server *server;

static int setup(void **state)
{
    server = server_start(&(struct server_options){.answer = answer});
    return 0;
}

static int teardown(void **state)
{
    server_stop(server);
    return 0;
}

static void each_fault_is_the_error_of_its_kind(void **state)
{
    static const struct {
        const char *path;
        enum err_code code;
    } cases[] = {
        {"/cut", ERR_NET},           {"/cut-chunk", ERR_NET},
        {"/no-last-chunk", ERR_NET}, {"/bad-chunk", ERR_NET},
        {"/cut-head", ERR_NET},      {"/reset", ERR_NET},
        {"/reset-in-body", ERR_NET}, {"/close", ERR_NET},
        {"/huge-head", ERR_PROTO},   {"/huge-line", ERR_PROTO},
        {"/two-lengths", ERR_PROTO}, {"/negative-length", ERR_PROTO},
        {"/not-http", ERR_PROTO},    {"/nul", ERR_PROTO},
        {"/long-body", ERR_PROTO},   {"/endless-body", ERR_PROTO},
    };
    CLEANUP(http_engine_free) struct http_engine *h = test_engine((struct http_config){0});
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct call c = {0};
        call_run(&c, h, server_url(server), cases[i].path, (struct http_request){.reply_max = 1000});
        if (c.code != cases[i].code)
            fail_msg("%s: %s, %s", cases[i].path, err_name(c.code), c.msg);
        assert_true(c.sent);
        assert_non_null(strstr(c.msg, "127.0.0.1:"));
        call_release(&c);
        call_run(&c, h, server_url(server), "/fine", (struct http_request){0});
        assert_int_equal(c.code, ERR_OK);
        assert_string_equal(c.body, "fine");
        call_release(&c);
    }
}

static void a_server_that_does_not_go_on_is_given_up_at_the_limit(void **state)
{
    static const struct {
        const char *path;
        struct http_request r;
    } cases[] = {
        {"/hang", {.first_byte_ms = 150}},
        {"/stall", {.stall_ms = 150}},
        {"/stall-head", {.stall_ms = 150}},
    };
    CLEANUP(http_engine_free) struct http_engine *h = test_engine((struct http_config){0});
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct call c = {0};
        uint64_t start = test_now_ms();
        call_run(&c, h, server_url(server), cases[i].path, cases[i].r);
        assert_int_equal(c.code, ERR_TIMEOUT);
        assert_in_range(test_now_ms() - start, 145, 1500);
        assert_true(c.sent);
        call_release(&c);
    }
}

static void a_slow_server_that_goes_on_is_not_given_up(void **state)
{
    CLEANUP(http_engine_free) struct http_engine *h = test_engine((struct http_config){.stall_ms = 400});
    struct call c = {0};
    uint64_t start = test_now_ms();
    call_run(&c, h, server_url(server), "/trickle", (struct http_request){0});
    assert_int_equal(c.code, ERR_OK);
    assert_string_equal(c.body, "xxxxxxxxxxxx");
    assert_true(test_now_ms() - start > 600);
    call_release(&c);
}

static void bytes_beyond_the_length_are_no_part_of_this_reply_or_the_next(void **state)
{
    CLEANUP(http_engine_free) struct http_engine *h = test_engine((struct http_config){0});
    for (int i = 0; i < 5; i++) {
        struct call c = {0};
        call_run(&c, h, server_url(server), "/more-than-said", (struct http_request){0});
        assert_int_equal(c.code, ERR_OK);
        assert_string_equal(c.body, "abcd");
        call_release(&c);
        call_run(&c, h, server_url(server), "/fine", (struct http_request){0});
        assert_int_equal(c.code, ERR_OK);
        assert_string_equal(c.body, "fine");
        call_release(&c);
    }
}

static void nobody_listening_is_an_error_that_names_the_address_and_nothing_was_sent(void **state)
{
    CLEANUP(http_engine_free) struct http_engine *h = test_engine((struct http_config){0});
    struct server *gone = server_start(&(struct server_options){.answer = answer});
    char url[64], authority[64];
    snprintf(url, sizeof(url), "%s", server_url(gone));
    snprintf(authority, sizeof(authority), "127.0.0.1:%u", server_port(gone));
    server_stop(gone);
    struct call c = {0};
    call_run(&c, h, url, "/?X-Amz-Signature=secret", (struct http_request){0});
    assert_int_equal(c.code, ERR_NET);
    assert_false(c.sent);
    assert_int_equal(c.status, 0);
    assert_non_null(strstr(c.msg, authority));
    assert_null(strstr(c.msg, "secret"));
    call_release(&c);
    call_run(&c, h, "http://no-such-host.invalid", "/", (struct http_request){0});
    assert_int_equal(c.code == ERR_NET || c.code == ERR_TIMEOUT, 1);
    assert_false(c.sent);
    assert_non_null(strstr(c.msg, "no-such-host.invalid"));
    call_release(&c);
}

static bool refuse(void *arg, const struct http_transfer *t, int status, const void *p, size_t len)
{
    return false;
}

static void a_name_that_does_not_resolve_stays_that_error_and_spoils_nothing_else(void **state)
{
    CLEANUP(http_engine_free) struct http_engine *h = test_engine((struct http_config){.connect_ms = 5000});
    struct call c = {0};
    for (int i = 0; i < 4; i++) {
        call_run(&c, h, "http://no-such-host.invalid", "/", (struct http_request){0});
        assert_int_equal(c.code == ERR_NET || c.code == ERR_TIMEOUT, 1);
        assert_non_null(strstr(c.msg, "no-such-host.invalid"));
        call_release(&c);
    }
    call_run(&c, h, server_url(server), "/fine", (struct http_request){0});
    assert_int_equal(c.code, ERR_OK);
    call_release(&c);
}

static void a_receiver_can_end_the_transfer(void **state)
{
    CLEANUP(http_engine_free) struct http_engine *h = test_engine((struct http_config){0});
    struct call c = {0};
    call_run(&c, h, server_url(server), "/fine", (struct http_request){.data = refuse});
    assert_int_equal(c.code, ERR_CANCELED);
    assert_int_equal(c.status, 200);
    call_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_is_the_error_of_its_kind),
        cmocka_unit_test(a_server_that_does_not_go_on_is_given_up_at_the_limit),
        cmocka_unit_test(a_slow_server_that_goes_on_is_not_given_up),
        cmocka_unit_test(bytes_beyond_the_length_are_no_part_of_this_reply_or_the_next),
        cmocka_unit_test(nobody_listening_is_an_error_that_names_the_address_and_nothing_was_sent),
        cmocka_unit_test(a_name_that_does_not_resolve_stays_that_error_and_spoils_nothing_else),
        cmocka_unit_test(a_receiver_can_end_the_transfer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
