/* Names as they are packed, and the order they are found in; whatever the names, versions and segments are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keys.h"
#include "store/meta.h"
#include "vfs/catalog.h"
#include "vfs/pack.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void versions_come_out_as_they_went_in(void **state)
{
    static const struct store_version versions[] = {
        {.etag = "d41d8cd98f00b204e9800998ecf8427e", .size = 0, .mtime = {1700000000, 0}},
        {.etag = "d41d8cd98f00b204e9800998ecf8427e-1", .size = 127, .mtime = {0, 0}},
        {.etag = "d41d8cd98f00b204e9800998ecf8427e-10000", .size = 128, .mtime = {-1, 999999999}},
        {.etag = "d41d8cd98f00b204e9800998ecf8427e-4294967295", .size = 1ULL << 62, .mtime = {253402300799, 1}},
        {.etag = "d41d8cd98f00b204e9800998ecf8427e-01", .size = 5},
        {.etag = "d41d8cd98f00b204e9800998ecf8427e-", .size = 5},
        {.etag = "d41d8cd98f00b204e9800998ecf8427e-99999999999999", .size = 5},
        {.etag = "D41D8CD98F00B204E9800998ECF8427E", .size = 5},
        {.etag = "d41d8cd98f00b204e9800998ecf8427", .size = 5},
        {.etag = "d41d8cd98f00b204e9800998ecf8427e0", .size = 5},
        {.etag = "x", .size = INT64_MAX, .mtime = {INT64_MIN, 0}},
        {.etag = "W/0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
                 "0123456789012345678901234567890",
         .size = 3},
    };
    enum { N = sizeof(versions) / sizeof(versions[0]) };
    char names[N][8];
    struct chunk_name in[N];
    for (size_t k = 0; k < N; k++) {
        snprintf(names[k], sizeof(names[k]), "n%02zu", k);
        in[k] = (struct chunk_name){names[k], strlen(names[k]), &versions[k]};
    }
    struct chunk *c = chunk_new(in, N, 7, 8);
    assert_true(chunk_seq(c) == 7 && chunk_start_ms(c) == 8 && chunk_size(c) == N);
    for (size_t k = 0; k < N; k++) {
        char name[CHUNK_NAME_MAX + 1];
        struct store_version v = {0};
        assert_int_equal(chunk_name(c, k, name), strlen(names[k]));
        assert_string_equal(name, names[k]);
        chunk_version(c, k, &v);
        assert_string_equal(v.etag, versions[k].etag);
        assert_true(v.size == versions[k].size && v.mtime.tv_sec == versions[k].mtime.tv_sec &&
                    v.mtime.tv_nsec == versions[k].mtime.tv_nsec);
        assert_false(chunk_is_taken(c, k));
        chunk_take(c, k);
        assert_true(chunk_is_taken(c, k) && !chunk_is_dir(c, k));
    }
    chunk_free(c);
}

/* The keys as pages of a listing with delimiter, packed into the segments that `ends` make; returns their catalog. */
struct made {
    struct catalog *catalog;
    struct store_page apart, after;
};

static void add_entry(struct store_page *page, const char *key, size_t len, bool is_prefix)
{
    page->entries = realloc(page->entries, (page->n + 1) * sizeof(*page->entries));
    struct store_entry *entry = &page->entries[page->n++];
    *entry = (struct store_entry){.key = strndup(key, len), .is_prefix = is_prefix};
    snprintf(entry->object.version.etag, STORE_ETAG_SIZE, "%s", is_prefix ? "" : key);
}

static void move_all(struct store_page *to, struct store_page *from)
{
    for (size_t k = 0; k < from->n; k++) {
        add_entry(to, from->entries[k].key, strlen(from->entries[k].key), from->entries[k].is_prefix);
    }
}

static void pack_some(struct made *m, struct segment *s, struct pack *p, struct store_page *page, enum pack_end how,
                      const char *end)
{
    struct packed packed;
    struct err e = ERR_INIT;
    assert_int_equal(pack_page(p, page, how, end, 1, 2, &packed, &e), ERR_OK);
    if (packed.names) {
        assert_int_equal(catalog_add(m->catalog, s, packed.names, &e), ERR_OK);
        packed.names = NULL;
    }
    move_all(&m->apart, &packed.apart);
    move_all(&m->after, &packed.after);
    packed_release(&packed);
}

