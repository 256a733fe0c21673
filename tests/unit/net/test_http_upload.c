/* Request bodies: whole, in order, again from the start where that is allowed, and never again behind the caller's
 * back. */
#include "client.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MIB (1024 * 1024)

static unsigned bad_bodies, puts_seen;

static bool answer(struct server_conn *c, const struct server_request *r, void *arg)
{
    if (!pattern_matches(r->body, r->body_len))
        __atomic_add_fetch(&bad_bodies, 1, __ATOMIC_RELAXED);
    if (strcmp(r->target, "/once-per-connection") == 0) {
        __atomic_add_fetch(&puts_seen, 1, __ATOMIC_RELAXED);
        if (r->on_conn > 1)
            return false; /* executed, and no reply */
    }
    server_reply(c, 200, strstr(r->head, "Expect: 100-continue") ? "expected" : "plain");
    return true;
}

static void run(struct http_engine *h, struct server *s, enum http_method m, uint64_t size, const char *want)
{
    struct pattern p;
    struct call c = {0};
    pattern_init(&p, size);
    call_run(&c, h, server_url(s), "/put", (struct http_request){.method = m, .body = &p.body});
    assert_int_equal(c.code, ERR_OK);
    assert_string_equal(c.body, want);
    call_release(&c);
}

static void bodies_arrive_whole_and_long_ones_ask_first(void **state)
{
    struct server *s = server_start(&(struct server_options){.answer = answer});
    struct http_engine *h = test_engine((struct http_config){0});
    bad_bodies = 0;
    run(h, s, HTTP_PUT, 1, "plain");
    run(h, s, HTTP_POST, 300, "plain");
    run(h, s, HTTP_DELETE, 300, "plain");
    run(h, s, HTTP_PUT, MIB, "plain");
    run(h, s, HTTP_PUT, MIB + 1, "expected");
    run(h, s, HTTP_POST, 5 * MIB + 17, "expected");
    assert_int_equal(bad_bodies, 0);
    assert_int_equal(server_connections(s), 1);
    struct http_counters n;
    http_engine_counters(h, &n);
    assert_int_equal(n.bytes_out, 1 + 300 + 300 + MIB + MIB + 1 + 5 * MIB + 17);
    http_engine_free(h);
    server_stop(s);
}

static void a_417_makes_it_go_again_from_the_start_without_asking(void **state)
{
    struct server *s = server_start(&(struct server_options){.answer = answer, .refuse_expects = 1});
    struct http_engine *h = test_engine((struct http_config){0});
    bad_bodies = 0;
    run(h, s, HTTP_PUT, 2 * MIB, "plain");
    assert_int_equal(bad_bodies, 0);
    assert_int_equal(server_requests(s), 2);
    http_engine_free(h);
    server_stop(s);
}

static void a_body_that_cannot_be_read_or_is_short_fails_the_transfer(void **state)
{
    struct server *s = server_start(&(struct server_options){.answer = answer});
    struct http_engine *h = test_engine((struct http_config){0});
    struct pattern p;
    struct call c = {0};
    for (int i = 0; i < 2; i++) {
        pattern_init(&p, MIB - 5);
        p.fail_at = i == 0 ? MIB / 2 : 0;
        p.end_at = i == 1 ? MIB / 2 : 0;
        call_run(&c, h, server_url(s), "/put", (struct http_request){.method = HTTP_PUT, .body = &p.body});
        assert_int_equal(c.code, ERR_IO);
        assert_int_equal(c.status, 0);
        call_release(&c);
    }
    http_engine_free(h);
    server_stop(s);
}

/* libcurl would send a request again by itself when a reused connection ends without a reply. */
static void a_put_on_a_reused_connection_that_ends_without_a_reply_is_not_sent_twice(void **state)
{
    struct server *s = server_start(&(struct server_options){.answer = answer});
    struct http_engine *h = test_engine((struct http_config){0});
    static const struct {
        enum http_method m;
        enum err_code code;
        unsigned seen;
    } cases[] = {{HTTP_PUT, ERR_NET, 1}, {HTTP_POST, ERR_NET, 1}, {HTTP_DELETE, ERR_NET, 1}, {HTTP_GET, ERR_OK, 2}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct pattern p;
        struct call c = {0};
        pattern_init(&p, cases[i].m == HTTP_PUT ? 1000 : 0);
        call_run(&c, h, server_url(s), "/warm-up", (struct http_request){0});
        assert_int_equal(c.code, ERR_OK);
        call_release(&c);
        puts_seen = 0;
        struct http_request r = {.method = cases[i].m, .body = &p.body};
        call_run(&c, h, server_url(s), "/once-per-connection", r);
        assert_int_equal(c.code, cases[i].code);
        assert_true(c.sent);
        assert_int_equal(__atomic_load_n(&puts_seen, __ATOMIC_RELAXED), cases[i].seen);
        call_release(&c);
        http_engine_free(h); /* the next case starts with a fresh connection */
        h = test_engine((struct http_config){0});
    }
    http_engine_free(h);
    server_stop(s);
}

