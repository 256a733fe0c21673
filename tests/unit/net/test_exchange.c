/* What is tried again, when, how often, and with which error it ends. */
#include "trial.h"

#include "net/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void what_is_transient_is_tried_until_it_works_and_tokens_come_back(void **state)
{
    trial_begin((struct script){{500, CLOSE, 200}, NULL}, (struct http_config){0});
    struct trial t = {.method = HTTP_PUT};
    trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 10000});
    assert_int_equal(t.code, ERR_OK);
    assert_int_equal(t.attempts, 3);
    assert_int_equal(t.judged, 3);
    assert_int_equal(retry_tokens(budget), 495); /* two retries, the last one refunded */
    trial_finish();
}

static void an_answer_is_not_tried_again(void **state)
{
    static const struct {
        int status;
        enum err_code code;
    } cases[] = {{200, ERR_OK}, {404, ERR_NOT_FOUND}, {412, ERR_CONFLICT}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        trial_begin((struct script){{cases[i].status}, NULL}, (struct http_config){0});
        struct trial t = {0};
        trial_run(&t, &collecting, (struct exchange_limits){0});
        assert_int_equal(t.code, cases[i].code);
        assert_int_equal(t.attempts, 1);
        assert_int_equal(t.unanswered, 0);
        assert_int_equal(retry_tokens(budget), 500);
        trial_finish();
    }
}

static void at_the_deadline_the_error_is_of_the_last_failures_kind(void **state)
{
    static const struct {
        int step;
        enum err_code code;
        unsigned first_byte_ms;
    } cases[] = {{500, ERR_IO, 2000}, {503, ERR_THROTTLED, 2000}, {HANG, ERR_TIMEOUT, 100}, {CLOSE, ERR_NET, 2000}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        trial_begin((struct script){{cases[i].step}, NULL}, (struct http_config){.first_byte_ms = cases[i].first_byte_ms});
        struct trial t = {0};
        uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 2500});
        if (t.code != cases[i].code)
            fail_msg("step %d: %s: %s", cases[i].step, err_name(t.code), t.msg);
        assert_true(t.attempts >= 2);
        assert_int_equal(t.attempts, server_requests(server));
        assert_in_range(took, 100, 10000);
        assert_int_equal(t.ended, 1);
        trial_finish();
    }
}

static void a_server_that_takes_each_body_and_fails_is_given_up_too(void **state)
{
    trial_begin((struct script){{500}, NULL}, (struct http_config){0});
    struct pattern p;
    pattern_init(&p, 300000);
    struct trial t = {.method = HTTP_PUT, .body = &p.body};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 3000});
    assert_int_equal(t.code, ERR_IO);
    assert_in_range(took, 100, 6000);
    assert_int_equal(p.from_start, t.attempts);
    assert_int_equal(t.unanswered, t.attempts);
    trial_finish();
}

static void an_attempt_under_way_ends_at_the_deadline(void **state)
{
    trial_begin((struct script){{HANG}, NULL}, (struct http_config){0});
    struct trial t = {0};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 300});
    assert_int_equal(t.code, ERR_TIMEOUT);
    assert_int_equal(t.attempts, 1);
    assert_int_equal(t.unanswered, 1);
    assert_int_equal(t.judged, 0);
    assert_in_range(took, 295, 1000);
    trial_finish();
}

static void patience_is_for_the_attempt_under_way_not_for_trying_again(void **state)
{
    static const struct {
        struct script script;
        enum err_code code;
        unsigned least_ms, most_ms;
    } cases[] = {
        {{{500}, NULL}, ERR_IO, 200, 1500},             /* answers at once: given up by the time-out */
        {{{SLOW, SLOW}, NULL}, ERR_OK, 900, 2500},      /* one that is silent for 1 s is waited for */
        {{{CLOSE}, NULL}, ERR_NET, 200, 1500},          /* no answer at all */
        {{{500, SLOW}, NULL}, ERR_OK, 900, 3000},       /* silent the second time */
        {{{HANG}, NULL}, ERR_TIMEOUT, 3000, 4500},      /* not longer than the patience */
        {{{500, HANG}, NULL}, ERR_TIMEOUT, 3000, 4500}, /* in all */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        trial_begin(cases[i].script, (struct http_config){0});
        struct trial t = {.first_byte_ms = 4000};
        uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 600, .patience_ms = 3000});
        if (t.code != cases[i].code || took < cases[i].least_ms || took > cases[i].most_ms)
            fail_msg("%zu: %s after %u ms: %s", i, err_name(t.code), (unsigned)took, t.msg);
        trial_finish();
    }
}

