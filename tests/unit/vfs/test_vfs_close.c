/* What a close means, and what is sent without one. */
#include "support.h"

#include "util/clock.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t sleeper(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that failed leaves nobody behind */
        pause();
        _exit(0);
    }
    return pid;
}

static void a_close_by_another_process_does_nothing_while_the_opener_lives(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    pid_t opener = sleeper(), child = sleeper();
    r.who.pid = opener;
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    r.who.pid = child;
    expect_ok(&r, flush(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    r.who.pid = opener;
    expect_ok(&r, flush(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    write_at(&r, h, 0, "BYTES");
    kill(opener, SIGKILL);
    waitpid(opener, NULL, 0);
    r.who.pid = child;
    expect_ok(&r, flush(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 2);
    expect_object(&r, "f", "BYTES");
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    release(&r, h);
    rig_stop(&r);
}

static void a_process_that_cannot_be_found_counts_as_the_opener(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    pid_t gone = sleeper();
    kill(gone, SIGKILL);
    waitpid(gone, NULL, 0);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    r.who.pid = gone;
    expect_ok(&r, flush(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    r.who.pid = 0;
    write_at(&r, h, 0, "again");
    expect_ok(&r, flush(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 2);
    release(&r, h);
    rig_stop(&r);
}

static void release_puts_what_a_mapping_wrote_after_the_close(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "closed");
    expect_ok(&r, flush(&r, h));
    write_at(&r, h, 0, "mapped");
    release(&r, h);
    drain(&r);
    expect_object(&r, "f", "mapped");
    rig_stop(&r);
}

static void truncate_by_path_is_sent_within_a_second(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "0123456789");
    expect_ok(&r, try_truncate(&r, "f", 4));
    assert_int_equal(stat_of(&r, "f").st_size, 4);
    uint64_t start = clock_mono_ms();
    while (!rig_count(&r, MEM_PUT) && clock_mono_ms() - start < 2500)
        usleep(5000);
    drain(&r);
    expect_object(&r, "f", "0123");
    expect_ok(&r, try_truncate(&r, "f", 0));
    drain(&r);
    expect_object(&r, "f", "");
    rig_stop(&r);
}

static void fsync_of_a_directory_puts_the_names_that_were_made_in_it(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    expect_ok(&r, try_mkdir(&r, "d"));
    expect_ok(&r, try_mkdir(&r, "other"));
    rig_fail(&r, MEM_PUT, "other/empty", ERR_ACCESS, 1000); /* it would be put after a second, too */
    struct vfs_handle *empty = create_at(&r, "d/empty"), *written = create_at(&r, "d/written"), *other = create_at(&r, "other/empty");
    write_at(&r, written, 0, "bytes");
    expect_ok(&r, vfs_fsync(r.v, walk(&r, "d"), NULL, &r.who, &r.err));
    expect_object(&r, "d/empty", "");
    expect_no_object(&r, "d/written"); /* its own fsync does that */
    expect_no_object(&r, "other/empty");
    rig_mark(&r);
    expect_ok(&r, vfs_fsync(r.v, walk(&r, "d"), NULL, &r.who, &r.err));
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    write_at(&r, empty, 0, "later");
    expect_ok(&r, close_file(&r, empty));
    expect_object(&r, "d/empty", "later");
    assert_int_equal(vfs_fsync(r.v, walk(&r, "other"), NULL, &r.who, &r.err), ERR_ACCESS);
    rig_heal(&r);
    release(&r, written);
    release(&r, other);
    rig_stop(&r);
}

static void a_touch_after_the_last_write_is_the_time_that_stays(void **state)
{
    struct rig r;
    struct vfs_attr attr;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    struct vfs_setattr times = {.set = VFS_SET_MTIME, .mtime = {1000000000, 123}};
    expect_ok(&r, vfs_setattr(r.v, 0, h, &times, &r.who, &attr, &r.err));
    expect_ok(&r, close_file(&r, h));
    assert_int_equal(stat_of(&r, "f").st_mtim.tv_sec, 1000000000);
    h = open_at(&r, "f", O_WRONLY);
    write_at(&r, h, 0, "B");
    assert_true(stat_of(&r, "f").st_mtim.tv_sec > 1000000000);
    expect_ok(&r, close_file(&r, h));
    assert_true(stat_of(&r, "f").st_mtim.tv_sec > 1000000000);
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_true(m->mtime.tv_sec > 1000000000);
    rig_stop(&r);
}

static void o_excl_is_decided_at_the_first_put_or_at_the_open(void **state)
{
    struct rig r;
    struct vfs_handle *h = NULL;
    rig_start(&r, NULL);
    others_put(&r, "f", "there");
    expect_code(&r, ERR_EXISTS, try_create(&r, "f", O_RDWR | O_CREAT | O_EXCL, &h));
    rig_stop(&r);

    rig_start(&r, &(struct rig_kind){.excl_open = true});
    expect_absent(&r, "f");
    others_put(&r, "f", "there meanwhile");
    expect_code(&r, ERR_EXISTS, try_create(&r, "f", O_RDWR | O_CREAT | O_EXCL, &h));
    assert_int_equal(mem_store_objects(r.mem), 1);
    expect_ok(&r, try_create(&r, "g", O_RDWR | O_CREAT | O_EXCL, &h));
    expect_object(&r, "g", "");
    write_at(&r, h, 0, "lock");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "g", "lock");
    rig_stop(&r);
}

static void what_the_store_cannot_hold_is_refused_before_the_upload_and_stays_readable(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.caps_on = STORE_EMPTY_REFUSED});
    struct vfs_handle *h = create_at(&r, "f");
    expect_code(&r, ERR_TOO_BIG, vfs_write(r.v, h, "x", 1, 5ULL << 40, &r.who, &r.err));
    write_at(&r, h, 0, "x");
    expect_code(&r, ERR_TOO_BIG, try_truncate(&r, "f", (5ULL << 40) + 1));
    expect_ok(&r, close_file(&r, h));
    rig_mark(&r);
    expect_ok(&r, try_truncate(&r, "f", 0));
    h = open_at(&r, "f", O_RDWR);
    expect_code(&r, ERR_INVAL, fsync_file(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    release(&r, h);
    rig_stop(&r);
}

static void a_drain_tells_how_much_is_left_and_what_failed(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    struct vfs_stats s;
    vfs_stats(r.v, &s);
    assert_int_equal(s.dirty_files, 1);
    assert_int_equal(s.dirty_bytes, 5);
    drain(&r);
    expect_object(&r, "f", "bytes");
    write_at(&r, h, 0, "BYTES");
    rig_fail(&r, MEM_PUT, "f", ERR_ACCESS, 1);
    expect_code(&r, ERR_IO, vfs_drain(r.v, NULL, NULL, &r.err));
    vfs_stats(r.v, &s);
    assert_int_equal(s.failed_uploads, 1);
    release(&r, h);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_close_by_another_process_does_nothing_while_the_opener_lives),
        cmocka_unit_test(a_process_that_cannot_be_found_counts_as_the_opener),
        cmocka_unit_test(release_puts_what_a_mapping_wrote_after_the_close),
        cmocka_unit_test(truncate_by_path_is_sent_within_a_second),
        cmocka_unit_test(fsync_of_a_directory_puts_the_names_that_were_made_in_it),
        cmocka_unit_test(a_touch_after_the_last_write_is_the_time_that_stays),
        cmocka_unit_test(o_excl_is_decided_at_the_first_put_or_at_the_open),
        cmocka_unit_test(what_the_store_cannot_hold_is_refused_before_the_upload_and_stays_readable),
        cmocka_unit_test(a_drain_tells_how_much_is_left_and_what_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
