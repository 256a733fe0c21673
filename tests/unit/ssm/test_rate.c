#include "backends/ssm/pace.h"
#include "backends/ssm/rate.h"
#include "util/cancel.h"
#include "util/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

static void a_burst_goes_at_once_and_the_rest_at_the_pace(void **state)
{
    struct rate r;
    rate_init(&r, 10, 40, 1000);
    for (int i = 0; i < 40; i++)
        assert_int_equal(rate_take(&r, 1000), 0);
    for (int i = 1; i <= 20; i++)
        assert_int_equal(rate_take(&r, 1000), 100 * i);
}

static void tokens_come_back_with_time_and_not_above_the_burst(void **state)
{
    struct rate r;
    rate_init(&r, 10, 5, 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(rate_take(&r, 0), 0);
    assert_int_equal(rate_take(&r, 100), 0);
    assert_int_equal(rate_take(&r, 100), 100);
    for (int i = 0; i < 5; i++)
        assert_int_equal(rate_take(&r, 1000000), 0);
    assert_true(rate_take(&r, 1000000) > 0);
}

static void a_clock_that_stands_still_gives_nothing(void **state)
{
    struct rate r;
    rate_init(&r, 1, 1, 5000);
    assert_int_equal(rate_take(&r, 5000), 0);
    assert_int_equal(rate_take(&r, 4000), 1000);
    assert_int_equal(rate_take(&r, 5000), 2000);
}

static void who_is_not_waited_for_leaves_half_a_burst(void **state)
{
    struct rate r;
    rate_init(&r, 10, 40, 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(rate_take_spare(&r, 0), 0);
    assert_true(rate_take_spare(&r, 0) >= 100);
    for (int i = 0; i < 20; i++)
        assert_int_equal(rate_take(&r, 0), 0);
    assert_true(rate_take_spare(&r, 0) >= 2000);
    assert_true(rate_take_spare(&r, 2000) > 0);
    assert_int_equal(rate_take_spare(&r, 2200), 0);
    rate_throttled(&r, 2300);
    assert_true(rate_take_spare(&r, 2400) >= 3000);
}

static void a_token_given_back_can_be_taken_again(void **state)
{
    struct rate r;
    rate_init(&r, 10, 1, 0);
    assert_int_equal(rate_take(&r, 0), 0);
    assert_int_equal(rate_take(&r, 0), 100);
    rate_give_back(&r, 0);
    rate_give_back(&r, 0);
    assert_int_equal(rate_take(&r, 0), 0);
    rate_give_back(&r, 0);
    rate_give_back(&r, 0);
    assert_true(r.tokens <= r.burst);
}

static void throttling_halves_the_pace_once_a_second(void **state)
{
    struct rate r;
    rate_init(&r, 8, 40, 10000);
    rate_throttled(&r, 10000);
    assert_true(r.pace == 4.0);
    assert_true(r.tokens <= 0.0);
    rate_throttled(&r, 10500);
    assert_true(r.pace > 4.0 && r.pace < 4.5);
    rate_throttled(&r, 11000);
    assert_true(r.pace < 2.5);
}

static void the_pace_never_ends_and_recovers_slowly(void **state)
{
    struct rate r;
    rate_init(&r, 10, 40, 0);
    for (uint64_t t = 1; t < 100; t++)
        rate_throttled(&r, t * 1000);
    assert_true(r.pace >= 0.3 && r.pace < 1.5);
    uint64_t now = 99000;
    (void)rate_take(&r, now + 10000);
    assert_true(r.pace > 2.0 && r.pace < 6.0);
    (void)rate_take(&r, now + 60000);
    assert_true(r.pace == 10.0);
}

static void a_pace_below_one_a_second_can_be_throttled(void **state)
{
    struct rate r;
    rate_init(&r, 1, 1, 1);
    for (uint64_t t = 1; t < 20; t++)
        rate_throttled(&r, t * 2000);
    assert_true(r.pace > 0.0 && r.pace <= 1.0);
    assert_true(rate_take(&r, 40000) < 10000);
}

static void a_turn_after_the_deadline_is_refused_at_once(void **state)
{
    struct pace *p = pace_new(1, 1, NULL);
    uint64_t start = clock_mono_ms();
    assert_int_equal(pace_wait(p, start + 100, NULL, NULL), ERR_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pace_wait(p, start + 100, NULL, NULL), ERR_THROTTLED);
    assert_true(clock_mono_ms() - start < 20000);
    /* What was refused took no turn away. */
    assert_int_equal(pace_wait(p, start + 1200, NULL, NULL), ERR_OK);
    pace_free(p);
}

static void *fire_soon(void *arg)
{
    usleep(50000);
    cancel_fire(arg);
    return NULL;
}

static void a_wait_ends_when_it_is_canceled(void **state)
{
    struct pace *p = pace_new(1, 1, NULL);
    struct cancel *c = cancel_new();
    assert_int_equal(pace_wait(p, UINT64_MAX, c, NULL), ERR_OK);
    for (int i = 0; i < 20; i++)
        pace_charge(p);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fire_soon, c), 0);
    uint64_t start = clock_mono_ms();
    assert_int_equal(pace_wait(p, UINT64_MAX, c, NULL), ERR_CANCELED);
    assert_true(clock_mono_ms() - start < 20000);
    pthread_join(thread, NULL);
    assert_int_equal(pace_wait(p, UINT64_MAX, c, NULL), ERR_CANCELED);
    cancel_unref(c);
    pace_free(p);
}

static void *take_turns(void *arg)
{
    for (int i = 0; i < 10; i++)
        assert_int_equal(pace_wait(arg, UINT64_MAX, NULL, NULL), ERR_OK);
    return NULL;
}

static void threads_share_one_pace(void **state)
{
    struct pace *p = pace_new(100, 1, NULL);
    pthread_t threads[4];
    uint64_t start = clock_mono_ms();
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_turns, p), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_true(clock_mono_ms() - start >= 380);
    pace_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_goes_at_once_and_the_rest_at_the_pace),
        cmocka_unit_test(tokens_come_back_with_time_and_not_above_the_burst),
        cmocka_unit_test(a_clock_that_stands_still_gives_nothing),
        cmocka_unit_test(who_is_not_waited_for_leaves_half_a_burst),
        cmocka_unit_test(a_token_given_back_can_be_taken_again),
        cmocka_unit_test(throttling_halves_the_pace_once_a_second),
        cmocka_unit_test(the_pace_never_ends_and_recovers_slowly),
        cmocka_unit_test(a_pace_below_one_a_second_can_be_throttled),
        cmocka_unit_test(a_turn_after_the_deadline_is_refused_at_once),
        cmocka_unit_test(a_wait_ends_when_it_is_canceled),
        cmocka_unit_test(threads_share_one_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
