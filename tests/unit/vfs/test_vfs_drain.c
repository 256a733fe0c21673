/* Drains, removals by version, and rewrites: what ends in spite of others, and what comes late and changes nothing. */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

struct writer {
    struct rig *r;
    struct vfs_handle *h;
    atomic_bool stop;
};

static void *write_on(void *arg)
{
    struct writer *w = arg;
    for (uint64_t at = 0; !atomic_load(&w->stop); at++) {
        struct vfs_caller c = w->r->who;
        if (vfs_write(w->r->v, w->h, "x", 1, at, &c, NULL))
            return "a write failed";
        usleep(200);
    }
    return NULL;
}

static void a_drain_ends_while_a_program_writes_on(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    rig_slow(&r, MEM_PUT, 20);
    struct writer w = {.r = &r, .h = create_at(&r, "f")};
    write_at(&r, w.h, 0, "first");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_on, &w), 0);
    struct err e = ERR_INIT;
    assert_int_equal(vfs_drain(r.v, NULL, NULL, &e), ERR_OK);
    atomic_store(&w.stop, true);
    void *failed;
    pthread_join(thread, &failed);
    assert_null(failed);
    assert_true(there(&r, "f"));
    expect_ok(&r, close_file(&r, w.h));
    rig_stop(&r);
}

struct late {
    struct rig *r;
    unsigned calls;
    uint64_t files;
};

/* While the drain waits for the marker of "d": that of "e" is put off too, and the first may go on. */
static void put_off_another(void *arg, uint64_t files, uint64_t bytes)
{
    struct late *l = arg;
    if (l->calls++ > 0)
        return;
    l->files = files;
    expect_ok(l->r, try_unlink(l->r, "e/f"));
    assert_true(mem_store_release_one(l->r->mem, MEM_PUT, "d/"));
}

static void a_drain_waits_for_what_was_put_off_before_it_began_and_for_nothing_later(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "x");
    others_put(&r, "e/f", "x");
    mem_store_hold(r.mem, MEM_PUT, NULL);
    expect_ok(&r, try_unlink(&r, "d/f"));
    assert_true(mem_store_wait_held(r.mem, MEM_PUT, 1, 60000));
    struct late l = {.r = &r};
    expect_ok(&r, vfs_drain(r.v, put_off_another, &l, &r.err));
    assert_int_equal(l.calls, 1);
    assert_int_equal(l.files, 1);
    expect_object(&r, "d/", "");
    expect_no_object(&r, "e/");
    mem_store_unhold(r.mem, MEM_PUT);
    drain(&r);
    expect_object(&r, "e/", "");
    rig_stop(&r);
}

static void one_failed(void *arg, const struct vfs_unsent *file)
{
    buf_addf(arg, "%s %llu %d %s\n", file->path, (unsigned long long)file->size, access(file->file, R_OK), file->error);
}

static void expect_failed(struct rig *r, const char *expected)
{
    BUF(out, 4096);
    vfs_each_unsent(r->v, true, one_failed, &out);
    assert_string_equal(buf_str(&out), expected);
}

static void failed_uploads_are_told_with_path_and_local_file_also_after_a_remount(void **state)
{
    struct rig r;
    struct err e = ERR_INIT;
    rig_start(&r, NULL);
    others_put(&r, "d/", "");
    expect_failed(&r, "");
    struct vfs_handle *h = create_at(&r, "d/f"), *fine = create_at(&r, "g");
    write_at(&r, h, 0, "bytes");
    write_at(&r, fine, 0, "more");
    rig_fail(&r, MEM_PUT, "d/f", ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, flush(&r, h));
    expect_failed(&r, "/d/f 5 0 made to fail\n");
    release(&r, h);
    release(&r, fine);
    assert_int_equal(vfs_drain(r.v, NULL, NULL, &e), ERR_OK);
    expect_failed(&r, "/d/f 5 0 made to fail\n");
    rig_unmount(&r);
    rig_mount(&r);
    expect_failed(&r, "/d/f 5 0 made to fail\n");
    rig_stop(&r);
}

