/* unlink and rmdir. */
#include "support.h"

#include "util/clock.h"

#include <stdio.h>
#include <unistd.h>

static void a_removed_file_keeps_its_bytes_for_those_who_have_it_open(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.async = true});
    CLEANUP(free) char *text = bytes_of(500000);
    others_put(&r, "f", text);
    struct vfs_handle *reader = open_at(&r, "f", O_RDONLY), *writer = open_at(&r, "f", O_RDWR);
    expect_ok(&r, try_unlink(&r, "f"));
    expect_no_object(&r, "f");
    expect_absent(&r, "f");
    expect_bytes(&r, reader, text);
    write_at(&r, writer, 100, "WRITTEN");
    memcpy(text + 100, "WRITTEN", 7);
    expect_bytes(&r, reader, text);
    rig_mark(&r);
    expect_ok(&r, fsync_file(&r, writer));
    expect_ok(&r, close_file(&r, writer));
    expect_ok(&r, close_file(&r, reader));
    drain(&r);
    assert_int_equal(rig_requests(&r), 0);
    rig_unmount(&r);
    assert_int_equal(state_files(&r, "staged", ""), 0);
    rig_stop(&r);
}

static void a_new_file_removed_before_its_put_sends_nothing(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    rig_mark(&r);
    expect_ok(&r, try_unlink(&r, "f"));
    expect_bytes(&r, h, "bytes");
    expect_ok(&r, close_file(&r, h));
    drain(&r);
    assert_int_equal(rig_requests(&r), 0);
    expect_absent(&r, "f");
    rig_stop(&r);
}

static void a_file_removed_during_its_put_does_not_come_back(void **state)
{
    for (int fresh = 0; fresh < 2; fresh++) {
        struct rig r;
        rig_start(&r, NULL);
        if (!fresh)
            others_put(&r, "f", "old");
        struct vfs_handle *h = fresh ? create_at(&r, "f") : open_at(&r, "f", O_RDWR | O_TRUNC);
        write_at(&r, h, 0, "bytes");
        mem_store_hold(r.mem, MEM_PUT, "f");
        struct call put = {.r = &r, .kind = CALL_FLUSH, .h = h}, removal = {.r = &r, .kind = CALL_UNLINK, .a = "f"};
        call_start(&put);
        assert_true(mem_store_wait_held(r.mem, MEM_PUT, 1, 60000));
        call_start(&removal);
        usleep(100 * 1000);
        mem_store_unhold(r.mem, MEM_PUT);
        (void)call_end(&put);
        assert_int_equal(call_end(&removal), ERR_OK);
        expect_bytes(&r, h, "bytes");
        expect_ok(&r, close_file(&r, h));
        drain(&r);
        expect_no_object(&r, "f");
        expect_absent(&r, "f");
        rig_stop(&r);
    }
}

static void a_put_that_begins_during_a_removal_waits_for_it(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "old");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    mem_store_hold(r.mem, MEM_REMOVE, "f");
    struct call removal = {.r = &r, .kind = CALL_UNLINK, .a = "f"}, put = {.r = &r, .kind = CALL_FLUSH, .h = h};
    call_start(&removal);
    assert_true(mem_store_wait_held(r.mem, MEM_REMOVE, 1, 60000));
    write_at(&r, h, 0, "bytes");
    call_start(&put);
    usleep(200 * 1000);
    mem_store_unhold(r.mem, MEM_REMOVE);
    (void)call_end(&put);
    assert_int_equal(call_end(&removal), ERR_OK);
    release(&r, h);
    drain(&r);
    assert_int_equal(mem_store_objects(r.mem), 0);
    rig_stop(&r);
}

static void a_removal_that_fails_leaves_the_file_and_what_was_written(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "old");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    write_at(&r, h, 0, "NEW");
    rig_fail(&r, MEM_REMOVE, "f", ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, try_unlink(&r, "f"));
    expect_bytes(&r, h, "NEW");
    expect_ok(&r, close_file(&r, h));
    expect_file(&r, "f", "NEW");
    expect_object(&r, "f", "NEW");
    rig_stop(&r);
}

