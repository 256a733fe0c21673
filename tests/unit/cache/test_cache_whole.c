/* The SHA-512 of a whole content is begun before all of it is here, and is that of its bytes whatever happens meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/cache_internal.h"
#include "fixture.h"
#include "util/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB    (1024ull * 1024)
#define SIZE   (256 * MIB)
#define CHUNKS 320u
#define BYTES  (CHUNKS * CACHE_CHUNK - 1000ull)

/* Of object 1, as hex digits. */
static void sum_of(enum digest_alg alg, char out[2 * DIGEST_MAX + 1])
{
    char *p = malloc(BYTES);
    make_bytes(1, 0, p, BYTES);
    assert_int_equal(digest_hex(alg, p, BYTES, out, NULL), ERR_OK);
    free(p);
}

static uint64_t summed(struct cache_entry *n)
{
    LOCK_SCOPE(&n->lock);
    return n->summed;
}

/* Less than a step is left of the first `held` chunks; the idler may have begun before all of them were here. */
static void assert_summed(struct cache_entry *n, uint64_t held)
{
    assert_in_range(summed(n), held - 127, held);
}

static void is_whole_and_right(void)
{
    char hex[2 * DIGEST_MAX + 1], text[400];
    sum_of(DIGEST_SHA512, hex);
    snprintf(text, sizeof(text), "SELECT count(*) FROM content WHERE state = 2 AND lower(hex(hash)) = '%s'", hex);
    assert_int_equal(sql(text), 1);
    assert_int_equal(sql("SELECT count(*) FROM content"), 1);
}

static void it_is_begun_when_half_is_here_and_goes_on_from_there(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", BYTES);
    struct cache_entry *n = cache_entry_get(c, &v);
    fill_chunks(c, &v, 1, 0, 150);
    settle(c);
    assert_int_equal(summed(n), 0);
    fill_chunks(c, &v, 1, 150, 170);
    settle(c);
    assert_summed(n, 170);
    fill_chunks(c, &v, 1, 170, 315);
    settle(c);
    assert_summed(n, 315);
    fill_chunks(c, &v, 1, 315, CHUNKS);
    settle(c);
    is_whole_and_right();
    assert_int_equal(stats_of(c).verified_bytes, 0); /* what was written by this process is not hashed twice */
    cache_entry_unref(n);
    close_cache(c);
}

static void what_comes_in_another_order_is_summed_in_order(void **state)
{
    char etag[2 * DIGEST_MAX + 1], text[200];
    sum_of(DIGEST_MD5, etag);
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", etag, BYTES);
    struct cache_entry *n = cache_entry_get(c, &v);
    fill_chunks(c, &v, 1, 140, CHUNKS);
    settle(c);
    assert_int_equal(summed(n), 0);
    fill_chunks(c, &v, 1, 0, 130);
    settle(c);
    assert_summed(n, 130);
    fill_chunks(c, &v, 1, 130, 140);
    settle(c);
    is_whole_and_right();
    snprintf(text, sizeof(text), "SELECT count(*) FROM content WHERE lower(hex(md5)) = '%s'", etag);
    assert_int_equal(sql(text), 1);
    cache_entry_unref(n);
    close_cache(c);
}

static void what_turns_bad_behind_it_is_summed_anew(void **state)
{
    char path[512], buf[1000];
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", BYTES);
    struct cache_entry *n = cache_entry_get(c, &v);
    fill_chunks(c, &v, 1, 0, 200);
    settle(c);
    assert_summed(n, 200);
    find_file("part", path);
    spoil(path, 20 * CACHE_CHUNK + 5);
    assert_false(cache_read(n, 20 * CACHE_CHUNK, buf, sizeof(buf)));
    assert_int_equal(summed(n), 0);
    fill_chunks(c, &v, 1, 0, CHUNKS);
    settle(c);
    assert_true(holds(c, &v, 1));
    is_whole_and_right();
    assert_int_equal(stats_of(c).bad, 1);
    cache_entry_unref(n);
    close_cache(c);
}

static void what_was_begun_ends_with_the_content(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", BYTES);
    struct cache_entry *n = cache_entry_get(c, &v);
    fill_chunks(c, &v, 1, 0, 200);
    settle(c);
    assert_summed(n, 200);
    lock_take(&n->lock);
    entry_forget_locked(n);
    n->looked = false;
    lock_drop(&n->lock);
    assert_int_equal(summed(n), 0);
    cache_entry_unref(n);
    close_cache(c);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_is_begun_when_half_is_here_and_goes_on_from_there),
        T(what_comes_in_another_order_is_summed_in_order),
        T(what_turns_bad_behind_it_is_summed_anew),
        T(what_was_begun_ends_with_the_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
