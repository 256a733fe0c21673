/* A store whose first level holds containers: directories without markers and attributes. A marker that another put stands for
 * the container's being there. */
#include "support.h"

#include <time.h>

static const struct rig_kind containers = {.caps_on = STORE_CONTAINERS};

static void a_container_is_asked_for_by_its_name_alone(void **state)
{
    struct rig r;
    rig_start(&r, &containers);
    others_put(&r, "one/", "");
    (void)walk(&r, "one");
    expect_absent(&r, "two");
    expect_absent(&r, "three%");
    assert_int_equal(rig_count(&r, MEM_STAT), 3);
    assert_int_equal(rig_requests(&r), 3);
    (void)walk(&r, "one");
    expect_absent(&r, "two");
    assert_int_equal(rig_requests(&r), 3);
    rig_stop(&r);
}

static void a_container_that_may_not_be_looked_into_is_there(void **state)
{
    struct rig r;
    struct buf names = {.max = 100};
    rig_start(&r, &containers);
    others_put(&r, "shut/", "");
    rig_fail(&r, MEM_LIST, "shut/", ERR_ACCESS, 9);
    (void)walk(&r, "shut");
    expect_code(&r, ERR_ACCESS, names_in(&r, "shut", false, &names));
    buf_release(&names);
    rig_stop(&r);
}

static void one_that_appears_is_found_although_a_fresh_listing_does_not_have_it(void **state)
{
    struct rig r;
    rig_start(&r, &containers);
    expect_names(&r, "", "");
    others_put(&r, "late/", "");
    (void)walk(&r, "late");
    expect_names(&r, "", "");
    rig_stop(&r);
}

static void a_container_shows_when_it_was_made(void **state)
{
    struct rig r;
    rig_start(&r, &containers);
    others_put(&r, "b/", "");
    struct stat st = stat_of(&r, "b");
    assert_in_range(st.st_mtim.tv_sec, time(NULL) - 60, time(NULL) + 60);
    rig_stop(&r);
}

static void mkdir_makes_a_container_without_attributes(void **state)
{
    struct rig r;
    rig_start(&r, &containers);
    expect_ok(&r, try_mkdir(&r, "new"));
    struct store_meta *meta = object_meta(&r, "new/");
    assert_true(meta == NULL || meta->has == 0);
    store_meta_unref(meta);
    expect_code(&r, ERR_EXISTS, try_mkdir(&r, "new"));
    expect_ok(&r, try_rmdir(&r, "new"));
    expect_no_object(&r, "new/");
    rig_stop(&r);
}

static void no_marker_is_put_when_the_last_file_goes(void **state)
{
    struct rig r;
    rig_start(&r, &containers);
    others_put(&r, "b/f", "x");
    others_put(&r, "b/d/f", "x");
    others_put(&r, "b/", "");
    expect_names(&r, "b", "d\nf\n");
    others_remove(&r, "b/");
    rig_mark(&r);
    expect_ok(&r, try_unlink(&r, "b/d/f"));
    drain(&r);
    assert_int_equal(rig_count(&r, MEM_PUT), 1); /* that of b/d/ */
    expect_ok(&r, try_rmdir(&r, "b/d"));
    expect_ok(&r, try_unlink(&r, "b/f"));
    drain(&r);
    expect_no_object(&r, "b/");
    rig_stop(&r);
}

static void attributes_of_a_container_are_neither_kept_nor_asked_for(void **state)
{
    struct rig r;
    rig_start(&r, &containers);
    others_put(&r, "b/", "");
    struct stat st = stat_of(&r, "b");
    rig_mark(&r);
    expect_ok(&r, try_chmod(&r, "b", st.st_mode & 07777));
    expect_code(&r, ERR_PERM, try_chmod(&r, "b", (st.st_mode & 07777) ^ 077));
    expect_code(&r, ERR_UNSUPPORTED, vfs_setxattr(r.v, walk(&r, "b"), "user.x", "y", 1, 0, &r.who, &r.err));
    drain(&r);
    assert_int_equal(rig_requests(&r), 0);
    rig_stop(&r);
}

static void nothing_is_renamed_from_or_to_the_first_level_or_between_containers(void **state)
{
    static const char *const pairs[][2] = {{"a", "c"}, {"a/f", "c"}, {"a/d", "c"}, {"a/f", "b/f"}, {"a/d", "b/d"}, {"a", "b/a"}};
    struct rig r;
    rig_start(&r, &containers);
    others_put(&r, "a/f", "x");
    others_put(&r, "a/d/f", "x");
    others_put(&r, "a/", "");
    others_put(&r, "b/", "");
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        expect_code(&r, ERR_CROSS, try_rename(&r, pairs[i][0], pairs[i][1], 0));
    expect_ok(&r, try_rename(&r, "a/f", "a/d/g", 0));
    expect_object(&r, "a/d/g", "x");
    rig_stop(&r);
}

static void what_is_in_a_container_is_as_anywhere(void **state)
{
    struct rig r;
    rig_start(&r, &containers);
    others_put(&r, "b/", "");
    write_file(&r, "b/f", "text");
    expect_object(&r, "b/f", "text");
    expect_ok(&r, try_mkdir(&r, "b/d"));
    expect_object(&r, "b/d/", "");
    expect_ok(&r, try_chmod(&r, "b/f", 0600));
    drain(&r);
    struct store_meta *meta = object_meta(&r, "b/f");
    assert_int_equal(meta->mode & 07777, 0600);
    store_meta_unref(meta);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_container_is_asked_for_by_its_name_alone),
        cmocka_unit_test(a_container_that_may_not_be_looked_into_is_there),
        cmocka_unit_test(one_that_appears_is_found_although_a_fresh_listing_does_not_have_it),
        cmocka_unit_test(a_container_shows_when_it_was_made),
        cmocka_unit_test(mkdir_makes_a_container_without_attributes),
        cmocka_unit_test(no_marker_is_put_when_the_last_file_goes),
        cmocka_unit_test(attributes_of_a_container_are_neither_kept_nor_asked_for),
        cmocka_unit_test(nothing_is_renamed_from_or_to_the_first_level_or_between_containers),
        cmocka_unit_test(what_is_in_a_container_is_as_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
