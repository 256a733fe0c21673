#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "content_support.h"
#include "util/timer.h"

#include <stdlib.h>
#include <unistd.h>

#define MIB   (1024u * 1024)
#define BLOCK CONTENT_BLOCK

static void a_small_object_is_one_request_and_little_memory(void **state)
{
    static const uint64_t sizes[] = {1, 4096, 4097, 100000, BLOCK, BLOCK + 1, 2 * BLOCK};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, sizes[i]);
        struct readahead ra = {0};
        size_t first = sizes[i] < 4096 ? sizes[i] : 4096;
        assert_int_equal(read_now(f.c, 1, 0, first, &ra), ERR_OK);
        assert_int_equal(read_now(f.c, 1, 0, sizes[i], &ra), ERR_OK);
        assert_int_equal(stats(&f).requests, 1);
        assert_int_equal(stats(&f).memory_used, (sizes[i] + 4095) / 4096 * 4096);
        fixture_free(&f);
    }
}

static uint64_t most_while_reading(struct fixture *f)
{
    uint64_t most = 0;
    struct readahead ra = {0};
    for (uint64_t at = 0; at < 100 * MIB; at += MIB) {
        assert_int_equal(read_now(f->c, 1, at, MIB, &ra), ERR_OK);
        struct content_stats st = stats(f);
        if (st.memory_used + st.memory_idle > most)
            most = st.memory_used + st.memory_idle;
    }
    return most;
}

/* A store that is late, as on a machine whose processors are taken, is asked for more ahead: but not each time. */
static void a_sequential_reader_does_with_little_memory(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 128 * MIB, 100 * MIB);
    for (int tries = 0; most_while_reading(&f) > 64 * MIB; tries++) {
        assert_true(tries < 10);
        fixture_free(&f);
        f = fixture_new((struct mem_options){.async = true}, 128 * MIB, 100 * MIB);
    }
    struct content_stats st = stats(&f);
    for (int i = 0; i < 20; i++) /* who reads here and there keeps what was read */
        for (uint64_t at = 0; at < 40 * MIB; at += MIB + BLOCK)
            assert_int_equal(read_now(f.c, 1, at, BLOCK, NULL), ERR_OK);
    assert_true(stats(&f).fetched_bytes - st.fetched_bytes <= 36 * BLOCK);
    fixture_free(&f);
}

static void memory_that_nobody_needs_goes_back_to_the_system(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 64 * MIB, 40 * MIB + 5000);
    struct err e = ERR_INIT;
    struct timers *timers = timers_new(&e);
    contents_give_back(f.cs, timers, 20);
    for (int round = 0; round < 3; round++) {
        struct store_version v = put_object(f.s, "short", 2, 40 * MIB + 5000);
        struct content *c = content_new(f.cs, "short", &v, &e);
        for (uint64_t at = 0; at < 40 * MIB; at += MIB)
            assert_int_equal(read_now(c, 2, at, MIB, NULL), ERR_OK);
        assert_int_equal(read_now(c, 2, 40 * MIB, 5000, NULL), ERR_OK);
        content_unref(c);
        assert_int_equal(stats(&f).memory_used, 0);
        for (int i = 0; i < 10000 && stats(&f).memory_idle > 0; i++)
            usleep(1000);
        assert_int_equal(stats(&f).memory_idle, 0);
    }
    fixture_free(&f);
    timers_free(timers);
}

static void stalled_reads_never_delay_one_of_a_held_block(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 16 * MIB, MIB);
    struct err e = ERR_INIT;
    struct store_version v = put_object(f.s, "hung", 2, 300 * MIB / 8);
    struct content *hung = content_new(f.cs, "hung", &v, &e);
    static struct reading stalled[200];
    assert_int_equal(read_now(f.c, 1, 0, 2 * BLOCK, NULL), ERR_OK);
    mem_store_hold(f.m, MEM_GET, "hung");
    for (unsigned i = 0; i < 200; i++)
        start_read(&stalled[i], hung, 2, i * BLOCK, BLOCK, NULL, NULL);
    assert_int_equal(stats(&f).parked, 200);
    assert_true(stats(&f).memory_used <= 16 * MIB);
    for (int i = 0; i < 100; i++) {
        struct reading r;
        start_read(&r, f.c, 1, 100, BLOCK, NULL, NULL);
        assert_true(answered(&r));
        assert_int_equal(answer(&r), ERR_OK);
    }
    mem_store_unhold(f.m, MEM_GET);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(answer(&stalled[i]), ERR_OK);
    assert_true(stats(&f).memory_used <= 16 * MIB);
    content_unref(hung);
    fixture_free(&f);
}

