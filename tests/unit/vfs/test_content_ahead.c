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
    assert_int_equal(ra.window, 8 * MIB);
    fixture_free(&f);
}

static void ranges_are_fetched_ahead_in_parallel(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 128 * MIB, 64 * MIB);
    struct readahead ra = {0};
    for (uint64_t at = 0; at < 16 * MIB; at += MIB)
        assert_int_equal(read_now(f.c, 1, at, MIB, &ra), ERR_OK);
    while (stats(&f).fetched_bytes < ra.ahead)
        usleep(1000);
    mem_store_hold(f.m, MEM_GET, "k");
    for (uint64_t at = 16 * MIB; at + MIB < ra.ahead && at < 40 * MIB; at += MIB) {
        struct reading r;
        start_read(&r, f.c, 1, at, MIB, &ra, NULL);
        if (!answered(&r)) {
            mem_store_unhold(f.m, MEM_GET);
            assert_int_equal(answer(&r), ERR_OK);
            mem_store_hold(f.m, MEM_GET, "k");
        } else if (mem_store_held(f.m, MEM_GET) >= 4) {
            break;
        }
    }
    assert_true(mem_store_held(f.m, MEM_GET) >= 4);
    mem_store_unhold(f.m, MEM_GET);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_read_fetches_the_block_it_touches),
        cmocka_unit_test(a_sequential_reader_is_ahead_of_nobody_twice),
        cmocka_unit_test(ranges_are_fetched_ahead_in_parallel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
