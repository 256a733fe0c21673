/* What an administrator asks of a cache, and what becomes of what he said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/admin.h"
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB    (1024ull * 1024)
#define SIZE   (256 * MIB)
#define CHUNKS 16

static struct cache_applied apply(struct cache *c, const char *prefix, enum cache_action action)
{
    struct cache_applied n;
    struct err e = ERR_INIT;
    if (cache_apply(c, prefix, action, &n, &e) != ERR_OK)
        fail_msg("%s", e.msg);
    return n;
}

static struct cache_version large(const char *key)
{
    return version_of(key, "e1", CHUNKS * CACHE_CHUNK);
}

static bool only_pinned(void)
{
    return sql("SELECT count(*) FROM content WHERE state < 3") == 1 && sql("SELECT pinned FROM content WHERE state < 3") == 1;
}

static void what_is_done_is_counted_in_contents(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v[3] = {large("b/dir/a"), large("b/dir/same as a"), large("b/other")};
    for (unsigned i = 0; i < 3; i++)
        fill(c, &v[i], i == 2);
    const struct {
        const char *prefix;
        enum cache_action action;
        struct cache_applied n;
    } rows[] = {
        {"b/di", CACHE_PIN, {0, 0, 0}},        {"b/dir", CACHE_PIN, {2, 1, 0}},     {"b/dir", CACHE_PIN, {2, 0, 1}},
        {"b/other", CACHE_UNPIN, {1, 0, 1}},   {"", CACHE_EVICT, {3, 1, 1}},        {"b/other", CACHE_EVICT, {0, 0, 0}},
        {"b/dir/a", CACHE_UNPIN, {1, 1, 0}},   {"b/dir", CACHE_PIN, {2, 1, 0}},     {"", CACHE_CLEAR, {2, 1, 0}},
        {"", CACHE_CLEAR, {0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cache_applied n = apply(c, rows[i].prefix, rows[i].action);
        if (memcmp(&n, &rows[i].n, sizeof(n)) != 0)
            fail_msg("row %zu: %llu versions, %llu changed, %llu kept", i, (unsigned long long)n.versions,
                     (unsigned long long)n.changed, (unsigned long long)n.kept);
    }
    close_cache(c);
}

static void who_pinned_a_part_has_pinned_the_whole(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = large("a");
    fill_chunks(c, &v, 1, 0, 4);
    settle(c);
    assert_int_equal(apply(c, "a", CACHE_PIN).changed, 1);
    fill(c, &v, 1);
    assert_int_equal(count_files("content"), 1);
    assert_true(only_pinned());
    close_cache(c);
}

static void what_turns_out_to_be_the_same_bytes_is_pinned_too(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = large("a"), w = large("b");
    fill(c, &v, 1);
    fill_chunks(c, &w, 1, 0, 4);
    settle(c);
    assert_int_equal(apply(c, "b", CACHE_PIN).changed, 1);
    fill(c, &w, 1);
    assert_int_equal(count_files("content"), 1);
    assert_true(only_pinned());
    close_cache(c);
}

static void what_was_damaged_and_fetched_again_stays_pinned(void **state)
{
    char path[512];
    struct cache *c = open_cache(SIZE);
    struct cache_version v = large("a");
    fill(c, &v, 1);
    assert_int_equal(apply(c, "a", CACHE_PIN).changed, 1);
    close_cache(c);
    find_file("content", path);
    spoil(path, 5 * CACHE_CHUNK + 1);
    c = open_cache(SIZE);
    assert_int_equal(held_chunks(c, &v, 1), CHUNKS - 1);
    fill(c, &v, 1);
    assert_true(holds(c, &v, 1));
    assert_int_equal(stats_of(c).bad, 1);
    assert_true(only_pinned());
    close_cache(c);
}

static void add(void *arg, uint64_t n)
{
    *(uint64_t *)arg += n;
}

static void verifying_tells_how_far_it_is(void **state)
{
    char path[512];
    uint64_t seen = 0, bytes, bad;
    struct cache *c = open_cache(SIZE);
    struct cache_version v = large("a"), w = large("not held");
    fill(c, &v, 1);
    close_cache(c);
    find_file("content", path);
    spoil(path, 7);
    c = open_cache(SIZE);
    cache_verify(c, &v, add, &seen, &bytes, &bad);
    assert_int_equal(seen, v.size);
    assert_int_equal(bytes, v.size - CACHE_CHUNK);
    assert_int_equal(bad, 1);
    cache_verify(c, &w, add, &seen, &bytes, &bad);
    assert_int_equal(seen, v.size);
    assert_int_equal(bytes + bad, 0);
    close_cache(c);
}

/* By another process, before who has it open has read any of it. */
static void what_is_removed_while_it_is_open_is_read_to_its_end(void **state)
{
    static char buf[CACHE_CHUNK], want[CACHE_CHUNK];
    struct cache_version v = large("a");
    close_cache(open_filled(SIZE, &v));
    struct cache *c = open_cache(SIZE), *other = open_cache(SIZE);
    struct cache_entry *n = cache_entry_get(c, &v);
    assert_int_equal(cache_held(n, 0, v.size), v.size);
    assert_int_equal(apply(other, "", CACHE_CLEAR).changed, 1);
    for (uint64_t at = 0; at < v.size; at += CACHE_CHUNK) {
        make_bytes(1, at, want, sizeof(want));
        assert_true(cache_read(n, at, buf, sizeof(buf)));
        assert_memory_equal(buf, want, sizeof(want));
    }
    assert_int_equal(stats_of(c).bad, 0);
    assert_int_equal(held_chunks(other, &v, 1), 0);
    cache_entry_unref(n);
    close_cache(other);
    close_cache(c);
    c = open_cache(SIZE);
    (void)apply(c, "", CACHE_CLEAR);
    close_cache(c);
    assert_int_equal(sql("SELECT count(*) FROM content") + sql("SELECT count(*) FROM chunks"), 0);
    assert_int_equal(count_files("content") + count_files("part"), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_done_is_counted_in_contents),
        T(who_pinned_a_part_has_pinned_the_whole),
        T(what_turns_out_to_be_the_same_bytes_is_pinned_too),
        T(what_was_damaged_and_fetched_again_stays_pinned),
        T(verifying_tells_how_far_it_is),
        T(what_is_removed_while_it_is_open_is_read_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