static void a_read_larger_than_the_memory_fails(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, MIB, 4 * MIB);
    assert_int_equal(read_now(f.c, 1, 0, 2 * MIB, NULL), ERR_NOMEM);
    assert_int_equal(read_now(f.c, 1, 1, MIB, NULL), ERR_NOMEM);
    assert_int_equal(read_now(f.c, 1, BLOCK, MIB, NULL), ERR_OK);
    assert_int_equal(read_now(f.c, 1, 0, MIB, NULL), ERR_OK);
    fixture_free(&f);
}

static void reads_that_wait_for_memory_go_in_order_of_arrival(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 4 * MIB, 40 * MIB);
    struct reading r[8];
    mem_store_hold(f.m, MEM_GET, "k");
    for (unsigned i = 0; i < 8; i++)
        start_read(&r[i], f.c, 1, i * 4 * MIB, i == 7 ? MIB : 3 * MIB, NULL, NULL);
    for (unsigned i = 0; i < 7; i++) {
        assert_true(mem_store_wait_held(f.m, MEM_GET, 1, 60000));
        assert_int_equal(mem_store_held(f.m, MEM_GET), 1);
        assert_true(mem_store_release_one(f.m, MEM_GET, NULL));
        assert_int_equal(answer(&r[i]), ERR_OK);
        assert_true(i == 6 || !answered(&r[i + 1]));
    }
    mem_store_unhold(f.m, MEM_GET);
    assert_int_equal(answer(&r[7]), ERR_OK);
    fixture_free(&f);
}

static void what_is_told_and_pinned_needs_no_request_and_stays(void **state)
{
    for (int secret = 0; secret < 2; secret++) {
        struct err e = ERR_INIT;
        struct store *s = mem_store_new(&(struct mem_options){.async = true}, NULL, &e);
        struct contents *cs = contents_new(s, MIB, secret, &e);
        struct store_version v = put_object(s, "told", 3, BLOCK + 1000), big = put_object(s, "big", 4, 4 * MIB);
        struct content *told = content_new(cs, "told", &v, &e), *c = content_new(cs, "big", &big, &e);
        unsigned char *bytes = malloc(BLOCK + 1000);
        for (size_t i = 0; i < BLOCK + 1000; i++)
            bytes[i] = byte_at(3, i);
        assert_int_equal(content_fill(told, bytes, 1000, true, &e), ERR_INVAL);
        assert_int_equal(content_fill(told, bytes, BLOCK + 1000, true, &e), ERR_OK);
        free(bytes);
        for (uint64_t at = 0; at < 4 * MIB; at += 2 * BLOCK)
            assert_int_equal(read_now(c, 4, at, 2 * BLOCK, NULL), ERR_OK);
        assert_int_equal(read_now(c, 4, 0, MIB, NULL), ERR_NOMEM); /* never, beside what is pinned */
        struct content_stats before, after;
        contents_stats(cs, &before);
        assert_true(before.memory_used <= MIB);
        assert_int_equal(read_now(told, 3, 0, BLOCK + 1000, NULL), ERR_OK);
        contents_stats(cs, &after);
        assert_int_equal(before.requests, after.requests);
        content_unref(told);
        assert_int_equal(read_now(c, 4, 0, MIB, NULL), ERR_OK);
        content_unref(c);
        contents_free(cs);
        store_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_object_is_one_request_and_little_memory),
        cmocka_unit_test(a_sequential_reader_does_with_little_memory),
        cmocka_unit_test(memory_that_nobody_needs_goes_back_to_the_system),
        cmocka_unit_test(stalled_reads_never_delay_one_of_a_held_block),
        cmocka_unit_test(a_read_larger_than_the_memory_fails),
        cmocka_unit_test(reads_that_wait_for_memory_go_in_order_of_arrival),
        cmocka_unit_test(what_is_told_and_pinned_needs_no_request_and_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
