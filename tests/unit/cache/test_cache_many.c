/* What an index of very many entries costs: the reads of the whole process are counted, not timed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB  (1024ull * 1024)
#define SIZE (1024 * MIB)
#define FEW  1000u
#define MANY 100000u

/* How often the process has called read() and pread(): SQLite's pages are read so. */
static uint64_t reads(void)
{
    char line[128];
    uint64_t n = 0;
    FILE *f = fopen("/proc/self/io", "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f))
        (void)sscanf(line, "syscr: %" SCNu64, &n);
    fclose(f);
    return n;
}

static void add_entries(unsigned n)
{
    char text[512];
    int64_t before = sql("SELECT count(*) FROM content");
    snprintf(text, sizeof(text),
             "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %u)"
             " INSERT INTO content(hash, size, state, disk, tier, used, body)"
             " SELECT randomblob(64), 64, 1, 0, 0, i, zeroblob(64) FROM n", n);
    (void)sql(text);
    (void)sql("INSERT INTO version(origin, key, etag, size, content, guard) SELECT 7, printf('f%07d', id), 'e', 64, id, 0"
              " FROM content WHERE id NOT IN (SELECT content FROM version)");
    assert_int_equal(sql("SELECT count(*) FROM content"), before + n);
}

static uint64_t reads_of_an_opening(void)
{
    uint64_t before = reads();
    struct cache *c = open_cache(SIZE);
    struct cache_stats s;
    cache_stats(c, &s);
    settle(c);
    uint64_t n = reads() - before;
    close_cache(c);
    return n;
}

static uint64_t reads_of_a_lookup_and_a_status(void)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version known = version_of("known", "e1", 5000), other = version_of("other", "e1", 5000);
    struct cache_stats s;
    settle(c);
    uint64_t before = reads();
    assert_true(holds(c, &known, 1));
    assert_int_equal(held_chunks(c, &other, 1), 0);
    cache_stats(c, &s);
    settle(c);
    uint64_t n = reads() - before;
    close_cache(c);
    return n;
}

/* Room is wanted for one content: few others go. */
static uint64_t reads_of_an_eviction(void)
{
    struct cache *c = open_cache(SIZE);
    settle(c);
    uint64_t used = stats_of(c).used;
    close_cache(c);
    c = open_cache(used + 9 * MIB > 32 * MIB ? used + 9 * MIB : 32 * MIB);
    settle(c);
    uint64_t before = reads(), evicted = 0;
    for (unsigned i = 0; i < 100 && evicted == 0; i++) {
        char key[32];
        snprintf(key, sizeof(key), "new%u", i);
        struct cache_version v = version_of(key, "e1", MIB);
        fill(c, &v, i);
        evicted = stats_of(c).evicted;
        if (evicted == 0)
            before = reads();
    }
    assert_true(evicted > 0);
    uint64_t n = reads() - before;
    close_cache(c);
    return n;
}

static void a_hundred_times_the_entries_cost_hardly_more(void **state)
{
    static uint64_t (*const each[])(void) = {reads_of_an_opening, reads_of_a_lookup_and_a_status, reads_of_an_eviction};
    uint64_t few[3], many[3];
    struct cache *c = open_cache(SIZE);
    struct cache_version known = version_of("known", "e1", 5000);
    fill(c, &known, 1);
    close_cache(c);
    add_entries(FEW);
    for (size_t i = 0; i < 3; i++)
        few[i] = each[i]();
    (void)sql("PRAGMA wal_checkpoint(TRUNCATE)");
    add_entries(MANY);
    for (size_t i = 0; i < 3; i++)
        many[i] = each[i]();
    for (size_t i = 0; i < 3; i++)
        print_message("reads: %" PRIu64 ", with a hundred times the entries %" PRIu64 "\n", few[i], many[i]);
    assert_true(many[0] <= few[0] + 20);
    assert_true(many[1] <= few[1] + 20);
    assert_true(many[2] <= few[2] + 500);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_hundred_times_the_entries_cost_hardly_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
