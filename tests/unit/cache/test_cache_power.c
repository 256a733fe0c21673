/* What a loss of power leaves: an index that is older than the files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include <stdio.h>
#include <unistd.h>

#define SIZE (256ull << 20)

static void copy(const char *from, const char *to)
{
    char a[128], b[128], bytes[4096];
    size_t n;
    snprintf(a, sizeof(a), "%s/%s", cache_dir, from);
    snprintf(b, sizeof(b), "%s/%s", cache_dir, to);
    FILE *in = fopen(a, "rb"), *out = fopen(b, "wb");
    assert_non_null(in);
    assert_non_null(out);
    while ((n = fread(bytes, 1, sizeof(bytes), in)) > 0)
        assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(in);
    fclose(out);
}

/* All that the index was told since is gone, and the machine has booted. */
static void lose_power(void)
{
    char lock[128];
    copy("index.db.earlier", "index.db");
    snprintf(lock, sizeof(lock), "%s/lock", cache_dir);
    assert_int_equal(truncate(lock, 0), 0);
}

/* A whole content and part of another one, of which the index that is kept aside knows nothing. */
static void fill_and_keep_the_index_before(const struct cache_version *whole, const struct cache_version *part)
{
    close_cache(open_cache(SIZE));
    copy("index.db", "index.db.earlier");
    struct cache *c = open_cache(SIZE);
    fill(c, whole, 1);
    settle(c);
    fill_chunks(c, part, 2, 0, 3);
    close_cache(c);
    assert_int_equal(count_files("content"), 1);
    assert_int_equal(count_files("part"), 1);
}

static void what_is_new_takes_the_place_of_a_file_whose_row_is_lost(void **state)
{
    struct cache_version v = version_of("a", "e1", 8 * CACHE_CHUNK), w = version_of("b", "e1", 8 * CACHE_CHUNK);
    struct cache_version x = version_of("c", "e1", 8 * CACHE_CHUNK), y = version_of("d", "e1", 8 * CACHE_CHUNK);
    fill_and_keep_the_index_before(&v, &w);
    copy("index.db.earlier", "index.db"); /* within one boot nothing is looked for */
    struct cache *c = open_cache(SIZE);
    assert_false(holds(c, &v, 1));
    fill(c, &x, 3);
    fill(c, &y, 4);
    settle(c);
    assert_true(holds(c, &x, 3));
    assert_true(holds(c, &y, 4));
    assert_string_equal(stats_of(c).trouble, "");
    close_cache(c);
}

static void files_whose_rows_are_lost_are_removed_and_those_that_have_some_stay(void **state)
{
    struct cache_version v = version_of("a", "e1", 8 * CACHE_CHUNK), w = version_of("b", "e1", 8 * CACHE_CHUNK);
    fill_and_keep_the_index_before(&v, &w);
    lose_power();
    struct cache *c = open_cache(SIZE);
    settle(c);
    for (unsigned tries = 0; tries < 1000 && count_files("content") + count_files("part") > 0; tries++)
        usleep(10 * 1000);
    assert_int_equal(count_files("content") + count_files("part"), 0);
    fill(c, &v, 1);
    settle(c);
    fill_chunks(c, &w, 2, 0, 3);
    close_cache(c);
    char lock[128];
    snprintf(lock, sizeof(lock), "%s/lock", cache_dir);
    assert_int_equal(truncate(lock, 0), 0);
    c = open_cache(SIZE);
    assert_true(holds(c, &v, 1));
    assert_int_equal(held_chunks(c, &w, 2), 3);
    close_cache(c);
    assert_int_equal(count_files("content"), 1);
    assert_int_equal(count_files("part"), 1);
}

static void within_a_boot_they_are_not_looked_for_again(void **state)
{
    struct cache_version v = version_of("a", "e1", 8 * CACHE_CHUNK), w = version_of("b", "e1", 8 * CACHE_CHUNK);
    fill_and_keep_the_index_before(&v, &w);
    copy("index.db.earlier", "index.db");
    close_cache(open_cache(SIZE));
    assert_int_equal(count_files("content"), 1);
    assert_int_equal(count_files("part"), 1);
}

/* The index without its log, although another process has it open too. */
static void who_ends_leaves_nothing_for_the_last_one_to_sync(void **state)
{
    struct cache_version v = version_of("a", "e1", 5000);
    struct cache *c = open_cache(SIZE), *other = open_cache(SIZE);
    settle(other);
    fill(c, &v, 1);
    close_cache(c);
    copy("index.db", "index.db.earlier");
    close_cache(other);
    copy("index.db.earlier", "index.db");
    c = open_cache(SIZE);
    assert_true(holds(c, &v, 1));
    close_cache(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_new_takes_the_place_of_a_file_whose_row_is_lost, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(files_whose_rows_are_lost_are_removed_and_those_that_have_some_stay, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(within_a_boot_they_are_not_looked_for_again, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(who_ends_leaves_nothing_for_the_last_one_to_sync, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
