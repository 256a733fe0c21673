#include "support.h"

#include <fcntl.h>

static enum err_code copy(struct rig *r, struct vfs_handle *from, uint64_t at, struct vfs_handle *to, uint64_t to_at, uint64_t len,
                          uint64_t *copied)
{
    struct vfs_copy c = {.from = from, .to = to, .from_offset = at, .to_offset = to_at, .len = len};
    return vfs_copy(r->v, &c, &r->who, copied, &r->err);
}

static void a_whole_object_is_copied_by_the_store_at_once(void **state)
{
    struct rig r;
    uint64_t copied = 0;
    rig_start(&r, NULL);
    others_put(&r, "a", "0123456789");
    struct vfs_handle *from = open_at(&r, "a", O_RDONLY), *to = create_at(&r, "b");
    rig_mark(&r);
    expect_ok(&r, copy(&r, from, 0, to, 0, 1 << 20, &copied));
    assert_int_equal(copied, 10);
    assert_int_equal(rig_count(&r, MEM_COPY), 1);
    expect_ok(&r, close_file(&r, to));
    drain(&r);
    assert_int_equal(rig_requests(&r), 1);
    expect_object(&r, "b", "0123456789");
    release(&r, from);
    rig_stop(&r);
}

static void what_is_written_to_a_copy_goes_over_it(void **state)
{
    struct rig r;
    uint64_t copied = 0;
    rig_start(&r, NULL);
    others_put(&r, "a", "0123456789");
    others_put(&r, "b", "old");
    struct vfs_handle *from = open_at(&r, "a", O_RDONLY), *to = open_at(&r, "b", O_RDWR | O_TRUNC);
    expect_ok(&r, copy(&r, from, 0, to, 0, 10, &copied));
    expect_bytes(&r, to, "0123456789");
    write_at(&r, to, 3, "xyz");
    expect_bytes(&r, to, "012xyz6789");
    expect_ok(&r, close_file(&r, to));
    expect_object(&r, "b", "012xyz6789");
    release(&r, from);
    rig_stop(&r);
}

static void all_else_is_left_to_the_caller(void **state)
{
    struct rig r;
    uint64_t copied = 0;
    rig_start(&r, NULL);
    others_put(&r, "a", "0123456789");
    struct vfs_handle *from = open_at(&r, "a", O_RDWR), *to = create_at(&r, "b"), *full = create_at(&r, "c");
    write_at(&r, full, 0, "full");
    rig_mark(&r);
    expect_code(&r, ERR_UNSUPPORTED, copy(&r, from, 1, to, 0, 10, &copied));
    expect_code(&r, ERR_UNSUPPORTED, copy(&r, from, 0, to, 1, 10, &copied));
    expect_code(&r, ERR_UNSUPPORTED, copy(&r, from, 0, to, 0, 9, &copied));
    expect_code(&r, ERR_UNSUPPORTED, copy(&r, from, 0, full, 0, 10, &copied));
    expect_code(&r, ERR_UNSUPPORTED, copy(&r, from, 0, from, 0, 10, &copied));
    write_at(&r, from, 0, "x");
    expect_code(&r, ERR_UNSUPPORTED, copy(&r, from, 0, to, 0, 10, &copied));
    assert_int_equal(rig_count(&r, MEM_COPY), 0);
    release(&r, from);
    release(&r, to);
    release(&r, full);
    rig_stop(&r);
}

static void a_source_or_a_target_that_others_changed_is_not_copied(void **state)
{
    struct rig r;
    uint64_t copied = 0;
    rig_start(&r, NULL);
    others_put(&r, "a", "0123456789");
    struct vfs_handle *from = open_at(&r, "a", O_RDONLY), *to = create_at(&r, "b");
    others_put(&r, "a", "abcdefghij");
    expect_code(&r, ERR_UNSUPPORTED, copy(&r, from, 0, to, 0, 10, &copied));
    others_put(&r, "b", "theirs");
    expect_code(&r, ERR_UNSUPPORTED, copy(&r, from, 0, to, 0, 10, &copied));
    expect_object(&r, "b", "theirs");
    release(&r, from);
    release(&r, to);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_object_is_copied_by_the_store_at_once),
        cmocka_unit_test(what_is_written_to_a_copy_goes_over_it),
        cmocka_unit_test(all_else_is_left_to_the_caller),
        cmocka_unit_test(a_source_or_a_target_that_others_changed_is_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
