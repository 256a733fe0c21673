/* What works: methods, headers, bodies, reuse, the limit on concurrency. */
#include "client.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BIG (3 * 1024 * 1024)

/* "/echo": what was asked; "/big": the pattern; "/chunked"; "/status/N"; "/slow". */
static bool answer(struct server_conn *c, const struct server_request *r, void *arg)
{
    (void)arg;
    if (strcmp(r->target, "/big") == 0) {
        char *p = malloc(BIG);
        for (size_t i = 0; i < BIG; i++)
            p[i] = (char)(i % 251);
        server_send(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG);
        server_send_bytes(c, p, BIG);
        free(p);
    } else if (strcmp(r->target, "/chunked") == 0) {
        server_send(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n10\r\n0123456789abcdef\r\n");
        server_send(c, "0\r\nX-Test: trailer\r\n\r\n");
    } else if (strncmp(r->target, "/status/", 8) == 0) {
        server_reply(c, atoi(r->target + 8), r->method[0] == 'H' ? "" : "error text");
    } else if (strcmp(r->target, "/slow") == 0) {
        char number[16];
        snprintf(number, sizeof(number), "%u", r->number);
        server_sleep(c, 60);
        server_reply(c, 200, number);
    } else if (strcmp(r->target, "/hang") == 0) {
        server_hang(c);
        return false;
    } else if (strcmp(r->target, "/head") == 0) {
        server_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 123456\r\nX-Test: head\r\n\r\n");
    } else {
        server_reply(c, 200, r->head);
    }
    return true;
}

struct fixture {
    struct server *s;
    struct http_engine *h;
};

static int setup(void **state)
{
    static struct fixture f;
    f.s = server_start(&(struct server_options){.answer = answer});
    f.h = test_engine((struct http_config){.max_parallel = 3});
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    http_engine_free(f->h);
    server_stop(f->s);
    return 0;
}

static void a_request_goes_out_as_it_was_given(void **state)
{
    struct fixture *f = *state;
    const char *headers[] = {"X-Custom: va lue", "Accept:", "x-amz-meta-n: \xc3\xb6", "X-Empty;", NULL};
    struct call c = {0};
    call_run(&c, f->h, server_url(f->s), "/a/../b/./%2e//c?x=%20&y", (struct http_request){.headers = headers});
    assert_int_equal(c.code, ERR_OK);
    assert_int_equal(c.status, 200);
    assert_true(c.sent);
    assert_memory_equal(c.body, "GET /a/../b/./%2e//c?x=%20&y HTTP/1.1\r\n", 38);
    assert_non_null(strstr(c.body, "\r\nX-Custom: va lue\r\n"));
    assert_non_null(strstr(c.body, "\r\nx-amz-meta-n: \xc3\xb6\r\n"));
    assert_non_null(strstr(c.body, "\r\nX-Empty:\r\n"));
    assert_null(strstr(c.body, "Accept"));
    assert_null(strstr(c.body, "Expect"));
    assert_null(strstr(c.body, "Content-Length"));
    assert_non_null(strstr(c.body, "User-Agent: awsfs/"));
    assert_string_equal(c.x_test, "yes");
    assert_int_equal(c.received, c.body_len);
    call_release(&c);
}

static void every_method_has_its_name_and_put_and_post_a_length(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum http_method m;
        const char *start, *length;
    } cases[] = {{HTTP_PUT, "PUT /e HTTP/1.1", "\r\nContent-Length: 0\r\n"},
                 {HTTP_POST, "POST /e HTTP/1.1", "\r\nContent-Length: 0\r\n"},
                 {HTTP_DELETE, "DELETE /e HTTP/1.1", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct call c = {0};
        call_run(&c, f->h, server_url(f->s), "/e", (struct http_request){.method = cases[i].m});
        assert_int_equal(c.code, ERR_OK);
        assert_memory_equal(c.body, cases[i].start, strlen(cases[i].start));
        if (cases[i].length)
            assert_non_null(strstr(c.body, cases[i].length));
        else
            assert_null(strstr(c.body, "Content-Length"));
        assert_null(strstr(c.body, "Content-Type"));
        assert_null(strstr(c.body, "Transfer-Encoding"));
        call_release(&c);
    }
}

static void head_has_headers_and_no_body(void **state)
{
    struct fixture *f = *state;
    struct call c = {0};
    call_run(&c, f->h, server_url(f->s), "/head", (struct http_request){.method = HTTP_HEAD});
    assert_int_equal(c.code, ERR_OK);
    assert_int_equal(c.body_len, 0);
    assert_string_equal(c.x_test, "head");
    call_release(&c);
}

struct receiver {
    size_t len;
    bool matches;
};

static struct receiver got;

static bool check(void *arg, const struct http_transfer *t, int status, const void *p, size_t len)
{
    (void)arg, (void)t;
    got.matches &= status == 200;
    for (size_t i = 0; i < len; i++)
        got.matches &= ((const char *)p)[i] == (char)((got.len + i) % 251);
    got.len += len;
    return true;
}

static void a_body_goes_to_the_receiver_in_order(void **state)
{
    struct fixture *f = *state;
    struct call c = {0};
    got = (struct receiver){.matches = true};
    call_run(&c, f->h, server_url(f->s), "/big", (struct http_request){.data = check});
    assert_int_equal(c.code, ERR_OK);
    assert_int_equal(got.len, BIG);
    assert_true(got.matches);
    assert_int_equal(c.body_len, 0);
    assert_int_equal(c.received, BIG);
    call_release(&c);
}

static void the_body_of_an_error_is_collected_also_where_there_is_a_receiver(void **state)
{
    struct fixture *f = *state;
    static const int statuses[] = {301, 403, 404, 412, 500, 503};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        struct call c = {0};
        char path[32];
        got = (struct receiver){.matches = true};
        snprintf(path, sizeof(path), "/status/%d", statuses[i]);
        call_run(&c, f->h, server_url(f->s), path, (struct http_request){.data = check});
        assert_int_equal(c.code, ERR_OK);
        assert_int_equal(c.status, statuses[i]);
        assert_string_equal(c.body, "error text");
        assert_int_equal(got.len, 0);
        call_release(&c);
    }
}

