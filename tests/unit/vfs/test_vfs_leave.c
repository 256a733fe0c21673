/* Renames that fail in this mount: what is left of them, who goes on with it, and what programs do meanwhile. */
#include "support.h"

#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define RECORDS(r) (state_files(r, "renames", ".rename") + state_files(r, "renames", ".undo"))

static bool no_record(void *arg)
{
    return RECORDS((struct rig *)arg) == 0;
}

static void a_copy_that_comes_late_is_taken_back_too(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "from/x", "x");
    others_put(&r, "from/y", "y");
    rig_fail_after(&r, MEM_COPY, "from/x", ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, try_rename(&r, "from", "to", 0));
    expect_no_object(&r, "to/x");
    assert_int_equal(RECORDS(&r), 1);
    others_put(&r, "to/x", "x");
    assert_true(within(60000, no_record, &r));
    assert_int_equal(objects_below(&r, "to/"), 0);
    assert_int_equal(objects_below(&r, "from/"), 2);
    assert_int_equal(RECORDS(&r), 0);
    rig_stop(&r);
}

static void nobody_waits_for_what_may_come_late(void **state)
{
    enum { FILES = 70 }; /* more than there are threads for it */
    struct rig r;
    char from[16], to[16];
    rig_store(&r, NULL);
    r.cfg.late_ms = 3600000;
    rig_mount(&r);
    for (int k = 0; k < FILES; k++) {
        snprintf(from, sizeof(from), "a%d", k);
        snprintf(to, sizeof(to), "b%d", k);
        others_put(&r, from, "text");
        rig_fail_after(&r, MEM_COPY, from, ERR_TIMEOUT, 1);
        expect_code(&r, ERR_TIMEOUT, try_rename(&r, from, to, 0));
    }
    drain(&r);
    assert_int_equal(RECORDS(&r), FILES);
    rig_unmount(&r);
    r.cfg.late_ms = 0;
    rig_mount(&r);
    assert_true(vfs_settled(r.v, 60000));
    assert_int_equal(RECORDS(&r), 0);
    assert_int_equal(objects_below(&r, "a"), FILES);
    assert_int_equal(objects_below(&r, "b"), 0);
    rig_stop(&r);
}

static void an_interrupted_rename_is_taken_back_before_a_drain_ends(void **state)
{
    struct rig r;
    rig_store(&r, NULL);
    r.cfg.late_ms = 3600000;
    rig_mount(&r);
    others_put(&r, "from/x", "x");
    others_put(&r, "from/y", "y");
    rig_fail_after(&r, MEM_COPY, "from/x", ERR_CANCELED, 1);
    expect_code(&r, ERR_CANCELED, try_rename(&r, "from", "to", 0));
    drain(&r);
    assert_int_equal(objects_below(&r, "to/"), 0);
    assert_int_equal(objects_below(&r, "from/"), 2);
    assert_int_equal(RECORDS(&r), 1); /* a copy may still come */
    rig_unmount(&r);
    rig_mount(&r);
    assert_true(vfs_settled(r.v, 60000));
    assert_int_equal(RECORDS(&r), 0);
    rig_stop(&r);
}

/* Its copy would stay beside the file otherwise. */
static void who_uses_a_name_of_an_interrupted_rename_waits_until_that_is_taken_back(void **state)
{
    enum { FILES = 70 }; /* more than there are threads for it */
    struct rig r;
    char from[16], to[16];
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    mem_store_hold(r.mem, MEM_STAT, NULL); /* each begins with it */
    for (int k = 0; k < FILES; k++) {
        snprintf(from, sizeof(from), "a%d", k);
        snprintf(to, sizeof(to), "b%d", k);
        others_put(&r, from, "text");
        rig_fail_after(&r, MEM_COPY, from, ERR_CANCELED, 1);
        expect_code(&r, ERR_CANCELED, try_rename(&r, from, to, 0));
    }
    struct call c = {.r = &r, .kind = CALL_UNLINK, .a = from};
    call_start(&c);
    assert_false(within(100, call_ended, &c));
    expect_ok(&r, call_end_held(&c, MEM_STAT));
    drain(&r);
    assert_int_equal(objects_below(&r, "a"), FILES - 1);
    assert_int_equal(objects_below(&r, "b"), 0);
    rig_stop(&r);
}

static void what_a_program_puts_where_a_copy_failed_is_never_taken_for_the_copy(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "text");
    rig_fail_after(&r, MEM_COPY, "a", ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, try_rename(&r, "a", "b", 0));
    expect_no_object(&r, "b");
    assert_int_equal(RECORDS(&r), 1);
    write_file(&r, "b", "text");
    drain(&r);
    expect_object(&r, "a", "text");
    expect_object(&r, "b", "text");
    assert_int_equal(RECORDS(&r), 0);
    rig_stop(&r);
}

