/* Cancel in each state, and that done comes exactly once, whatever ends a transfer. */
#include "client.h"
#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

static bool answer(struct server_conn *c, const struct server_request *r, void *arg)
{
    if (strcmp(r->target, "/hang") == 0) {
        server_hang(c);
        return false;
    }
    if (strcmp(r->target, "/endless") == 0) {
        char fill[4096] = {0};
        server_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
        while (server_sleep(c, 5))
            server_send_bytes(c, fill, sizeof(fill));
        return false;
    }
    server_reply(c, 200, "fine");
    return true;
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

static atomic_bool swallowed;

static bool swallow(void *arg, const struct http_transfer *t, int status, const void *p, size_t len)
{
    atomic_store(&swallowed, true);
    return true;
}

static void a_transfer_is_canceled_while_it_waits_hangs_or_receives(void **state)
{
    CLEANUP(http_engine_free) struct http_engine *h = test_engine((struct http_config){.max_parallel = 2});
    struct call hanging = {0}, receiving = {0}, queued = {0}, at_once = {0};
    unsigned before = server_requests(server);
    call_start(&hanging, h, server_url(server), "/hang", (struct http_request){0});
    call_start(&receiving, h, server_url(server), "/endless", (struct http_request){.data = swallow});
    call_start(&queued, h, server_url(server), "/fine", (struct http_request){0});
    while (server_requests(server) < before + 2 || !atomic_load(&swallowed))
        test_sleep_ms(5);
    call_start(&at_once, h, server_url(server), "/fine", (struct http_request){0});
    http_cancel(at_once.t);
    http_cancel(queued.t);
    call_wait(&queued);
    call_wait(&at_once);
    assert_int_equal(queued.code, ERR_CANCELED);
    assert_int_equal(at_once.code, ERR_CANCELED);
    assert_false(queued.sent);
    http_cancel(hanging.t);
    http_cancel(receiving.t);
    http_cancel(receiving.t);
    call_wait(&hanging);
    call_wait(&receiving);
    assert_int_equal(hanging.code, ERR_CANCELED);
    assert_true(hanging.sent);
    assert_int_equal(receiving.code, ERR_CANCELED);
    assert_int_equal(receiving.status, 200);
    assert_true(receiving.received > 0);

    struct call after = {0};
    call_run(&after, h, server_url(server), "/fine", (struct http_request){0});
    assert_int_equal(after.code, ERR_OK);
    struct call *all[] = {&hanging, &receiving, &queued, &at_once, &after};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        assert_int_equal(all[i]->ended, 1);
        call_release(all[i]);
    }
}

static void a_cancel_after_the_end_does_nothing(void **state)
{
    struct http_engine *h = test_engine((struct http_config){0});
    struct call c = {0};
    call_run(&c, h, server_url(server), "/fine", (struct http_request){0});
    http_cancel(c.t);
    test_sleep_ms(20);
    http_engine_free(h);
    http_cancel(c.t);
    assert_int_equal(c.ended, 1);
    assert_int_equal(c.code, ERR_OK);
    call_release(&c);
}

struct later {
    struct http_engine *h;
    unsigned ran;
    enum err_code start, after;
};

static void late(void *arg)
{
    struct later *l = arg;
    struct err e = ERR_INIT;
    struct http_request r = {.url = server_url(server)};
    l->ran++;
    if (l->h) {
        assert_null(http_start(l->h, &r, &e));
        l->start = e.code;
        l->after = http_engine_after(l->h, 0, late, l, &e);
    }
}

static void the_end_of_the_engine_ends_everything_once(void **state)
{
    struct http_engine *h = test_engine((struct http_config){.max_parallel = 4});
    struct call c[10] = {0};
    for (int i = 0; i < 10; i++)
        call_start(&c[i], h, server_url(server), i % 2 ? "/hang" : "/endless", (struct http_request){.data = swallow});
    struct later l = {.h = h};
    assert_int_equal(http_engine_after(h, 3600 * 1000, late, &l, NULL), ERR_OK);
    test_sleep_ms(60);
    http_engine_free(h);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(c[i].ended, 1);
        assert_int_equal(c[i].code, ERR_CANCELED);
        call_release(&c[i]);
    }
    assert_int_equal(l.ran, 1);
    assert_int_equal(l.start, ERR_CANCELED);
    assert_int_equal(l.after, ERR_CANCELED);
}

static void a_function_runs_after_its_delay(void **state)
{
    CLEANUP(http_engine_free) struct http_engine *h = test_engine((struct http_config){0});
    struct later l[3] = {0};
    assert_int_equal(http_engine_after(h, 3600 * 1000, late, &l[0], NULL), ERR_OK);
    assert_int_equal(http_engine_after(h, 50, late, &l[1], NULL), ERR_OK);
    struct call c = {0};
    call_run(&c, h, server_url(server), "/fine", (struct http_request){0});
    call_release(&c);
    test_sleep_ms(150);
    http_engine_free(TAKE(h));
    assert_int_equal(l[0].ran, 1);
    assert_int_equal(l[1].ran, 1);
}

struct racer {
    struct http_engine *h;
    pthread_t thread;
    unsigned bad;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    for (int i = 0; i < 25; i++) {
        struct call c = {0};
        call_start(&c, r->h, server_url(server), i % 3 ? "/fine" : "/hang", (struct http_request){0});
        if (i % 3 != 1)
            http_cancel(c.t);
        call_wait(&c);
        r->bad += c.ended != 1 || (i % 3 == 0 ? c.code != ERR_CANCELED : c.code != ERR_OK && c.code != ERR_CANCELED);
        call_release(&c);
    }
    return NULL;
}

static void many_threads_start_and_cancel_at_once(void **state)
{
    struct http_engine *h = test_engine((struct http_config){.max_parallel = 8});
    struct racer r[4] = {0};
    for (int i = 0; i < 4; i++) {
        r[i].h = h;
        pthread_create(&r[i].thread, NULL, race, &r[i]);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(r[i].thread, NULL);
        assert_int_equal(r[i].bad, 0);
    }
    struct http_counters n;
    http_engine_counters(h, &n);
    assert_int_equal(n.started, 100);
    assert_int_equal(n.ended_ok + n.failed, 100);
    http_engine_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_transfer_is_canceled_while_it_waits_hangs_or_receives, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancel_after_the_end_does_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_of_the_engine_ends_everything_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_function_runs_after_its_delay, setup, teardown),
        cmocka_unit_test_setup_teardown(many_threads_start_and_cancel_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
