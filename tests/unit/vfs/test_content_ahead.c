#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "content_support.h"

#include <unistd.h>

#define MIB   (1024u * 1024)
#define BLOCK CONTENT_BLOCK

static void a_random_read_fetches_the_block_it_touches(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, 10 * MIB);
    struct readahead ra = {0};
    for (unsigned i = 1; i <= 20; i++) {
        uint64_t block = i * 37 % 80;
        assert_int_equal(read_now(f.c, 1, block * BLOCK + 8192, 4096, &ra), ERR_OK);
        assert_int_equal(stats(&f).fetched_bytes, i * BLOCK);
        assert_int_equal(stats(&f).requests, i);
    }
    fixture_free(&f);
}

static void a_sequential_reader_is_ahead_of_nobody_twice(void **state)
{
    uint64_t size = 40 * MIB + 5;
    struct fixture f = fixture_new((struct mem_options){.async = true}, 64 * MIB, size);
    struct readahead ra = {0};
    for (uint64_t at = 0; at < size; at += BLOCK)
        assert_int_equal(read_now(f.c, 1, at, size - at < BLOCK ? size - at : BLOCK, &ra), ERR_OK);
    struct content_stats st = stats(&f);
    assert_int_equal(st.fetched_bytes, size);
    assert_true(st.requests <= 45);
    fixture_free(&f);
}

/* The store holds back its replies to a reader in order: several requests are under way then. */
static void ranges_are_fetched_ahead_in_parallel(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 128 * MIB, 256 * MIB);
    struct readahead ra = {0};
    uint64_t at = 0;
    for (; at < 16 * MIB; at += MIB)
        assert_int_equal(read_now(f.c, 1, at, MIB, &ra), ERR_OK);
    struct reading r;
    mem_store_hold(f.m, MEM_GET, "k"); /* what was asked for before still comes */
    for (bool parked = false; !parked; at += parked ? 0 : MIB) {
        start_read(&r, f.c, 1, at, MIB, &ra, NULL);
        while (!answered(&r) && !(parked = mem_store_held(f.m, MEM_GET) >= 3))
            usleep(100);
        assert_true(parked || (answer(&r) == ERR_OK && at < 200 * MIB));
    }
    mem_store_unhold(f.m, MEM_GET);
    assert_int_equal(answer(&r), ERR_OK);
    fixture_free(&f);
}

/* A link on which the first byte takes long, and the others, too. */
static enum err_code take_long(void *arg, const struct mem_event *ev, struct err *e)
{
    if (ev->op == MEM_GET && ev->phase != MEM_AFTER)
        usleep(ev->phase == MEM_BEFORE ? 10000 : 100);
    return ERR_OK;
}

/* What another file has fetched ahead leaves 6 MiB: as blocks are given back there is room for one after the other. */
static void read_short_of_memory(struct mem_hook link)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, 64 * MIB);
    struct err e = ERR_INIT;
    struct store_version v = put_object(f.s, "other", 2, 26 * MIB);
    struct content *other = content_new(f.cs, "other", &v, &e);
    assert_non_null(other);
    assert_true(content_prefetch(other, 24 * MIB));
    while (stats(&f).fetched_bytes < 24 * MIB)
        usleep(100);
    assert_true(content_prefetch(other, 26 * MIB));
    while (stats(&f).fetched_bytes < 26 * MIB)
        usleep(100);
    uint64_t before = stats(&f).requests;
    struct readahead ra = {0};
    mem_store_set_hook(f.m, link);
    for (uint64_t at = 0; at < 64 * MIB; at += BLOCK)
        assert_int_equal(read_now(f.c, 1, at, BLOCK, &ra), ERR_OK);
    assert_int_equal(stats(&f).fetched_bytes, (26 + 64) * MIB);
    assert_true(stats(&f).requests - before <= 100); /* 64 of 1 MiB, and some at the beginning; one for each block that is given back: 512 */
    content_unref(other);
    fixture_free(&f);
}

static void a_reader_short_of_memory_asks_for_whole_ranges(void **state)
{
    read_short_of_memory((struct mem_hook){0});
}

static void a_reader_short_of_memory_asks_for_whole_ranges_on_a_slow_link(void **state)
{
    read_short_of_memory((struct mem_hook){.fn = take_long});
}

static void several_readers_in_order_of_one_handle_are_told_apart(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 128 * MIB, 128 * MIB);
    struct readahead ra = {0};
    for (uint64_t at = 0; at < 8 * MIB; at += 2 * BLOCK)
        for (unsigned k = 0; k < 4; k++)
            assert_int_equal(read_now(f.c, 1, k * 32 * MIB + at, 2 * BLOCK, &ra), ERR_OK);
    struct content_stats st = stats(&f);
    assert_true(st.requests <= 4 * 28); /* one by one 128; how far it runs ahead follows from the time that a request takes */
    assert_true(st.misses <= 4 * 28);
    fixture_free(&f);
}

static void readers_at_equal_distances_find_their_bytes_there(void **state)
{
    static const struct {
        int64_t from, step;
        size_t len;
        unsigned n, requests, blocks; /* at most */
    } cases[] = {
        {63 * MIB, -(int64_t)BLOCK, BLOCK, 300, 48, 370}, /* backward */
        {63 * MIB, -8192, 8192, 800, 30, 60},
        {0, MIB, 4096, 60, 66, 70},                       /* every so many bytes */
        {60 * MIB, -(int64_t)MIB, BLOCK + 4096, 55, 62, 2 * 62},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture f = fixture_new((struct mem_options){.async = true}, 128 * MIB, 64 * MIB);
        struct readahead ra = {0};
        int64_t at = cases[i].from;
        mem_store_hold(f.m, MEM_GET, NULL);
        for (unsigned k = 0; k < cases[i].n; k++, at += cases[i].step) {
            struct reading r;
            start_read(&r, f.c, 1, (uint64_t)at, cases[i].len, &ra, NULL);
            mem_store_unhold(f.m, MEM_GET);
            assert_int_equal(answer(&r), ERR_OK);
            while (stats(&f).fetched_bytes < stats(&f).memory_used) /* what was asked for ahead has come */
                usleep(100);
            mem_store_hold(f.m, MEM_GET, NULL);
        }
        mem_store_unhold(f.m, MEM_GET);
        struct content_stats st = stats(&f);
        if (st.requests > cases[i].requests || st.fetched_bytes > (uint64_t)cases[i].blocks * BLOCK)
            print_message("case %zu: %llu requests, %llu blocks\n", i, (unsigned long long)st.requests,
                          (unsigned long long)st.fetched_bytes / BLOCK);
        assert_true(st.requests <= cases[i].requests);
        assert_true(st.fetched_bytes <= (uint64_t)cases[i].blocks * BLOCK);
        fixture_free(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_read_fetches_the_block_it_touches),
        cmocka_unit_test(a_sequential_reader_is_ahead_of_nobody_twice),
        cmocka_unit_test(ranges_are_fetched_ahead_in_parallel),
        cmocka_unit_test(a_reader_short_of_memory_asks_for_whole_ranges),
        cmocka_unit_test(a_reader_short_of_memory_asks_for_whole_ranges_on_a_slow_link),
        cmocka_unit_test(several_readers_in_order_of_one_handle_are_told_apart),
        cmocka_unit_test(readers_at_equal_distances_find_their_bytes_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
