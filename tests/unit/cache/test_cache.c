#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "util/digest.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1024ull * 1024)
#define SIZE (256 * MIB)

static void what_was_put_is_read_again_also_by_the_next_process_to_open_it(void **state)
{
    static const uint64_t sizes[] = {1, 100, 65536, 65537, CACHE_CHUNK - 1, CACHE_CHUNK, CACHE_CHUNK + 1, 3 * MIB + 17, 20 * MIB};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct cache *c = open_cache(SIZE);
        char key[32];
        snprintf(key, sizeof(key), "key%zu", i);
        struct cache_version v = version_of(key, "e1", sizes[i]);
        assert_false(holds(c, &v, i));
        fill(c, &v, i);
        assert_true(holds(c, &v, i));
        close_cache(c);
        c = open_cache(SIZE);
        assert_true(holds(c, &v, i));
        assert_int_equal(stats_of(c).bad, 0);
        close_cache(c);
    }
}

static void another_version_key_or_origin_is_another_entry(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", 300000), other[4] = {v, v, v, v};
    fill(c, &v, 1);
    other[0].key = "b";
    other[1].etag = "e2";
    other[2].size = 300001;
    other[3].origin = "http://server other";
    for (int i = 0; i < 4; i++)
        assert_int_equal(held_chunks(c, &other[i], 1), 0);
    close_cache(c);
}

static void the_same_bytes_under_another_name_are_kept_once(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version large = version_of("a", "e1", 2 * MIB), small = version_of("s", "e1", 4096);
    fill(c, &large, 1);
    fill(c, &small, 2);
    uint64_t used = stats_of(c).used;
    large.key = "b";
    small.key = "t";
    fill(c, &large, 1);
    fill(c, &small, 2);
    assert_true(holds(c, &large, 1) && holds(c, &small, 2));
    assert_int_equal(count_files("content"), 1);
    settle(c);
    assert_int_equal(count_files("part"), 0);
    assert_true(stats_of(c).used < used + MIB);
    close_cache(c);
}

/* The ETag of an object that was put in one request is the MD5 of its bytes. */
static void etag_of(unsigned seed, size_t size, char out[2 * DIGEST_MAX + 1])
{
    char *p = malloc(size);
    make_bytes(seed, 0, p, size);
    assert_int_equal(digest_hex(DIGEST_MD5, p, size, out, NULL), ERR_OK);
    free(p);
}

static void an_etag_that_is_an_md5_stands_for_a_download(void **state)
{
    char etag[2 * DIGEST_MAX + 1];
    size_t sizes[] = {4096, 2 * MIB + 5};
    struct cache *c = open_cache(SIZE);
    for (int i = 0; i < 2; i++) {
        etag_of(7, sizes[i], etag);
        struct cache_version v = version_of("a", etag, sizes[i]);
        fill(c, &v, 7);
        v.key = "copy";
        v.origin = "http://server elsewhere";
        assert_true(holds(c, &v, 7));
    }
    assert_int_equal(stats_of(c).deduplicated, 2);
    close_cache(c);
}

static void an_etag_that_only_looks_like_an_md5_stands_for_nothing(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "0123456789abcdef0123456789abcdef", 2 * MIB);
    fill(c, &v, 7);
    v.key = "b";
    assert_int_equal(held_chunks(c, &v, 7), 0);
    close_cache(c);
}

static void a_sha512_that_the_server_tells_stands_for_a_download(void **state)
{
    uint8_t sum[DIGEST_MAX];
    char *p = malloc(MIB);
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", MIB);
    make_bytes(3, 0, p, MIB);
    assert_int_equal(digest_once(DIGEST_SHA512, p, MIB, sum, NULL), ERR_OK);
    fill(c, &v, 3);
    v.key = "b";
    struct cache_entry *n = cache_entry_get(c, &v);
    assert_int_equal(cache_held(n, 0, MIB), 0);
    cache_entry_hint(n, sum);
    assert_int_equal(cache_held(n, 0, MIB), MIB);
    cache_entry_unref(n);
    sum[0]++;
    v.key = "c";
    n = cache_entry_get(c, &v);
    cache_entry_hint(n, sum);
    assert_int_equal(cache_held(n, 0, MIB), 0);
    cache_entry_unref(n);
    free(p);
    close_cache(c);
}

