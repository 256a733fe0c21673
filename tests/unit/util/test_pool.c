#include "util/pool.h"

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/lock.h"

#include <stdbool.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void pause_ms(unsigned ms)
{
    usleep(ms * 1000);
}

static unsigned load(const unsigned *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static unsigned add(unsigned *p, int n)
{
    return __atomic_add_fetch(p, n, __ATOMIC_SEQ_CST);
}

static void raise_to(unsigned *most, unsigned value)
{
    unsigned seen = load(most);
    while (seen < value && !__atomic_compare_exchange_n(most, &seen, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

static unsigned done, at_once, most_at_once;

static int reset(void **state)
{
    done = at_once = most_at_once = 0;
    return 0;
}

static void work(void *arg)
{
    raise_to(&most_at_once, add(&at_once, 1));
    pause_ms(1);
    add(&at_once, -1);
    add(&done, 1);
}

static void freeing_waits_for_all_that_is_queued(void **state)
{
    struct pool *p = pool_new("test", 3, NULL);
    for (int i = 0; i < 200; i++)
        assert_int_equal(pool_submit(p, work, NULL, NULL), ERR_OK);
    pool_free(p);
    assert_int_equal(load(&done), 200);
    assert_in_range(load(&most_at_once), 1, 3);
    pool_free(NULL);
}

static unsigned order[100];
static unsigned order_len;

static void note(void *arg)
{
    order[order_len++] = (unsigned)(uintptr_t)arg;
}

static void one_thread_runs_in_order_of_arrival(void **state)
{
    order_len = 0;
    struct pool *p = pool_new("test", 1, NULL);
    for (uintptr_t i = 0; i < 100; i++)
        assert_int_equal(pool_submit(p, note, (void *)i, NULL), ERR_OK);
    pool_free(p);
    assert_int_equal(order_len, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(order[i], i);
}

static void meet(void *arg)
{
    add(&at_once, 1);
    uint64_t end = clock_mono_ms() + 20000;
    while (load(&at_once) < 4 && clock_mono_ms() < end)
        pause_ms(1);
}

static void threads_are_added_up_to_the_maximum(void **state)
{
    struct pool *p = pool_new("test", 4, NULL);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pool_submit(p, meet, NULL, NULL), ERR_OK);
    uint64_t start = clock_mono_ms();
    pool_free(p);
    assert_int_equal(load(&at_once), 4);
    assert_true(clock_mono_ms() - start < 15000);
}

struct chain {
    struct pool *pool;
    unsigned left;
};

static void submit_next(void *arg)
{
    struct chain *c = arg;
    add(&done, 1);
    if (c->left-- > 0)
        assert_int_equal(pool_submit(c->pool, submit_next, c, NULL), ERR_OK);
}

static void a_task_may_submit_even_while_the_pool_is_freed(void **state)
{
    struct chain c = {pool_new("test", 2, NULL), 500};
    assert_int_equal(pool_submit(c.pool, submit_next, &c, NULL), ERR_OK);
    pool_free(c.pool);
    assert_int_equal(load(&done), 501);
}

static void wait_for_go(void *arg)
{
    while (!load(arg))
        pause_ms(1);
}

static void pending_counts_queued_and_running(void **state)
{
    unsigned go = 0;
    struct pool *p = pool_new("test", 2, NULL);
    assert_int_equal(pool_pending(p), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(pool_submit(p, wait_for_go, &go, NULL), ERR_OK);
    assert_int_equal(pool_pending(p), 5);
    add(&go, 1);
    uint64_t end = clock_mono_ms() + 20000;
    while (pool_pending(p) && clock_mono_ms() < end)
        pause_ms(1);
    assert_int_equal(pool_pending(p), 0);
    pool_free(p);
}

static void square(void *item)
{
    unsigned *n = item;
    raise_to(&most_at_once, add(&at_once, 1));
    *n *= *n;
    add(&at_once, -1);
}

static void each_item_is_visited_once(void **state)
{
    struct pool *p = pool_new("test", 4, NULL);
    static const unsigned parallel[] = {0, 1, 2, 4, 100};
    for (size_t k = 0; k < ARRAY_LEN(parallel); k++) {
        unsigned items[300];
        most_at_once = 0;
        for (unsigned i = 0; i < 300; i++)
            items[i] = i;
        pool_each(p, items, 300, sizeof(items[0]), parallel[k], square, NULL);
        for (unsigned i = 0; i < 300; i++)
            assert_int_equal(items[i], i * i);
        assert_in_range(load(&most_at_once), 1, parallel[k] ? parallel[k] : 1);
    }
    pool_each(p, NULL, 0, 4, 3, square, NULL);
    pool_free(p);
}

static void each_makes_progress_when_the_pool_is_full(void **state)
{
    unsigned go = 0;
    struct pool *p = pool_new("test", 1, NULL);
    assert_int_equal(pool_submit(p, wait_for_go, &go, NULL), ERR_OK);
    unsigned items[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    pool_each(p, items, 10, sizeof(items[0]), 4, square, NULL);
    assert_int_equal(items[9], 81);
    add(&go, 1);
    pool_free(p);
}

struct nest {
    struct pool *pool;
    unsigned items[20];
};

static void run_inner(void *item)
{
    struct nest *n = item;
    pool_each(n->pool, n->items, 20, sizeof(n->items[0]), 4, square, NULL);
}

static void each_nests_inside_pool_threads(void **state)
{
    struct pool *p = pool_new("test", 2, NULL);
    struct nest nests[8];
    for (int k = 0; k < 8; k++) {
        nests[k].pool = p;
        for (unsigned i = 0; i < 20; i++)
            nests[k].items[i] = i;
    }
    pool_each(p, nests, 8, sizeof(nests[0]), 8, run_inner, NULL);
    for (int k = 0; k < 8; k++)
        assert_int_equal(nests[k].items[19], 361);
    pool_free(p);
}

static bool stop_flag;

static void stop_at_five(void *item)
{
    pause_ms(1);
    if (add(&done, 1) == 5)
        __atomic_store_n(&stop_flag, true, __ATOMIC_SEQ_CST);
}

static void a_stop_lets_no_more_items_start(void **state)
{
    struct pool *p = pool_new("test", 4, NULL);
    char items[1000];
    stop_flag = false;
    pool_each(p, items, sizeof(items), 1, 4, stop_at_five, &stop_flag);
    assert_in_range(load(&done), 5, 8);
    unsigned before = load(&done);
    pool_each(p, items, sizeof(items), 1, 4, stop_at_five, &stop_flag);
    pool_each(p, items, sizeof(items), 1, 1, stop_at_five, &stop_flag);
    assert_int_equal(load(&done), before);
    pool_free(p);
}

#define TEST(fn) cmocka_unit_test_setup(fn, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(freeing_waits_for_all_that_is_queued),      TEST(one_thread_runs_in_order_of_arrival),
        TEST(threads_are_added_up_to_the_maximum),       TEST(a_task_may_submit_even_while_the_pool_is_freed),
        TEST(pending_counts_queued_and_running),         TEST(each_item_is_visited_once),
        TEST(each_makes_progress_when_the_pool_is_full), TEST(each_nests_inside_pool_threads),
        TEST(a_stop_lets_no_more_items_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
