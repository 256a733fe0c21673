#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/meta.h"
#include "vfs/saved_pack.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "top/dir/"

static const struct row {
    const char *component; /* NULL version: a directory */
    bool is_dir;
    struct store_version version;
} rows[] = {
    {"", false, {.etag = "d41d8cd98f00b204e9800998ecf8427e", .size = 0, .mtime = {1700000000, 0}}},
    {"a", false, {.etag = "d41d8cd98f00b204e9800998ecf8427e", .size = 1, .mtime = {1700000000, 123456789}}},
    {"a", true, {.size = 0}},
    {"a-b", false, {.etag = "d41d8cd98f00b204e9800998ecf8427e-10000", .size = 1ull << 42, .mtime = {-5, 0}}},
    {"a-c", false, {.etag = "D41D8CD98F00B204E9800998ECF8427E", .size = 127, .mtime = {0, 0}}},
    {"a-d", false, {.etag = "d41d8cd98f00b204e9800998ecf8427e-007", .size = 128, .mtime = {1, 0}}},
    {"a-e", false, {.etag = "any \"thing\"", .size = INT64_MAX, .mtime = {253402300799, 999999999}}},
    {"\xC3\xA4%2E", false, {.etag = "x", .size = 3, .mtime = {1, 1}}},
    {"z", true, {.size = 0}},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* Key of row `k`, as a listing has it. */
static void key_of(size_t k, char out[64])
{
    snprintf(out, 64, PREFIX "%s%s", rows[k].component, rows[k].is_dir ? "/" : "");
}

static void pack_rows(struct buf *out, const size_t *order, size_t n)
{
    struct saved_pack p = {.out = out};
    for (size_t i = 0; i < n; i++) {
        const struct row *r = &rows[order ? order[i] : i];
        saved_pack_add(&p, r->component, strlen(r->component), r->is_dir ? NULL : &r->version);
    }
    saved_pack_end(&p);
    assert_false(out->failed);
}

static void all_comes_out_as_it_was_in_the_order_of_keys(void **state)
{
    static const size_t order[] = {8, 3, 1, 0, 7, 2, 5, 4, 6, 3};
    struct err e = ERR_INIT;
    struct store_page page = {0};
    BUF(out, 1 << 20);
    pack_rows(&out, order, sizeof(order) / sizeof(order[0]));
    assert_int_equal(saved_unpack(out.data, out.len, PREFIX, &page, &e), ERR_OK);
    assert_int_equal(page.n, ROWS);
    assert_null(page.next);
    for (size_t i = 0; i < ROWS; i++) {
        char key[64];
        const struct store_entry *x = &page.entries[i];
        size_t k = 0;
        for (key_of(k, key); strcmp(key, x->key) != 0; key_of(k, key))
            assert_true(++k < ROWS);
        assert_true(i == 0 || strcmp(page.entries[i - 1].key, x->key) < 0);
        assert_int_equal(x->is_prefix, rows[k].is_dir);
        assert_string_equal(x->object.version.etag, rows[k].version.etag);
        assert_int_equal(x->object.version.size, rows[k].version.size);
        assert_memory_equal(&x->object.version.mtime, &rows[k].version.mtime, sizeof(struct timespec));
    }
    store_page_release(&page);
}

static void an_empty_directory_is_a_listing_too(void **state)
{
    struct err e = ERR_INIT;
    struct store_page page = {0};
    BUF(out, 1 << 20);
    pack_rows(&out, NULL, 0);
    assert_int_equal(saved_unpack(out.data, out.len, PREFIX, &page, &e), ERR_OK);
    assert_int_equal(page.n, 0);
    store_page_release(&page);
}

static void a_listing_that_was_cut_short_anywhere_is_none(void **state)
{
    BUF(out, 1 << 20);
    pack_rows(&out, NULL, ROWS);
    for (size_t len = 0; len < out.len; len++) {
        struct err e = ERR_INIT;
        struct store_page page = {0};
        char *exact = malloc(len + 1);
        memcpy(exact, out.data, len);
        assert_int_equal(saved_unpack(exact, len, PREFIX, &page, &e), ERR_PROTO);
        assert_true(page.n == 0 && e.msg[0]);
        free(exact);
    }
}

static void any_flipped_bit_gives_a_page_or_an_error(void **state)
{
    BUF(out, 1 << 20);
    pack_rows(&out, NULL, ROWS);
    for (size_t bit = 0; bit < out.len * 8; bit++) {
        struct err e = ERR_INIT;
        struct store_page page = {0};
        out.data[bit / 8] ^= (char)(1 << bit % 8);
        enum err_code code = saved_unpack(out.data, out.len, PREFIX, &page, &e);
        assert_true(code == ERR_OK || code == ERR_PROTO || (code == ERR_UNSUPPORTED && bit < 8));
        store_page_release(&page);
        out.data[bit / 8] ^= (char)(1 << bit % 8);
    }
}

#define END(n) "\x10" n

static void what_no_directory_can_have_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum err_code code;
    } bad[] = {
#define B(text, code) {text, sizeof(text) - 1, code}
        B("\x02" END("\x00"), ERR_UNSUPPORTED),          /* another form */
        B("\x01\x01\x00\x03" "a/b" END("\x01"), ERR_PROTO),
        B("\x01\x01\x00\x03" "a\x00" "b" END("\x01"), ERR_PROTO),
        B("\x01\x01\x00\x02" "\xC3" "b" END("\x01"), ERR_PROTO),
        B("\x01\x01\x01\x01" "b" END("\x01"), ERR_PROTO), /* begins like a name that is not there */
        B("\x01\x40\x00\x01" "b" END("\x01"), ERR_PROTO), /* a flag nobody knows */
        B("\x01\x01\x00\x01" "b" END("\x02"), ERR_PROTO), /* too few */
        B("\x01\x01\x00\x01" "b" END("\x01") "x", ERR_PROTO),
        B("\x01\x00\x00\x01" "b\x01\x02\x00" END("\x01"), ERR_PROTO), /* no ETag */
        B("\x01\x00\x00\x01" "b\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x01" "e" END("\x01"), ERR_PROTO),
        B("\x01\x00\x00\x01" "b\x01\x02\xff\x7f" "e" END("\x01"), ERR_PROTO),
        B("\x01\x01\x00\xff\xff\xff\xff\x0f" "b" END("\x01"), ERR_PROTO),
#undef B
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err e = ERR_INIT;
        struct store_page page = {0};
        assert_int_equal(saved_unpack(bad[i].bytes, bad[i].len, PREFIX, &page, &e), bad[i].code);
        assert_int_equal(page.n, 0);
    }
}

