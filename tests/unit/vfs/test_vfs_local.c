/* Names that stay local until they get a real one: what editors write beside a file, over a store of small values. */
#include "support.h"

#include "util/str.h"

#include <stdio.h>
#include <unistd.h>

static bool editors_name(const char *name)
{
    return str_ends(name, "~") || str_ends(name, ".swp") || strcmp(name, "4913") == 0 || str_starts(name, "sed");
}

static const struct rig_kind small_values = {
    .caps_on = STORE_LIST_SUBTREE | STORE_LIST_CONTENT | STORE_SELF_NAMES | STORE_EMPTY_REFUSED | STORE_SLOW_COPY | STORE_SECRET,
    .caps_off = STORE_START_AFTER | STORE_POSIX | STORE_MARKERS | STORE_MULTIPART,
    .stays_local = editors_name,
};

static unsigned changes(struct rig *r)
{
    return rig_count(r, MEM_PUT) + rig_count(r, MEM_REMOVE) + rig_count(r, MEM_COPY) + rig_count(r, MEM_REMOVE_MANY);
}

static void a_local_name_never_reaches_the_store(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    write_file(&r, ".f.swp", "swap");
    expect_file(&r, ".f.swp", "swap");
    expect_names(&r, "", ".f.swp\n");
    expect_ok(&r, try_rename(&r, ".f.swp", "f~", 0));
    expect_file(&r, "f~", "swap");
    expect_ok(&r, try_chmod(&r, "f~", 0600));
    expect_ok(&r, try_truncate(&r, "f~", 2));
    expect_file(&r, "f~", "sw");
    expect_ok(&r, try_unlink(&r, "f~"));
    expect_absent(&r, "f~");
    drain(&r);
    assert_int_equal(changes(&r), 0);
    assert_int_equal(state_files(&r, "staged", ""), 0);
    rig_stop(&r);
}

static enum err_code set(struct rig *r, unsigned what, mode_t mode, uid_t uid)
{
    struct vfs_setattr s = {.set = what, .mode = mode, .uid = uid, .gid = uid, .mtime = {.tv_sec = 1}};
    struct vfs_attr attr;
    return vfs_setattr(r->v, walk(r, "f"), NULL, &s, &r->who, &attr, &r->err);
}

static void attributes_that_a_store_does_not_keep_are_refused_only_where_they_would_protect(void **state)
{
    static const struct {
        unsigned what;
        mode_t mode;
        uid_t uid;
        enum err_code alone, shared;
    } cases[] = {
        {VFS_SET_MTIME, 0, 0, ERR_OK, ERR_OK},
        {VFS_SET_MODE, 0644, 0, ERR_OK, ERR_OK},
        {VFS_SET_MODE, 0777, 0, ERR_OK, ERR_OK},
        {VFS_SET_MODE, 0444, 0, ERR_OK, ERR_OK},
        {VFS_SET_MODE, 0600, 0, ERR_OK, ERR_PERM},
        {VFS_SET_MODE, 0640, 0, ERR_OK, ERR_PERM},
        {VFS_SET_UID, 0, 500, ERR_OK, ERR_OK},
        {VFS_SET_UID, 0, 7, ERR_OK, ERR_PERM},
        {VFS_SET_GID, 0, 500, ERR_OK, ERR_OK},
        {VFS_SET_GID, 0, 7, ERR_OK, ERR_PERM},
    };
    struct rig_kind texts = small_values;
    texts.caps_off |= STORE_SECRET;
    texts.caps_on &= ~(unsigned)STORE_SECRET;
    for (int shared = 0; shared < 2; shared++) {
        struct rig r;
        rig_store(&r, &texts);
        r.cfg.shared = shared;
        rig_mount(&r);
        others_put(&r, "f", "value");
        struct stat before = stat_of(&r, "f");
        assert_int_equal(before.st_mode, S_IFREG | 0644);
        for (size_t k = 0; k < ARRAY_LEN(cases); k++)
            expect_code(&r, shared ? cases[k].shared : cases[k].alone, set(&r, cases[k].what, cases[k].mode, cases[k].uid));
        struct stat after = stat_of(&r, "f");
        assert_true(after.st_mode == before.st_mode && after.st_uid == before.st_uid && after.st_gid == before.st_gid);
        drain(&r);
        assert_int_equal(changes(&r), 0);
        rig_stop(&r);
    }
}

