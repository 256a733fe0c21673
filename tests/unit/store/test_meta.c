#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/meta.h"

#include <stdio.h>
#include <string.h>

static void set(struct store_meta *m, const char *name, const char *value)
{
    struct err e = ERR_INIT;
    assert_int_equal(store_meta_set_prop(m, name, value, value != NULL ? strlen(value) : 0, &e), ERR_OK);
}

static void properties_are_kept_in_the_order_of_their_names(void **state)
{
    struct store_meta *m = store_meta_new();
    set(m, "m", "1");
    set(m, "a", "2");
    set(m, "z", "3");
    set(m, "a", "4");
    assert_int_equal(m->n_props, 3);
    assert_string_equal(m->props[0].name, "a");
    assert_string_equal(m->props[2].name, "z");
    assert_string_equal(store_meta_prop(m, "a", NULL), "4");
    set(m, "m", NULL);
    set(m, "never", NULL);
    assert_int_equal(m->n_props, 2);
    assert_null(store_meta_prop(m, "m", NULL));
    store_meta_unref(m);
}

static void values_may_hold_any_byte(void **state)
{
    struct store_meta *m = store_meta_new();
    struct err e = ERR_INIT;
    size_t len;
    assert_int_equal(store_meta_set_xattr(m, "user.b", "a\0b", 3, &e), ERR_OK);
    assert_int_equal(store_meta_set_xattr(m, "user.e", "", 0, &e), ERR_OK);
    assert_memory_equal(store_meta_xattr(m, "user.b", &len), "a\0b\0", 4);
    assert_int_equal(len, 3);
    assert_string_equal(store_meta_xattr(m, "user.e", &len), "");
    assert_int_equal(len, 0);
    store_meta_unref(m);
}

static void a_copy_is_independent(void **state)
{
    struct store_meta *m = store_meta_new(), *copy;
    m->has = STORE_HAS_MODE;
    m->mode = 0100644;
    set(m, "content-type", "text/plain");
    copy = store_meta_copy(m);
    set(copy, "content-type", "text/html");
    copy->mode = 0;
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "text/plain");
    assert_int_equal(m->mode, 0100644);
    store_meta_unref(m);
    assert_string_equal(store_meta_prop(copy, "content-type", NULL), "text/html");
    store_meta_unref(copy);
    copy = store_meta_copy(NULL);
    assert_int_equal(copy->has, 0);
    store_meta_unref(copy);
}

static void nothing_is_found_in_no_metadata(void **state)
{
    assert_null(store_meta_prop(NULL, "x", NULL));
    assert_null(store_meta_xattr(NULL, "x", NULL));
    assert_null(store_meta_ref(NULL));
    store_meta_unref(NULL);
    store_object_release(NULL);
    store_page_release(NULL);
}

static void the_number_of_properties_is_bounded(void **state)
{
    struct store_meta *m = store_meta_new();
    enum err_code code = ERR_OK;
    struct err e = ERR_INIT;
    unsigned n = 0;
    for (; n < 10000 && code == ERR_OK; n++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "meta.%u", n);
        code = store_meta_set_prop(m, name, "x", 1, &e);
    }
    assert_int_equal(code, ERR_TOO_BIG);
    assert_true(n < 10000);
    store_meta_unref(m);
}

static void plain_fields_in_any_order_make_the_same_metadata(void **state)
{
    static const struct meta_pair xattrs[] = {{"user.z", "\0\0", 2}, {"user.a", NULL, 0}};
    static const struct meta_pair props[] = {{"meta.b", "B", 1}, {"content-type", "text/plain", 10}};
    const struct meta_fields f = {.has = STORE_HAS_ALL, .mode = 0100640, .uid = 1, .gid = 2, .mtime = {3, 4}, .atime = {5, 6},
                                  .ctime = {7, 8}, .xattrs = xattrs, .n_xattrs = 2, .props = props, .n_props = 2};
    struct err e = ERR_INIT;
    struct meta_fields told;
    struct store_meta *m = store_meta_of(&f, &e);
    assert_non_null(m);
    assert_string_equal(store_meta_xattr(m, "user.a", NULL), "");
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "text/plain");
    store_meta_fields(m, &told);
    assert_int_equal(told.has, f.has);
    assert_int_equal(told.mode, f.mode);
    assert_int_equal(told.uid, f.uid);
    assert_int_equal(told.gid, f.gid);
    assert_memory_equal(&told.mtime, &f.mtime, sizeof(f.mtime));
    assert_memory_equal(&told.atime, &f.atime, sizeof(f.atime));
    assert_memory_equal(&told.ctime, &f.ctime, sizeof(f.ctime));
    assert_int_equal(told.n_xattrs, 2);
    assert_string_equal(told.xattrs[1].name, "user.z");
    assert_int_equal(told.xattrs[1].len, 2);
    assert_memory_equal(told.xattrs[1].value, "\0\0", 3);
    assert_int_equal(told.n_props, 2);
    assert_string_equal(told.props[0].name, "content-type");
    store_meta_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(properties_are_kept_in_the_order_of_their_names),
        cmocka_unit_test(values_may_hold_any_byte),
        cmocka_unit_test(a_copy_is_independent),
        cmocka_unit_test(nothing_is_found_in_no_metadata),
        cmocka_unit_test(the_number_of_properties_is_bounded),
        cmocka_unit_test(plain_fields_in_any_order_make_the_same_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
