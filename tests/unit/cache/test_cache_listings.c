#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/admin.h"
#include "cache/listings.h"
#include "fixture.h"
#include "util/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB  (1024ull * 1024)
#define SIZE (256 * MIB)
#define DAY  (24ull * 3600 * 1000)

static struct cache_dir dir_of(const char *key)
{
    return (struct cache_dir){.origin = "http://server", .key = key, .view = "me"};
}

/* Changes and listings are told apart by the millisecond. */
static uint64_t later(void)
{
    usleep(3000);
    return clock_mono_ms();
}

static uint64_t keep(struct cache *c, const char *key, const char *text)
{
    struct cache_dir d = dir_of(key);
    uint64_t now = later();
    cache_listing_put(c, &d, now, false, 7, text, strlen(text));
    settle(c);
    return now;
}

static bool kept_as(struct cache *c, const struct cache_dir *d, uint64_t max_age_ms, const char *text)
{
    uint64_t taken;
    uint8_t hint;
    size_t len = 0;
    char *p = cache_listing_get(c, d, max_age_ms, &taken, &hint, &len);
    bool same = p && len == strlen(text) && memcmp(p, text, len) == 0;
    free(p);
    return same;
}

static bool kept(struct cache *c, const char *key, const char *text)
{
    struct cache_dir d = dir_of(key);
    return kept_as(c, &d, DAY, text);
}

static void change(struct cache *c, const char *key)
{
    cache_change_begin(c, "http://server", key);
    cache_change_end(c, "http://server", key);
}

/* In a process of its own, which ends without closing anything. */
static void in_another_process(void (*fn)(struct cache *c))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct err e = ERR_INIT;
        struct cache *c = NULL;
        const struct cache_config config = {.dir = cache_dir, .size = SIZE};
        if (cache_open(&config, &c, &e) != ERR_OK)
            _exit(1);
        fn(c);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_listing_outlives_the_process_with_its_age_and_belongs_to_one_directory_server_and_view(void **state)
{
    struct cache *c = open_cache(SIZE);
    uint64_t at = keep(c, "b/d/", "names"), taken = 0;
    close_cache(c);
    c = open_cache(SIZE);
    struct cache_dir d = dir_of("b/d/"), other[3] = {d, d, d};
    uint8_t hint = 0;
    size_t len;
    free(cache_listing_get(c, &d, DAY, &taken, &hint, &len));
    assert_int_equal(taken, at);
    assert_int_equal(hint, 7);
    other[0].key = "b/";
    other[1].origin = "http://other";
    other[2].view = "you";
    for (size_t i = 0; i < 3; i++)
        assert_false(kept_as(c, &other[i], DAY, "names"));
    (void)later();
    assert_false(kept_as(c, &d, 2, "names"));
    assert_true(kept_as(c, &d, UINT64_MAX, "names"));
    close_cache(c);
}

static void a_hint_may_come_later_and_only_for_the_listing_that_it_is_of(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_dir d = dir_of("b/d/");
    uint64_t at = keep(c, "b/d/", "names"), taken;
    uint8_t hint;
    size_t len;
    cache_listing_hint(c, &d, at, 2);
    cache_listing_hint(c, &d, at - 1, 1);
    settle(c);
    free(cache_listing_get(c, &d, DAY, &taken, &hint, &len));
    assert_int_equal(hint, 2);
    sql_all("UPDATE listing SET hint = hint + 1");
    free(cache_listing_get(c, &d, DAY, &taken, &hint, &len));
    assert_int_equal(hint, 0);
    close_cache(c);
}

static void the_later_listing_stays(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_dir d = dir_of("b/d/");
    uint64_t at = keep(c, "b/d/", "new");
    cache_listing_put(c, &d, at - 1, false, 0, "old", 3);
    settle(c);
    assert_true(kept(c, "b/d/", "new"));
    (void)keep(c, "b/d/", "newer still");
    assert_true(kept(c, "b/d/", "newer still"));
    assert_int_equal(sql("SELECT count(*) FROM listing"), 1);
    assert_int_equal(sql("SELECT listings FROM space"), sql("SELECT sum(length(key) + length(body) + 200) FROM listing"));
    close_cache(c);
}

