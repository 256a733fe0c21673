#include "suite.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void a_stat_tells_size_and_version(struct suite *s)
{
    struct store_version v = put_str(s, key_of(s, "f"), "hello");
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    assert_int_equal(o.version.size, 5);
    assert_string_equal(o.version.etag, v.etag);
    assert_true(o.version.mtime.tv_sec > 1600000000);
    store_object_release(&o);
}

static void what_is_not_there_is_not_found(struct suite *s)
{
    struct store_object o = {0};
    struct err e = ERR_INIT;
    assert_int_equal(store_stat(s->store, key_of(s, "none"), NULL, &o, &e), ERR_NOT_FOUND);
    struct got g;
    read_range(s, key_of(s, "none"), NULL, 0, 1, &g);
    assert_int_equal(g.code, ERR_NOT_FOUND);
    got_release(&g);
}

static void a_get_delivers_the_whole_object(struct suite *s)
{
    (void)put_str(s, key_of(s, "f"), "0123456789");
    struct got g;
    read_range(s, key_of(s, "f"), NULL, 0, 10, &g);
    assert_int_equal(g.code, ERR_OK);
    assert_int_equal(g.calls, 1);
    assert_int_equal(g.bytes.len, 10);
    assert_memory_equal(g.bytes.data, "0123456789", 10);
    assert_int_equal(g.version.size, 10);
    got_release(&g);
}

static void a_get_delivers_exactly_the_range(struct suite *s)
{
    static const struct {
        uint64_t offset, length;
        const char *want;
    } ranges[] = {{0, 1, "0"}, {9, 1, "9"}, {3, 4, "3456"}, {0, 9, "012345678"}, {1, 9, "123456789"}, {5, 5, "56789"}};
    struct store_version v = put_str(s, key_of(s, "f"), "0123456789");
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        struct got g;
        read_range(s, key_of(s, "f"), v.etag, ranges[i].offset, ranges[i].length, &g);
        assert_int_equal(g.code, ERR_OK);
        assert_int_equal(g.bytes.len, strlen(ranges[i].want));
        assert_memory_equal(g.bytes.data, ranges[i].want, g.bytes.len);
        assert_string_equal(g.version.etag, v.etag);
        assert_int_equal(g.version.size, 10);
        got_release(&g);
    }
}

static void a_range_that_the_object_does_not_have_is_an_error(struct suite *s)
{
    (void)put_str(s, key_of(s, "f"), "0123456789");
    static const struct {
        uint64_t offset, length;
    } ranges[] = {{10, 1}, {5, 6}, {0, 11}, {1000000, 5}};
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        struct got g;
        read_range(s, key_of(s, "f"), NULL, ranges[i].offset, ranges[i].length, &g);
        assert_int_not_equal(g.code, ERR_OK);
        assert_int_not_equal(g.code, ERR_NOT_FOUND);
        got_release(&g);
    }
}

static void a_get_of_another_version_is_a_conflict(struct suite *s)
{
    struct store_version old = put_str(s, key_of(s, "f"), "old bytes");
    (void)put_str(s, key_of(s, "f"), "new bytes");
    struct got g;
    read_range(s, key_of(s, "f"), old.etag, 0, 9, &g);
    assert_int_equal(g.code, ERR_CONFLICT);
    assert_int_equal(g.bytes.len, 0);
    got_release(&g);
    read_range(s, key_of(s, "f"), old.etag, 2, 3, &g);
    assert_int_equal(g.code, ERR_CONFLICT);
    got_release(&g);
}

static void a_large_object_arrives_in_order(struct suite *s)
{
    size_t len = 3 * 1024 * 1024 + 17;
    char *p = pattern(len);
    struct bytes b;
    struct store_version v;
    struct err e = ERR_INIT;
    assert_ok(store_put(s->store, key_of(s, "big"), body_of(&b, p, len), NULL, NULL, NULL, &v, &e), &e);
    struct got g;
    read_range(s, key_of(s, "big"), v.etag, 0, len, &g);
    assert_int_equal(g.code, ERR_OK);
    assert_int_equal(g.bytes.len, len);
    assert_memory_equal(g.bytes.data, p, len);
    got_release(&g);
    read_range(s, key_of(s, "big"), v.etag, 1000001, 1024 * 1024, &g);
    assert_int_equal(g.code, ERR_OK);
    assert_memory_equal(g.bytes.data, p + 1000001, 1024 * 1024);
    got_release(&g);
    free(p);
}

