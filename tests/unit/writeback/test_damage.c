/* Bytes that are in files of the journal, on a disk that loses or changes them. */
#include "support.h"

#include "util/buf.h"
#include "util/cleanup.h"
#include "util/digest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* In place of libc's: it fails with this errno, unless 0. */
static _Atomic int sync_errno;

int fdatasync(int fd)
{
    if (!sync_errno)
        return fsync(fd);
    errno = sync_errno;
    return -1;
}

#define SIZE 200000 /* bytes: not in the record itself */

static char *large(char c)
{
    char *p = malloc(SIZE + 1);
    memset(p, c, SIZE);
    p[SIZE] = 0;
    return p;
}

/* As the vfs does it, with sums. `etag`: "" a new object. */
static struct store_version put_summed(struct store *s, const char *key, const char *text, const char *etag)
{
    struct err e = ERR_INIT;
    uint8_t sha512[DIGEST_MAX];
    struct store_version v;
    BUF(bytes, SIZE + 1);
    buf_add_str(&bytes, text);
    uint64_t crc = crc64nvme(0, text, strlen(text));
    assert_int_equal(digest_once(DIGEST_SHA512, text, strlen(text), sha512, &e), ERR_OK);
    const struct store_body body = {.size = bytes.len, .read = buf_read, .arg = &bytes, .sha512 = sha512, .crc64nvme = &crc};
    const struct store_cond cond = {.kind = *etag ? STORE_IF_MATCH : STORE_IF_ABSENT, .etag = etag};
    assert_int_equal(store_put(s, key, &body, NULL, &cond, NULL, &v, &e), ERR_OK);
    return v;
}

/* In the only file that is there one byte becomes another. */
static void damage_body(const struct fixture *f)
{
    char command[320];
    (void)snprintf(command, sizeof(command), "printf x | dd of=\"$(ls %s/" WRITEBACK_BODIES "/*)\" bs=1 seek=%d conv=notrunc status=none", f->dir,
                   SIZE - 50000);
    assert_int_equal(system(command), 0);
}

static int set_aside(const struct fixture *f)
{
    char command[320];
    (void)snprintf(command, sizeof(command), "exit $(find %s -name '*.damaged' -size %dc | wc -l)", f->dir, SIZE);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_body_that_is_gone_is_said_and_keeps_nothing_else_back(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    CLEANUP(free) char *big = large('b');
    char command[160];
    fixture_make(&f);
    put_ok(f.s, "large", big, "");
    put_ok(f.s, "small", "x", "");
    fixture_close(&f);
    (void)snprintf(command, sizeof(command), "rm %s/" WRITEBACK_BODIES "/*", f.dir);
    assert_int_equal(system(command), 0);
    fixture_open(&f);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "small");
    fixture_remove(&f);
}

static void a_body_with_other_bytes_is_said_and_kept_and_keeps_nothing_else_back(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    CLEANUP(free) char *big = large('b');
    fixture_make(&f);
    put_summed(f.s, "large", big, "");
    put_ok(f.s, "small", "x", "");
    fixture_close(&f);
    damage_body(&f);
    for (int mounts = 0; mounts < 2; mounts++) {
        fixture_open(&f);
        drain_ok(&f);
        assert_listing(f.inner, "", false, "small");
        assert_int_equal(set_aside(&f), 1);
        fixture_close(&f);
    }
    fixture_remove(&f);
}

static void a_body_with_other_bytes_that_was_put_before_is_no_loss(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    CLEANUP(free) char *big = large('b');
    fixture_make(&f);
    put_summed(f.s, "large", big, "");
    journal_save(&f);
    drain_ok(&f);
    fixture_close(&f);
    journal_restore(&f);
    damage_body(&f);
    fixture_open(&f);
    drain_ok(&f);
    assert_text(f.inner, "large", big);
    assert_int_equal(set_aside(&f), 0);
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    fixture_remove(&f);
}

static void what_was_written_over_a_body_with_other_bytes_keeps_its_name(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    CLEANUP(free) char *big = large('b');
    fixture_make(&f);
    struct store_version first = put_summed(f.s, "doc", big, "");
    fixture_close(&f);
    break_calls(&f, MEM_OPS, ERR_NET, false); /* what was left is not sent, nor merged with what follows */
    fixture_open(&f);
    put_ok(f.s, "doc", "second", first.etag);
    fixture_close(&f);
    mend_calls(&f);
    damage_body(&f);
    fixture_open(&f);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "doc");
    assert_text(f.inner, "doc", "second");
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    fixture_remove(&f);
}

/* By a server that compares sums, as S3 does: nothing that is tried again can help. */
static void a_body_that_changes_while_the_mount_is_there_is_found_out_after_an_attempt(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    CLEANUP(free) char *big = large('b');
    fixture_make(&f);
    put_summed(f.s, "large", big, "");
    damage_body(&f);
    break_calls(&f, MEM_PUT, ERR_IO, false);
    struct err e = ERR_INIT;
    assert_int_equal(writeback_drain(f.w, true, NULL, NULL, NULL, &e), ERR_OK);
    mend_calls(&f);
    assert_listing(f.inner, "", false, "");
    assert_int_equal(set_aside(&f), 1);
    fixture_remove(&f);
}

/* The log takes nothing more until it is opened anew, so nothing more is sent: who waits for ever for that ends. */
static void a_journal_that_could_not_be_synced_is_not_waited_for_after_an_unmount(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct err e = ERR_INIT;
    fixture_make(&f);
    struct store_version was = put_ok(f.inner, "was", "text", NULL), is;
    assert_int_equal(rename_object(f.s, "was", was.etag, "is", "", &is), ERR_OK);
    sync_errno = EIO;
    assert_int_equal(writeback_drain(f.w, true, NULL, NULL, NULL, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "stay in the journal"));
    assert_listing(f.inner, "", false, "was");
    sync_errno = 0;
    fixture_close(&f);
    fixture_open(&f);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "is");
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_body_that_is_gone_is_said_and_keeps_nothing_else_back),
        cmocka_unit_test(a_body_with_other_bytes_is_said_and_kept_and_keeps_nothing_else_back),
        cmocka_unit_test(a_body_with_other_bytes_that_was_put_before_is_no_loss),
        cmocka_unit_test(what_was_written_over_a_body_with_other_bytes_keeps_its_name),
        cmocka_unit_test(a_body_that_changes_while_the_mount_is_there_is_found_out_after_an_attempt),
        cmocka_unit_test(a_journal_that_could_not_be_synced_is_not_waited_for_after_an_unmount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
