/* What a close sends on the thread that carries it out, where nothing but the local disk is waited for. */
#include "support.h"

#define LARGE ((64u << 10) + 1)

static const struct rig_kind journaled = {.caps_on = STORE_LATER};

static enum err_code flush_briefly(struct rig *r, struct vfs_handle *h)
{
    struct vfs_caller who = r->who;
    who.nowait = who.brief = true;
    return vfs_flush(r->v, h, &who, &r->err);
}

static enum err_code flush_at_once(struct rig *r, struct vfs_handle *h)
{
    struct vfs_caller who = r->who;
    who.nowait = true;
    return vfs_flush(r->v, h, &who, &r->err);
}

static void a_small_file_is_sent_by_the_call_that_closes_it(void **state)
{
    struct rig r;
    rig_start(&r, &journaled);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    assert_int_equal(flush_at_once(&r, h), ERR_AGAIN);
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    expect_ok(&r, flush_briefly(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    expect_object(&r, "f", "bytes");
    expect_ok(&r, flush_briefly(&r, h)); /* there is nothing left to do */
    write_at(&r, h, 0, "BYTES");
    expect_ok(&r, flush_briefly(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 2);
    expect_object(&r, "f", "BYTES");
    release(&r, h);
    rig_stop(&r);
}

static void what_needs_more_than_the_local_disk_is_left_to_a_call_that_may_wait(void **state)
{
    struct rig r;
    rig_start(&r, &journaled);
    others_put(&r, "there", "old bytes");
    CLEANUP(free) char *large = calloc(1, LARGE + 1);
    memset(large, 'x', LARGE);
    struct vfs_handle *h = create_at(&r, "large");
    write_at(&r, h, 0, large);
    assert_int_equal(flush_briefly(&r, h), ERR_AGAIN);
    release(&r, h);
    drain(&r);
    expect_file(&r, "there", "old bytes");
    rig_mark(&r);
    h = open_at(&r, "there", O_WRONLY);
    write_at(&r, h, 0, "new"); /* the rest is to be fetched */
    assert_int_equal(flush_briefly(&r, h), ERR_AGAIN);
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    assert_int_equal(close_file(&r, h), ERR_OK);
    expect_object(&r, "there", "new bytes");
    rig_stop(&r);
}

static void a_store_that_is_waited_for_gets_nothing_so(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    assert_int_equal(flush_briefly(&r, h), ERR_AGAIN);
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    assert_int_equal(close_file(&r, h), ERR_OK);
    rig_stop(&r);
}

static void where_there_is_no_room_nothing_has_failed(void **state)
{
    struct rig r;
    rig_start(&r, &journaled);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    rig_fail(&r, MEM_PUT, "f", ERR_AGAIN, 1);
    assert_int_equal(flush_briefly(&r, h), ERR_AGAIN);
    expect_no_object(&r, "f");
    expect_ok(&r, flush(&r, h));
    expect_object(&r, "f", "bytes");
    release(&r, h);
    struct vfs_stats stats;
    vfs_stats(r.v, &stats);
    assert_int_equal(stats.failed_uploads, 0);
    rig_stop(&r);
}

static void what_fails_is_the_error_of_the_close(void **state)
{
    struct rig r;
    rig_start(&r, &journaled);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    rig_fail(&r, MEM_PUT, "f", ERR_NOSPC, 1);
    assert_int_equal(flush_briefly(&r, h), ERR_NOSPC);
    assert_int_equal(flush_briefly(&r, h), ERR_AGAIN); /* it is tried again by one that may wait */
    expect_ok(&r, flush(&r, h));
    expect_object(&r, "f", "bytes");
    release(&r, h);
    rig_stop(&r);
}

static void a_name_that_others_have_taken_is_told(void **state)
{
    struct rig r;
    char key[1100];
    rig_start(&r, &journaled);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "ours");
    others_put(&r, "f", "theirs");
    assert_int_equal(flush_briefly(&r, h), ERR_CONFLICT);
    expect_object(&r, "f", "theirs");
    assert_true(find_key(&r, "conflict", key));
    expect_object(&r, key, "ours");
    release(&r, h);
    rig_stop(&r);
}

#define T(f) cmocka_unit_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_small_file_is_sent_by_the_call_that_closes_it),
        T(what_needs_more_than_the_local_disk_is_left_to_a_call_that_may_wait),
        T(a_store_that_is_waited_for_gets_nothing_so),
        T(where_there_is_no_room_nothing_has_failed),
        T(what_fails_is_the_error_of_the_close),
        T(a_name_that_others_have_taken_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