static void a_rename_left_to_a_person_ends_with_the_next_use_of_a_name(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "text");
    rig_fail(&r, MEM_REMOVE, "a", ERR_NET, 1);
    expect_code(&r, ERR_NET, try_rename(&r, "a", "b", 0));
    assert_int_equal(RECORDS(&r), 1);
    write_file(&r, "a", "text");
    assert_int_equal(RECORDS(&r), 0);
    vfs_retry(r.v, NULL);
    assert_true(vfs_settled(r.v, 10000));
    expect_object(&r, "a", "text");
    expect_object(&r, "b", "text");
    rig_stop(&r);
}

static void a_retry_is_of_the_rename_that_is_named(void **state)
{
    struct rig r;
    char pattern[128], id[128];
    glob_t found;
    rig_start(&r, NULL);
    others_put(&r, "a1", "text");
    others_put(&r, "b1", "text");
    rig_fail(&r, MEM_REMOVE, NULL, ERR_NET, 2);
    expect_code(&r, ERR_NET, try_rename(&r, "a1", "a2", 0));
    expect_code(&r, ERR_NET, try_rename(&r, "b1", "b2", 0));
    assert_int_equal(mem_store_objects(r.mem), 4);
    snprintf(pattern, sizeof(pattern), "%s/renames/*.rename", r.state);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 2);
    const char *name = strrchr(found.gl_pathv[0], '/') + 1;
    snprintf(id, sizeof(id), "%.*s", (int)strcspn(name, "-."), name);
    vfs_retry(r.v, "0123456789abcdef");
    assert_true(vfs_settled(r.v, 60000));
    assert_int_equal(mem_store_objects(r.mem), 4);
    vfs_retry(r.v, id);
    assert_true(vfs_settled(r.v, 60000));
    assert_int_equal(mem_store_objects(r.mem), 3);
    assert_int_equal(RECORDS(&r), 1);
    assert_int_not_equal(access(found.gl_pathv[0], F_OK), 0);
    globfree(&found);
    rig_stop(&r);
}

static void a_rename_that_fails_where_no_file_can_be_opened_is_left_to_a_person_all_the_same(void **state)
{
    struct rig r;
    struct rlimit before;
    rig_start(&r, NULL);
    others_put(&r, "a", "text");
    rig_fail(&r, MEM_REMOVE, "a", ERR_NET, 1);
    struct call c = {.r = &r, .kind = CALL_RENAME, .a = "a", .b = "b"};
    call_start_held(&c, MEM_COPY, "a");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max}), 0);
    expect_code(&r, ERR_NET, call_end_held(&c, MEM_COPY));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(RECORDS(&r), 1);
    write_file(&r, "a", "text");
    assert_int_equal(RECORDS(&r), 0);
    vfs_retry(r.v, NULL);
    assert_true(vfs_settled(r.v, 10000));
    expect_object(&r, "a", "text");
    expect_object(&r, "b", "text");
    rig_stop(&r);
}

static void a_file_whose_old_name_may_not_be_removed_keeps_it_alone(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "text");
    rig_fail(&r, MEM_REMOVE, "a", ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, try_rename(&r, "a", "b", 0));
    drain(&r);
    expect_object(&r, "a", "text");
    expect_no_object(&r, "b");
    assert_int_equal(RECORDS(&r), 0);
    rig_stop(&r);
}

static void no_record_stays_of_renames_that_succeed(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "text");
    others_put(&r, "d/x", "x");
    expect_ok(&r, try_rename(&r, "a", "b", 0));
    expect_ok(&r, try_rename(&r, "d", "e", 0));
    assert_int_equal(RECORDS(&r), 0);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_that_comes_late_is_taken_back_too),
        cmocka_unit_test(nobody_waits_for_what_may_come_late),
        cmocka_unit_test(an_interrupted_rename_is_taken_back_before_a_drain_ends),
        cmocka_unit_test(who_uses_a_name_of_an_interrupted_rename_waits_until_that_is_taken_back),
        cmocka_unit_test(what_a_program_puts_where_a_copy_failed_is_never_taken_for_the_copy),
        cmocka_unit_test(a_rename_left_to_a_person_ends_with_the_next_use_of_a_name),
        cmocka_unit_test(a_retry_is_of_the_rename_that_is_named),
        cmocka_unit_test(a_rename_that_fails_where_no_file_can_be_opened_is_left_to_a_person_all_the_same),
        cmocka_unit_test(a_file_whose_old_name_may_not_be_removed_keeps_it_alone),
        cmocka_unit_test(no_record_stays_of_renames_that_succeed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
