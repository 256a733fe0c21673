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
static struct cache_sum crc; /* CRC-64/NVME of all */
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

static const enum digest_alg algs[] = {
    [CACHE_SUM_SHA1] = DIGEST_SHA1, [CACHE_SUM_SHA256] = DIGEST_SHA256, [CACHE_SUM_MD5] = DIGEST_MD5};

static void sum_bytes(enum cache_sum_kind kind, const void *p, size_t len, uint8_t out[DIGEST_MAX])
{
    uint64_t v = kind == CACHE_SUM_CRC32    ? crc32_ieee(0, p, len)
                 : kind == CACHE_SUM_CRC32C ? crc32c(0, p, len)
                                            : crc64nvme(0, p, len);
    size_t n = kind == CACHE_SUM_CRC64NVME ? 8 : 4;
    if (kind > CACHE_SUM_CRC64NVME)
        assert_int_equal(digest_once(algs[kind], p, len, out, NULL), ERR_OK);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

/* As the server computes it, of all or of parts of that size. */
static struct cache_sum sum_of(enum cache_sum_kind kind, uint64_t part)
{
    uint8_t sums[64][DIGEST_MAX], joined[64 * DIGEST_MAX], sum[DIGEST_MAX];
    struct cache_sum s = {.kind = kind};
    sum_bytes(kind, bytes, LEN, sum);
    for (uint64_t at = 0; part > 0 && at < LEN; at += part, s.parts++) {
        sum_bytes(kind, bytes + at, LEN - at < part ? LEN - at : part, sums[s.parts]);
        memcpy(joined + s.parts * cache_sum_size(kind), sums[s.parts], cache_sum_size(kind));
    }
    if (part > 0)
        sum_bytes(kind, joined, s.parts * cache_sum_size(kind), sum);
    memcpy(s.value, sum, cache_sum_size(kind));
    return s;
}

static int make_sums(void **state)
{
    bytes = malloc(LEN);
    make_bytes(1, 0, bytes, LEN);
    assert_int_equal(digest_once(DIGEST_SHA512, bytes, LEN, sha512, NULL), ERR_OK);
    assert_int_equal(digest_hex(DIGEST_MD5, bytes, LEN, md5, NULL), ERR_OK);
    crc = sum_of(CACHE_SUM_CRC64NVME, 0);
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

/* Whether the claim finds object 1 for version `etag` of a key that was not asked for before. */
static bool claims(struct cache *c, const char *etag, const struct cache_claim *claim, char key[32])
{
    static unsigned number;
    snprintf(key, 32, "other%u", ++number);
    struct cache_version v = version_of(key, etag, LEN);
    struct cache_entry *n = cache_entry_get(c, &v);
    bool found = cache_entry_claim(n, claim);
    assert_int_equal(found, cache_held(n, 0, LEN) == LEN);
    cache_entry_unref(n);
    return found;
}

/* The same, and the next process sees it too. */
static bool finds(struct cache **c, const char *etag, const struct cache_claim *claim)
{
    char key[32];
    bool found = claims(*c, etag, claim, key);
    struct cache_version v = version_of(key, etag, LEN);
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
    struct cache_sum other_crc = crc;
    other_crc.value[7] ^= 1;
    const struct {
        const char *etag;
        const uint8_t *sha, *said;
        const struct cache_sum *sum;
        bool found;
    } rows[] = {
        {"opaque-1", sha512, NULL, NULL, true},
        {"opaque-2", other_sha, NULL, NULL, false},
        {"opaque-3", NULL, sha512, NULL, false},
        {"opaque-4", NULL, sha512, &crc, true},
        {"opaque-5", NULL, sha512, &other_crc, false},
        {"opaque-6", NULL, other_sha, &crc, false},
        {"opaque-7", NULL, NULL, &crc, false},
        {md5, NULL, sha512, NULL, true},
        {md5, NULL, sha512, &crc, true},
        {md5, NULL, other_sha, NULL, true},
        {by_8_mib, NULL, sha512, NULL, true},
        {by_9_mib, NULL, sha512, NULL, false},
        {by_7_mib, NULL, sha512, NULL, true},
        {"0123456789abcdef0123456789abcdef", NULL, sha512, NULL, false},
        {"0123456789abcdef0123456789abcdef-3", NULL, sha512, NULL, false},
        {"0123456789abcdef0123456789abcdef-0", NULL, sha512, NULL, false},
        {"0123456789abcdef0123456789abcdef-x", NULL, sha512, NULL, false},
    };
    struct cache *c = cache_with("opaque");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cache_claim claim = {
            .guess = true, .sha512 = rows[i].sha, .said_sha512 = rows[i].said, .sum = rows[i].sum};
        if (finds(&c, rows[i].etag, &claim) != rows[i].found)
            fail_msg("row %zu", i);
    }
    close_cache(c);
}

static void every_sum_that_the_server_computed_confirms_a_header(void **state)
{
    char key[32];
    struct cache *c = cache_with("opaque");
    for (enum cache_sum_kind kind = CACHE_SUM_CRC32; kind <= CACHE_SUM_SHA256; kind++) {
        struct cache_sum all = sum_of(kind, 0), other = all, parts = sum_of(kind, 8 * MIB),
                         strange = sum_of(kind, 9 * MIB);
        other.value[cache_sum_size(kind) - 1] ^= 1;
        struct cache_sum mislabelled = {.kind = kind, .parts = 3};
        memcpy(mislabelled.value, all.value, sizeof(all.value));
        const struct {
            struct cache_sum *sum;
            bool found;
        } rows[] = {{&all, true}, {&other, false}, {&parts, true}, {&strange, false}, {&mislabelled, false}};
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
            if (claims(c, "opaque-1", &(struct cache_claim){.said_sha512 = sha512, .sum = rows[i].sum}, key) !=
                rows[i].found)
                fail_msg("kind %d row %zu", kind, i);
        parts.parts = 4000; /* of a size that is no number of MiB */
        assert_false(claims(c, "opaque-1", &(struct cache_claim){.said_sha512 = sha512, .sum = &parts}, key));
    }
    close_cache(c);
}

static void without_a_header_only_a_sha_of_all_bytes_finds_them_by_their_size(void **state)
{
    char key[32];
    struct cache *c = cache_with("opaque");
    for (enum cache_sum_kind kind = CACHE_SUM_CRC32; kind <= CACHE_SUM_SHA256; kind++) {
        struct cache_sum all = sum_of(kind, 0), other = all, parts = sum_of(kind, 8 * MIB);
        other.value[0] ^= 1;
        assert_int_equal(claims(c, "opaque-1", &(struct cache_claim){.guess = true, .sum = &all}, key),
                         kind >= CACHE_SUM_SHA1);
        assert_false(claims(c, "opaque-1", &(struct cache_claim){.guess = true, .sum = &other}, key));
        assert_false(claims(c, "opaque-1", &(struct cache_claim){.guess = true, .sum = &parts}, key));
        assert_false(claims(c, "opaque-1", &(struct cache_claim){.sum = &all}, key));
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
    assert_false(finds(&c, "opaque-2", &(struct cache_claim){.said_sha512 = sha512, .sum = &crc}));
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
        T(every_sum_that_the_server_computed_confirms_a_header),
        T(without_a_header_only_a_sha_of_all_bytes_finds_them_by_their_size),
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