static void bytes_that_move_keep_it_alive(void **state)
{
    const struct exchange_ops *ops[] = {&streaming, &collecting};
    for (int i = 0; i < 2; i++) {
        trial_begin((struct script){{TRICKLE}, NULL}, (struct http_config){0});
        struct trial t = {0};
        uint64_t took = trial_run(&t, ops[i], (struct exchange_limits){.timeout_ms = 1500});
        assert_int_equal(t.code, ERR_OK);
        assert_int_equal(t.attempts, 1);
        assert_true(took > 1700);
        trial_finish();
    }
}

static void waiting_for_a_turn_counts_only_while_nothing_moves(void **state)
{
    trial_begin((struct script){{TRICKLE, 200, HANG}, NULL}, (struct http_config){.max_parallel = 1});
    struct trial slow = {0}, waiting = {0};
    trial_start(&slow, &streaming, (struct exchange_limits){.timeout_ms = 1500}, NULL);
    trial_start(&waiting, &streaming, (struct exchange_limits){.timeout_ms = 1500}, NULL);
    trial_wait(&waiting);
    trial_wait(&slow);
    assert_int_equal(slow.code, ERR_OK);
    assert_int_equal(waiting.code, ERR_OK);

    struct trial hung = {0}, behind = {0};
    trial_start(&hung, &streaming, (struct exchange_limits){.timeout_ms = 1000}, NULL);
    uint64_t took = trial_run(&behind, &streaming, (struct exchange_limits){.timeout_ms = 300});
    assert_int_equal(behind.code, ERR_TIMEOUT);
    assert_int_equal(behind.unanswered, 0);
    assert_in_range(took, 295, 900);
    trial_wait(&hung);
    assert_int_equal(hung.code, ERR_TIMEOUT);
    trial_finish();
}

static void what_was_learnt_is_used_at_once_but_not_for_ever(void **state)
{
    trial_begin((struct script){{307, 307, 307, 307, 200}, NULL}, (struct http_config){0});
    struct trial t = {0};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){0});
    assert_int_equal(t.code, ERR_OK);
    assert_int_equal(t.attempts, 5);
    assert_in_range(took, 0, 900);
    assert_int_equal(retry_tokens(budget), 500);
    trial_finish();

    trial_begin((struct script){{307}, NULL}, (struct http_config){0});
    struct trial loop = {0};
    trial_run(&loop, &collecting, (struct exchange_limits){.timeout_ms = 10000, .max_attempts = 6});
    assert_int_equal(loop.code, ERR_IO);
    assert_int_equal(loop.attempts, 6);
    assert_int_equal(retry_tokens(budget), 495);
    trial_finish();
}

static void what_cannot_be_prepared_yet_is_asked_for_again(void **state)
{
    trial_begin((struct script){{200}, NULL}, (struct http_config){0});
    struct trial soon = {.not_yet = 3}, never = {.not_yet = 1000}, no = {.not_yet = 2, .refusal = ERR_AUTH};
    uint64_t took = trial_run(&soon, &collecting, (struct exchange_limits){0});
    assert_int_equal(soon.code, ERR_OK);
    assert_int_equal(soon.attempts, 1);
    assert_int_equal(soon.prepared, 4);
    assert_true(took >= 145);
    took = trial_run(&never, &collecting, (struct exchange_limits){.timeout_ms = 300});
    assert_int_equal(never.code, ERR_TIMEOUT);
    assert_string_equal(never.msg, "no credentials yet");
    assert_int_equal(never.attempts, 0);
    assert_in_range(took, 295, 900);
    trial_run(&no, &collecting, (struct exchange_limits){0});
    assert_int_equal(no.code, ERR_AUTH);
    assert_int_equal(no.judged, 0);
    trial_finish();
}