static const struct {
    const char *key;
    bool gone[4]; /* of: "", "b/", "b/d/", "b/d/sub/" */
} changes_of[] = {
    {"b/d/f", {true, true, true, false}},    {"b/d/sub/", {true, true, true, true}}, {"b/f", {true, true, false, false}},
    {"b/e/f", {true, true, false, false}},   {"b/d/sub/f", {true, true, true, true}}, {"b/dir", {true, true, false, false}},
};
static const char *const dirs[4] = {"", "b/", "b/d/", "b/d/sub/"};
static const char *changed_key;

static void change_it(struct cache *c)
{
    change(c, changed_key);
}

static void begin_it(struct cache *c)
{
    cache_change_begin(c, "http://server", changed_key);
}

/* By this process, by another one that has ended, and by one that was killed in the middle. */
static void a_change_makes_listings_of_its_directory_and_those_above_useless(void **state)
{
    for (unsigned by = 0; by < 3; by++)
        for (size_t r = 0; r < sizeof(changes_of) / sizeof(changes_of[0]); r++) {
            struct cache *c = open_cache(SIZE);
            for (unsigned i = 0; i < 4; i++)
                (void)keep(c, dirs[i], "names");
            (void)later();
            changed_key = changes_of[r].key;
            if (by == 0)
                change(c, changed_key);
            else
                in_another_process(by == 1 ? change_it : begin_it);
            for (unsigned i = 0; i < 4; i++)
                assert_int_equal(kept(c, dirs[i], "names"), !changes_of[r].gone[i]);
            close_cache(c);
            c = open_cache(SIZE);
            for (unsigned i = 0; i < 4; i++)
                assert_int_equal(kept(c, dirs[i], "names"), !changes_of[r].gone[i]);
            for (unsigned i = 0; i < 4; i++) { /* listed since */
                (void)keep(c, dirs[i], "other names");
                assert_true(kept(c, dirs[i], "other names"));
            }
            close_cache(c);
            (void)scratch_teardown(NULL);
            (void)scratch_setup(NULL);
        }
}

static void a_listing_that_began_before_a_change_has_ended_is_not_kept(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_dir d = dir_of("b/d/");
    cache_change_begin(c, d.origin, "b/d/f");
    uint64_t during = later();
    cache_listing_put(c, &d, during, false, 0, "names", 5);
    settle(c);
    assert_int_equal(sql("SELECT count(*) FROM listing"), 0);
    (void)later();
    cache_change_end(c, d.origin, "b/d/f");
    cache_listing_put(c, &d, during, false, 0, "names", 5);
    settle(c);
    assert_int_equal(sql("SELECT count(*) FROM listing"), 0);
    (void)keep(c, "b/d/", "names");
    assert_int_equal(sql("SELECT count(*) FROM listing"), 1);
    close_cache(c);
}

static void what_this_process_has_changed_it_lists_itself_and_keeps_for_others_unless_told(void **state)
{
    struct cache *c = open_cache(SIZE), *other = open_cache(SIZE);
    struct cache_dir d = dir_of("b/d/");
    change(c, "b/d/f");
    cache_listing_put(c, &d, later(), true, 0, "with what is not sent", 21);
    settle(c);
    assert_false(kept(other, "b/d/", "with what is not sent"));
    (void)keep(c, "b/d/", "names");
    assert_false(kept(c, "b/d/", "names"));
    assert_true(kept(other, "b/d/", "names"));
    close_cache(c);
    assert_true(kept(other, "b/d/", "names"));
    close_cache(other);
}

