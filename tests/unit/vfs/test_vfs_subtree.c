/* A store that lists whole subtrees, with contents, and shows an object beside a directory inside it. */
#include "support.h"

#include <unistd.h>

enum {
    TREE_ON = STORE_LIST_SUBTREE | STORE_LIST_CONTENT | STORE_SELF_NAMES | STORE_EMPTY_REFUSED | STORE_SLOW_COPY,
    TREE_OFF = STORE_START_AFTER | STORE_POSIX | STORE_MARKERS | STORE_MULTIPART,
};
static const struct rig_kind tree_kind = {.caps_on = TREE_ON, .caps_off = TREE_OFF};
/* For tests that wait until what they know is too old. */
static const struct rig_kind short_lived = {.caps_on = TREE_ON, .caps_off = TREE_OFF, .ttl_ms = 200};

static void a_subtree_is_listed_once_with_its_contents(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "app/db/host", "localhost");
    others_put(&r, "app/db/port", "5432");
    others_put(&r, "app/name", "x");
    expect_names(&r, "", "app\n");
    expect_names(&r, "app", "db\nname\n");
    expect_names(&r, "app/db", "host\nport\n");
    expect_file(&r, "app/db/host", "localhost");
    expect_file(&r, "app/db/port", "5432");
    assert_int_equal(rig_count(&r, MEM_GET), 0);
    assert_int_equal(rig_requests(&r), 1);
    rig_stop(&r);
}

static void one_name_costs_questions_for_that_name_alone(void **state)
{
    struct rig r;
    rig_start(&r, &short_lived);
    others_put(&r, "host", "localhost");
    (void)walk(&r, "host");
    assert_int_equal(rig_requests(&r), 2);
    usleep(220 * 1000);
    rig_mark(&r);
    (void)walk(&r, "host");
    assert_int_equal(rig_count(&r, MEM_STAT), 1);
    assert_int_equal(rig_requests(&r), 1);
    rig_stop(&r);
}

static void a_version_is_asked_for_by_its_name_however_fresh_the_listing(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "db/host", "second");
    expect_names(&r, "", "db\n");
    expect_names(&r, "db", "host\n");
    others_put(&r, "db/host@1", "first"); /* as a store that answers for it and does not list it */
    rig_mark(&r);
    expect_file(&r, "db/host@1", "first");
    assert_int_equal(rig_count(&r, MEM_STAT), 1);
    expect_absent(&r, "db/host@2");
    expect_absent(&r, "db/other");
    assert_int_equal(rig_count(&r, MEM_STAT), 2);
    rig_stop(&r);
}

static void an_object_beside_a_directory_is_self_in_it(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "a", "the value");
    others_put(&r, "a/b", "below");
    expect_names(&r, "", "a\n");
    expect_names(&r, "a", "@self\nb\n");
    expect_file(&r, "a/@self", "the value");
    struct vfs_handle *h = open_at(&r, "a/@self", O_WRONLY | O_TRUNC);
    write_at(&r, h, 0, "changed");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "a", "changed");
    expect_no_object(&r, "a/@self");
    rig_stop(&r);
}

static void self_is_still_there_after_the_ttl_and_goes_when_others_remove_it(void **state)
{
    struct rig r;
    rig_start(&r, &short_lived);
    others_put(&r, "a", "the value");
    others_put(&r, "a/b", "below");
    expect_names(&r, "", "a\n");
    expect_file(&r, "a/@self", "the value");
    usleep(220 * 1000);
    expect_file(&r, "a/@self", "the value");
    others_put(&r, "a", "another");
    usleep(220 * 1000);
    expect_file(&r, "a/@self", "another");
    others_remove(&r, "a");
    usleep(220 * 1000);
    expect_absent(&r, "a/@self");
    expect_names(&r, "a", "b\n");
    rig_stop(&r);
}

static void self_is_found_without_a_listing(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "a", "the value");
    others_put(&r, "a/b", "below");
    expect_file(&r, "a/@self", "the value");
    rig_stop(&r);
}

static void a_directory_that_only_exists_here_stays_until_rmdir(void **state)
{
    struct rig r;
    rig_start(&r, &short_lived);
    expect_ok(&r, try_mkdir(&r, "new"));
    usleep(220 * 1000);
    expect_names(&r, "", "new\n");
    write_file(&r, "new/f", "value");
    expect_object(&r, "new/f", "value");
    usleep(220 * 1000);
    expect_names(&r, "new", "f\n");
    expect_code(&r, ERR_NOT_EMPTY, try_rmdir(&r, "new"));
    expect_ok(&r, try_unlink(&r, "new/f"));
    usleep(220 * 1000);
    expect_names(&r, "", "new\n");
    expect_ok(&r, try_rmdir(&r, "new"));
    expect_names(&r, "", "");
    rig_stop(&r);
}

static void what_was_not_listed_is_still_there_after_the_only_known_name_was_removed(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/p", "one");
    others_put(&r, "d/q", "other");
    expect_ok(&r, vfs_unlink(r.v, walk(&r, "d"), "p", &r.who, &r.err));
    expect_file(&r, "d/q", "other");
    expect_names(&r, "d", "q\n");
    rig_stop(&r);
}

static void what_was_written_is_read_back_from_the_next_listing(void **state)
{
    struct rig r;
    rig_start(&r, &short_lived);
    others_put(&r, "f", "old");
    expect_file(&r, "f", "old");
    struct vfs_handle *h = open_at(&r, "f", O_WRONLY | O_TRUNC);
    write_at(&r, h, 0, "new");
    expect_ok(&r, close_file(&r, h));
    expect_file(&r, "f", "new");
    usleep(220 * 1000);
    expect_file(&r, "f", "new");
    others_put(&r, "f", "abc");
    usleep(220 * 1000);
    expect_file(&r, "f", "abc");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subtree_is_listed_once_with_its_contents),
        cmocka_unit_test(one_name_costs_questions_for_that_name_alone),
        cmocka_unit_test(a_version_is_asked_for_by_its_name_however_fresh_the_listing),
        cmocka_unit_test(an_object_beside_a_directory_is_self_in_it),
        cmocka_unit_test(self_is_still_there_after_the_ttl_and_goes_when_others_remove_it),
        cmocka_unit_test(self_is_found_without_a_listing),
        cmocka_unit_test(a_directory_that_only_exists_here_stays_until_rmdir),
        cmocka_unit_test(what_was_not_listed_is_still_there_after_the_only_known_name_was_removed),
        cmocka_unit_test(what_was_written_is_read_back_from_the_next_listing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
