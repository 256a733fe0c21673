/* Chunks that go from the writer to the sum of the whole in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/cache_internal.h"
#include "fixture.h"
#include "util/clock.h"
#include "util/digest.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNKS 640u /* of which so few are put that nothing is summed by itself */
#define PUT    (FEED_CHUNKS + 2)
#define BYTES  ((uint64_t)CHUNKS * CACHE_CHUNK)

/* Blocks as the writer has them after it has written them. */
struct rig {
    struct cache *c;
    struct cache_version v;
    struct cache_entry *n;
    struct cache_block blocks[PUT];
    uint8_t sums[PUT][DIGEST_MAX];
    char *bytes;
};

static unsigned ended;

static void count(struct cache_block *b)
{
    ended++;
}

static void start_with_gap(struct rig *r, unsigned gap)
{
    *r = (struct rig){.c = open_cache(CACHE_MIN_SIZE), .v = version_of("a", "e", BYTES), .bytes = malloc(PUT * CACHE_CHUNK)};
    r->n = cache_entry_get(r->c, &r->v);
    fill_chunks(r->c, &r->v, 1, 0, gap);
    fill_chunks(r->c, &r->v, 1, gap + 1, PUT);
    settle(r->c);
    make_bytes(1, 0, r->bytes, PUT * CACHE_CHUNK);
    ended = 0;
    for (unsigned i = 0; i < PUT; i++) {
        const char *p = r->bytes + (size_t)i * CACHE_CHUNK;
        r->blocks[i] = (struct cache_block){.index = i, .p = p, .len = CACHE_CHUNK, .done = count, .entry = cache_entry_ref(r->n)};
        assert_int_equal(digest_once(DIGEST_SHA512, p, CACHE_CHUNK, r->sums[i], NULL), ERR_OK);
    }
}

static void start(struct rig *r)
{
    start_with_gap(r, PUT);
}

/* What was not taken ends here. */
static void stop(struct rig *r, bool (*taken)(unsigned i))
{
    for (unsigned i = 0; i < PUT; i++)
        if (!taken(i))
            block_end(&r->blocks[i]);
    assert_int_equal(ended, PUT);
    cache_entry_unref(r->n);
    close_cache(r->c);
    free(r->bytes);
}

static bool offer(struct rig *r, unsigned i)
{
    return feed_offer(r->c, &r->blocks[i], r->sums[i]);
}

static bool none(unsigned i)
{
    return false;
}

static bool up_to_four(unsigned i)
{
    return i <= 4;
}

static bool only_the_first(unsigned i)
{
    return i == 0;
}

static bool two_four_and_five(unsigned i)
{
    return i == 2 || i == 4 || i == 5;
}

static void chunks_in_order_are_there_until_both_have_passed(void **state)
{
    struct rig r;
    start(&r);
    feed_begin(r.n, 0, true);
    for (unsigned i = 0; i <= 4; i++)
        assert_true(offer(&r, i));
    assert_int_equal(feed_wait(r.n, 0), 5);
    assert_null(feed_get(r.n, 5));
    for (unsigned i = 0; i <= 4; i++) {
        assert_ptr_equal(feed_get(r.n, i), r.blocks[i].p);
        feed_passed(r.n, false, i);
        assert_int_equal(ended, i);
        assert_ptr_equal(feed_get(r.n, i), r.blocks[i].p);
        feed_passed(r.n, true, i);
        assert_int_equal(ended, i + 1);
        assert_null(feed_get(r.n, i));
    }
    assert_int_equal(feed_wait(r.n, 5), 5);
    feed_end(r.c);
    stop(&r, up_to_four);
}

static void they_may_come_in_any_order_but_not_too_late(void **state)
{
    struct rig r;
    start(&r);
    feed_begin(r.n, 2, false);
    assert_false(offer(&r, 1));
    assert_true(offer(&r, 5));
    assert_true(offer(&r, 2));
    assert_null(feed_get(r.n, 3)); /* it is in the file */
    feed_passed(r.n, false, 2);
    feed_passed(r.n, false, 3);
    assert_int_equal(ended, 1);
    assert_false(offer(&r, 3));
    assert_true(offer(&r, 4));
    assert_ptr_equal(feed_get(r.n, 4), r.blocks[4].p);
    assert_ptr_equal(feed_get(r.n, 5), r.blocks[5].p);
    assert_false(offer(&r, 5)); /* once is enough */
    feed_end(r.c);              /* what was not come to ends with the sum */
    assert_int_equal(ended, 3);
    stop(&r, two_four_and_five);
}

static bool only_five(unsigned i)
{
    return i == 5;
}

static void a_sum_that_begins_anew_gets_nothing_of_what_was_ahead_of_the_old_one(void **state)
{
    struct rig r;
    start(&r);
    feed_begin(r.n, 3, false);
    assert_true(offer(&r, 5));
    feed_begin(r.n, 0, false);
    assert_int_equal(ended, 1);
    assert_null(feed_get(r.n, 5));
    feed_end(r.c);
    stop(&r, only_five);
}

static bool all_but_one(unsigned i)
{
    return i != FEED_CHUNKS;
}

static void where_the_sum_does_not_come_on_no_more_is_taken(void **state)
{
    struct rig r;
    start(&r);
    feed_begin(r.n, 0, false);
    for (unsigned i = 0; i < FEED_CHUNKS; i++)
        assert_true(offer(&r, i));
    assert_false(offer(&r, FEED_CHUNKS));
    for (unsigned i = 0; i < FEED_CHUNKS; i++)
        feed_passed(r.n, false, i);
    assert_false(offer(&r, FEED_CHUNKS));
    feed_begin(r.n, FEED_CHUNKS + 1, false);
    assert_false(offer(&r, FEED_CHUNKS));
    assert_true(offer(&r, FEED_CHUNKS + 1));
    feed_end(r.c);
    stop(&r, all_but_one);
}