static void a_whole_object_may_be_asked_for_without_a_range(struct suite *s)
{
    struct store_version v = put_str(s, key_of(s, "f"), "0123456789");
    struct got g;
    read_whole(s, key_of(s, "f"), v.etag, 10, &g);
    assert_int_equal(g.code, ERR_OK);
    assert_memory_equal(g.bytes.data, "0123456789", 10);
    got_release(&g);
    read_whole(s, key_of(s, "f"), NULL, 9, &g);
    assert_int_not_equal(g.code, ERR_OK);
    got_release(&g);
    read_whole(s, key_of(s, "f"), NULL, 11, &g);
    assert_int_not_equal(g.code, ERR_OK);
    got_release(&g);
}

static bool refuse(void *arg, const void *p, size_t len)
{
    return false;
}

static void ended(void *arg, enum err_code code, const struct store_object *o, const struct err *e)
{
    __atomic_store_n((enum err_code *)arg, code, __ATOMIC_RELEASE);
}

static void data_that_is_refused_ends_the_get(struct suite *s)
{
    (void)put_str(s, key_of(s, "f"), "0123456789");
    enum err_code code = ERR_COUNT;
    struct store_get g = {.key = key_of(s, "f"), .length = 10, .data = refuse, .done = ended, .arg = &code};
    struct err e = ERR_INIT;
    assert_ok(store_get(s->store, &g, &e), &e);
    for (int i = 0; i < 500 && __atomic_load_n(&code, __ATOMIC_ACQUIRE) == ERR_COUNT; i++)
        usleep(10000);
    assert_int_equal(__atomic_load_n(&code, __ATOMIC_ACQUIRE), ERR_CANCELED);
}

static void a_get_may_tell_the_metadata(struct suite *s)
{
    struct store_meta *m = store_meta_new();
    m->has = STORE_HAS_MODE;
    m->mode = 0100751;
    (void)put_meta(s, key_of(s, "f"), "x", m);
    store_meta_unref(m);
    struct got g;
    read_range(s, key_of(s, "f"), NULL, 0, 1, &g);
    assert_int_equal(g.code, ERR_OK);
    if (g.meta != NULL)
        assert_int_equal(g.meta->mode, 0100751);
    got_release(&g);
}

static void an_empty_range_is_refused(struct suite *s)
{
    struct store_get g = {.key = key_of(s, "f"), .length = 0, .data = refuse, .done = ended, .arg = NULL};
    struct err e = ERR_INIT;
    assert_int_equal(store_get(s->store, &g, &e), ERR_INVAL);
    g.offset = UINT64_MAX;
    g.length = 2;
    assert_int_equal(store_get(s->store, &g, &e), ERR_INVAL);
}

const struct suite_case read_cases[] = {
    {"a stat tells size and version", a_stat_tells_size_and_version, 0},
    {"what is not there is not found", what_is_not_there_is_not_found, 0},
    {"a get delivers the whole object", a_get_delivers_the_whole_object, 0},
    {"a get delivers exactly the range", a_get_delivers_exactly_the_range, 0},
    {"a whole object may be asked for without a range", a_whole_object_may_be_asked_for_without_a_range, 0},
    {"a range that the object does not have is an error", a_range_that_the_object_does_not_have_is_an_error, 0},
    {"a get of another version is a conflict", a_get_of_another_version_is_a_conflict, 0},
    {"a large object arrives in order", a_large_object_arrives_in_order, 0},
    {"data that is refused ends the get", data_that_is_refused_ends_the_get, 0},
    {"a get may tell the metadata", a_get_may_tell_the_metadata, 0},
    {"an empty range is refused without a request", an_empty_range_is_refused, 0},
    {NULL, NULL, 0},
};