static struct made make(const struct keys *keys, size_t page_size, const char *const *ends, size_t n_ends)
{
    struct made m = {.catalog = catalog_new()};
    struct segment *s = catalog_first(m.catalog);
    size_t at = 0;
    for (size_t k = 0; k <= n_ends; k++) {
        const char *end = k < n_ends ? ends[k] : NULL;
        struct segment *next = end ? catalog_cut(m.catalog, s, end) : NULL;
        struct pack pack = {.prefix = ""};
        struct store_page page = {0};
        while (at < keys->n && (!end || strcmp(keys->key[at], end) <= 0)) {
            const char *key = keys->key[at], *slash = strchr(key, '/');
            size_t len = slash ? (size_t)(slash - key) + 1 : strlen(key);
            add_entry(&page, key, len, slash);
            for (at++; slash && at < keys->n && strncmp(keys->key[at], key, len) == 0;)
                at++;
            if (page.n == page_size)
                pack_some(&m, s, &pack, &page, PACK_GOES_ON, NULL);
        }
        pack_some(&m, s, &pack, &page, end ? PACK_AT_KEY : PACK_AT_LAST, end);
        pack_release(&pack);
        catalog_close(m.catalog, s);
        s = next;
    }
    catalog_end(m.catalog, CATALOG_WHOLE);
    return m;
}

static void made_release(struct made *m)
{
    catalog_unref(m->catalog);
    store_page_release(&m->apart);
    store_page_release(&m->after);
}

static bool in_page(const struct store_page *p, const char *key, size_t len)
{
    for (size_t k = 0; k < p->n; k++)
        if (strlen(p->entries[k].key) == len && memcmp(p->entries[k].key, key, len) == 0)
            return true;
    return false;
}

static bool is_doubled(const struct keys *keys, const char *name, size_t len)
{
    bool object = false, dir = false;
    for (size_t k = 0; k < keys->n; k++) {
        if (strncmp(keys->key[k], name, len) != 0)
            continue;
        object |= !keys->key[k][len];
        dir |= keys->key[k][len] == '/';
    }
    return object && dir;
}

/* Each name is in the catalog, or was set apart for a reason. */
static void check_all(const struct keys *keys, struct made *m)
{
    uint64_t found = 0;
    for (size_t k = 0; k < keys->n; k++) {
        const char *slash = strchr(keys->key[k], '/');
        size_t len = slash ? (size_t)(slash - keys->key[k]) : strlen(keys->key[k]);
        char name[KEY_SIZE];
        struct catalog_at at;
        snprintf(name, sizeof(name), "%.*s", (int)len, keys->key[k]);
        bool apart = in_page(&m->apart, keys->key[k], len + (slash != NULL)), after = !slash && in_page(&m->after, name, len);
        bool there = catalog_find(m->catalog, name, &at) && chunk_is_dir(at.chunk, at.k) == (slash != NULL);
        assert_int_equal(there + apart + after, 1);
        if (apart)
            assert_true(strchr(name, '%') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || is_doubled(keys, name, len));
        if (!there)
            continue;
        char back[CHUNK_NAME_MAX + 1];
        assert_int_equal(chunk_name(at.chunk, at.k, back), len);
        assert_string_equal(back, name);
        if (slash)
            continue;
        struct store_version v = {0};
        chunk_version(at.chunk, at.k, &v);
        assert_true(strncmp(v.etag, name, STORE_ETAG_SIZE - 1) == 0);
        found++;
    }
    assert_true(found <= catalog_names(m->catalog));
}

static void check_order(const struct made *m)
{
    struct catalog_at at, walk;
    char before[CHUNK_NAME_MAX + 1], name[CHUNK_NAME_MAX + 1];
    assert_int_equal(catalog_ready(m->catalog), catalog_names(m->catalog));
    for (uint64_t k = 0; k < catalog_names(m->catalog); k++) {
        assert_true(catalog_seek(m->catalog, k, &at));
        size_t len = chunk_name(at.chunk, at.k, name);
        if (k == 0)
            walk = at;
        else
            assert_true(catalog_next(m->catalog, &walk) && place_compare(before, strlen(before), name, len) < 0);
        assert_true(walk.chunk == at.chunk && walk.k == at.k);
        assert_int_equal(catalog_before(m->catalog, name), k);
        strcpy(before, name);
    }
    assert_false(catalog_seek(m->catalog, catalog_names(m->catalog), &at));
}

static struct keys keys;

static void every_name_is_found_whatever_pages_and_segments_are(void **state)
{
    for (unsigned kind = 0; kind < KEY_KINDS; kind++)
        for (unsigned round = 0; round < 6; round++) {
            uint64_t seed = kind * 100 + round;
            keys_make(&keys, kind, 250, seed);
            const char *ends[4];
            size_t n_ends = 0;
            for (size_t k = 1; k <= 3 && round % 3 > 0; k++) {
                const char *key = keys.key[k * keys.n / 4];
                if (!strchr(key, '/') && (n_ends == 0 || strcmp(key, ends[n_ends - 1]) > 0))
                    ends[n_ends++] = key;
            }
            struct made m = make(&keys, 1 + keys_random(&seed) % 30, ends, n_ends);
            check_all(&keys, &m);
            check_order(&m);
            made_release(&m);
        }
}

