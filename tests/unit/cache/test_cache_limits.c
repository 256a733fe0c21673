/* cache_size=, cache_free= and what is evicted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#define MIB (1024ull * 1024)

static struct cache_version numbered(unsigned i, uint64_t size)
{
    static _Thread_local char key[32];
    snprintf(key, sizeof(key), "key%u", i);
    return version_of(key, "e1", size);
}

static void more_than_fits_evicts_the_oldest_and_never_passes_the_limit(void **state)
{
    struct cache *c = open_cache(64 * MIB);
    for (unsigned i = 0; i < 60; i++) {
        struct cache_version v = numbered(i, 3 * MIB);
        fill(c, &v, i);
        assert_true(disk_usage() <= 64 * MIB);
        assert_true(stats_of(c).used <= 64 * MIB);
        assert_true(holds(c, &v, i));
    }
    struct cache_version first = numbered(0, 3 * MIB);
    assert_int_equal(held_chunks(c, &first, 0), 0);
    assert_true(stats_of(c).evicted > 30);
    close_cache(c);
    assert_int_equal(sql("SELECT sum(disk) FROM content"), sql("SELECT disk FROM space"));
    assert_int_equal(sql("SELECT count(*) FROM content"), count_files("content") + count_files("part"));
}

static void small_ones_pass_no_limit_either(void **state)
{
    struct cache *c = open_cache(32 * MIB);
    for (unsigned i = 0; i < 1500; i++) {
        struct cache_version v = numbered(i, 40000);
        fill_chunks(c, &v, i, 0, 1);
        if (i % 100 == 99) {
            settle(c);
            assert_true(disk_usage() <= 32 * MIB);
        }
    }
    settle(c);
    struct cache_version last = numbered(1499, 40000);
    assert_true(holds(c, &last, 1499));
    assert_int_equal(stats_of(c).dropped_bytes, 0);
    close_cache(c);
}

static void an_object_larger_than_the_cache_is_held_as_far_as_there_is_room(void **state)
{
    struct cache *c = open_cache(48 * MIB);
    struct cache_version v = numbered(0, 100 * MIB);
    struct cache_entry *n = cache_entry_get(c, &v);
    fill(c, &v, 1);
    uint64_t held = held_chunks(c, &v, 1);
    assert_true(held > 20 * 8 && held < 48 * 8);
    assert_true(disk_usage() <= 48 * MIB);
    assert_true(stats_of(c).dropped_bytes > 0);
    cache_entry_unref(n);
    close_cache(c);
}

static void open_content_stays_pinned_content_too(void **state)
{
    struct cache *c = open_cache(64 * MIB), *other = open_cache(64 * MIB);
    struct cache_version open = numbered(1000, 2 * MIB), pinned = numbered(1001, 2 * MIB);
    char key[32];
    snprintf(key, sizeof(key), "%s", open.key);
    pinned.key = "pinned";
    open.key = key;
    fill(c, &open, 1000);
    fill(c, &pinned, 1001);
    (void)sql("UPDATE content SET pinned = 1 WHERE id = (SELECT content FROM version WHERE key = 'pinned') RETURNING 1");
    struct cache_entry *n = cache_entry_get(other, &open);
    assert_int_equal(cache_held(n, 0, open.size), open.size);
    for (unsigned i = 0; i < 60; i++) {
        struct cache_version v = numbered(i, 3 * MIB);
        fill(c, &v, i);
    }
    assert_int_equal(cache_held(n, 0, open.size), open.size);
    cache_entry_unref(n);
    assert_true(holds(c, &open, 1000) && holds(c, &pinned, 1001));
    close_cache(other);
    close_cache(c);
}

static void one_large_scan_does_not_drive_out_what_is_used_again(void **state)
{
    struct cache *c = open_cache(96 * MIB);
    for (unsigned i = 0; i < 10; i++) {
        struct cache_version v = numbered(i, 3 * MIB);
        fill(c, &v, i);
    }
    for (unsigned i = 0; i < 10; i++) {
        struct cache_version v = numbered(i, 3 * MIB);
        assert_true(holds(c, &v, i));
        settle(c);
    }
    for (unsigned i = 100; i < 200; i++) {
        struct cache_version v = numbered(i, 3 * MIB);
        fill(c, &v, i);
    }
    for (unsigned i = 0; i < 10; i++) {
        struct cache_version v = numbered(i, 3 * MIB);
        assert_true(holds(c, &v, i));
    }
    close_cache(c);
}

static void a_smaller_cache_size_evicts_at_the_next_opening(void **state)
{
    struct cache *c = open_cache(128 * MIB);
    for (unsigned i = 0; i < 25; i++) {
        struct cache_version v = numbered(i, 4 * MIB);
        fill(c, &v, i);
    }
    assert_true(disk_usage() > 64 * MIB);
    close_cache(c);
    c = open_cache(64 * MIB);
    struct cache_version v = numbered(50, 1000);
    fill(c, &v, 50);
    settle(c);
    assert_true(disk_usage() <= 64 * MIB);
    assert_true(holds(c, &v, 50));
    close_cache(c);
}

static void what_must_stay_free_stays_free(void **state)
{
    struct cache *c = NULL;
    struct err e = ERR_INIT;
    struct cache_config config = {.dir = cache_dir, .size = 64 * MIB, .keep_free = 1ull << 60};
    assert_int_equal(cache_open(&config, &c, &e), ERR_OK);
    struct cache_version v = numbered(0, 2 * MIB);
    fill(c, &v, 0);
    assert_int_equal(held_chunks(c, &v, 0), 0);
    assert_int_equal(stats_of(c).dropped_bytes, 2 * MIB);
    close_cache(c);
}

static void what_is_removed_while_open_counts_until_it_is_closed(void **state)
{
    struct cache *c = open_cache(64 * MIB), *other = open_cache(64 * MIB);
    struct cache_version v = numbered(0, 4 * MIB);
    fill(c, &v, 1);
    struct cache_entry *n = cache_entry_get(other, &v);
    assert_int_equal(cache_held(n, 0, v.size), v.size);
    char path[512];
    find_file("content", path);
    spoil(path, 0);
    (void)held_chunks(c, &v, 1);
    fill(c, &v, 1); /* the good chunks and a new first one: another file */
    settle(c);
    assert_true(sql("SELECT disk FROM space") >= (int64_t)(8 * MIB));
    assert_true(disk_usage() >= 8 * MIB);
    cache_entry_unref(n);
    settle(other);
    for (int i = 0; i < 100 && sql("SELECT count(*) FROM content WHERE state = 3") > 0; i++) {
        struct cache_version w = numbered(100 + i, 10);
        fill(other, &w, 1);
    }
    assert_int_equal(sql("SELECT count(*) FROM content WHERE state = 3"), 0);
    close_cache(other);
    close_cache(c);
    assert_int_equal(count_files("content") + count_files("part"), 1);
}