static void a_chunked_reply_is_put_together(void **state)
{
    struct fixture *f = *state;
    struct call c = {0};
    call_run(&c, f->h, server_url(f->s), "/chunked", (struct http_request){0});
    assert_int_equal(c.code, ERR_OK);
    assert_string_equal(c.body, "abcd0123456789abcdef");
    assert_string_equal(c.x_test, "");
    call_release(&c);
}

static void connections_are_reused_and_counted(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++) {
        struct call c = {0};
        call_run(&c, f->h, server_url(f->s), "/x", (struct http_request){.method = i % 2 ? HTTP_PUT : HTTP_GET});
        assert_int_equal(c.code, ERR_OK);
        call_release(&c);
    }
    struct http_counters n;
    http_engine_counters(f->h, &n);
    assert_int_equal(server_connections(f->s), 1);
    assert_int_equal(n.connections, 1);
    assert_int_equal(n.started, 20);
    assert_int_equal(n.ended_ok, 20);
    assert_int_equal(n.running + n.queued, 0);
}

static void no_more_than_max_parallel_run_at_once_and_all_are_served(void **state)
{
    struct fixture *f = *state;
    struct call c[12] = {0};
    for (int i = 0; i < 12; i++)
        call_start(&c[i], f->h, server_url(f->s), "/slow", (struct http_request){0});
    test_sleep_ms(30);
    struct http_counters n;
    http_engine_counters(f->h, &n);
    assert_int_equal(n.running, 3);
    assert_int_equal(n.queued, 9);
    for (int i = 0; i < 12; i++) {
        call_wait(&c[i]);
        assert_int_equal(c[i].code, ERR_OK);
        call_release(&c[i]);
    }
    assert_int_equal(server_peak(f->s), 3);
    assert_int_equal(server_connections(f->s), 3);
}

static void the_urgent_go_before_others_that_wait(void **state)
{
    struct fixture *f = *state;
    struct call c[9] = {0}, urgent = {0};
    for (int i = 0; i < 9; i++)
        call_start(&c[i], f->h, server_url(f->s), "/slow", (struct http_request){0});
    call_start(&urgent, f->h, server_url(f->s), "/slow", (struct http_request){.urgent = true});
    call_wait(&urgent);
    assert_in_range(atoi(urgent.body), 1, 6); /* three were under way, three came next */
    for (int i = 0; i < 9; i++) {
        call_wait(&c[i]);
        call_release(&c[i]);
    }
    call_release(&urgent);
}