static void names_that_are_not_there_are_not_found(void **state)
{
    static const char *const absent[] = {"", "a", "f", "f00000", "f0000000", "f000250", "g", "\xF4\x8F\xBF\xBF"};
    keys_make(&keys, 0, 250, 1);
    struct made m = make(&keys, 7, NULL, 0);
    for (size_t k = 0; k < sizeof(absent) / sizeof(absent[0]); k++) {
        struct catalog_at at;
        assert_false(catalog_find(m.catalog, absent[k], &at));
    }
    made_release(&m);
}

/* Positions are known as far as everything before them is there. */
static void names_behind_a_gap_have_no_position_yet(void **state)
{
    struct catalog *c = catalog_new();
    struct segment *first = catalog_first(c), *second = catalog_cut(c, first, "m");
    struct err e = ERR_INIT;
    struct store_version v = {.etag = "e"};
    struct chunk_name n = {"n", 1, &v}, a = {"a", 1, &v};
    struct catalog_at at;
    assert_int_equal(catalog_add(c, second, chunk_new(&n, 1, 1, 1), &e), ERR_OK);
    catalog_close(c, second);
    assert_true(catalog_find(c, "n", &at));
    assert_int_equal(catalog_ready(c), 0);
    assert_int_equal(catalog_add(c, first, chunk_new(&a, 1, 1, 1), &e), ERR_OK);
    assert_int_equal(catalog_ready(c), 1);
    assert_false(catalog_seek(c, 1, &at));
    catalog_close(c, first);
    assert_int_equal(catalog_ready(c), 2);
    assert_true(catalog_seek(c, 1, &at));
    catalog_take(c, &at);
    assert_int_equal(catalog_left(c), 1);
    catalog_unref(c);
}

static void a_segment_that_was_not_needed_goes_back(void **state)
{
    struct catalog *c = catalog_new();
    struct segment *first = catalog_first(c);
    struct err e = ERR_INIT;
    struct store_version v = {.etag = "e"};
    struct chunk_name z = {"z", 1, &v};
    struct catalog_at at;
    catalog_join(c, catalog_cut(c, first, "m"));
    assert_int_equal(catalog_add(c, first, chunk_new(&z, 1, 1, 1), &e), ERR_OK);
    catalog_close(c, first);
    assert_true(catalog_find(c, "z", &at) && catalog_ready(c) == 1);
    catalog_unref(c);
}

/* A million names of S3's usual form, a thousand a page. */
static void a_name_takes_few_bytes(void **state)
{
    enum { PAGES = 1000, PAGE = 1000 };
    struct catalog *c = catalog_new();
    struct err e = ERR_INIT;
    static char names[PAGE][64];
    static struct store_version versions[PAGE];
    static struct chunk_name page[PAGE];
    size_t before = mallinfo2().uordblks;
    for (int p = 0; p < PAGES; p++) {
        for (int k = 0; k < PAGE; k++) {
            snprintf(names[k], sizeof(names[k]), "photograph-%07d.jpeg", p * PAGE + k);
            versions[k] = (struct store_version){.size = 3000000 + (unsigned)k, .mtime = {1700000000 + p, 0}};
            snprintf(versions[k].etag, STORE_ETAG_SIZE, "%016x%016x", p, k);
            page[k] = (struct chunk_name){names[k], strlen(names[k]), &versions[k]};
        }
        assert_int_equal(catalog_add(c, catalog_first(c), chunk_new(page, PAGE, 1, 1), &e), ERR_OK);
    }
    size_t after = mallinfo2().uordblks;
    double own = (double)catalog_bytes(c) / PAGES / PAGE, all = (double)(after - before) / PAGES / PAGE;
    print_message("%.1f bytes a name, %.1f with everything\n", own, all);
    assert_true(own < 48);
    assert_true(all < 52); /* a build with ASan has an allocator that tells nothing here */
    assert_int_equal(catalog_names(c), PAGES * PAGE);
    catalog_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_come_out_as_they_went_in),
        cmocka_unit_test(every_name_is_found_whatever_pages_and_segments_are),
        cmocka_unit_test(names_that_are_not_there_are_not_found),
        cmocka_unit_test(names_behind_a_gap_have_no_position_yet),
        cmocka_unit_test(a_segment_that_was_not_needed_goes_back),
        cmocka_unit_test(a_name_takes_few_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
