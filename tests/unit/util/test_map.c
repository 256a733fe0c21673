#include "util/map.h"

#include "util/cleanup.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    char name[24];
    size_t len;
    bool seen;
};

static struct map_key item_key(const void *value)
{
    const struct item *i = value;
    return (struct map_key){i->name, i->len};
}

static void name_item(struct item *i, unsigned n)
{
    i->len = (size_t)snprintf(i->name, sizeof(i->name), "name-%u", n);
}

static void an_entry_is_found_by_its_bytes(void **state)
{
    struct map *m = map_new(item_key);
    struct item a = {"a\0b", 3, false}, b = {"a\0c", 3, false}, empty = {"", 0, false};
    assert_null(map_get(m, "x", 1));
    assert_null(map_remove(m, "x", 1));
    assert_int_equal(map_put(m, &a, NULL), ERR_OK);
    assert_int_equal(map_put(m, &b, NULL), ERR_OK);
    assert_int_equal(map_put(m, &empty, NULL), ERR_OK);
    assert_int_equal(map_size(m), 3);
    assert_ptr_equal(map_get(m, "a\0b", 3), &a);
    assert_ptr_equal(map_get(m, "a\0c", 3), &b);
    assert_ptr_equal(map_get(m, NULL, 0), &empty);
    assert_null(map_get(m, "a", 1));
    assert_ptr_equal(map_remove(m, "a\0b", 3), &a);
    assert_null(map_get(m, "a\0b", 3));
    assert_ptr_equal(map_get(m, "a\0c", 3), &b);
    map_free(m);
    map_free(NULL);
}

#define MANY 20000

static void many_entries_come_and_go(void **state)
{
    struct map *m = map_new(item_key);
    CLEANUP(free) struct item *items = calloc(MANY, sizeof(*items));
    CLEANUP(free) bool *present = calloc(MANY, sizeof(*present));
    size_t count = 0;
    uint32_t x = 1;
    for (unsigned i = 0; i < MANY; i++)
        name_item(&items[i], i);
    for (int step = 0; step < 200000; step++) {
        x = x * 1664525 + 1013904223;
        unsigned i = (x >> 8) % MANY;
        assert_ptr_equal(map_get(m, items[i].name, items[i].len), present[i] ? &items[i] : NULL);
        if (present[i]) {
            assert_ptr_equal(map_remove(m, items[i].name, items[i].len), &items[i]);
            count--;
        } else {
            assert_int_equal(map_put(m, &items[i], NULL), ERR_OK);
            count++;
        }
        present[i] = !present[i];
        assert_int_equal(map_size(m), count);
    }
    map_free(m);
}

static void a_queue_of_names_does_not_grow_the_table(void **state)
{
    /* Dead slots must not make searches endless nor the table ever larger. */
    struct map *m = map_new(item_key);
    struct item items[4];
    for (unsigned i = 0; i < 100000; i++) {
        struct item *it = &items[i % 4];
        if (i >= 4)
            assert_ptr_equal(map_remove(m, it->name, it->len), it);
        name_item(it, i);
        assert_int_equal(map_put(m, it, NULL), ERR_OK);
    }
    assert_int_equal(map_size(m), 4);
    map_free(m);
}

static void a_walk_meets_each_once_and_may_remove(void **state)
{
    struct map *m = map_new(item_key);
    CLEANUP(free) struct item *items = calloc(1000, sizeof(*items));
    for (unsigned i = 0; i < 1000; i++) {
        name_item(&items[i], i);
        assert_int_equal(map_put(m, &items[i], NULL), ERR_OK);
    }
    size_t cursor = 0, met = 0;
    struct item *it;
    while ((it = map_next(m, &cursor))) {
        assert_false(it->seen);
        it->seen = true;
        if (met++ % 3)
            assert_ptr_equal(map_remove(m, it->name, it->len), it);
    }
    assert_int_equal(met, 1000);
    assert_int_equal(map_size(m), 334);
    cursor = 0;
    met = 0;
    while (map_next(m, &cursor))
        met++;
    assert_int_equal(met, 334);
    map_free(m);
}

static void an_empty_map_has_no_walk(void **state)
{
    struct map *m = map_new(item_key);
    size_t cursor = 0;
    assert_null(map_next(m, &cursor));
    assert_int_equal(map_size(m), 0);
    map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_found_by_its_bytes),
        cmocka_unit_test(many_entries_come_and_go),
        cmocka_unit_test(a_queue_of_names_does_not_grow_the_table),
        cmocka_unit_test(a_walk_meets_each_once_and_may_remove),
        cmocka_unit_test(an_empty_map_has_no_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