static void limits_on_attempts_hold(void **state)
{
    trial_begin((struct script){{500}, NULL}, (struct http_config){0});
    struct trial two = {0}, once = {0};
    trial_run(&two, &collecting, (struct exchange_limits){.max_attempts = 2});
    assert_int_equal(two.code, ERR_IO);
    assert_int_equal(two.attempts, 2);
    trial_run(&once, &collecting, (struct exchange_limits){.once = true});
    assert_int_equal(once.attempts, 1);
    assert_string_equal(once.msg, "InternalError");
    trial_finish();
}

static void the_servers_time_is_kept_up_to_the_deadline(void **state)
{
    trial_begin((struct script){{500, 200}, "Retry-After: 1\r\n"}, (struct http_config){0});
    struct trial t = {0};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 5000});
    assert_int_equal(t.code, ERR_OK);
    assert_in_range(took, 995, 2000);
    trial_finish();

    trial_begin((struct script){{500}, "Retry-After: 3600\r\n"}, (struct http_config){0});
    struct trial late = {0};
    took = trial_run(&late, &collecting, (struct exchange_limits){.timeout_ms = 1000});
    assert_int_equal(late.code, ERR_IO);
    assert_int_equal(late.attempts, 2);
    assert_in_range(took, 490, 1500);
    trial_finish();
}

static void without_tokens_retries_are_slow_and_do_not_end(void **state)
{
    trial_begin((struct script){{500, 200}, NULL}, (struct http_config){0});
    while (retry_take(budget, false) > 0)
        continue;
    struct trial t = {0};
    uint64_t took = trial_run(&t, &collecting, (struct exchange_limits){.timeout_ms = 1600});
    assert_int_equal(t.code, ERR_OK);
    assert_int_equal(t.attempts, 2);
    assert_in_range(took, 790, 1600);
    trial_finish();
}

static void attempts_that_may_have_been_executed_are_counted(void **state)
{
    static const struct {
        int step;
        unsigned unanswered;
    } cases[] = {{CLOSE, 1}, {CUT, 1}, {500, 1}, {503, 0}, {307, 0}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        trial_begin((struct script){{cases[i].step, 412}, NULL}, (struct http_config){0});
        struct trial t = {.method = HTTP_PUT};
        trial_run(&t, &collecting, (struct exchange_limits){0});
        assert_int_equal(t.code, ERR_CONFLICT);
        assert_int_equal(t.attempts, 2);
        if (t.unanswered != cases[i].unanswered)
            fail_msg("step %d: %u", cases[i].step, t.unanswered);
        trial_finish();
    }
}

static void a_receiver_that_refuses_ends_it(void **state)
{
    trial_begin((struct script){{200}, NULL}, (struct http_config){0});
    struct trial t = {.refuse_data = true};
    trial_run(&t, &streaming, (struct exchange_limits){0});
    assert_int_equal(t.code, ERR_CANCELED);
    assert_int_equal(t.attempts, 1);
    assert_int_equal(t.seen, ERR_CANCELED);
    trial_finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_transient_is_tried_until_it_works_and_tokens_come_back),
        cmocka_unit_test(an_answer_is_not_tried_again),
        cmocka_unit_test(at_the_deadline_the_error_is_of_the_last_failures_kind),
        cmocka_unit_test(a_server_that_takes_each_body_and_fails_is_given_up_too),
        cmocka_unit_test(an_attempt_under_way_ends_at_the_deadline),
        cmocka_unit_test(patience_is_for_the_attempt_under_way_not_for_trying_again),
        cmocka_unit_test(bytes_that_move_keep_it_alive),
        cmocka_unit_test(waiting_for_a_turn_counts_only_while_nothing_moves),
        cmocka_unit_test(what_was_learnt_is_used_at_once_but_not_for_ever),
        cmocka_unit_test(what_cannot_be_prepared_yet_is_asked_for_again),
        cmocka_unit_test(limits_on_attempts_hold),
        cmocka_unit_test(the_servers_time_is_kept_up_to_the_deadline),
        cmocka_unit_test(without_tokens_retries_are_slow_and_do_not_end),
        cmocka_unit_test(attempts_that_may_have_been_executed_are_counted),
        cmocka_unit_test(a_receiver_that_refuses_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