static void a_listing_of_another_boot_or_whose_age_the_clocks_tell_differently_is_none(void **state)
{
    static const char *const rows[] = {"UPDATE listing SET boot = zeroblob(16)", "UPDATE listing SET wall = wall - 5000",
                                       "UPDATE listing SET wall = wall + 5000", "UPDATE listing SET taken = taken + 1000000"};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cache *c = open_cache(SIZE);
        (void)keep(c, "b/d/", "names");
        sql_all(rows[i]);
        assert_false(kept(c, "b/d/", "names"));
        close_cache(c);
        c = open_cache(SIZE);
        (void)keep(c, "b/e/", "names"); /* takes along what is of other boots */
        assert_int_equal(sql("SELECT count(*) FROM listing"), i == 0 ? 1 : 2);
        sql_all("DELETE FROM listing");
        close_cache(c);
    }
}

static void a_damaged_listing_is_dropped_and_costs_nothing_else(void **state)
{
    static const char *const rows[] = {
        "UPDATE listing SET body = x'00'", "UPDATE listing SET body = ''", "UPDATE listing SET body = 17",
        "UPDATE listing SET taken = taken - 1, wall = wall - 1", "UPDATE listing SET guard = guard + 1", "UPDATE listing SET key = 'b/e/'",
        "UPDATE listing SET body = zeroblob(9e6)", "UPDATE listing SET origin = 'x'", "UPDATE listing SET taken = 'x'",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cache *c = open_cache(SIZE);
        struct cache_version whole = version_of("w", "e1", 5000);
        fill(c, &whole, 3);
        (void)keep(c, "b/d/", "names");
        sql_all(rows[i]);
        assert_false(kept(c, "b/d/", "names"));
        assert_false(kept(c, "b/e/", "names"));
        (void)keep(c, "b/d/", "names again");
        assert_true(kept(c, "b/d/", "names again"));
        assert_true(holds(c, &whole, 3));
        assert_int_equal(stats_of(c).rebuilt, 0);
        sql_all("DELETE FROM listing");
        close_cache(c);
    }
}

static void all_listings_take_a_part_of_the_cache_and_the_oldest_go(void **state)
{
    struct cache *c = open_cache(CACHE_MIN_SIZE);
    char *p = calloc(1, CACHE_LISTING_MAX + 1), key[32];
    for (unsigned i = 0; i < 40; i++) {
        struct cache_dir d = {.origin = "http://server", .key = key, .view = "me"};
        snprintf(key, sizeof(key), "b/%u/", i);
        cache_listing_put(c, &d, later(), false, 0, p, 100000);
        settle(c);
        assert_true(sql("SELECT listings FROM space") <= (int64_t)CACHE_MIN_SIZE / 32);
    }
    assert_int_equal(sql("SELECT count(*) FROM listing WHERE key = 'b/0/'"), 0);
    assert_int_equal(sql("SELECT count(*) FROM listing WHERE key = 'b/39/'"), 1);
    assert_true(disk_usage() <= CACHE_MIN_SIZE);
    struct cache_dir d = dir_of("b/large/");
    cache_listing_put(c, &d, later(), false, 0, p, CACHE_LISTING_MAX + 1);
    settle(c);
    assert_int_equal(sql("SELECT count(*) FROM listing WHERE key = 'b/large/'"), 0);
    free(p);
    close_cache(c);
}

static void what_an_administrator_removes_takes_its_listings_along(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct err e = ERR_INIT;
    struct cache_applied changed;
    for (unsigned i = 0; i < 4; i++)
        (void)keep(c, dirs[i], "names");
    (void)keep(c, "b/dir/", "names");
    assert_int_equal(cache_apply(c, "b/d", CACHE_EVICT, &changed, &e), ERR_OK);
    assert_true(kept(c, "b/", "names") && kept(c, "b/dir/", "names"));
    assert_false(kept(c, "b/d/", "names") || kept(c, "b/d/sub/", "names"));
    assert_int_equal(cache_apply(c, "", CACHE_CLEAR, &changed, &e), ERR_OK);
    assert_int_equal(sql("SELECT count(*) FROM listing"), 0);
    assert_int_equal(sql("SELECT listings FROM space"), 0);
    close_cache(c);
}

