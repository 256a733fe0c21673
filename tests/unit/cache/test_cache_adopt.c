#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/cache_internal.h"
#include "fixture.h"
#include "util/digest.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MIB (1024ull * 1024)
#define SIZE (256 * MIB)

static void what_was_stored_from_here_is_adopted(void **state)
{
    char path[512];
    uint8_t sum[DIGEST_MAX];
    size_t size = 5 * MIB + 3;
    char *p = malloc(size);
    struct cache *c = open_cache(SIZE);
    make_bytes(9, 0, p, size);
    snprintf(path, sizeof(path), "%s/staged", cache_dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, p, size), size);
    assert_int_equal(digest_once(DIGEST_SHA512, p, size, sum, NULL), ERR_OK);
    struct cache_version v = version_of("a", "e1", size);
    cache_adopt(c, &v, dup(fd), &(struct cache_sums){.sha512 = sum});
    settle(c);
    assert_true(holds(c, &v, 9));
    v.etag = "e2";
    assert_int_equal(pwrite(fd, "changed", 7, MIB), 7);
    sum[0]++;
    cache_adopt(c, &v, dup(fd), &(struct cache_sums){.sha512 = sum});
    settle(c);
    assert_int_equal(held_chunks(c, &v, 9), 0);
    uint64_t crc = crc64nvme(0, p, size);
    v.etag = "e3";
    cache_adopt(c, &v, dup(fd), &(struct cache_sums){.crc64nvme = &crc});
    settle(c);
    assert_int_equal(held_chunks(c, &v, 9), 0);
    assert_int_equal(pwrite(fd, p + MIB, 7, MIB), 7);
    cache_adopt(c, &v, dup(fd), &(struct cache_sums){.crc64nvme = &crc});
    settle(c);
    assert_true(holds(c, &v, 9));
    close(fd);
    free(p);
    close_cache(c);
}

static void what_was_stored_is_adopted_from_memory_if_it_is_what_it_was(void **state)
{
    uint8_t sum[DIGEST_MAX];
    struct cache *c = open_cache(SIZE);
    for (size_t size = 1; size <= CACHE_ADOPT_BYTES; size += CACHE_ADOPT_BYTES - 1)
        for (int wrong = 0; wrong < 2; wrong++) {
            char *p = malloc(size);
            make_bytes(9, 0, p, size);
            assert_int_equal(digest_once(DIGEST_SHA512, p, size, sum, NULL), ERR_OK);
            p[size - 1] ^= wrong;
            struct cache_version v = version_of("a", wrong ? "e2" : "e1", size);
            v.key = size > 1 ? "large" : "small";
            if (wrong) /* else its SHA-512 would bring the bytes that are there */
                cache_adopt_bytes(c, &v, p, &(struct cache_sums){.crc64nvme = &(uint64_t){1}}, 0);
            else
                cache_adopt_bytes(c, &v, p, &(struct cache_sums){.sha512 = sum}, 0);
            settle(c);
            assert_int_equal(held_chunks(c, &v, 9) == 0, wrong);
        }
    close_cache(c);
}

struct writer {
    struct cache *cache;
    atomic_bool ended;
};

static void *write_all_the_time(void *arg)
{
    struct writer *w = arg;
    while (!atomic_load(&w->ended)) {
        cache_writing(w->cache);
        usleep(1000);
    }
    return NULL;
}

static void what_was_stored_is_adopted_also_while_somebody_writes_all_the_time(void **state)
{
    char path[512];
    size_t size = 2 * MIB + 3;
    char *p = malloc(size);
    struct cache *c = open_cache(SIZE);
    struct writer writer = {.cache = c};
    pthread_t thread;
    make_bytes(9, 0, p, size);
    snprintf(path, sizeof(path), "%s/staged", cache_dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, p, size), size);
    uint64_t crc = crc64nvme(0, p, size);
    struct cache_version v = version_of("a", "e1", size);
    assert_int_equal(pthread_create(&thread, NULL, write_all_the_time, &writer), 0);
    cache_adopt(c, &v, fd, &(struct cache_sums){.crc64nvme = &crc});
    while (stats_of(c).pending > 0)
        usleep(1000);
    assert_true(holds(c, &v, 9));
    atomic_store(&writer.ended, true);
    pthread_join(thread, NULL);
    free(p);
    close_cache(c);
}

