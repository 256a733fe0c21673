#include "util/timer.h"

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/lock.h"

#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What fired, in order. */
static struct lock lock = LOCK_INIT("fired", LOCK_LEAF);
static struct cond changed;
static unsigned fired[2000];
static size_t fired_len;
static struct timers *set;

static int setup(void **state)
{
    cond_init(&changed);
    fired_len = 0;
    set = timers_new(NULL);
    return set ? 0 : -1;
}

static int teardown(void **state)
{
    timers_free(set);
    cond_release(&changed);
    return 0;
}

static void note(void *arg)
{
    LOCK_SCOPE(&lock);
    fired[fired_len++] = (unsigned)(uintptr_t)arg;
    cond_broadcast(&changed);
}

static bool wait_fired(size_t n)
{
    LOCK_SCOPE(&lock);
    uint64_t end = clock_mono_ms() + 20000;
    while (fired_len < n) {
        if (!cond_wait(&changed, &lock, end))
            return false;
    }
    return true;
}

static void timers_fire_in_order_of_time_then_of_arming(void **state)
{
    struct timer t[1000] = {{0}};
    uint64_t base = clock_mono_ms() + 100;
    for (unsigned i = 0; i < 1000; i++)
        timer_arm(set, &t[i], base + (i * 7919) % 50, note, (void *)(uintptr_t)i);
    assert_true(wait_fired(1000));
    for (unsigned k = 1; k < 1000; k++) {
        unsigned a = fired[k - 1], b = fired[k];
        assert_true(t[a].at_ms < t[b].at_ms || (t[a].at_ms == t[b].at_ms && a < b));
        assert_false(t[b].armed);
    }
}

static void none_fires_early(void **state)
{
    struct timer t = {0};
    uint64_t start = clock_mono_ms();
    timer_arm(set, &t, start + 40, note, NULL);
    assert_true(wait_fired(1));
    assert_true(clock_mono_ms() >= start + 40);
    timer_arm(set, &t, 0, note, NULL);
    assert_true(wait_fired(2));
}

static void a_disarmed_timer_does_not_fire(void **state)
{
    struct timer t[500] = {{0}};
    uint64_t at = clock_mono_ms() + 60;
    for (unsigned i = 0; i < 500; i++)
        timer_arm(set, &t[i], at + i % 7, note, (void *)(uintptr_t)i);
    unsigned disarmed = 0;
    for (unsigned i = 0; i < 500; i += 2)
        disarmed += timer_disarm(set, &t[(i * 131) % 500]);
    assert_false(timer_disarm(set, &t[0]));
    assert_true(wait_fired(500 - disarmed));
    usleep(30000);
    assert_int_equal(fired_len, 500 - disarmed);
}

static void arming_again_moves(void **state)
{
    struct timer t = {0}, other = {0};
    uint64_t now = clock_mono_ms();
    timer_arm(set, &t, now + 3600000, note, (void *)1);
    timer_arm(set, &other, now + 60, note, (void *)2);
    timer_arm(set, &t, now + 10, note, (void *)3);
    assert_true(wait_fired(2));
    assert_int_equal(fired[0], 3);
    assert_int_equal(fired[1], 2);
    assert_false(timer_disarm(set, &t));
}

struct repeat {
    struct timer t;
    unsigned left;
    bool inside;
};

static void again(void *arg)
{
    struct repeat *r = arg;
    note(NULL);
    if (r->left-- > 0)
        timer_arm(set, &r->t, 0, again, r);
}

static void a_callback_may_arm_its_own_timer(void **state)
{
    struct repeat r = {.left = 100};
    timer_arm(set, &r.t, 0, again, &r);
    assert_true(wait_fired(101));
}

static void slow_and_again(void *arg)
{
    struct repeat *r = arg;
    __atomic_store_n(&r->inside, true, __ATOMIC_SEQ_CST);
    note(NULL);
    usleep(20000);
    timer_arm(set, &r->t, 0, slow_and_again, r);
    __atomic_store_n(&r->inside, false, __ATOMIC_SEQ_CST);
}

static void disarming_waits_for_a_running_callback_that_arms_again(void **state)
{
    for (int i = 0; i < 5; i++) {
        struct repeat *r = calloc(1, sizeof(*r));
        timer_arm(set, &r->t, 0, slow_and_again, r);
        assert_true(wait_fired((size_t)i + 1));
        timer_disarm(set, &r->t);
        assert_false(__atomic_load_n(&r->inside, __ATOMIC_SEQ_CST));
        free(r);
        LOCK_SCOPE(&lock);
        fired_len = (size_t)i + 1;
    }
}

static void disarm_self_and_free(void *arg)
{
    struct timer *t = arg;
    timer_arm(set, t, clock_mono_ms() + 10000, note, NULL);
    timer_disarm(set, t);
    free(t);
    note(NULL);
}

static void a_callback_may_disarm_and_free_its_own_timer(void **state)
{
    struct timer *t = calloc(1, sizeof(*t));
    timer_arm(set, t, 0, disarm_self_and_free, t);
    assert_true(wait_fired(1));
}

static void what_is_armed_at_the_end_never_fires(void **state)
{
    struct timer t = {0};
    timer_arm(set, &t, clock_mono_ms() + 30, note, NULL);
    timers_free(set);
    set = NULL;
    usleep(50000);
    assert_int_equal(fired_len, 0);
    assert_false(t.armed);
}

static void *arm_and_disarm(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    struct timer t[20] = {{0}};
    for (int i = 0; i < 2000; i++) {
        struct timer *one = &t[rand_r(&seed) % 20];
        if (rand_r(&seed) % 3)
            timer_arm(set, one, clock_mono_ms() + rand_r(&seed) % 3600000 + 60000, note, NULL);
        else
            timer_disarm(set, one);
    }
    for (int i = 0; i < 20; i++)
        timer_disarm(set, &t[i]);
    return NULL;
}

static void threads_share_a_set(void **state)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, arm_and_disarm, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    struct timer t = {0};
    timer_arm(set, &t, 0, note, NULL);
    assert_true(wait_fired(1));
    assert_int_equal(fired_len, 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_in_order_of_time_then_of_arming),
        TEST(none_fires_early),
        TEST(a_disarmed_timer_does_not_fire),
        TEST(arming_again_moves),
        TEST(a_callback_may_arm_its_own_timer),
        TEST(disarming_waits_for_a_running_callback_that_arms_again),
        TEST(a_callback_may_disarm_and_free_its_own_timer),
        TEST(what_is_armed_at_the_end_never_fires),
        TEST(threads_share_a_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
