/* Every way against OpenSSL's digest of each buffer. */
#include "util/digest.h"
#include "util/sha512_lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST 40

static uint8_t pool[1 << 20];
static uint32_t seed = 1;

static uint32_t next_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static int fill_pool(void **state)
{
    for (size_t i = 0; i < sizeof(pool); i++)
        pool[i] = (uint8_t)next_random();
    return 0;
}

/* Hashes the buffers in that way and compares each, wherever it was put, with OpenSSL's. The digests are filled before with
 * what no digest is, so that one not written is seen. */
static void check(enum sha512_way way, struct sha512_buf *bufs, size_t n)
{
    static uint8_t digests[MOST][SHA512_BYTES];

    memset(digests, 0xEE, sizeof(digests));
    for (size_t i = 0; i < n; i++)
        bufs[i].digest = digests[i];
    assert_int_equal(sha512_each_by(way, bufs, n, NULL), ERR_OK);
    for (size_t i = 0; i < n; i++) {
        uint8_t right[DIGEST_MAX];
        assert_int_equal(digest_once(DIGEST_SHA512, bufs[i].p, bufs[i].len, right, NULL), ERR_OK);
        assert_memory_equal(bufs[i].digest, right, SHA512_BYTES);
    }
    for (size_t i = n; i < MOST; i++)
        assert_int_equal(digests[i][0], 0xEE);
}

#define EACH_WAY(way)                                                                                                     \
    for (enum sha512_way way = 0; way < SHA512_WAYS; way++)                                                               \
        if (sha512_way_works(way))

static void every_length_to_1100_is_hashed_right(void **state)
{
    EACH_WAY(way) {
        for (size_t len = 0; len <= 1100; len++) {
            struct sha512_buf bufs[8];
            for (size_t i = 0; i < 8; i++)
                bufs[i] = (struct sha512_buf){.p = pool + 2000 * i, .len = len};
            check(way, bufs, 8);
        }
    }
}

static void every_number_of_buffers_is_hashed_right(void **state)
{
    EACH_WAY(way) {
        for (size_t n = 0; n <= 33; n++) {
            struct sha512_buf same[33], steps[33];
            for (size_t i = 0; i < n; i++) {
                same[i] = (struct sha512_buf){.p = pool + 5000 * i, .len = 5000};
                steps[i] = (struct sha512_buf){.p = pool + 5000 * i, .len = 37 * i};
            }
            check(way, same, n);
            check(way, steps, n);
        }
    }
}

static void random_lengths_and_places_are_hashed_right(void **state)
{
    static const size_t most[] = {200, 3000, 70000};

    EACH_WAY(way) {
        for (int round = 0; round < 150; round++) {
            struct sha512_buf bufs[MOST];
            size_t n = next_random() % (MOST + 1);
            for (size_t i = 0; i < n; i++) {
                size_t len = next_random() % most[round % 3];
                bufs[i] = (struct sha512_buf){.p = pool + next_random() % (sizeof(pool) - len), .len = len};
            }
            check(way, bufs, n);
        }
    }
}

static void every_alignment_is_hashed_right(void **state)
{
    EACH_WAY(way) {
        for (size_t shift = 0; shift < 65; shift++) {
            struct sha512_buf bufs[8];
            for (size_t i = 0; i < 8; i++)
                bufs[i] = (struct sha512_buf){.p = pool + 1000 * i + shift * (i + 1), .len = 777};
            check(way, bufs, 8);
        }
    }
}

/* Each ends where its page ends, and the page behind it cannot be read; the kernels are not compiled with sanitizers. */
static void nothing_is_read_past_the_end_of_a_buffer(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *map = mmap(NULL, 40 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(map, MAP_FAILED);
    for (size_t i = 0; i < 20; i++) {
        memcpy(map + 2 * i * page, pool, page);
        assert_int_equal(mprotect(map + (2 * i + 1) * page, page, PROT_NONE), 0);
    }
    EACH_WAY(way) {
        struct sha512_buf bufs[20];
        for (size_t i = 0; i < 20; i++)
            bufs[i] = (struct sha512_buf){.p = map + (2 * i + 1) * page - i * 61, .len = i * 61};
        check(way, bufs, 20);
    }
    munmap(map, 40 * page);
}

static void one_giant_among_dwarfs_is_hashed_right(void **state)
{
    EACH_WAY(way) {
        struct sha512_buf bufs[12];
        for (size_t i = 0; i < 12; i++)
            bufs[i] = (struct sha512_buf){.p = pool + i, .len = i == 5 ? sizeof(pool) - 12 : i == 7 ? 300000 : i};
        check(way, bufs, 12);
    }
}

static void large_buffers_are_hashed_right(void **state)
{
    size_t len = (8 << 20) + 111;
    uint8_t *large = malloc(len + 17);

    for (size_t i = 0; i < len + 17; i++)
        large[i] = pool[(i + i / sizeof(pool)) % sizeof(pool)];
    EACH_WAY(way) {
        struct sha512_buf bufs[9];
        for (size_t i = 0; i < 9; i++)
            bufs[i] = (struct sha512_buf){.p = large + i, .len = len - (i == 3)};
        check(way, bufs, 9);
    }
    free(large);
}

static void empty_buffers_may_have_no_address(void **state)
{
    EACH_WAY(way) {
        struct sha512_buf bufs[17] = {{0}};
        check(way, bufs, 17);
    }
}

static void the_order_of_the_buffers_does_not_matter(void **state)
{
    struct sha512_buf bufs[10];

    for (int up = 0; up < 2; up++) {
        for (size_t i = 0; i < 10; i++)
            bufs[i] = (struct sha512_buf){.p = pool, .len = 1000 * (up ? i : 9 - i)};
        uint8_t digests[10][SHA512_BYTES];
        for (size_t i = 0; i < 10; i++)
            bufs[i].digest = digests[i];
        assert_int_equal(sha512_each(bufs, 10, NULL), ERR_OK);
        for (size_t i = 0; i < 10; i++) {
            uint8_t right[DIGEST_MAX];
            assert_int_equal(digest_once(DIGEST_SHA512, pool, 1000 * (up ? i : 9 - i), right, NULL), ERR_OK);
            assert_memory_equal(digests[i], right, SHA512_BYTES);
        }
    }
}

static void the_best_way_works_here(void **state)
{
    assert_true(sha512_way_works(SHA512_ONE_BY_ONE));
    assert_true(sha512_way_works(sha512_way_best()));
    EACH_WAY(way) {
        assert_true(way <= sha512_way_best());
        assert_true((sha512_way_pays(way) > 1) == (way != SHA512_ONE_BY_ONE));
        print_message("tested way %d\n", (int)way);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_way_works_here),
        cmocka_unit_test(every_length_to_1100_is_hashed_right),
        cmocka_unit_test(every_number_of_buffers_is_hashed_right),
        cmocka_unit_test(random_lengths_and_places_are_hashed_right),
        cmocka_unit_test(every_alignment_is_hashed_right),
        cmocka_unit_test(nothing_is_read_past_the_end_of_a_buffer),
        cmocka_unit_test(one_giant_among_dwarfs_is_hashed_right),
        cmocka_unit_test(large_buffers_are_hashed_right),
        cmocka_unit_test(empty_buffers_may_have_no_address),
        cmocka_unit_test(the_order_of_the_buffers_does_not_matter),
    };
    return cmocka_run_group_tests(tests, fill_pool, NULL);
}
