/* Rows and what they mean for a mount, and trials that end together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "awsfs/check.h"
#include "store/mem.h"
#include "store/trials.h"
#include "util/cancel.h"
#include "util/clock.h"
#include "util/lock.h"

#include <stdio.h>
#include <string.h>

static void needs_decide_whether_a_mount_works(void **state)
{
    static const bool expected[3][3] = {
        [CHECK_OPTIONAL] = {[CHECK_YES] = true, [CHECK_NO] = true, [CHECK_UNKNOWN] = true},
        [CHECK_NOT_DENIED] = {[CHECK_YES] = true, [CHECK_NO] = false, [CHECK_UNKNOWN] = true},
        [CHECK_REQUIRED] = {[CHECK_YES] = true, [CHECK_NO] = false, [CHECK_UNKNOWN] = false},
    };

    for (int need = 0; need < 3; need++)
        for (int verdict = 0; verdict < 3; verdict++) {
            struct check_report r = {0};
            const struct check_row *why = NULL;

            check_add(&r, CHECK_FACT, "first", CHECK_NO, "not needed");
            check_add(&r, CHECK_FACT, "this", (enum check_verdict)verdict, "x")->need = (enum check_need)need;
            assert_int_equal(check_works(&r, &why), expected[need][verdict]);
            assert_true(expected[need][verdict] ? why == NULL : why == &r.rows[1]);
        }
}

static void a_full_report_stays_in_its_bounds(void **state)
{
    struct check_report r = {0};

    for (int i = 0; i < CHECK_ROWS_MAX + 5; i++)
        assert_non_null(check_add(&r, CHECK_FACT, "row", CHECK_YES, "%d\n", i));
    assert_int_equal(r.n, CHECK_ROWS_MAX);
    char last[16];
    snprintf(last, sizeof(last), "%d?", CHECK_ROWS_MAX + 4);
    assert_string_equal(r.rows[CHECK_ROWS_MAX - 1].detail, last);
}

struct waiting {
    struct lock lock;
    struct cond cond;
    bool fired;
};

static void fire(void *arg)
{
    struct waiting *w = arg;

    LOCK_SCOPE(&w->lock);
    w->fired = true;
    cond_signal(&w->cond);
}

/* Ends only when it is canceled. */
static void wait_for_cancel(void *item, const struct store_call *call)
{
    struct waiting *w = item;
    struct cancel_hook hook = {0};

    lock_init(&w->lock, "waiting", LOCK_LEAF);
    cond_init(&w->cond);
    cancel_hook_add(call->cancel, &hook, fire, w);
    lock_take(&w->lock);
    while (!w->fired)
        cond_wait(&w->cond, &w->lock, UINT64_MAX);
    lock_drop(&w->lock);
    cancel_hook_remove(call->cancel, &hook);
    cond_release(&w->cond);
    lock_release(&w->lock);
}

static void trials_that_never_end_are_canceled_together(void **state)
{
    CLEANUP(trials_free) struct trials *t = trials_new(NULL);
    struct waiting items[12] = {0};

    assert_non_null(t);
    trials_run(t, clock_mono_ms() + 50, items, 12, sizeof(items[0]), wait_for_cancel);
    for (size_t i = 0; i < 12; i++)
        assert_true(items[i].fired);
    memset(items, 0, sizeof(items));
    trials_run(t, 0, items, 12, sizeof(items[0]), wait_for_cancel);
    for (size_t i = 0; i < 12; i++)
        assert_true(items[i].fired);
}

static void a_store_without_trials_says_so(void **state)
{
    struct store *s = mem_store_new(NULL, NULL, NULL);
    struct check_report r = {0};
    const struct check_limits limits = {0};
    struct err e = ERR_INIT;

    assert_non_null(s);
    assert_int_equal(store_try(s, &limits, &r, &e), ERR_UNSUPPORTED);
    assert_int_equal(r.n, 0);
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needs_decide_whether_a_mount_works),
        cmocka_unit_test(a_full_report_stays_in_its_bounds),
        cmocka_unit_test(trials_that_never_end_are_canceled_together),
        cmocka_unit_test(a_store_without_trials_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
