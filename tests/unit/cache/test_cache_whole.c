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

/* A version of which parts come, and the entry that is told of them. */
struct part {
    struct cache *c;
    struct cache_version v;
    struct cache_entry *n;
};

static struct part begin(const char *etag)
{
    struct part p = {.c = open_cache(SIZE), .v = version_of("a", etag, BYTES)};
    p.n = cache_entry_get(p.c, &p.v);
    return p;
}

static void end(struct part *p)
{
    cache_entry_unref(p->n);
    close_cache(p->c);
}

/* These chunks, to the end of what the cache does with them. */
static void come(struct part *p, unsigned from, unsigned to)
{
    fill_chunks(p->c, &p->v, 1, from, to);
    settle(p->c);
}

static void it_is_begun_when_half_is_here_and_goes_on_from_there(void **state)
{
    struct part p = begin("e1");
    come(&p, 0, 150);
    assert_int_equal(summed(p.n), 0);
    come(&p, 150, 170);
    assert_summed(p.n, 170);
    come(&p, 170, 315);
    assert_summed(p.n, 315);
    come(&p, 315, CHUNKS);
    is_whole_and_right();
    assert_int_equal(stats_of(p.c).verified_bytes, 0); /* what was written by this process is not hashed twice */
    end(&p);
}

static void what_comes_in_another_order_is_summed_in_order(void **state)
{
    char etag[2 * DIGEST_MAX + 1], text[200];
    sum_of(DIGEST_MD5, etag);
    struct part p = begin(etag);
    come(&p, 140, CHUNKS);
    assert_int_equal(summed(p.n), 0);
    come(&p, 0, 130);
    assert_summed(p.n, 130);
    come(&p, 130, 140);
    is_whole_and_right();
    snprintf(text, sizeof(text), "SELECT count(*) FROM content WHERE lower(hex(md5)) = '%s'", etag);
    assert_int_equal(sql(text), 1);
    end(&p);
}

static void what_turns_bad_behind_it_is_summed_anew(void **state)
{
    char path[512], buf[1000];
    struct part p = begin("e1");
    come(&p, 0, 200);
    assert_summed(p.n, 200);
    find_file("part", path);
    spoil(path, 20 * CACHE_CHUNK + 5);
    assert_false(cache_read(p.n, 20 * CACHE_CHUNK, buf, sizeof(buf)));
    assert_int_equal(summed(p.n), 0);
    come(&p, 0, CHUNKS);
    assert_true(holds(p.c, &p.v, 1));
    is_whole_and_right();
    assert_int_equal(stats_of(p.c).bad, 1);
    end(&p);
}

static void what_is_expected_counts_as_if_it_were_here(void **state)
{
    char etag[2 * DIGEST_MAX + 1], text[200];
    sum_of(DIGEST_MD5, etag);
    struct part p = begin(etag);
    cache_expect(p.n, CHUNKS - 130);
    come(&p, 0, 130);
    assert_summed(p.n, 130);
    come(&p, 200, 250); /* behind a gap */
    assert_summed(p.n, 130);
    come(&p, 250, CHUNKS);
    come(&p, 130, 200);
    cache_expect(p.n, 0);
    settle(p.c);
    is_whole_and_right();
    snprintf(text, sizeof(text), "SELECT count(*) FROM content WHERE lower(hex(md5)) = '%s'", etag);
    assert_int_equal(sql(text), 1);
    end(&p);
}

static void what_was_begun_ends_with_the_content(void **state)
{
    struct part p = begin("e1");
    come(&p, 0, 200);
    assert_summed(p.n, 200);
    lock_take(&p.n->lock);
    entry_forget_locked(p.n);
    p.n->looked = false;
    lock_drop(&p.n->lock);
    assert_int_equal(summed(p.n), 0);
    end(&p);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(it_is_begun_when_half_is_here_and_goes_on_from_there),
        T(what_comes_in_another_order_is_summed_in_order),
        T(what_turns_bad_behind_it_is_summed_anew),
        T(what_is_expected_counts_as_if_it_were_here),
        T(what_was_begun_ends_with_the_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
