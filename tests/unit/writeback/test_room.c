/* A local disk that fails or is full, and the number of changes that may be unsent. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- The disk: these take the place of libc's */

static atomic_int sync_errnum;
static _Atomic int64_t room = INT64_MAX; /* bytes */

int fdatasync(int fd)
{
    errno = atomic_load(&sync_errnum);
    return errno ? -1 : 0;
}

int fallocate(int fd, int mode, off_t at, off_t len)
{
    if (mode & FALLOC_FL_PUNCH_HOLE)
        atomic_fetch_add(&room, len);
    return 0;
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at)
{
    ssize_t all = 0;
    for (int k = 0; k < n; k++)
        all += (ssize_t)parts[k].iov_len;
    if (atomic_load(&room) < all) {
        errno = ENOSPC;
        return -1;
    }
    if (atomic_load(&room) != INT64_MAX)
        atomic_fetch_sub(&room, all);
    for (int k = 0; k < n; at += (off_t)parts[k++].iov_len)
        assert_int_equal(pwrite(fd, parts[k].iov_base, parts[k].iov_len, at), (ssize_t)parts[k].iov_len);
    return all;
}

/* ---- The log */

static enum err_code try_drain(struct fixture *f)
{
    struct err e = ERR_INIT;
    return writeback_drain(f->w, false, NULL, NULL, NULL, &e);
}

/* What was sent could be undone by a power loss, and done again by the next mount after others changed it. */
static void what_the_log_cannot_make_durable_is_given_back_and_not_sent(void **state)
{
    struct fixture f = {.patience_ms = 300};
    struct writeback_stats stats;
    fixture_make(&f);
    struct store_version v = put_ok(f.inner, "k", "text", "");
    atomic_store(&sync_errnum, EIO);
    assert_int_equal(unlink_object(f.s, "k", v.etag), ERR_OK);
    assert_int_equal(try_drain(&f), ERR_IO);
    assert_int_equal(sent(&f, MEM_REMOVE) + sent(&f, MEM_REMOVE_MANY), 0);
    assert_text(f.inner, "k", "text");
    writeback_stats(f.w, &stats);
    assert_int_equal(stats.operations, 1);
    fixture_close(&f);
    atomic_store(&sync_errnum, 0);
    fixture_open(&f);
    drain_ok(&f);
    assert_text(f.inner, "k", NULL);
    fixture_remove(&f);
}

static void what_was_sent_is_ended_in_the_log_also_on_a_full_disk(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct writeback_stats stats;
    fixture_make(&f);
    put_ok(f.s, "one", "x", "");
    put_ok(f.s, "two", "y", "");
    atomic_store(&room, 0);
    drain_ok(&f);
    fixture_close(&f);
    atomic_store(&room, INT64_MAX);
    fixture_open(&f);
    writeback_stats(f.w, &stats);
    assert_int_equal(stats.recovered, 0);
    fixture_remove(&f);
}

/* ---- Memory */

static enum err_code put_briefly(struct store *s, const char *key)
{
    const struct store_body nothing = {0};
    const struct store_cond cond = {.kind = STORE_ALWAYS};
    const struct store_call call = {.brief = true};
    struct store_version version;
    struct err e = ERR_INIT;
    return store_put(s, key, &nothing, NULL, &cond, &call, &version, &e);
}

/* Empty files and removals take none of dirty_limit. */
static void more_changes_than_may_be_unsent_wait_for_room_and_then_fail(void **state)
{
    struct fixture f = {.max_operations = 4, .patience_ms = 300};
    struct store_version there = {0};
    fixture_make(&f);
    there = put_ok(f.inner, "there", "x", "");
    break_calls(&f, MEM_OPS, ERR_NET, false);
    for (int k = 0; k < 4; k++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "k%d", k);
        put_ok(f.s, key, "", "");
    }
    assert_int_equal(put(f.s, "more", "", "", NULL), ERR_NOSPC);
    assert_int_equal(put_briefly(f.s, "more"), ERR_AGAIN);
    assert_int_equal(unlink_object(f.s, "there", there.etag), ERR_NOSPC);
    assert_int_equal(copy(f.s, "there", there.etag, "copied", "", NULL), ERR_NOSPC);
    mend_calls(&f);
    drain_ok(&f);
    put_ok(f.s, "more", "", "");
    assert_int_equal(unlink_object(f.s, "there", there.etag), ERR_OK);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "k0 k1 k2 k3 more");
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_log_cannot_make_durable_is_given_back_and_not_sent),
        cmocka_unit_test(what_was_sent_is_ended_in_the_log_also_on_a_full_disk),
        cmocka_unit_test(more_changes_than_may_be_unsent_wait_for_room_and_then_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