static void only_an_empty_directory_is_removed(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/", "");
    others_put(&r, "d/f", "x");
    others_put(&r, "body/", "bytes");
    others_put(&r, "p/sub/x", "x");
    expect_code(&r, ERR_NOT_EMPTY, try_rmdir(&r, "d"));
    expect_code(&r, ERR_NOT_EMPTY, try_rmdir(&r, "body"));
    expect_code(&r, ERR_NOT_EMPTY, try_rmdir(&r, "p"));
    expect_code(&r, ERR_NOT_DIR, try_rmdir(&r, "d/f"));
    expect_code(&r, ERR_IS_DIR, try_unlink(&r, "d"));
    expect_code(&r, ERR_NOT_FOUND, try_unlink(&r, "d/none"));
    struct vfs_handle *h = create_at(&r, "d/new");
    expect_ok(&r, try_unlink(&r, "d/f"));
    expect_code(&r, ERR_NOT_EMPTY, try_rmdir(&r, "d"));
    expect_ok(&r, try_unlink(&r, "d/new"));
    expect_ok(&r, close_file(&r, h));
    expect_ok(&r, try_rmdir(&r, "d"));
    expect_no_object(&r, "d/");
    expect_absent(&r, "d");
    others_put(&r, "e/", "");
    (void)walk(&r, "body");
    rig_stop(&r);
}

static void a_body_that_others_put_under_the_marker_during_rmdir_stays(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/", "");
    (void)walk(&r, "d");
    struct call c = {.r = &r, .kind = CALL_RMDIR, .a = "d"};
    call_start_held(&c, MEM_REMOVE, "d/");
    others_put(&r, "d/", "theirs");
    assert_int_equal(call_end_held(&c, MEM_REMOVE), ERR_NOT_EMPTY);
    expect_object(&r, "d/", "theirs");
    expect_names(&r, "d", "%\n");
    rig_stop(&r);
}

struct names_found {
    unsigned n; /* but "." and ".." */
};

static bool count_name(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next)
{
    struct names_found *f = arg;
    f->n += strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
    return true;
}

static void a_removed_directory_has_no_names_whatever_others_put_there(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    expect_ok(&r, try_mkdir(&r, "d"));
    struct vfs_entry d;
    struct vfs_dir_handle *h;
    expect_ok(&r, look(&r, "d", &d));
    expect_ok(&r, try_rmdir(&r, "d"));
    others_put(&r, "d/x", "x");
    expect_ok(&r, vfs_opendir(r.v, d.ino, &r.who, &h, &r.err));
    struct names_found found = {0};
    expect_ok(&r, vfs_readdir(r.v, h, 0, true, &r.who, count_name, &found, &r.err));
    vfs_releasedir(r.v, h);
    assert_int_equal(found.n, 0);
    rig_stop(&r);
}

static void a_directory_without_a_marker_is_removed_without_a_deletion(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "x");
    (void)walk(&r, "d");
    others_remove(&r, "d/f");
    expect_ok(&r, try_rmdir(&r, "d"));
    assert_int_equal(rig_count(&r, MEM_REMOVE), 0);
    expect_absent(&r, "d");
    rig_stop(&r);
}

static void the_last_file_of_a_directory_leaves_it_with_a_marker(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "d/f", "x");
    expect_ok(&r, try_unlink(&r, "d/f"));
    expect_names(&r, "", "d\n");
    expect_no_object(&r, "d/");
    usleep(1300 * 1000);
    expect_object(&r, "d/", "");
    expect_names(&r, "", "d\n");
    rig_stop(&r);
}

