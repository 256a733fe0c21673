/* rename of directories. */
#include "support.h"

#include "util/clock.h"

#include <stdio.h>
#include <unistd.h>

static void a_directory_is_renamed_with_everything_below(void **state)
{
    struct rig r;
    char key[64], want[16];
    rig_start(&r, &(struct rig_kind){.page_size = 50});
    others_put_meta(&r, "d/", "", meta_of(S_IFDIR | 0700, NULL));
    for (int k = 0; k < 220; k++) {
        snprintf(key, sizeof(key), "d/s%d/f%03d", k % 3, k);
        snprintf(want, sizeof(want), "%d", k);
        others_put(&r, key, want);
    }
    struct vfs_handle *reader = open_at(&r, "d/s1/f001", O_RDONLY), *writer = open_at(&r, "d/s2/f002", O_RDWR),
                      *new = create_at(&r, "d/s0/new");
    write_at(&r, writer, 0, "written");
    write_at(&r, new, 0, "new");
    expect_ok(&r, try_rename(&r, "d", "e", 0));
    assert_int_equal(objects_below(&r, "d/"), 0);
    assert_int_equal(objects_below(&r, "e/"), 222);
    expect_bytes(&r, reader, "1");
    write_at(&r, writer, 7, " more");
    write_at(&r, new, 3, " more");
    expect_ok(&r, close_file(&r, reader));
    expect_ok(&r, close_file(&r, writer));
    expect_ok(&r, close_file(&r, new));
    expect_object(&r, "e/s2/f002", "written more");
    expect_object(&r, "e/s0/new", "new more");
    expect_absent(&r, "d");
    expect_file(&r, "e/s0/f219", "219");
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "e/");
    assert_int_equal(m->mode, S_IFDIR | 0700);
    rig_stop(&r);
}

static void open_readers_of_files_with_escaped_names_follow_them(void **state)
{
    static const struct {
        const char *key, *path, *moved;
    } files[] = {
        {"d/x", "d/x%", "e/x%"},
        {"d/x%", "d/x%25", "e/x%25"},
        {"d/x/%", "d/x/%25", "e/x/%25"},
        {"d/sub/", "d/sub/%", "e/sub/%"},
        {"d/two//y", "d/two/%/y", "e/two/%/y"},
        {"d/", "d/%", "e/%"},
    };
    struct rig r;
    struct vfs_handle *h[ARRAY_LEN(files)];
    char *text[ARRAY_LEN(files)];
    BUF(some, 4096);
    rig_start(&r, &(struct rig_kind){.async = true});
    for (size_t k = 0; k < ARRAY_LEN(files); k++) {
        text[k] = bytes_of(1500000 + k);
        others_put(&r, files[k].key, text[k]);
    }
    for (size_t k = 0; k < ARRAY_LEN(files); k++) {
        h[k] = open_at(&r, files[k].path, O_RDONLY);
        expect_ok(&r, read_some(&r, h[k], 0, 100, &some));
    }
    expect_ok(&r, try_rename(&r, "d", "e", 0));
    assert_int_equal(objects_below(&r, "d/"), 0);
    for (size_t k = 0; k < ARRAY_LEN(files); k++) {
        expect_bytes(&r, h[k], text[k]);
        expect_ok(&r, close_file(&r, h[k]));
        expect_file(&r, files[k].moved, text[k]);
        free(text[k]);
    }
    rig_stop(&r);
}

static void bytes_written_below_during_the_rename_come_to_the_new_name(void **state)
{
    static const enum mem_op where[] = {MEM_COPY, MEM_REMOVE_MANY};
    for (size_t k = 0; k < ARRAY_LEN(where); k++) {
        struct rig r;
        rig_start(&r, NULL);
        others_put(&r, "d/log", "line 1\n");
        struct vfs_handle *h = open_at(&r, "d/log", O_RDWR);
        struct call c = {.r = &r, .kind = CALL_RENAME, .a = "d", .b = "e"}, put = {.r = &r, .kind = CALL_FLUSH, .h = h};
        call_start_held(&c, where[k], NULL);
        write_at(&r, h, 7, "line 2\n");
        call_start(&put);
        usleep(200 * 1000);
        assert_int_equal(call_end_held(&c, where[k]), ERR_OK);
        assert_int_equal(call_end(&put), ERR_OK);
        expect_ok(&r, close_file(&r, h));
        drain(&r);
        expect_object(&r, "e/log", "line 1\nline 2\n");
        assert_int_equal(mem_store_objects(r.mem), 1);
        expect_file(&r, "e/log", "line 1\nline 2\n");
        rig_stop(&r);
    }
}

