#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/meta.h"
#include "store/meta_pack.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct store_meta *sample(void)
{
    struct store_meta *m = store_meta_new();
    m->has = STORE_HAS_MODE | STORE_HAS_MTIME | STORE_HAS_ATIME;
    m->mode = S_IFLNK | 0777;
    m->uid = UINT32_MAX - 1;
    m->gid = 100;
    m->mtime = (struct timespec){.tv_sec = -5, .tv_nsec = 999999999};
    m->atime = (struct timespec){.tv_sec = INT64_C(1) << 40, .tv_nsec = 1};
    m->modified = (struct timespec){.tv_sec = 7};
    m->settled = true;
    assert_int_equal(store_meta_set_xattr(m, "user.b", "a\0b", 3, NULL), ERR_OK);
    assert_int_equal(store_meta_set_xattr(m, "user.e", "", 0, NULL), ERR_OK);
    assert_int_equal(store_meta_set_prop(m, "sha512", "abc", 3, NULL), ERR_OK);
    return m;
}

static void assert_same(const struct store_meta *a, const struct store_meta *b)
{
    size_t len;
    assert_int_equal(a->has, b->has);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->uid, b->uid);
    assert_int_equal(a->gid, b->gid);
    assert_memory_equal(&a->mtime, &b->mtime, sizeof(a->mtime));
    assert_memory_equal(&a->atime, &b->atime, sizeof(a->atime));
    assert_memory_equal(&a->ctime, &b->ctime, sizeof(a->ctime));
    assert_int_equal(a->n_xattrs, b->n_xattrs);
    assert_int_equal(a->n_props, b->n_props);
    for (size_t i = 0; i < a->n_xattrs; i++) {
        const char *value = store_meta_xattr(b, a->xattrs[i].name, &len);
        assert_int_equal(len, a->xattrs[i].len);
        assert_memory_equal(value, a->xattrs[i].value, len);
    }
    for (size_t i = 0; i < a->n_props; i++)
        assert_string_equal(store_meta_prop(b, a->props[i].name, NULL), a->props[i].value);
}

static void metadata_come_back_as_they_were(void **state)
{
    struct store_meta *m = sample(), *empty = store_meta_new();
    BUF(packed, 4096);
    store_meta_pack(m, &packed);
    struct store_meta *again = store_meta_unpack(packed.data, packed.len);
    assert_non_null(again);
    assert_same(m, again);
    assert_false(again->settled);
    assert_int_equal(again->modified.tv_sec, 0);
    store_meta_unref(again);
    buf_clear(&packed);
    store_meta_pack(empty, &packed);
    again = store_meta_unpack(packed.data, packed.len);
    assert_non_null(again);
    assert_same(empty, again);
    store_meta_unref(again);
    store_meta_unref(m);
    store_meta_unref(empty);
}

static void a_part_of_it_or_more_than_it_is_nothing(void **state)
{
    struct store_meta *m = sample();
    BUF(packed, 4096);
    store_meta_pack(m, &packed);
    for (size_t len = 0; len < packed.len; len++) {
        char *exact = malloc(len + 1);
        memcpy(exact, packed.data, len);
        assert_null(store_meta_unpack(exact, len));
        free(exact);
    }
    buf_add_char(&packed, 0);
    assert_null(store_meta_unpack(packed.data, packed.len));
    store_meta_unref(m);
}

static void every_flipped_byte_is_refused_or_still_metadata(void **state)
{
    struct store_meta *m = sample();
    BUF(packed, 4096);
    store_meta_pack(m, &packed);
    for (size_t i = 0; i < packed.len; i++)
        for (unsigned flip = 1; flip < 256; flip++) {
            packed.data[i] = (char)(packed.data[i] ^ flip);
            struct store_meta *read = store_meta_unpack(packed.data, packed.len);
            assert_true(!read || (read->mtime.tv_nsec >= 0 && read->mtime.tv_nsec < 1000000000));
            store_meta_unref(read);
            packed.data[i] = (char)(packed.data[i] ^ flip);
        }
    store_meta_unref(m);
}

static void what_does_not_fit_marks_the_buffer(void **state)
{
    struct store_meta *m = sample();
    BUF(packed, 50);
    store_meta_pack(m, &packed);
    assert_true(packed.failed);
    store_meta_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_come_back_as_they_were),
        cmocka_unit_test(a_part_of_it_or_more_than_it_is_nothing),
        cmocka_unit_test(every_flipped_byte_is_refused_or_still_metadata),
        cmocka_unit_test(what_does_not_fit_marks_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
