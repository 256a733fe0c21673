/* When a task cannot be queued, for want of memory: nothing that was written is lost. */
#include "support.h"

#include "util/pool.h"

static int refused; /* atomic: submissions that are refused from now on; negative: none */

enum err_code __real_pool_submit(struct pool *p, void (*fn)(void *arg), void *arg, struct err *e);
enum err_code __wrap_pool_submit(struct pool *p, void (*fn)(void *arg), void *arg, struct err *e);

enum err_code __wrap_pool_submit(struct pool *p, void (*fn)(void *arg), void *arg, struct err *e)
{
    if (__atomic_fetch_sub(&refused, 1, __ATOMIC_SEQ_CST) > 0)
        return err_set(e, ERR_NOMEM, "made to fail");
    return __real_pool_submit(p, fn, arg, e);
}

static void refuse(int times)
{
    __atomic_store_n(&refused, times, __ATOMIC_SEQ_CST);
}

static bool one_is_left(void *arg)
{
    return state_files(arg, "staged", ".info") == 1;
}

/* The last close after a failed put, where the leaving of its bytes cannot be queued. */
static void failed_close(struct rig *r, int refusals)
{
    struct vfs_handle *h = create_at(r, "f");
    write_at(r, h, 0, "precious");
    rig_fail(r, MEM_PUT, "f", ERR_ACCESS, 1);
    expect_code(r, ERR_ACCESS, flush(r, h));
    refuse(refusals);
    release(r, h);
}

static void failed_bytes_are_left_in_the_state_directory_when_there_is_memory_again(void **state)
{
    struct rig r;
    BUF(text, 4096);
    rig_start(&r, NULL);
    failed_close(&r, 1);
    assert_int_equal(state_files(&r, "staged", ".info"), 0);
    expect_file(&r, "f", "precious");
    assert_true(within(60 * 1000, one_is_left, &r));
    expect_absent(&r, "f");
    rig_stop(&r);
}

static void failed_bytes_are_left_at_the_end_of_the_mount_at_the_latest(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    failed_close(&r, 1000000);
    rig_unmount(&r);
    refuse(0);
    assert_int_equal(state_files(&r, "staged", ".info"), 1);
    rig_stop(&r);
}

static void a_put_that_cannot_be_queued_is_put_off(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    refuse(1);
    release(&r, h);
    drain(&r);
    expect_object(&r, "f", "bytes");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_bytes_are_left_in_the_state_directory_when_there_is_memory_again),
        cmocka_unit_test(failed_bytes_are_left_at_the_end_of_the_mount_at_the_latest),
        cmocka_unit_test(a_put_that_cannot_be_queued_is_put_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