static void chunks_come_in_any_order_and_what_is_missing_is_told(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", 10 * CACHE_CHUNK);
    fill_chunks(c, &v, 1, 6, 8);
    fill_chunks(c, &v, 1, 2, 3);
    close_cache(c);
    c = open_cache(SIZE);
    struct cache_entry *n = cache_entry_get(c, &v);
    char buf[3000];
    assert_int_equal(cache_held(n, 0, v.size), 0);
    assert_int_equal(cache_held(n, 2 * CACHE_CHUNK + 5, v.size), CACHE_CHUNK - 5);
    assert_int_equal(cache_held(n, 6 * CACHE_CHUNK, v.size), 2 * CACHE_CHUNK);
    assert_true(cache_read(n, 7 * CACHE_CHUNK - 1000, buf, sizeof(buf)));
    assert_false(cache_read(n, 8 * CACHE_CHUNK - 1000, buf, sizeof(buf)));
    assert_int_equal(stats_of(c).bad, 0);
    cache_entry_unref(n);
    assert_int_equal(held_chunks(c, &v, 1), 3);
    fill_chunks(c, &v, 1, 0, 10);
    settle(c);
    assert_true(holds(c, &v, 1));
    assert_int_equal(count_files("content"), 1);
    close_cache(c);
}

static void a_whole_content_can_be_lent_as_a_file_also_after_a_remount(void **state)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", 3 * MIB);
    char want[1000], got[1000];
    make_bytes(5, MIB, want, sizeof(want));
    for (int round = 0; round < 2; round++) {
        struct cache_entry *n = cache_entry_get(c, &v);
        if (round == 0) {
            assert_int_equal(cache_entry_fd(n), -1);
            fill(c, &v, 5);
        }
        int fd = cache_entry_fd(n);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, got, sizeof(got), MIB), sizeof(got));
        assert_memory_equal(want, got, sizeof(got));
        assert_true(round == 0 || stats_of(c).verified_bytes == 0);
        cache_entry_unref(n);
        close_cache(c);
        c = open_cache(SIZE);
    }
    close_cache(c);
}

static void no_cache_holds_nothing_and_takes_every_call(void **state)
{
    struct cache_version v = version_of("a", "e1", 100);
    struct cache_block b = {.len = 100};
    size_t len;
    int64_t modified;
    char buf[100];
    struct cache_entry *n = cache_entry_get(NULL, &v);
    assert_null(n);
    assert_int_equal(cache_held(n, 0, 100), 0);
    assert_false(cache_read(n, 0, buf, 100));
    assert_int_equal(cache_put(n, &b), CACHE_REFUSED);
    assert_int_equal(cache_entry_fd(n), -1);
    assert_null(cache_note_get(NULL, &v, &modified, &len));
    assert_false(cache_note_has(NULL, v.origin, v.key));
    cache_note_put(NULL, &v, 1, "x", 1, 0);
    cache_adopt(NULL, &v, -1, &(struct cache_sums){0});
    cache_writing(NULL);
    assert_true(cache_drain(NULL, 0));
    assert_int_equal(stats_of(NULL).used, 0);
    cache_entry_unref(n);
    cache_close(NULL);
}

static void two_caches_on_one_directory_share(void **state)
{
    struct cache *a = open_cache(SIZE), *b = open_cache(SIZE);
    struct cache_version v = version_of("a", "e1", 2 * MIB), w = version_of("w", "e1", 1000);
    fill(a, &v, 1);
    fill(b, &w, 2);
    assert_true(holds(b, &v, 1) && holds(a, &w, 2));
    close_cache(a);
    close_cache(b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_was_put_is_read_again_also_by_the_next_process_to_open_it),
        T(another_version_key_or_origin_is_another_entry),
        T(the_same_bytes_under_another_name_are_kept_once),
        T(an_etag_that_is_an_md5_stands_for_a_download),
        T(an_etag_that_only_looks_like_an_md5_stands_for_nothing),
        T(a_sha512_that_the_server_tells_stands_for_a_download),
        T(chunks_come_in_any_order_and_what_is_missing_is_told),
        T(a_whole_content_can_be_lent_as_a_file_also_after_a_remount),
        T(no_cache_holds_nothing_and_takes_every_call),
        T(two_caches_on_one_directory_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
