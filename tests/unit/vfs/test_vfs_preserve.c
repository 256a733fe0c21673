/* Files that are removed or replaced while a program has them open: what its readers keep, and what that may cost. */
#include "support.h"

#include <stdio.h>

#define LIMIT 400000

static void start(struct rig *r)
{
    rig_store(r, &(struct rig_kind){.async = true});
    r->cfg.preserve_max = LIMIT;
    rig_mount(r);
}

static void what_is_left_up_to_the_limit_is_fetched(void **state)
{
    struct rig r;
    start(&r);
    CLEANUP(free) char *text = bytes_of(LIMIT);
    others_put(&r, "f", text);
    struct vfs_handle *h = open_at(&r, "f", O_RDONLY);
    expect_ok(&r, try_unlink(&r, "f"));
    assert_true(rig_count(&r, MEM_GET) > 0);
    expect_bytes(&r, h, text);
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

static void of_more_than_the_limit_nothing_is_fetched_and_the_rest_is_a_conflict(void **state)
{
    static const bool renames[] = {false, true};
    for (size_t k = 0; k < ARRAY_LEN(renames); k++) {
        struct rig r;
        start(&r);
        CLEANUP(free) char *text = bytes_of(LIMIT + 1);
        others_put(&r, "f", text);
        others_put(&r, "new", "new");
        struct vfs_handle *h = open_at(&r, "f", O_RDONLY);
        BUF(out, 4096);
        expect_ok(&r, read_some(&r, h, 0, 100, &out));
        rig_mark(&r);
        expect_ok(&r, renames[k] ? try_rename(&r, "new", "f", 0) : try_unlink(&r, "f"));
        assert_int_equal(rig_count(&r, MEM_GET), 0);
        buf_clear(&out);
        expect_ok(&r, read_some(&r, h, 0, 100, &out)); /* held */
        assert_memory_equal(buf_str(&out), text, 100);
        expect_code(&r, ERR_CONFLICT, read_some(&r, h, LIMIT - 100, 100, &out));
        expect_ok(&r, close_file(&r, h));
        rig_stop(&r);
    }
}

static void only_what_is_not_staged_counts(void **state)
{
    struct rig r;
    start(&r);
    CLEANUP(free) char *text = bytes_of(LIMIT + 1000);
    others_put(&r, "f", text);
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    CLEANUP(free) char *mine = bytes_of(1000);
    memset(mine, 'X', 1000);
    write_at(&r, h, 0, mine);
    memcpy(text, mine, 1000);
    expect_ok(&r, try_unlink(&r, "f"));
    expect_bytes(&r, h, text);
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

static void nothing_is_fetched_of_a_file_that_nobody_has_open(void **state)
{
    struct rig r;
    start(&r);
    CLEANUP(free) char *text = bytes_of(1000);
    others_put(&r, "f", text);
    expect_ok(&r, try_unlink(&r, "f"));
    assert_int_equal(rig_count(&r, MEM_GET), 0);
    rig_stop(&r);
}

static void where_it_cannot_be_fetched_nothing_is_removed(void **state)
{
    struct rig r;
    start(&r);
    CLEANUP(free) char *text = bytes_of(1000);
    others_put(&r, "f", text);
    others_put(&r, "new", "new");
    struct vfs_handle *h = open_at(&r, "f", O_RDONLY);
    rig_fail(&r, MEM_GET, "f", ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, try_unlink(&r, "f"));
    rig_fail(&r, MEM_GET, "f", ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, try_rename(&r, "new", "f", 0));
    expect_object(&r, "f", text);
    expect_object(&r, "new", "new");
    expect_names(&r, "", "f\nnew\n");
    expect_bytes(&r, h, text);
    expect_ok(&r, try_unlink(&r, "f"));
    expect_bytes(&r, h, text);
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

static void a_version_that_others_have_replaced_does_not_stand_in_the_way(void **state)
{
    struct rig r;
    start(&r);
    others_put(&r, "f", "known");
    struct vfs_handle *h = open_at(&r, "f", O_RDONLY);
    others_put(&r, "f", "theirs");
    expect_ok(&r, try_unlink(&r, "f"));
    expect_no_object(&r, "f");
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_up_to_the_limit_is_fetched),
        cmocka_unit_test(of_more_than_the_limit_nothing_is_fetched_and_the_rest_is_a_conflict),
        cmocka_unit_test(only_what_is_not_staged_counts),
        cmocka_unit_test(nothing_is_fetched_of_a_file_that_nobody_has_open),
        cmocka_unit_test(where_it_cannot_be_fetched_nothing_is_removed),
        cmocka_unit_test(a_version_that_others_have_replaced_does_not_stand_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