static void markers_that_are_due_leave_the_threads_to_what_is_sent(void **state)
{
    enum { BUSY = 64, DIRS = 80 };
    struct rig r;
    char path[32];
    rig_start(&r, NULL);
    for (int k = 0; k < DIRS; k++) {
        snprintf(path, sizeof(path), "d%d/f", k);
        others_put(&r, path, "x");
        snprintf(path, sizeof(path), "busy%d", k);
        if (k < BUSY)
            others_put(&r, path, "x");
    }
    expect_ok(&r, try_chmod(&r, "busy0", 0600));
    rig_slow(&r, MEM_COPY, 2500);
    for (int k = 1; k < BUSY; k++) { /* a second later every thread of the pool is sending */
        snprintf(path, sizeof(path), "busy%d", k);
        expect_ok(&r, try_chmod(&r, path, 0600));
    }
    for (int k = 0; k < DIRS; k++) {
        snprintf(path, sizeof(path), "d%d/f", k);
        expect_ok(&r, try_unlink(&r, path));
    }
    usleep(1500 * 1000); /* the markers are in the queue: now the same directories are to be sent, behind them */
    for (int k = 0; k < DIRS; k++) {
        snprintf(path, sizeof(path), "d%d", k);
        expect_ok(&r, try_chmod(&r, path, 0700));
    }
    drain(&r);
    expect_object(&r, "d0/", "");
    expect_object(&r, "d79/", "");
    rig_stop(&r);
}

static void rmdir_right_after_the_last_file_leaves_no_marker(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "x");
    expect_ok(&r, try_unlink(&r, "d/f"));
    expect_ok(&r, try_rmdir(&r, "d"));
    expect_absent(&r, "d");
    drain(&r);
    usleep(1300 * 1000);
    assert_int_equal(mem_store_objects(r.mem), 0);
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    rig_stop(&r);
}

static void a_marker_that_is_being_put_does_not_bring_a_removed_directory_back(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "x");
    mem_store_hold(r.mem, MEM_PUT, "d/");
    expect_ok(&r, try_unlink(&r, "d/f"));
    assert_true(mem_store_wait_held(r.mem, MEM_PUT, 1, 60000));
    struct call c = {.r = &r, .kind = CALL_RMDIR, .a = "d"};
    call_start(&c);
    usleep(200 * 1000);
    assert_int_equal(call_end_held(&c, MEM_PUT), ERR_OK);
    drain(&r);
    assert_int_equal(mem_store_objects(r.mem), 0);
    expect_absent(&r, "d");
    rig_stop(&r);
}

static void no_marker_where_other_files_are_only_not_known(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/a", "x");
    others_put(&r, "d/z", "x");
    expect_ok(&r, try_unlink(&r, "d/z"));
    drain(&r);
    expect_no_object(&r, "d/");
    expect_names(&r, "d", "a\n");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_removed_file_keeps_its_bytes_for_those_who_have_it_open),
        cmocka_unit_test(a_new_file_removed_before_its_put_sends_nothing),
        cmocka_unit_test(a_file_removed_during_its_put_does_not_come_back),
        cmocka_unit_test(a_put_that_begins_during_a_removal_waits_for_it),
        cmocka_unit_test(a_removal_that_fails_leaves_the_file_and_what_was_written),
        cmocka_unit_test(only_an_empty_directory_is_removed),
        cmocka_unit_test(a_body_that_others_put_under_the_marker_during_rmdir_stays),
        cmocka_unit_test(a_removed_directory_has_no_names_whatever_others_put_there),
        cmocka_unit_test(a_directory_without_a_marker_is_removed_without_a_deletion),
        cmocka_unit_test(the_last_file_of_a_directory_leaves_it_with_a_marker),
        cmocka_unit_test(markers_that_are_due_leave_the_threads_to_what_is_sent),
        cmocka_unit_test(rmdir_right_after_the_last_file_leaves_no_marker),
        cmocka_unit_test(a_marker_that_is_being_put_does_not_bring_a_removed_directory_back),
        cmocka_unit_test(no_marker_where_other_files_are_only_not_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
