/* Writes that a program is told are done before the disk has their bytes. */
#include "support.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define BLOCK 200000

struct teller {
    struct rig *r;
    struct vfs_handle *h;  /* to be closed then, NULL: none */
    unsigned told;
    bool full;             /* the disk takes nothing from then on */
    uint64_t size;         /* that was shown then */
};

static void limit_files(bool limited)
{
    static struct rlimit before;
    const struct rlimit none = {0, RLIM_INFINITY};
    if (limited)
        assert_true(getrlimit(RLIMIT_FSIZE, &before) == 0 && setrlimit(RLIMIT_FSIZE, &none) == 0);
    else
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
}

static void on_accepted(void *arg)
{
    struct teller *t = arg;
    t->told++;
    t->size = (uint64_t)stat_of(t->r, "f").st_size;
    if (t->full)
        limit_files(true);
    if (t->h)
        release(t->r, TAKE(t->h));
}

static void count_told(void *arg)
{
    ((struct teller *)arg)->told++;
}

static enum err_code write_told(struct teller *t, struct vfs_handle *h, const char *p, size_t size, uint64_t offset)
{
    struct vfs_caller who = t->r->who;
    who.accepted = on_accepted;
    who.accepted_arg = t;
    return vfs_write(t->r->v, h, p, size, offset, &who, &t->r->err);
}

static void large_blocks_in_order_are_told_before_the_disk_has_them(void **state)
{
    struct rig r;
    CLEANUP(free) char *text = bytes_of(4 * BLOCK);
    rig_start(&r, NULL);
    struct teller t = {.r = &r};
    struct vfs_handle *h = create_at(&r, "f");
    for (unsigned i = 0; i < 3; i++) {
        expect_ok(&r, write_told(&t, h, text + i * BLOCK, BLOCK, i * BLOCK));
        assert_int_equal(t.told, i + 1);
        assert_int_equal(t.size, (i + 1) * BLOCK);
    }
    expect_ok(&r, write_told(&t, h, text + BLOCK, BLOCK, BLOCK));
    expect_ok(&r, write_told(&t, h, text + 3 * BLOCK, 1000, 3 * BLOCK));
    expect_ok(&r, write_told(&t, h, text + 3 * BLOCK + 1000, BLOCK - 1000, 3 * BLOCK + 1000));
    assert_int_equal(t.told, 4);
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "f", text);
    rig_stop(&r);
}

static void who_is_told_may_have_closed_the_file_before_the_disk_has_its_bytes(void **state)
{
    struct rig r;
    CLEANUP(free) char *text = bytes_of(BLOCK);
    rig_start(&r, NULL);
    struct teller t = {.r = &r};
    struct vfs_handle *h = t.h = create_at(&r, "f");
    expect_ok(&r, write_told(&t, h, text, BLOCK, 0));
    assert_int_equal(t.told, 1);
    drain(&r);
    expect_object(&r, "f", text);
    rig_stop(&r);
}

static void what_the_disk_refuses_after_all_is_the_error_of_close(void **state)
{
    struct rig r;
    CLEANUP(free) char *text = bytes_of(2 * BLOCK);
    signal(SIGXFSZ, SIG_IGN);
    rig_start(&r, NULL);
    struct teller t = {.r = &r};
    struct vfs_handle *h = create_at(&r, "f");
    expect_ok(&r, write_told(&t, h, text, BLOCK, 0));
    t.full = true;
    expect_ok(&r, write_told(&t, h, text + BLOCK, BLOCK, BLOCK));
    limit_files(false);
    assert_int_equal(t.told, 2);
    assert_int_not_equal(write_told(&t, h, text, BLOCK, 2 * BLOCK), ERR_OK);
    assert_int_not_equal(fsync_file(&r, h), ERR_OK);
    assert_int_not_equal(close_file(&r, h), ERR_OK);
    drain(&r); /* a program was told */
    expect_no_object(&r, "f");
    assert_int_equal(state_files(&r, "staged", ".info"), 1);
    rig_stop(&r);
}

static void what_the_disk_refuses_of_a_file_without_a_name_is_the_error_of_fsync(void **state)
{
    struct rig r;
    CLEANUP(free) char *text = bytes_of(BLOCK);
    signal(SIGXFSZ, SIG_IGN);
    rig_start(&r, NULL);
    struct teller t = {.r = &r};
    struct vfs_handle *h = create_at(&r, "f");
    expect_ok(&r, write_told(&t, h, text, BLOCK, 0));
    expect_ok(&r, try_unlink(&r, "f"));
    expect_ok(&r, fsync_file(&r, h));
    limit_files(true);
    struct vfs_caller who = r.who;
    who.accepted = count_told;
    who.accepted_arg = &t;
    expect_ok(&r, vfs_write(r.v, h, text, BLOCK, BLOCK, &who, &r.err));
    limit_files(false);
    assert_int_equal(t.told, 2);
    assert_int_not_equal(fsync_file(&r, h), ERR_OK);
    release(&r, h);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_blocks_in_order_are_told_before_the_disk_has_them),
        cmocka_unit_test(who_is_told_may_have_closed_the_file_before_the_disk_has_its_bytes),
        cmocka_unit_test(what_the_disk_refuses_after_all_is_the_error_of_close),
        cmocka_unit_test(what_the_disk_refuses_of_a_file_without_a_name_is_the_error_of_fsync),
    };
    return cmocka_run_group_tests_name("late", tests, NULL, NULL);
}
