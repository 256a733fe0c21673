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
#include <unistd.h>

#define MIB (1024ull * 1024)
#define SIZE (256 * MIB)

/* Whether exactly that is noted of the version, as it was modified then. */
static bool notes(struct cache *c, const struct cache_version *v, int64_t modified, const char *text)
{
    size_t len = 0;
    int64_t when = 0;
    char *p = cache_note_get(c, v, &when, &len);
    bool same = p && when == modified && len == strlen(text) && memcmp(p, text, len) == 0;
    free(p);
    return same;
}

static void note(struct cache *c, const struct cache_version *v, int64_t modified, const char *text)
{
    cache_note_put(c, v, modified, text, strlen(text), 0);
}

static bool no_note(struct cache *c, const struct cache_version *v)
{
    size_t len;
    int64_t modified;
    void *p = cache_note_get(c, v, &modified, &len);
    free(p);
    return !p;
}

static void a_note_outlives_the_process_and_belongs_to_one_version(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", 0), other[4] = {v, v, v, v};
    other[0].key = "b";
    other[1].etag = "e2";
    other[2].size = 1;
    other[3].origin = "http://server other";
    assert_true(no_note(c, &v));
    assert_false(cache_note_has(c, v.origin, v.key));
    note(c, &v, 1700000000, "mode");
    close_cache(c);
    c = open_cache(SIZE);
    assert_true(notes(c, &v, 1700000000, "mode"));
    assert_true(cache_note_has(c, v.origin, v.key));
    for (size_t i = 0; i < 4; i++)
        assert_true(no_note(c, &other[i]));
    assert_false(cache_note_has(c, other[3].origin, v.key));
    close_cache(c);
}

static void a_key_has_one_note_that_the_next_one_replaces(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", 7), later = version_of("a", "e2", 9);
    note(c, &v, 1, "old");
    note(c, &v, 2, "older bytes, changed attributes");
    settle(c);
    assert_true(notes(c, &v, 2, "older bytes, changed attributes"));
    note(c, &later, 3, "new");
    settle(c);
    assert_true(no_note(c, &v));
    assert_true(notes(c, &later, 3, "new"));
    assert_int_equal(sql("SELECT count(*) FROM note"), 1);
    assert_int_equal(sql("SELECT notes FROM space"), sql("SELECT sum(length(key) + length(body) + 200) FROM note"));
    close_cache(c);
}

static void a_note_of_any_size_up_to_the_greatest_is_kept_and_none_above(void **state)
{
    static const size_t sizes[] = {1, 4096, CACHE_NOTE_MAX};
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", 7);
    char *p = malloc(CACHE_NOTE_MAX + 1);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t len = 0;
        int64_t modified;
        make_bytes((unsigned)i, 0, p, sizes[i]);
        cache_note_put(c, &v, -5, p, sizes[i], 0);
        settle(c);
        char *again = cache_note_get(c, &v, &modified, &len);
        assert_non_null(again);
        assert_int_equal(len, sizes[i]);
        assert_int_equal(modified, -5);
        assert_memory_equal(again, p, len);
        free(again);
    }
    struct cache_version w = version_of("b", "e1", 7);
    cache_note_put(c, &w, 1, p, CACHE_NOTE_MAX + 1, 0);
    cache_note_put(c, &w, 1, p, 0, 0);
    settle(c);
    assert_false(cache_note_has(c, w.origin, "b"));
    free(p);
    close_cache(c);
}

static void a_damaged_note_is_none_and_costs_nothing_else(void **state)
{
    static const char *const damage[] = {
        "UPDATE note SET body = x'00'",        "UPDATE note SET body = ''",         "UPDATE note SET body = 17",
        "UPDATE note SET modified = 17",       "UPDATE note SET guard = guard + 1", "UPDATE note SET key = 'b'",
        "UPDATE note SET body = zeroblob(9e6)",
    };
    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        struct cache *c = open_cache(SIZE);
        struct cache_version v = version_of("a", "e1", 7), moved = version_of("b", "e1", 7), whole = version_of("w", "e1", 5000);
        fill(c, &whole, 3);
        note(c, &v, 1, "mode");
        settle(c);
        (void)sql(damage[i]);
        assert_true(no_note(c, &v));
        assert_true(no_note(c, &moved));
        note(c, &v, 2, "again");
        settle(c);
        assert_true(notes(c, &v, 2, "again"));
        assert_true(holds(c, &whole, 3));
        assert_int_equal(stats_of(c).rebuilt, 0);
        (void)sql("DELETE FROM note");
        close_cache(c);
    }
}

static void all_notes_take_an_eighth_of_the_cache_and_the_unused_ones_go(void **state)
{
    struct cache *c = open_cache(CACHE_MIN_SIZE);
    char *p = calloc(1, CACHE_NOTE_MAX), key[32];
    struct cache_version used = version_of("used", "e1", 7);
    note(c, &used, 1, "mode");
    settle(c);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "key%u", i);
        struct cache_version v = version_of(key, "e1", i);
        cache_note_put(c, &v, 1, p, CACHE_NOTE_MAX, 0);
        if (i % 16 == 0) { /* as if much had happened in between */
            settle(c);
            (void)sql("UPDATE space SET clock = clock + 5000");
            assert_true(notes(c, &used, 1, "mode"));
        }
        settle(c);
        assert_true(sql("SELECT notes FROM space") <= (int64_t)CACHE_MIN_SIZE / 8);
    }
    assert_true(notes(c, &used, 1, "mode"));
    assert_false(cache_note_has(c, used.origin, "key0"));
    assert_true(cache_note_has(c, used.origin, "key299"));
    free(p);
    close_cache(c);
}

