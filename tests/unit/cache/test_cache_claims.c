/* What stands for a download: which of what is told of a version's bytes finds them under another name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB  (1024ull * 1024)
#define SIZE (256 * MIB)
#define LEN  (20 * MIB + 77)

static char *bytes; /* of object 1 */
static uint8_t sha512[DIGEST_MAX];
static uint64_t crc;
static char md5[2 * DIGEST_MAX + 1], by_8_mib[64], by_7_mib[64], by_9_mib[64];

/* The ETag of an upload in parts of `part` bytes. */
static void parts_etag(uint64_t part, char out[64])
{
    uint8_t sums[64][16], sum[DIGEST_MAX];
    unsigned n = 0;
    for (uint64_t at = 0; at < LEN; at += part, n++) {
        assert_int_equal(digest_once(DIGEST_MD5, bytes + at, LEN - at < part ? LEN - at : part, sum, NULL), ERR_OK);
        memcpy(sums[n], sum, 16);
    }
    assert_int_equal(digest_once(DIGEST_MD5, sums, (size_t)n * 16, sum, NULL), ERR_OK);
    hex_encode(sum, 16, out);
    snprintf(out + 32, 16, "-%u", n);
}

static int make_sums(void **state)
{
    bytes = malloc(LEN);
    make_bytes(1, 0, bytes, LEN);
    assert_int_equal(digest_once(DIGEST_SHA512, bytes, LEN, sha512, NULL), ERR_OK);
    assert_int_equal(digest_hex(DIGEST_MD5, bytes, LEN, md5, NULL), ERR_OK);
    crc = crc64nvme(0, bytes, LEN);
    parts_etag(8 * MIB, by_8_mib);
    parts_etag(7 * MIB, by_7_mib);
    parts_etag(9 * MIB, by_9_mib); /* not among the sizes that are tried */
    return 0;
}

static int free_sums(void **state)
{
    free(bytes);
    return 0;
}

/* A cache with object 1 under that ETag. */
static struct cache *cache_with(const char *etag)
{
    struct cache *c = open_cache(SIZE);
    struct cache_version v = version_of("a", etag, LEN);
    fill(c, &v, 1);
    settle(c);
    return c;
}

/* Whether the claim finds object 1 for version `etag` of another key, and the next process sees that too. */
static bool finds(struct cache **c, const char *etag, const struct cache_claim *claim)
{
    static unsigned number;
    char key[32];
    snprintf(key, sizeof(key), "other%u", ++number);
    struct cache_version v = version_of(key, etag, LEN);
    struct cache_entry *n = cache_entry_get(*c, &v);
    bool found = cache_entry_claim(n, claim);
    assert_int_equal(found, cache_held(n, 0, LEN) == LEN);
    cache_entry_unref(n);
    assert_int_equal(holds(*c, &v, 1), found);
    if (found) {
        close_cache(*c);
        *c = open_cache(SIZE);
        assert_true(holds(*c, &v, 1));
    }
    return found;
}

static void a_header_counts_only_where_the_server_says_so_of_the_bytes_too(void **state)
{
    static uint8_t other_sha[DIGEST_MAX] = {1};
    const uint64_t other_crc = crc ^ 1;
    const struct {
        const char *etag;
        const uint8_t *sha, *said;
        const uint64_t *crc;
        bool found;
    } rows[] = {
        {"opaque-1", sha512, NULL, NULL, true},          {"opaque-2", other_sha, NULL, NULL, false},
        {"opaque-3", NULL, sha512, NULL, false},         {"opaque-4", NULL, sha512, &crc, true},
        {"opaque-5", NULL, sha512, &other_crc, false},   {"opaque-6", NULL, other_sha, &crc, false},
        {"opaque-7", NULL, NULL, &crc, false},           {md5, NULL, sha512, NULL, true},
        {md5, NULL, sha512, &crc, true},                 {md5, NULL, other_sha, NULL, true},
        {by_8_mib, NULL, sha512, NULL, true},            {by_9_mib, NULL, sha512, NULL, false},
        {by_7_mib, NULL, sha512, NULL, true},
        {"0123456789abcdef0123456789abcdef", NULL, sha512, NULL, false},
        {"0123456789abcdef0123456789abcdef-3", NULL, sha512, NULL, false},
        {"0123456789abcdef0123456789abcdef-0", NULL, sha512, NULL, false},
        {"0123456789abcdef0123456789abcdef-x", NULL, sha512, NULL, false},
    };
    struct cache *c = cache_with("opaque");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cache_claim claim = {.guess = true, .sha512 = rows[i].sha, .said_sha512 = rows[i].said, .crc64nvme = rows[i].crc};
        if (finds(&c, rows[i].etag, &claim) != rows[i].found)
            fail_msg("row %zu", i);
    }
    close_cache(c);
}

