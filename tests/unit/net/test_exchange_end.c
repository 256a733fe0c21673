/* Exchanges that others end: a cancel, the end of the engine; and waiting for the end. */
#include "trial.h"

#include "util/cancel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_cancel_ends_it_at_once_in_every_state(void **state)
{
    static const int steps[] = {HANG, TRICKLE, 500, 200};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        trial_begin((struct script){{steps[i]}, "Retry-After: 30\r\n"}, (struct http_config){0});
        struct cancel *cancel = cancel_new();
        struct trial t = {.not_yet = steps[i] == 200 ? 10000 : 0}, before = {0};
        trial_start(&t, &collecting, (struct exchange_limits){0}, cancel);
        test_sleep_ms(100);
        uint64_t start = test_now_ms();
        cancel_fire(cancel);
        trial_wait(&t);
        assert_in_range(test_now_ms() - start, 0, 5000); /* not 30 s */
        assert_int_equal(t.code, ERR_CANCELED);
        trial_start(&before, &collecting, (struct exchange_limits){0}, cancel);
        trial_wait(&before);
        assert_int_equal(before.code, ERR_CANCELED);
        assert_int_equal(before.attempts, 0);
        cancel_unref(cancel);
        trial_finish();
        assert_int_equal(t.ended, 1);
        assert_int_equal(before.ended, 1);
    }
}

static void the_end_of_the_engine_ends_every_exchange_once(void **state)
{
    static const int steps[] = {HANG, TRICKLE, 500, 200};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        trial_begin((struct script){{steps[i]}, "Retry-After: 30\r\n"}, (struct http_config){.max_parallel = 2});
        struct trial t[5] = {0};
        for (int j = 0; j < 5; j++) {
            t[j].not_yet = steps[i] == 200 ? 10000 : 0;
            trial_start(&t[j], &streaming, (struct exchange_limits){0}, NULL);
        }
        test_sleep_ms(50);
        trial_finish();
        for (int j = 0; j < 5; j++) {
            assert_int_equal(t[j].ended, 1);
            assert_int_equal(t[j].code, ERR_CANCELED);
        }
    }
}

struct racer {
    pthread_t thread;
    unsigned bad;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    for (int i = 0; i < 20; i++) {
        struct cancel *cancel = cancel_new();
        struct trial t = {0};
        trial_start(&t, &streaming, (struct exchange_limits){0}, cancel);
        if (i % 2)
            test_sleep_ms((unsigned)i % 5);
        cancel_fire(cancel);
        trial_wait(&t);
        r->bad += t.ended != 1 || (t.code != ERR_OK && t.code != ERR_CANCELED);
        cancel_unref(cancel);
    }
    return NULL;
}

static void cancels_from_many_threads_race_with_ends(void **state)
{
    trial_begin((struct script){{200}, NULL}, (struct http_config){0});
    struct racer r[4] = {0};
    for (int i = 0; i < 4; i++)
        pthread_create(&r[i].thread, NULL, race, &r[i]);
    for (int i = 0; i < 4; i++) {
        pthread_join(r[i].thread, NULL);
        assert_int_equal(r[i].bad, 0);
    }
    trial_finish();
}

static void running_it_waits_for_the_end_and_tells_why(void **state)
{
    trial_begin((struct script){{200, 404}, NULL}, (struct http_config){0});
    struct trial t = {0};
    struct err e = ERR_INIT;
    trial_init(&t);
    const struct exchange_limits limits = {0};
    assert_int_equal(exchange_run(engine, NULL, &collecting, &t, &limits, NULL, &e), ERR_OK);
    assert_int_equal(t.ended, 1);
    assert_int_equal(exchange_run(engine, budget, &collecting, &t, &limits, NULL, &e), ERR_NOT_FOUND);
    assert_string_equal(e.msg, "NoSuchKey");
    assert_int_equal(exchange_run(engine, budget, &collecting, &t, &limits, NULL, NULL), ERR_NOT_FOUND);
    trial_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cancel_ends_it_at_once_in_every_state),
        cmocka_unit_test(the_end_of_the_engine_ends_every_exchange_once),
        cmocka_unit_test(cancels_from_many_threads_race_with_ends),
        cmocka_unit_test(running_it_waits_for_the_end_and_tells_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