static void a_removal_that_was_put_off_and_fails_is_an_error_of_the_drain(void **state)
{
    struct rig r;
    struct err e = ERR_INIT;
    rig_start(&r, &small_values);
    others_put(&r, "f", "value");
    expect_ok(&r, try_rename(&r, "f", "f~", 0));
    rig_fail(&r, MEM_REMOVE, "f", ERR_ACCESS, 1);
    assert_int_equal(vfs_drain(r.v, NULL, NULL, &e), ERR_IO);
    assert_int_equal(rig_count(&r, MEM_REMOVE), 1);
    expect_file(&r, "f", "value");
    drain(&r);
    rig_stop(&r);
}

/* vim makes its swap file empty and fills it later. */
static void a_local_file_stays_while_it_is_empty(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    struct vfs_handle *h = create_at(&r, ".f.swp");
    expect_ok(&r, close_file(&r, h));
    expect_file(&r, ".f.swp", "");
    expect_names(&r, "", ".f.swp\n");
    expect_ok(&r, try_unlink(&r, ".f.swp"));
    expect_absent(&r, ".f.swp");
    assert_int_equal(changes(&r), 0);
    rig_stop(&r);
}

static void a_local_file_may_be_larger_than_a_value(void **state)
{
    struct rig r;
    struct rig_kind kind = small_values;
    kind.max_object = 8192;
    rig_start(&r, &kind);
    struct vfs_handle *h = create_at(&r, ".f.swp");
    write_at(&r, h, 12288, "block");
    expect_code(&r, ERR_TOO_BIG, vfs_write(r.v, h, "x", 1, 1 << 20, &r.who, &r.err));
    expect_ok(&r, close_file(&r, h));
    assert_int_equal(stat_of(&r, ".f.swp").st_size, 12293);
    expect_ok(&r, try_truncate(&r, ".f.swp", 20000));
    expect_code(&r, ERR_TOO_BIG, try_truncate(&r, ".f.swp", 2 << 20));
    expect_code(&r, ERR_TOO_BIG, try_rename(&r, ".f.swp", "f", 0));
    h = create_at(&r, "f");
    expect_code(&r, ERR_TOO_BIG, vfs_write(r.v, h, "x", 1, 8192, &r.who, &r.err));
    release(&r, h);
    rig_stop(&r);
}

/* sed -i writes sedXXXXXX and renames it over the file. */
static void the_sequence_of_sed(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    others_put_meta(&r, "app/host", "old value", meta_of(0, "SecureString"));
    expect_file(&r, "app/host", "old value");
    write_file(&r, "app/sedAbCdEf", "new value");
    expect_ok(&r, try_rename(&r, "app/sedAbCdEf", "app/host", 0));
    assert_int_equal(changes(&r), 1);
    expect_object(&r, "app/host", "new value");
    expect_file(&r, "app/host", "new value");
    expect_names(&r, "app", "host\n");
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "app/host");
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "SecureString");
    drain(&r);
    assert_int_equal(changes(&r), 1);
    rig_stop(&r);
}

/* vim: probes with 4913, moves the file to f~, writes f anew, removes f~. */
static void the_sequence_of_vim(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    others_put_meta(&r, "f", "old value", meta_of(0, "SecureString"));
    write_file(&r, ".f.swp", "swap");
    struct vfs_handle *h = create_at(&r, "4913");
    expect_ok(&r, close_file(&r, h));
    expect_ok(&r, try_unlink(&r, "4913"));
    rig_mark(&r);
    expect_ok(&r, try_rename(&r, "f", "f~", 0));
    expect_absent(&r, "f");
    expect_file(&r, "f~", "old value");
    expect_object(&r, "f", "old value");
    write_file(&r, "f", "new value");
    expect_object(&r, "f", "new value");
    expect_ok(&r, try_unlink(&r, "f~"));
    expect_ok(&r, try_unlink(&r, ".f.swp"));
    drain(&r);
    expect_file(&r, "f", "new value");
    assert_int_equal(changes(&r), 1);
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "SecureString");
    expect_names(&r, "", "f\n");
    rig_stop(&r);
}

static void a_file_moved_away_and_another_moved_in(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    others_put_meta(&r, "f", "old value", meta_of(0, "SecureString"));
    write_file(&r, "sed123456", "new value");
    expect_ok(&r, try_rename(&r, "f", "f~", 0));
    expect_ok(&r, try_rename(&r, "sed123456", "f", 0));
    drain(&r);
    expect_object(&r, "f", "new value");
    expect_file(&r, "f", "new value");
    expect_file(&r, "f~", "old value");
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "SecureString");
    rig_stop(&r);
}

static void a_file_moved_away_for_good_is_removed_later(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    others_put(&r, "f", "value");
    expect_ok(&r, try_rename(&r, "f", "f~", 0));
    expect_object(&r, "f", "value");
    drain(&r);
    expect_no_object(&r, "f");
    expect_absent(&r, "f");
    expect_file(&r, "f~", "value");
    rig_stop(&r);
}