/* Takes the body slowly: the socket's send queue holds more than goes out within the first-byte limit. */
static bool slow_reader(struct server_conn *c, const struct server_request *r, void *arg)
{
    size_t left = r->body_len;
    char piece[65536];
    while (left > 0 && server_sleep(c, 30)) {
        size_t n = server_read(c, piece, sizeof(piece));
        if (n == 0)
            return false;
        left -= n;
    }
    server_reply(c, 200, "taken");
    return false;
}

static void a_slow_line_that_drains_the_socket_is_not_given_up(void **state)
{
    struct server *s =
        server_start(&(struct server_options){.answer = slow_reader, .raw_body = true, .small_buffer = true});
    struct http_engine *h = test_engine((struct http_config){.first_byte_ms = 1200, .stall_ms = 1200});
    struct pattern p;
    struct call c = {0};
    pattern_init(&p, 6 * MIB);
    const char *headers[] = {"Expect:", NULL};
    uint64_t start = test_now_ms();
    call_run(&c, h, server_url(s), "/put",
             (struct http_request){.method = HTTP_PUT, .body = &p.body, .headers = headers});
    if (c.code != ERR_OK)
        fail_msg("%s after %d ms", c.msg, (int)(test_now_ms() - start));
    assert_true(test_now_ms() - start > 2000);
    call_release(&c);
    http_engine_free(h);
    server_stop(s);
}

static bool no_reader(struct server_conn *c, const struct server_request *r, void *arg)
{
    server_hang(c);
    return false;
}

static void a_server_that_takes_nothing_is_given_up_at_the_stall_limit(void **state)
{
    struct server *s = server_start(&(struct server_options){.answer = no_reader, .raw_body = true});
    struct http_engine *h = test_engine((struct http_config){.stall_ms = 300});
    struct pattern p;
    struct call c = {0};
    pattern_init(&p, 64 * MIB);
    const char *headers[] = {"Expect:", NULL};
    uint64_t start = test_now_ms();
    call_run(&c, h, server_url(s), "/put",
             (struct http_request){.method = HTTP_PUT, .body = &p.body, .headers = headers});
    assert_int_equal(c.code, ERR_TIMEOUT);
    assert_true(c.sent);
    assert_in_range(test_now_ms() - start, 295, 3000);
    call_release(&c);
    http_engine_free(h);
    server_stop(s);
}

static bool early_no(struct server_conn *c, const struct server_request *r, void *arg)
{
    server_reply(c, 403, "no");
    return false;
}

static void a_refusal_before_the_body_is_the_answer(void **state)
{
    struct server *s = server_start(&(struct server_options){.answer = early_no, .raw_body = true});
    struct http_engine *h = test_engine((struct http_config){0});
    struct pattern p;
    struct call c = {0};
    pattern_init(&p, 100);
    call_run(&c, h, server_url(s), "/put", (struct http_request){.method = HTTP_PUT, .body = &p.body});
    assert_int_equal(c.code, ERR_OK);
    assert_int_equal(c.status, 403);
    assert_string_equal(c.body, "no");
    call_release(&c);
    http_engine_free(h);
    server_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_arrive_whole_and_long_ones_ask_first),
        cmocka_unit_test(a_417_makes_it_go_again_from_the_start_without_asking),
        cmocka_unit_test(a_body_that_cannot_be_read_or_is_short_fails_the_transfer),
        cmocka_unit_test(a_put_on_a_reused_connection_that_ends_without_a_reply_is_not_sent_twice),
        cmocka_unit_test(a_slow_line_that_drains_the_socket_is_not_given_up),
        cmocka_unit_test(a_server_that_takes_nothing_is_given_up_at_the_stall_limit),
        cmocka_unit_test(a_refusal_before_the_body_is_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
