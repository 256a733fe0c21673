/* Gets that are waited for, on a store that answers on the caller's thread and on one that answers on its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/fetch.h"
#include "store/mem.h"
#include "store/meta.h"
#include "util/buf.h"
#include "util/cancel.h"
#include "util/str.h"

#include <string.h>

struct fixture {
    struct store *s;
    struct mem_store *m;
    struct err e;
};

static void start(struct fixture *f, bool async)
{
    *f = (struct fixture){0};
    f->s = mem_store_new(&(struct mem_options){.async = async, .chunk = 3, .meta_in_get = true}, &f->m, &f->e);
    assert_non_null(f->s);
}

static ssize_t read_text(void *arg, uint64_t offset, void *buf, size_t len)
{
    const char *text = arg;
    size_t n = strlen(text) - offset < len ? strlen(text) - offset : len;
    memcpy(buf, text + offset, n);
    return (ssize_t)n;
}

static struct store_version put(struct fixture *f, const char *key, const char *text)
{
    struct store_body body = {.size = strlen(text), .read = read_text, .arg = (void *)text};
    struct store_version v;
    assert_int_equal(store_put(f->s, key, &body, NULL, NULL, NULL, &v, &f->e), ERR_OK);
    return v;
}

static bool take(void *arg, const void *p, size_t len)
{
    buf_add(arg, p, len);
    return true;
}

static bool refuse(void *arg, const void *p, size_t len)
{
    return false;
}

static void it_ends_with_all_bytes_and_what_was_told_of_the_object(void **state)
{
    for (int async = 0; async <= 1; async++) {
        struct fixture f;
        BUF(got, 100);
        start(&f, async);
        struct store_version v = put(&f, "k", "ten bytes.");
        struct store_object told = {0};
        struct store_get g = {.key = "k", .etag = v.etag, .offset = 4, .length = 5, .data = take, .arg = &got};
        assert_int_equal(store_fetch(f.s, &g, &told, &f.e), ERR_OK);
        assert_string_equal(buf_str(&got), "bytes");
        assert_string_equal(told.version.etag, v.etag);
        assert_non_null(told.meta);
        store_object_release(&told);
        store_free(f.s);
    }
}

static enum err_code fail_in_the_middle(void *arg, const struct mem_event *ev, struct err *e)
{
    return ev->phase == MEM_DATA && ev->offset >= 6 ? err_set(e, ERR_TIMEOUT, "the cable") : ERR_OK;
}

static void it_fails_as_the_get_does(void **state)
{
    for (int async = 0; async <= 1; async++) {
        struct fixture f;
        BUF(got, 100);
        uint8_t sum[DIGEST_MAX];
        start(&f, async);
        struct store_version v = put(&f, "k", "ten bytes.");
        struct store_object told = {0};
        struct store_get g = {.key = "k", .etag = "another", .length = 10, .data = take, .arg = &got};
        assert_int_equal(store_fetch(f.s, &g, &told, &f.e), ERR_CONFLICT);
        assert_null(told.meta);
        g = (struct store_get){.key = "none", .length = 10, .data = take, .arg = &got};
        assert_int_equal(store_fetch(f.s, &g, NULL, NULL), ERR_NOT_FOUND);
        g = (struct store_get){.key = "k", .length = 10, .data = refuse};
        assert_int_equal(store_fetch(f.s, &g, NULL, &f.e), ERR_CANCELED);
        CLEANUP(cancel_unref) struct cancel *cancel = cancel_new();
        cancel_fire(cancel);
        assert_int_equal(store_hash(f.s, "k", &v, DIGEST_SHA256, cancel, sum, &f.e), ERR_CANCELED);
        mem_store_set_hook(f.m, (struct mem_hook){.fn = fail_in_the_middle});
        assert_int_equal(store_hash(f.s, "k", &v, DIGEST_SHA256, NULL, sum, &f.e), ERR_TIMEOUT);
        assert_string_equal(f.e.msg, "the cable");
        store_free(f.s);
    }
}

static void a_version_is_hashed_from_its_first_byte_to_its_last(void **state)
{
    static const char *const texts[] = {"ten bytes.", "x", ""};
    struct fixture f;
    uint8_t sum[DIGEST_MAX];
    char hex[2 * DIGEST_MAX + 1], expected[2 * DIGEST_MAX + 1];
    start(&f, true);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct store_version v = put(&f, "k", texts[i]);
        assert_int_equal(store_hash(f.s, "k", &v, DIGEST_SHA512, NULL, sum, &f.e), ERR_OK);
        hex_encode(sum, digest_size(DIGEST_SHA512), hex);
        assert_int_equal(digest_hex(DIGEST_SHA512, texts[i], strlen(texts[i]), expected, &f.e), ERR_OK);
        assert_string_equal(hex, expected);
    }
    store_free(f.s);
}

static void only_equal_bytes_are_the_same(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
        unsigned gets;
    } rows[] = {{"abcdef", "abcdef", true, 2}, {"abcdef", "abcdeg", false, 2}, {"abc", "abcd", false, 0}, {"", "", true, 0}};
    struct fixture f;
    start(&f, false);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool same = !rows[i].same;
        unsigned before = mem_store_count(f.m, MEM_GET);
        struct store_version a = put(&f, "a", rows[i].a), b = put(&f, "b", rows[i].b);
        assert_int_equal(store_same_bytes(f.s, "a", &a, "b", &b, NULL, &same, &f.e), ERR_OK);
        assert_int_equal(same, rows[i].same);
        assert_int_equal(mem_store_count(f.m, MEM_GET) - before, rows[i].gets);
    }
    struct store_version a = put(&f, "a", "abc"), b = put(&f, "b", "abc");
    (void)put(&f, "b", "xyz");
    bool same = true;
    assert_int_equal(store_same_bytes(f.s, "a", &a, "b", &b, NULL, &same, &f.e), ERR_CONFLICT);
    assert_false(same);
    store_free(f.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_ends_with_all_bytes_and_what_was_told_of_the_object),
        cmocka_unit_test(it_fails_as_the_get_does),
        cmocka_unit_test(a_version_is_hashed_from_its_first_byte_to_its_last),
        cmocka_unit_test(only_equal_bytes_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
