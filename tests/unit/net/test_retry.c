#include "net/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void the_delay_is_random_below_a_bound_that_doubles_up_to_20_seconds(void **state)
{
    static const struct {
        unsigned attempt, most;
    } cases[] = {{2, 1000},  {3, 2000},  {4, 4000},     {5, 8000}, {6, 16000},
                 {7, 20000}, {8, 20000}, {5000, 20000}, {0, 1000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unsigned attempt = cases[i].attempt, most = cases[i].most;
        assert_int_equal(retry_delay_ms(attempt, 0), 0);
        assert_in_range(retry_delay_ms(attempt, UINT32_MAX), most - 1, most);
        assert_in_range(retry_delay_ms(attempt, UINT32_MAX / 2), most / 2 - 1, most / 2);
    }
}

/* A service that gives 40 answers at once and then 40 a second, as Parameter Store does, and clients that each need one answer and all
 * ask at the same moment. Returns how many were refused until all had theirs. */
static unsigned refused_of(unsigned clients, bool jitter)
{
    struct {
        unsigned at_ms, attempt;
        bool done;
    } c[200] = {0};
    unsigned refused = 0, left = clients, random = 1;
    double tokens = 40;
    for (unsigned now = 0; left > 0; now++) {
        assert_true(now < 600000);
        tokens = tokens + 0.04 < 40 ? tokens + 0.04 : 40;
        for (unsigned i = 0; i < clients; i++) {
            if (c[i].done || c[i].at_ms > now)
                continue;
            c[i].attempt++;
            if ((c[i].done = tokens >= 1)) {
                tokens--;
                left--;
                continue;
            }
            refused++;
            random = random * 1664525u + 1013904223u;
            c[i].at_ms = now + 1 + retry_delay_ms(c[i].attempt + 1, jitter ? random : UINT32_MAX / 2);
        }
    }
    return refused;
}

static void those_who_are_refused_together_come_back_apart(void **state)
{
    assert_in_range(refused_of(50, true), 10, 15);
    assert_in_range(refused_of(200, true), 160, 450);
    assert_true(refused_of(200, false) > refused_of(200, true) * 5 / 4);
}

static void fifty_delays_are_spread_over_all_the_time_there_is(void **state)
{
    unsigned slices[10] = {0};
    uint32_t random = 1;
    for (int i = 0; i < 50; i++) {
        random = random * 1664525u + 1013904223u;
        slices[retry_delay_ms(2, random) / 100]++;
    }
    for (size_t k = 0; k < ARRAY_LEN(slices); k++)
        assert_in_range(slices[k], 1, 12);
}

static void tokens_are_spent_by_retries_and_come_back_by_success(void **state)
{
    CLEANUP(retry_budget_free) struct retry_budget *b = retry_budget_new();
    assert_int_equal(retry_tokens(b), 500);
    assert_int_equal(retry_take(b, false), 5);
    assert_int_equal(retry_take(b, true), 10);
    assert_int_equal(retry_tokens(b), 485);
    retry_succeeded(b, 10, 1);
    assert_int_equal(retry_tokens(b), 495);
    retry_succeeded(b, 0, 1);
    assert_int_equal(retry_tokens(b), 496);
    for (int i = 0; i < 10; i++)
        retry_succeeded(b, 0, 1);
    assert_int_equal(retry_tokens(b), 500);
    for (int i = 0; i < 100; i++)
        assert_int_equal(retry_take(b, false), 5);
    assert_int_equal(retry_take(b, false), 0);
    assert_int_equal(retry_take(b, true), 0);
    assert_int_equal(retry_tokens(b), 0);
}

static void no_budget_is_one_without_limits(void **state)
{
    for (int i = 0; i < 1000; i++)
        assert_int_equal(retry_take(NULL, true), 10);
    retry_succeeded(NULL, 10, 1);
    retry_throttled(NULL, 1);
    assert_int_equal(retry_pace_ms(NULL, 1), 0);
}

/* 100 attempts a second for two seconds. */
static uint64_t run_at_100(struct retry_budget *b, uint64_t now)
{
    for (int i = 0; i < 200; i++, now += 10)
        assert_int_equal(retry_pace_ms(b, now), 0);
    return now;
}

static void a_throttle_slows_everybody_to_seven_tenths_and_the_rate_grows_back(void **state)
{
    CLEANUP(retry_budget_free) struct retry_budget *b = retry_budget_new();
    uint64_t now = run_at_100(b, 1000);
    retry_throttled(b, now);
    retry_throttled(b, now + 1); /* of the same burst */
    unsigned waits[71];
    for (int i = 0; i < 71; i++)
        waits[i] = retry_pace_ms(b, now);
    assert_int_equal(waits[0], 0);
    assert_in_range(waits[70], 950, 1050);
    now += 10000;
    retry_succeeded(b, 0, now);
    assert_int_equal(retry_pace_ms(b, now), 0);
    assert_in_range(retry_pace_ms(b, now), 0, 9);
    now += 40000;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(retry_pace_ms(b, now), 0);
}

static void the_pace_never_makes_anybody_wait_for_more_than_20_seconds(void **state)
{
    CLEANUP(retry_budget_free) struct retry_budget *b = retry_budget_new();
    assert_int_equal(retry_pace_ms(b, 1000), 0);
    retry_throttled(b, 1001);
    unsigned wait = 0;
    for (int i = 0; i < 1000; i++)
        wait = retry_pace_ms(b, 1001);
    assert_int_equal(wait, 20000);
}

static void the_servers_hint_is_honoured_and_bounded(void **state)
{
    static const struct {
        const char *retry_after, *amz, *date;
        unsigned own, want;
    } cases[] = {
        {NULL, NULL, NULL, 123, 123},
        {"3", NULL, NULL, 123, 3000},
        {"0", NULL, NULL, 123, 123},
        {"99999999999999999999", NULL, NULL, 123, 123},
        {"1000000000", NULL, NULL, 0, 86400000},
        {"-1", NULL, NULL, 5, 5},
        {"soon", NULL, NULL, 5, 5},
        {"Sat, 21 Nov 2026 14:47:59 GMT", NULL, "Sat, 21 Nov 2026 14:47:49 GMT", 5, 10000},
        {"Sat, 21 Nov 2026 14:47:59 GMT", NULL, "Sat, 21 Nov 2026 15:00:00 GMT", 5, 5},
        {"Sat, 21 Nov 2026 14:47:59 GMT", NULL, NULL, 5, 9000},
        {"Sat, 21 Nov 2026 14:47:59 GMT", NULL, "nonsense", 5, 9000},
        {NULL, "1500", NULL, 1000, 1500},
        {NULL, "500", NULL, 1000, 1000},
        {NULL, "999999", NULL, 1000, 6000},
        {NULL, "18446744073709551615", NULL, 1000, 6000},
        {NULL, "x", NULL, 1000, 1000},
    };
    struct timespec now = {.tv_sec = 1795272470}; /* 2026-11-21 14:47:50 */
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(retry_hint_ms(cases[i].own, cases[i].retry_after, cases[i].amz, cases[i].date, now.tv_sec),
                         cases[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_delay_is_random_below_a_bound_that_doubles_up_to_20_seconds),
        cmocka_unit_test(those_who_are_refused_together_come_back_apart),
        cmocka_unit_test(fifty_delays_are_spread_over_all_the_time_there_is),
        cmocka_unit_test(tokens_are_spent_by_retries_and_come_back_by_success),
        cmocka_unit_test(no_budget_is_one_without_limits),
        cmocka_unit_test(a_throttle_slows_everybody_to_seven_tenths_and_the_rate_grows_back),
        cmocka_unit_test(the_pace_never_makes_anybody_wait_for_more_than_20_seconds),
        cmocka_unit_test(the_servers_hint_is_honoured_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