static void too_many_objects_are_another_filesystem(void **state)
{
    struct rig r;
    char key[32];
    rig_start(&r, &(struct rig_kind){.rename_limit = 10, .page_size = 4});
    for (int k = 0; k < 11; k++) {
        snprintf(key, sizeof(key), "d/%02d", k);
        others_put(&r, key, "x");
    }
    expect_code(&r, ERR_CROSS, try_rename(&r, "d", "e", 0));
    assert_int_equal(rig_count(&r, MEM_COPY), 0);
    assert_int_equal(objects_below(&r, "d/"), 11);
    expect_ok(&r, try_unlink(&r, "d/00"));
    expect_ok(&r, try_rename(&r, "d", "e", 0));
    rig_stop(&r);
}

static void a_copy_that_fails_in_the_middle_undoes_the_others(void **state)
{
    struct rig r;
    char key[32];
    rig_start(&r, NULL);
    for (int k = 0; k < 60; k++) {
        snprintf(key, sizeof(key), "d/%02d", k);
        others_put(&r, key, key);
    }
    rig_fail(&r, MEM_COPY, "d/37", ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, try_rename(&r, "d", "e", 0));
    assert_int_equal(objects_below(&r, "e/"), 0);
    assert_int_equal(objects_below(&r, "d/"), 60);
    expect_file(&r, "d/37", "d/37");
    expect_absent(&r, "e");
    rig_stop(&r);
}

static void a_deletion_that_fails_leaves_every_object_under_some_name(void **state)
{
    struct rig r;
    char key[32];
    rig_start(&r, NULL);
    for (int k = 0; k < 20; k++) {
        snprintf(key, sizeof(key), "d/%02d", k);
        others_put(&r, key, key);
    }
    struct vfs_handle *h = open_at(&r, "d/05", O_RDONLY);
    rig_fail(&r, MEM_REMOVE_MANY, NULL, ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, try_rename(&r, "d", "e", 0));
    assert_int_equal(objects_below(&r, "e/"), 20);
    expect_bytes(&r, h, "d/05");
    expect_ok(&r, close_file(&r, h));
    expect_file(&r, "e/05", "d/05");
    expect_names(&r, "", "d\ne\n");
    rig_stop(&r);
}

static void what_others_changed_between_copy_and_deletion_stays(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "old");
    others_put(&r, "d/g", "g");
    expect_names(&r, "", "d\n");
    struct call c = {.r = &r, .kind = CALL_RENAME, .a = "d", .b = "e"};
    call_start_held(&c, MEM_REMOVE_MANY, NULL);
    others_put(&r, "d/f", "theirs");
    assert_int_equal(call_end_held(&c, MEM_REMOVE_MANY), ERR_OK);
    expect_object(&r, "d/f", "theirs");
    expect_no_object(&r, "d/g");
    expect_file(&r, "e/f", "old");
    expect_file(&r, "e/g", "g");
    expect_file(&r, "d/f", "theirs");
    expect_absent(&r, "d/g");
    expect_names(&r, "", "d\ne\n");
    rig_stop(&r);
}

static void a_copy_that_others_changed_is_not_undone(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "f");
    others_put(&r, "d/g", "g");
    walk(&r, "d");
    rig_fail(&r, MEM_COPY, "d/g", ERR_ACCESS, 1);
    mem_store_hold(r.mem, MEM_REMOVE_MANY, NULL);
    struct call c = {.r = &r, .kind = CALL_RENAME, .a = "d", .b = "e"};
    call_start(&c);
    bool undoes = mem_store_wait_held(r.mem, MEM_REMOVE_MANY, 1, 2000);
    if (undoes)
        others_put(&r, "e/f", "theirs");
    assert_int_equal(call_end_held(&c, MEM_REMOVE_MANY), ERR_ACCESS);
    assert_int_equal(there(&r, "e/f"), undoes); /* the failure may come before the copy of the other */
    expect_object(&r, "d/f", "f");
    expect_object(&r, "d/g", "g");
    rig_stop(&r);
}

static void nothing_comes_into_a_directory_that_was_removed(void **state)
{
    struct rig r;
    struct vfs_entry entry;
    struct vfs_handle *h;
    rig_start(&r, NULL);
    expect_ok(&r, try_mkdir(&r, "d"));
    others_put(&r, "f", "bytes");
    uint64_t d = walk(&r, "d");
    expect_ok(&r, try_rmdir(&r, "d"));
    expect_code(&r, ERR_NOT_FOUND, vfs_rename(r.v, VFS_ROOT, "f", d, "f", 0, &r.who, &r.err));
    expect_code(&r, ERR_NOT_FOUND, vfs_create(r.v, d, "g", 0644, O_RDWR, &r.who, &entry, &h, &r.err));
    expect_code(&r, ERR_NOT_FOUND, vfs_mkdir(r.v, d, "g", 0755, &r.who, &entry, &r.err));
    expect_object(&r, "f", "bytes");
    assert_int_equal(mem_store_objects(r.mem), 1);
    rig_stop(&r);
}