static void an_etag_of_parts_finds_what_was_uploaded_by_the_same_parts(void **state)
{
    struct cache *c = cache_with(by_8_mib);
    const struct cache_claim nothing = {.guess = true};
    assert_true(finds(&c, by_8_mib, &nothing));
    assert_false(finds(&c, by_9_mib, &nothing));
    close_cache(c);
}

static void an_etag_of_parts_that_is_no_md5_finds_nothing(void **state)
{
    static const char etag[] = "0123456789abcdef0123456789abcdef-3";
    struct cache *c = cache_with(etag);
    assert_false(finds(&c, etag, &(struct cache_claim){.guess = true}));
    close_cache(c);
}

static void the_md5_of_what_is_held_is_computed_once(void **state)
{
    struct cache *c = cache_with(by_8_mib);
    const struct cache_claim nothing = {.guess = true};
    assert_false(finds(&c, "0123456789abcdef0123456789abcdef", &nothing));
    settle(c);
    assert_int_equal(sql("SELECT count(*) FROM content WHERE md5 IS NOT NULL"), 1);
    uint64_t read = stats_of(c).hit_bytes;
    assert_false(finds(&c, "00000000000000000123456789abcdef", &nothing));
    assert_int_equal(stats_of(c).hit_bytes, read);
    assert_true(finds(&c, md5, &nothing));
    close_cache(c);
}

static void who_does_not_guess_computes_no_md5(void **state)
{
    struct cache *c = cache_with(by_8_mib);
    const struct cache_claim nothing = {0};
    assert_false(finds(&c, md5, &nothing));
    assert_true(finds(&c, by_8_mib, &nothing));
    assert_int_equal(sql("SELECT count(*) FROM content WHERE md5 IS NOT NULL"), 0);
    close_cache(c);
}

static bool at_once(void *arg)
{
    ++*(unsigned *)arg;
    return true;
}

static void who_asks_can_stop_it(void **state)
{
    unsigned asked = 0;
    struct cache *c = cache_with("opaque");
    assert_false(finds(&c, md5, &(struct cache_claim){.guess = true, .stop = at_once, .arg = &asked}));
    assert_int_equal(asked, 1);
    assert_true(finds(&c, md5, &(struct cache_claim){.guess = true}));
    close_cache(c);
}

static void bytes_that_rot_stand_for_nothing(void **state)
{
    char path[512];
    struct cache *c = cache_with("opaque");
    close_cache(c);
    find_file("content", path);
    spoil(path, 5 * MIB);
    c = open_cache(SIZE);
    assert_false(finds(&c, md5, &(struct cache_claim){.guess = true}));
    assert_false(finds(&c, "opaque-2", &(struct cache_claim){.said_sha512 = sha512, .crc64nvme = &crc}));
    assert_true(stats_of(c).bad > 0);
    close_cache(c);
}

static void only_sizes_of_whole_files_are_worth_a_question(void **state)
{
    struct cache *c = cache_with("opaque");
    struct cache_version small = version_of("s", "e", 1000), part = version_of("p", "e", 10 * MIB);
    fill(c, &small, 2);
    fill_chunks(c, &part, 3, 0, 5);
    settle(c);
    assert_true(cache_has_size(c, LEN));
    assert_false(cache_has_size(c, 1000));
    assert_false(cache_has_size(c, 10 * MIB));
    assert_false(cache_has_size(c, LEN + 1));
    assert_false(cache_has_size(NULL, LEN));
    assert_false(cache_entry_claim(NULL, &(struct cache_claim){.sha512 = sha512}));
    close_cache(c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_header_counts_only_where_the_server_says_so_of_the_bytes_too),
        T(an_etag_of_parts_finds_what_was_uploaded_by_the_same_parts),
        T(an_etag_of_parts_that_is_no_md5_finds_nothing),
        T(the_md5_of_what_is_held_is_computed_once),
        T(who_does_not_guess_computes_no_md5),
        T(who_asks_can_stop_it),
        T(bytes_that_rot_stand_for_nothing),
        T(only_sizes_of_whole_files_are_worth_a_question),
    };
    return cmocka_run_group_tests(tests, make_sums, free_sums);
}