static unsigned waiting(struct cache *c)
{
    LOCK_SCOPE(&c->lock);
    return c->small.n;
}

static void adopt_small(struct cache *c, unsigned i, size_t size, unsigned hold_ms)
{
    char key[16], *p = malloc(size);
    snprintf(key, sizeof(key), "small%u", i);
    make_bytes(i, 0, p, size);
    struct cache_version v = version_of(key, "e1", size);
    cache_adopt_bytes(c, &v, p, &(struct cache_sums){0}, hold_ms);
}

static bool has_small(struct cache *c, unsigned i, size_t size)
{
    char key[16];
    snprintf(key, sizeof(key), "small%u", i);
    struct cache_version v = version_of(key, "e1", size);
    return held_chunks(c, &v, i) > 0;
}

#define FOREVER_MS (3600u * 1000)

/* As if somebody had just written, whatever the clock says. */
static void keep_writing(struct cache *c, bool on)
{
    LOCK_SCOPE(&c->pace.lock);
    c->pace.read_ms = on ? UINT64_MAX / 2 : 0;
}

/* Until no more than `n` wait. A look at what is held would be a reader, whom the adopter stays out of the way of. */
static void wait_until(struct cache *c, unsigned n)
{
    while (waiting(c) > n)
        usleep(1000);
}

static void small_ones_wait_while_somebody_writes_until_they_are_waited_for(void **state)
{
    struct cache *c = open_cache(SIZE);
    keep_writing(c, true);
    for (unsigned i = 0; i < 1000; i++)
        adopt_small(c, i, 100 + i, FOREVER_MS);
    adopt_small(c, 7, 107, FOREVER_MS); /* once more: in the place of the one that waits */
    usleep(200 * 1000);
    assert_int_equal(waiting(c), 1000);
    assert_true(cache_settle(c, FOREVER_MS));
    assert_int_equal(waiting(c), 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(has_small(c, i, 100 + i));
    assert_int_equal(stats_of(c).dropped_bytes, 0);
    assert_int_equal(stats_of(c).memory, 0);
    close_cache(c);
}

static void small_ones_wait_for_a_pause_or_as_long_as_they_may(void **state)
{
    struct cache *c = open_cache(SIZE);
    keep_writing(c, true);
    adopt_small(c, 0, 50, 1);
    wait_until(c, 0);
    adopt_small(c, 1, 51, FOREVER_MS);
    assert_int_equal(waiting(c), 1);
    keep_writing(c, false);
    wait_until(c, 0);
    assert_true(cache_settle(c, FOREVER_MS));
    assert_true(has_small(c, 0, 50));
    assert_true(has_small(c, 1, 51));
    close_cache(c);
}

static void small_ones_wait_in_half_of_their_room_only(void **state)
{
    struct cache *c = open_cache(SIZE);
    unsigned n = 0;
    keep_writing(c, true);
    for (; n < 160; n++) /* 10 MiB of 16 */
        adopt_small(c, n, CACHE_ADOPT_BYTES, FOREVER_MS);
    wait_until(c, 128);
    assert_int_equal(waiting(c), 128);
    assert_true(cache_settle(c, FOREVER_MS));
    for (unsigned i = 0; i < n; i++)
        assert_true(has_small(c, i, CACHE_ADOPT_BYTES));
    assert_int_equal(stats_of(c).dropped_bytes, 0);
    close_cache(c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_stored_from_here_is_adopted),
        T(what_was_stored_is_adopted_from_memory_if_it_is_what_it_was),
        T(what_was_stored_is_adopted_also_while_somebody_writes_all_the_time),
        T(small_ones_wait_while_somebody_writes_until_they_are_waited_for),
        T(small_ones_wait_for_a_pause_or_as_long_as_they_may),
        T(small_ones_wait_in_half_of_their_room_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