static void however_many_transfers_hang_a_short_request_finds_a_place(void **state)
{
    struct fixture *f = *state;
    enum { N = 16, HUNG = 30 };
    struct http_engine *h = test_engine((struct http_config){.max_parallel = N, .first_byte_ms = 60000});
    struct call hung[2 * HUNG] = {0}, c = {0};
    struct http_counters n;
    for (int i = 0; i < 2 * HUNG; i++)
        call_start(
            &hung[i], h, server_url(f->s), "/hang",
            (struct http_request){.data = check, .urgent = true, .share = i < HUNG ? HTTP_DOWNLOAD : HTTP_UPLOAD});
    test_sleep_ms(200);
    http_engine_counters(h, &n);
    assert_int_equal(n.running, N * 3 / 4 + N * 3 / 16);
    call_run(&c, h, server_url(f->s), "/x", (struct http_request){0});
    assert_int_equal(c.status, 200);
    call_release(&c);
    for (int i = 0; i < 2 * HUNG; i++) {
        http_cancel(hung[i].t);
        call_wait(&hung[i]);
        call_release(&hung[i]);
    }
    http_engine_counters(h, &n);
    assert_int_equal(n.running + n.queued, 0);
    http_engine_free(h);
}

static void the_slow_are_under_way_beside_the_others(void **state)
{
    struct fixture *f = *state;
    enum { N = 4, HUNG = 10 };
    struct http_engine *h = test_engine((struct http_config){.max_parallel = N, .first_byte_ms = 60000});
    struct call hung[HUNG] = {0}, c[N] = {0};
    struct http_counters n;
    for (int i = 0; i < HUNG; i++)
        call_start(&hung[i], h, server_url(f->s), "/hang", (struct http_request){.urgent = true, .share = HTTP_SLOW});
    for (int i = 0; i < N; i++)
        call_start(&c[i], h, server_url(f->s), i < N - 1 ? "/hang" : "/x", (struct http_request){0});
    call_wait(&c[N - 1]);
    assert_int_equal(c[N - 1].status, 200);
    http_engine_counters(h, &n);
    assert_int_equal(n.running, N / 2 + N - 1);
    assert_int_equal(n.queued, HUNG - N / 2);
    for (int i = 0; i < HUNG; i++) {
        http_cancel(hung[i].t);
        call_wait(&hung[i]);
        call_release(&hung[i]);
    }
    for (int i = 0; i < N; i++) {
        http_cancel(c[i].t);
        call_wait(&c[i]);
        call_release(&c[i]);
    }
    http_engine_free(h);
}

static void shares_are_at_least_one_and_serve_all(void **state)
{
    struct fixture *f = *state;
    for (unsigned parallel = 1; parallel <= 3; parallel++) {
        struct http_engine *h = test_engine((struct http_config){.max_parallel = parallel});
        struct call c[9] = {0};
        for (int i = 0; i < 9; i++)
            call_start(&c[i], h, server_url(f->s), "/slow",
                       (struct http_request){.share = (enum http_share)(i % HTTP_SHARES), .urgent = i % 2});
        for (int i = 0; i < 9; i++) {
            call_wait(&c[i]);
            assert_int_equal(c[i].status, 200);
            call_release(&c[i]);
        }
        http_engine_free(h);
    }
}

static void what_cannot_be_sent_is_refused_at_once(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"no colon", ": x",     "A: b\r\nC: d", "A: b\n",
                                      "A: \x01",  "A: \x7f", "A b: c",       "A:\tx"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *headers[] = {"Fine: yes", bad[i], NULL};
        struct err e = ERR_INIT;
        struct http_request r = {.url = server_url(f->s), .headers = headers};
        assert_null(http_start(f->h, &r, &e));
        assert_int_equal(e.code, ERR_INVAL);
    }
    struct pattern p;
    pattern_init(&p, 10);
    struct err e = ERR_INIT;
    assert_null(http_start(f->h, &(struct http_request){.url = server_url(f->s), .body = &p.body}, &e));
    assert_int_equal(e.code, ERR_INVAL);
    assert_null(http_start(f->h, &(struct http_request){.url = "gopher://x/"}, &e));
    assert_int_equal(e.code, ERR_INVAL);
    assert_int_equal(server_requests(f->s), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_goes_out_as_it_was_given, setup, teardown),
        cmocka_unit_test_setup_teardown(every_method_has_its_name_and_put_and_post_a_length, setup, teardown),
        cmocka_unit_test_setup_teardown(head_has_headers_and_no_body, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_goes_to_the_receiver_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(the_body_of_an_error_is_collected_also_where_there_is_a_receiver, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_chunked_reply_is_put_together, setup, teardown),
        cmocka_unit_test_setup_teardown(connections_are_reused_and_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(no_more_than_max_parallel_run_at_once_and_all_are_served, setup, teardown),
        cmocka_unit_test_setup_teardown(the_urgent_go_before_others_that_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(however_many_transfers_hang_a_short_request_finds_a_place, setup, teardown),
        cmocka_unit_test_setup_teardown(the_slow_are_under_way_beside_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(shares_are_at_least_one_and_serve_all, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_sent_is_refused_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