static void a_full_disk_gives_right_bytes_or_none(void **state)
{
    if (mount("none", cache_dir, "tmpfs", 0, "size=24m,mode=0700") != 0)
        skip(); /* wants root */
    struct cache *c = open_cache(256 * MIB);
    struct cache_version first = numbered(0, 3 * MIB);
    char key[32];
    snprintf(key, sizeof(key), "first");
    first.key = key;
    fill(c, &first, 0);
    assert_true(holds(c, &first, 0));
    for (unsigned i = 1; i < 12; i++) {
        struct cache_version v = numbered(i, 3 * MIB), small = numbered(100 + i, 50000);
        char small_key[32];
        snprintf(small_key, sizeof(small_key), "small%u", i);
        small.key = small_key;
        fill_chunks(c, &v, i, 0, 24);
        fill_chunks(c, &small, i, 0, 1);
        (void)cache_drain(c, 2000);
        (void)held_chunks(c, &v, i);
        (void)held_chunks(c, &small, i);
    }
    (void)held_chunks(c, &first, 0);
    assert_int_equal(stats_of(c).bad, 0);
    cache_close(c);
    c = open_cache(256 * MIB);
    (void)held_chunks(c, &first, 0);
    cache_close(c);
    assert_int_equal(umount2(cache_dir, MNT_DETACH), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(more_than_fits_evicts_the_oldest_and_never_passes_the_limit),
        T(small_ones_pass_no_limit_either),
        T(an_object_larger_than_the_cache_is_held_as_far_as_there_is_room),
        T(open_content_stays_pinned_content_too),
        T(one_large_scan_does_not_drive_out_what_is_used_again),
        T(a_smaller_cache_size_evicts_at_the_next_opening),
        T(what_must_stay_free_stays_free),
        T(a_full_disk_gives_right_bytes_or_none),
        T(what_is_removed_while_open_counts_until_it_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