static void what_an_administrator_removes_takes_its_notes_along(void **state)
{
    static const char *const keys[] = {"b/dir/a", "b/dir/sub/c", "b/dir2/a", "b/dir"};
    static const struct {
        const char *prefix;
        enum cache_action action;
        unsigned stay; /* bits */
    } rows[] = {
        {"b/dir", CACHE_PIN, 15},  {"b/dir", CACHE_UNPIN, 15}, {"b/dir", CACHE_EVICT, 4},
        {"b/dir/", CACHE_EVICT, 12}, {"b/di", CACHE_CLEAR, 15},  {"", CACHE_CLEAR, 0},
    };
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        struct cache *c = open_cache(SIZE);
        struct err e = ERR_INIT;
        struct cache_applied n;
        for (unsigned i = 0; i < 4; i++) {
            struct cache_version v = version_of(keys[i], "e1", 7);
            note(c, &v, 1, "mode");
        }
        settle(c);
        assert_int_equal(cache_apply(c, rows[r].prefix, rows[r].action, &n, &e), ERR_OK);
        for (unsigned i = 0; i < 4; i++) {
            struct cache_version v = version_of(keys[i], "e1", 7);
            assert_int_equal(cache_note_has(c, v.origin, keys[i]), rows[r].stay >> i & 1);
        }
        close_cache(c);
    }
}

/* What version 1 had in the place of notes. */
static const char version_1[] =
    "DROP TABLE note;"
    "CREATE TABLE note(origin INTEGER NOT NULL, key TEXT NOT NULL, etag TEXT NOT NULL, size INTEGER NOT NULL,"
    " used INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY(origin, key, etag, size)) WITHOUT ROWID;"
    "CREATE INDEX note_used ON note(used);"
    "CREATE TRIGGER note_added AFTER INSERT ON note BEGIN UPDATE space SET notes = notes + length(new.body) + 200; END;"
    "CREATE TRIGGER note_dropped AFTER DELETE ON note BEGIN UPDATE space SET notes = notes - length(old.body) - 200; END;"
    "INSERT INTO note VALUES(1, 'k', 'e', 5, 1, 'body');"
    "DROP INDEX content_size;"
    "DROP TABLE listing; ALTER TABLE space DROP COLUMN listings;"
    "PRAGMA user_version = 1";

static void hold(struct cache *c, const struct cache_version *v, int64_t modified, const char *text, unsigned ms)
{
    cache_note_put(c, v, modified, text, strlen(text), ms);
}

static void what_is_held_back_is_lost_with_the_process_and_gives_way_to_what_is_newer(void **state)
{
    enum { HOUR = 3600 * 1000 };
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", 0), other = version_of("b", "e1", 0);
    settle(c); /* else what is done when it is opened is pending too */
    hold(c, &v, 1, "old", HOUR);
    hold(c, &other, 1, "kept", HOUR);
    assert_int_equal(stats_of(c).pending, 2);
    hold(c, &v, 1, "new", HOUR);
    assert_int_equal(stats_of(c).pending, 2);
    assert_true(no_note(c, &v));
    cache_close(c); /* nobody waited, as in a kill */
    c = open_cache(SIZE);
    assert_true(no_note(c, &v) && no_note(c, &other));
    hold(c, &v, 1, "old", HOUR);
    note(c, &v, 2, "new");
    hold(c, &other, 3, "soon", 1);
    while (stats_of(c).pending > 0)
        usleep(1000);
    assert_true(notes(c, &v, 2, "new") && notes(c, &other, 3, "soon"));
    hold(c, &v, 4, "newest", HOUR);
    assert_true(cache_drain(c, UINT32_MAX));
    assert_true(notes(c, &v, 4, "newest"));
    close_cache(c);
}

static void an_index_of_version_1_becomes_one_of_this_and_keeps_its_contents(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version large = version_of("a", "e1", 3 * MIB), small = version_of("s", "e1", 100), v = version_of("n", "e", 5);
    fill(c, &large, 1);
    fill(c, &small, 2);
    close_cache(c);
    sql_all(version_1);
    c = open_cache(SIZE);
    assert_true(holds(c, &large, 1) && holds(c, &small, 2));
    note(c, &v, 4, "mode");
    settle(c);
    assert_true(notes(c, &v, 4, "mode"));
    assert_int_equal(sql("SELECT notes FROM space"), 205);
    assert_int_equal(sql("PRAGMA user_version"), 4);
    assert_int_equal(stats_of(c).rebuilt, 0);
    close_cache(c);
}

static void an_index_of_version_1_that_is_not_complete_is_made_anew(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version small = version_of("s", "e1", 100);
    fill(c, &small, 2);
    close_cache(c);
    sql_all("DROP TABLE note; DROP INDEX content_size; DROP TABLE listing; PRAGMA user_version = 1");
    c = open_cache(SIZE);
    assert_int_equal(stats_of(c).rebuilt, 1);
    fill(c, &small, 2);
    assert_true(holds(c, &small, 2));
    close_cache(c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_note_outlives_the_process_and_belongs_to_one_version),
        T(a_key_has_one_note_that_the_next_one_replaces),
        T(a_note_of_any_size_up_to_the_greatest_is_kept_and_none_above),
        T(what_is_held_back_is_lost_with_the_process_and_gives_way_to_what_is_newer),
        T(a_damaged_note_is_none_and_costs_nothing_else),
        T(all_notes_take_an_eighth_of_the_cache_and_the_unused_ones_go),
        T(what_an_administrator_removes_takes_its_notes_along),
        T(an_index_of_version_1_becomes_one_of_this_and_keeps_its_contents),
        T(an_index_of_version_1_that_is_not_complete_is_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