static void nothing_is_taken_that_nobody_sums_or_that_was_not_written_so(void **state)
{
    struct rig r;
    start(&r);
    assert_false(offer(&r, 0));
    feed_begin(r.n, 0, false);
    assert_false(feed_offer(r.c, &r.blocks[0], r.sums[1])); /* the file has other bytes than these */
    r.blocks[0].index = PUT + 1;
    assert_false(offer(&r, 0)); /* nothing was written there, */
    r.blocks[0].index = CHUNKS;
    assert_false(offer(&r, 0)); /* or can be */
    r.blocks[0].index = 0;
    cache_reading(r.n);
    lock_take(&r.c->pace.lock);
    r.c->pace.read_ms = UINT64_MAX / 2;
    lock_drop(&r.c->pace.lock);
    assert_false(offer(&r, 0)); /* the memory is the readers' */
    lock_take(&r.c->pace.lock);
    r.c->pace.read_ms = 0;
    lock_drop(&r.c->pace.lock);
    feed_end(r.c);
    assert_false(offer(&r, 0));
    stop(&r, none);
}

static void wait_until_summed(struct rig *r, uint64_t chunks)
{
    for (uint64_t until = clock_mono_ms() + 60000, summed = 0; summed < chunks; usleep(1000)) {
        assert_true(clock_mono_ms() < until);
        LOCK_SCOPE(&r->n->lock);
        summed = r->n->summed;
    }
}

static bool twenty_one(unsigned i)
{
    return i == 21;
}

/* What is handed over meanwhile need not be read, so it may be wrong in the file. */
static void a_gap_that_is_closed_soon_ends_no_sum(void **state)
{
    char path[512];
    struct rig r;
    start_with_gap(&r, 20);
    cache_expect(r.n, CHUNKS);
    fill_chunks(r.c, &r.v, 1, PUT, PUT + 1); /* something comes */
    wait_until_summed(&r, 20);
    assert_true(offer(&r, 21));
    find_file("part", path);
    spoil(path, 21 * CACHE_CHUNK);
    usleep(20000);
    fill_chunks(r.c, &r.v, 1, 20, 21);
    wait_until_summed(&r, 22);
    cache_expect(r.n, 0);
    settle(r.c);
    assert_int_equal(stats_of(r.c).bad, 0);
    stop(&r, twenty_one);
}

static void *settle_long(void *arg)
{
    return cache_settle(arg, 60000) ? arg : NULL;
}

static void become_idle(struct cache *c)
{
    LOCK_SCOPE(&c->lock);
    c->adopting = false;
    cond_broadcast(&c->idle_done);
}

static bool drains(struct cache *c)
{
    LOCK_SCOPE(&c->lock);
    return c->draining;
}

static void who_drains_is_not_put_off_because_another_has_given_up(void **state)
{
    struct rig r;
    pthread_t t;
    void *settled;
    start(&r);
    feed_begin(r.n, 0, false);
    lock_take(&r.c->pace.lock);
    r.c->pace.read_ms = UINT64_MAX / 2;
    lock_drop(&r.c->pace.lock);
    lock_take(&r.c->lock);
    r.c->adopting = true; /* so it waits */
    lock_drop(&r.c->lock);
    assert_int_equal(pthread_create(&t, NULL, settle_long, r.c), 0);
    while (!drains(r.c))
        sched_yield();
    assert_false(cache_settle(r.c, 0));
    assert_true(offer(&r, 0));
    become_idle(r.c);
    pthread_join(t, &settled);
    assert_ptr_equal(settled, r.c);
    assert_false(offer(&r, 1));
    lock_take(&r.c->pace.lock);
    r.c->pace.read_ms = 0;
    lock_drop(&r.c->pace.lock);
    feed_end(r.c);
    stop(&r, only_the_first);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

static void only_a_large_content_is_put_off_and_only_while_a_reader_is_alone(void **state)
{
    struct cache *c = open_cache(CACHE_MIN_SIZE);
    struct cache_version fits = version_of("a", "e", QUEUE_BYTES), large = version_of("b", "e", QUEUE_BYTES + 1);
    struct cache_entry *one = cache_entry_get(c, &fits), *other = cache_entry_get(c, &large);
    close(c->pace.fd); /* what the processors do is not known */
    c->pace.fd = -1;
    assert_false(cache_puts_off(NULL));
    assert_false(cache_puts_off(other));
    c->pace.read_ms = c->pace.began_ms = clock_mono_ms() + 3600000;
    assert_false(cache_puts_off(one));
    assert_true(cache_puts_off(other));
    cache_losing(other);
    assert_false(cache_puts_off(other));
    c->pace.read_ms = 0;
    cache_entry_unref(one);
    cache_entry_unref(other);
    close_cache(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(chunks_in_order_are_there_until_both_have_passed),
        T(they_may_come_in_any_order_but_not_too_late),
        T(a_sum_that_begins_anew_gets_nothing_of_what_was_ahead_of_the_old_one),
        T(a_gap_that_is_closed_soon_ends_no_sum),
        T(where_the_sum_does_not_come_on_no_more_is_taken),
        T(who_drains_is_not_put_off_because_another_has_given_up),
        T(nothing_is_taken_that_nobody_sums_or_that_was_not_written_so),
        cmocka_unit_test(only_a_large_content_is_put_off_and_only_while_a_reader_is_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