static void path_of_table(unsigned n, char out[128])
{
    snprintf(out, 128, "%s/changes/%u", cache_dir, n);
}

static void a_table_that_was_removed_is_written_again_with_all_it_had(void **state)
{
    char path[128];
    struct cache *c = open_cache(SIZE), *other = open_cache(SIZE);
    (void)keep(c, "b/d/", "names");
    (void)keep(c, "b/e/", "names");
    (void)later();
    change(c, "b/d/f");
    path_of_table(0, path);
    assert_int_equal(unlink(path), 0);
    change(c, "x/f");
    assert_int_equal(access(path, F_OK), 0);
    assert_false(kept(other, "b/d/", "names"));
    assert_true(kept(other, "b/e/", "names"));
    close_cache(c);
    close_cache(other);
}

/* Whatever may have been noted there. */
static void a_table_that_is_damaged_makes_useless_what_was_listed_before(void **state)
{
    char path[128];
    for (unsigned how = 0; how < 3; how++) {
        struct cache *c = open_cache(SIZE);
        (void)keep(c, "b/d/", "names");
        close_cache(c);
        path_of_table(0, path);
        int fd = open(path, O_RDWR);
        if (how == 0)
            assert_int_equal(ftruncate(fd, 100), 0);
        else if (how == 1)
            assert_int_equal(pwrite(fd, "x", 1, 3), 1);
        else
            assert_int_equal(ftruncate(fd, 3), 0);
        close(fd);
        (void)later();
        c = open_cache(SIZE);
        assert_false(kept(c, "b/d/", "names"));
        (void)keep(c, "b/d/", "names");
        assert_true(kept(c, "b/d/", "names"));
        close_cache(c);
    }
}

static void where_changes_cannot_be_noted_nothing_is_kept(void **state)
{
    char path[128];
    struct cache *c = open_cache(SIZE);
    (void)keep(c, "b/d/", "names");
    close_cache(c);
    path_of_table(0, path);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof(path), "%s/changes", cache_dir);
    assert_int_equal(rmdir(path), 0);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    c = open_cache(SIZE);
    assert_false(kept(c, "b/d/", "names"));
    change(c, "b/e/f");
    settle(c);
    assert_int_equal(sql("SELECT count(*) FROM listing"), 0);
    close_cache(c);
}

static void a_cache_that_is_none_keeps_nothing(void **state)
{
    struct cache_dir d = dir_of("b/d/");
    uint64_t taken;
    uint8_t hint;
    size_t len;
    change(NULL, "b/d/f");
    cache_listing_put(NULL, &d, 1, false, 0, "x", 1);
    cache_listing_hint(NULL, &d, 1, 0);
    cache_listing_bad(NULL, &d, "x");
    assert_null(cache_listing_get(NULL, &d, DAY, &taken, &hint, &len));
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_listing_outlives_the_process_with_its_age_and_belongs_to_one_directory_server_and_view),
        T(a_hint_may_come_later_and_only_for_the_listing_that_it_is_of),
        T(the_later_listing_stays),
        T(a_change_makes_listings_of_its_directory_and_those_above_useless),
        T(a_listing_that_began_before_a_change_has_ended_is_not_kept),
        T(what_this_process_has_changed_it_lists_itself_and_keeps_for_others_unless_told),
        T(a_listing_of_another_boot_or_whose_age_the_clocks_tell_differently_is_none),
        T(a_damaged_listing_is_dropped_and_costs_nothing_else),
        T(all_listings_take_a_part_of_the_cache_and_the_oldest_go),
        T(what_an_administrator_removes_takes_its_listings_along),
        T(a_table_that_was_removed_is_written_again_with_all_it_had),
        T(a_table_that_is_damaged_makes_useless_what_was_listed_before),
        T(where_changes_cannot_be_noted_nothing_is_kept),
        T(a_cache_that_is_none_keeps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