static void what_found_no_room_is_tried_again_by_each_close_and_drain(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f"), *other = create_at(&r, "g");
    write_at(&r, h, 0, "bytes");
    rig_fail(&r, MEM_PUT, "f", ERR_NOSPC, 2);
    expect_code(&r, ERR_NOSPC, flush(&r, h));
    expect_code(&r, ERR_NOSPC, flush(&r, h));
    expect_ok(&r, flush(&r, h));
    expect_object(&r, "f", "bytes");
    write_at(&r, other, 0, "more");
    rig_fail(&r, MEM_PUT, "g", ERR_NOSPC, 1);
    expect_code(&r, ERR_NOSPC, flush(&r, other));
    drain(&r);
    expect_object(&r, "g", "more");
    write_at(&r, other, 0, "again");
    rig_fail(&r, MEM_PUT, "g", ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, flush(&r, other));
    expect_code(&r, ERR_ACCESS, flush(&r, other));
    expect_object(&r, "g", "more");
    rig_stop(&r);
}

/* Whether the kernel still had told of the last close is chance. */
static void at_the_end_only_what_no_program_was_told_of_is_a_failure(void **state)
{
    static const struct {
        bool told, released;
    } cases[] = {{true, true}, {true, false}, {false, true}, {false, false}};
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        struct rig r;
        struct err e = ERR_INIT;
        rig_start(&r, NULL);
        struct vfs_handle *h = create_at(&r, "f");
        write_at(&r, h, 0, "bytes");
        rig_fail(&r, MEM_PUT, "f", ERR_TOO_BIG, 1);
        if (cases[k].told)
            expect_code(&r, ERR_TOO_BIG, flush(&r, h));
        if (cases[k].released)
            release(&r, h);
        vfs_let_go(r.v);
        enum err_code drained = vfs_drain(r.v, NULL, NULL, &e), all = vfs_check_told(r.v, &e);
        assert_int_equal(all, cases[k].told ? ERR_OK : ERR_IO);
        assert_true(!drained || !cases[k].told);
        expect_failed(&r, "/f 5 0 made to fail\n");
        rig_stop(&r);
    }
}

static void unlink_takes_what_is_there_also_where_others_have_changed_it(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    write_file(&r, "f", "known");
    others_put(&r, "f", "theirs");
    expect_ok(&r, try_unlink(&r, "f"));
    expect_no_object(&r, "f");
    expect_absent(&r, "f");
    write_file(&r, "gone", "known");
    others_remove(&r, "gone");
    expect_ok(&r, try_unlink(&r, "gone"));
    rig_stop(&r);
}

static void a_rewrite_replaces_what_others_have_put_meanwhile(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    write_file(&r, "f", "known");
    struct vfs_handle *h = open_at(&r, "f", O_WRONLY | O_TRUNC);
    write_at(&r, h, 0, "new");
    others_put(&r, "f", "theirs");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "f", "new");
    assert_int_equal(objects_below(&r, ""), 1);
    rig_stop(&r);
}

static void attributes_are_not_put_over_another_version(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    write_file(&r, "f", "known");
    expect_ok(&r, try_chmod(&r, "f", 0600));
    others_put(&r, "f", "theirs");
    struct err e = ERR_INIT;
    assert_int_equal(vfs_drain(r.v, NULL, NULL, &e), ERR_IO);
    expect_object(&r, "f", "theirs");
    rig_stop(&r);
}

static void the_body_of_a_marker_is_not_made(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    expect_ok(&r, try_mkdir(&r, "d"));
    struct vfs_handle *h = NULL;
    assert_int_equal(try_create(&r, "d/%", O_WRONLY | O_CREAT, &h), ERR_INVAL);
    expect_object(&r, "d/", "");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drain_ends_while_a_program_writes_on),
        cmocka_unit_test(a_drain_waits_for_what_was_put_off_before_it_began_and_for_nothing_later),
        cmocka_unit_test(failed_uploads_are_told_with_path_and_local_file_also_after_a_remount),
        cmocka_unit_test(what_found_no_room_is_tried_again_by_each_close_and_drain),
        cmocka_unit_test(at_the_end_only_what_no_program_was_told_of_is_a_failure),
        cmocka_unit_test(unlink_takes_what_is_there_also_where_others_have_changed_it),
        cmocka_unit_test(a_rewrite_replaces_what_others_have_put_meanwhile),
        cmocka_unit_test(attributes_are_not_put_over_another_version),
        cmocka_unit_test(the_body_of_a_marker_is_not_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