static void too_many_names_are_not_packed(void **state)
{
    BUF(out, 16 << 20);
    struct saved_pack p = {.out = &out};
    char name[16];
    for (unsigned i = 0; i <= SAVED_NAMES_MAX; i++) {
        assert_false(out.failed);
        snprintf(name, sizeof(name), "%06u", i);
        saved_pack_add(&p, name, 6, NULL);
    }
    assert_true(out.failed);
}

/* What bounds the index's growth. */
static void a_name_takes_some_thirty_bytes(void **state)
{
    BUF(out, 1 << 20);
    struct saved_pack p = {.out = &out};
    struct store_version version = {.etag = "d41d8cd98f00b204e9800998ecf8427e", .size = 123456, .mtime = {1700000000, 0}};
    char name[32];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "image-%06u.jpg", i);
        saved_pack_add(&p, name, strlen(name), &version);
    }
    saved_pack_end(&p);
    assert_true(out.len < 36 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_comes_out_as_it_was_in_the_order_of_keys),
        cmocka_unit_test(an_empty_directory_is_a_listing_too),
        cmocka_unit_test(a_listing_that_was_cut_short_anywhere_is_none),
        cmocka_unit_test(any_flipped_bit_gives_a_page_or_an_error),
        cmocka_unit_test(what_no_directory_can_have_is_refused),
        cmocka_unit_test(too_many_names_are_not_packed),
        cmocka_unit_test(a_name_takes_some_thirty_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