static void a_file_moved_away_that_others_change_is_not_removed(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    others_put(&r, "f", "value");
    expect_names(&r, "", "f\n");
    expect_ok(&r, try_rename(&r, "f", "f~", 0));
    others_put(&r, "f", "theirs");
    drain(&r);
    expect_object(&r, "f", "theirs");
    expect_names(&r, "", "f\nf~\n");
    expect_file(&r, "f", "theirs");
    rig_stop(&r);
}

static void a_file_that_comes_back_changed_shows_its_new_bytes(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    others_put(&r, "f", "old value");
    expect_file(&r, "f", "old value");
    expect_ok(&r, try_rename(&r, "f", "f~", 0));
    struct vfs_handle *h = open_at(&r, "f~", O_RDWR);
    write_at(&r, h, 0, "NEW");
    expect_ok(&r, close_file(&r, h));
    expect_ok(&r, try_rename(&r, "f~", "f", 0));
    expect_object(&r, "f", "NEW value");
    expect_file(&r, "f", "NEW value");
    drain(&r);
    expect_file(&r, "f", "NEW value");
    rig_stop(&r);
}

static void a_put_that_is_refused_leaves_the_local_file(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    others_put(&r, "f", "value");
    write_file(&r, "sed123456", "new value");
    rig_fail(&r, MEM_PUT, "f", ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, try_rename(&r, "sed123456", "f", 0));
    expect_file(&r, "sed123456", "new value");
    expect_file(&r, "f", "value");
    others_put(&r, "f", "theirs");
    expect_code(&r, ERR_CONFLICT, try_rename(&r, "sed123456", "f", 0));
    expect_object(&r, "f", "theirs");
    expect_file(&r, "sed123456", "new value");
    rig_stop(&r);
}

static void what_is_written_during_the_move_is_sent_after_it(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    struct vfs_handle *h = create_at(&r, "sed123456");
    write_at(&r, h, 0, "one");
    expect_ok(&r, try_rename(&r, "sed123456", "f", 0));
    expect_object(&r, "f", "one");
    write_at(&r, h, 3, " two");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "f", "one two");
    rig_stop(&r);
}

static void hierarchies_of_values_cannot_be_renamed(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    others_put(&r, "app/f", "value");
    expect_code(&r, ERR_CROSS, try_rename(&r, "app", "other", 0));
    expect_ok(&r, try_rename(&r, "app/f", "g", 0));
    expect_object(&r, "g", "value");
    expect_no_object(&r, "app/f");
    expect_ok(&r, try_mkdir(&r, "new"));
    expect_ok(&r, try_rename(&r, "new", "newer", 0));
    rig_stop(&r);
}

static void an_empty_value_is_refused_and_a_probe_of_it_does_no_harm(void **state)
{
    struct rig r;
    rig_start(&r, &small_values);
    others_put(&r, "f", "value");
    struct vfs_handle *h = open_at(&r, "f", O_WRONLY | O_TRUNC);
    expect_code(&r, ERR_INVAL, fsync_file(&r, h));
    release(&r, h);
    enum err_code code = vfs_drain(r.v, NULL, NULL, &r.err);
    assert_true(code == ERR_OK || code == ERR_IO);
    expect_object(&r, "f", "value");
    expect_file(&r, "f", "value");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_local_name_never_reaches_the_store),
        cmocka_unit_test(attributes_that_a_store_does_not_keep_are_refused_only_where_they_would_protect),
        cmocka_unit_test(a_removal_that_was_put_off_and_fails_is_an_error_of_the_drain),
        cmocka_unit_test(a_local_file_stays_while_it_is_empty),
        cmocka_unit_test(a_local_file_may_be_larger_than_a_value),
        cmocka_unit_test(the_sequence_of_sed),
        cmocka_unit_test(the_sequence_of_vim),
        cmocka_unit_test(a_file_moved_away_and_another_moved_in),
        cmocka_unit_test(a_file_moved_away_for_good_is_removed_later),
        cmocka_unit_test(a_file_moved_away_that_others_change_is_not_removed),
        cmocka_unit_test(a_file_that_comes_back_changed_shows_its_new_bytes),
        cmocka_unit_test(a_put_that_is_refused_leaves_the_local_file),
        cmocka_unit_test(what_is_written_during_the_move_is_sent_after_it),
        cmocka_unit_test(hierarchies_of_values_cannot_be_renamed),
        cmocka_unit_test(an_empty_value_is_refused_and_a_probe_of_it_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