/* A body that others put under the new name's marker, after it was found empty or free, is no marker to be replaced. */
static void a_body_that_others_put_under_the_new_marker_stays(void **state)
{
    static const char *const before[] = {"", NULL};
    for (size_t k = 0; k < ARRAY_LEN(before); k++) {
        struct rig r;
        rig_start(&r, NULL);
        others_put(&r, "d/", "");
        others_put(&r, "d/f", "f");
        if (before[k])
            others_put(&r, "e/", before[k]);
        walk(&r, "d");
        struct call c = {.r = &r, .kind = CALL_RENAME, .a = "d", .b = "e"};
        call_start_held(&c, MEM_STAT, "d/"); /* asked for what the marker carries, before it is put anew */
        others_put(&r, "e/", "theirs");
        assert_int_not_equal(call_end_held(&c, MEM_STAT), ERR_OK);
        expect_object(&r, "e/", "theirs");
        expect_object(&r, "d/", "");
        expect_object(&r, "d/f", "f");
        rig_stop(&r);
    }
}

static void an_empty_directory_that_is_replaced_keeps_no_marker_of_its_own(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put_meta(&r, "d/", "", meta_of(S_IFDIR | 0700, NULL));
    others_put_meta(&r, "e/", "", meta_of(S_IFDIR | 0711, NULL));
    expect_ok(&r, try_rename(&r, "d", "e", 0));
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "e/");
    assert_int_equal(m->mode, S_IFDIR | 0700);
    assert_int_equal(objects_below(&r, "d/"), 0);
    rig_stop(&r);
}

static void an_empty_directory_only_known_here_can_be_renamed(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    expect_ok(&r, try_mkdir(&r, "d"));
    expect_ok(&r, try_mkdir(&r, "d/sub"));
    expect_ok(&r, try_rename(&r, "d/sub", "top", 0));
    expect_names(&r, "", "d\ntop\n");
    expect_names(&r, "d", "");
    expect_object(&r, "top/", "");
    expect_ok(&r, try_rename(&r, "top", "d", 0));
    expect_names(&r, "", "d\n");
    expect_ok(&r, try_rmdir(&r, "d"));
    assert_int_equal(mem_store_objects(r.mem), 0);
    rig_stop(&r);
}

/* The kernel keeps others from the name. What asks without it must make no inode of the half that is there, which would be replaced with
 * what was written below it. */
static void the_half_that_is_there_is_no_directory_yet(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "d/f", "f");
    others_put(&r, "x", "x");
    walk(&r, "d");
    struct call c = {.r = &r, .kind = CALL_RENAME, .a = "d", .b = "e"};
    call_start_held(&c, MEM_REMOVE_MANY, NULL);
    expect_object(&r, "e/f", "f");
    expect_absent(&r, "e");
    expect_names(&r, "", "d\nx\n");
    expect_ok(&r, call_end_held(&c, MEM_REMOVE_MANY));
    expect_names(&r, "e", "f\n");
    expect_names(&r, "", "e\nx\n");
    rig_stop(&r);
}

static void a_name_to_which_a_rename_failed_is_asked_for_again(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "f");
    walk(&r, "d");
    expect_absent(&r, "e");
    others_put(&r, "e/f", "theirs");
    assert_int_not_equal(try_rename(&r, "d", "e", 0), ERR_OK);
    expect_file(&r, "e/f", "theirs");
    expect_file(&r, "d/f", "f");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_is_renamed_with_everything_below),
        cmocka_unit_test(open_readers_of_files_with_escaped_names_follow_them),
        cmocka_unit_test(bytes_written_below_during_the_rename_come_to_the_new_name),
        cmocka_unit_test(too_many_objects_are_another_filesystem),
        cmocka_unit_test(a_copy_that_fails_in_the_middle_undoes_the_others),
        cmocka_unit_test(a_deletion_that_fails_leaves_every_object_under_some_name),
        cmocka_unit_test(what_others_changed_between_copy_and_deletion_stays),
        cmocka_unit_test(a_copy_that_others_changed_is_not_undone),
        cmocka_unit_test(nothing_comes_into_a_directory_that_was_removed),
        cmocka_unit_test(a_body_that_others_put_under_the_new_marker_stays),
        cmocka_unit_test(an_empty_directory_that_is_replaced_keeps_no_marker_of_its_own),
        cmocka_unit_test(an_empty_directory_only_known_here_can_be_renamed),
        cmocka_unit_test(the_half_that_is_there_is_no_directory_yet),
        cmocka_unit_test(a_name_to_which_a_rename_failed_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
