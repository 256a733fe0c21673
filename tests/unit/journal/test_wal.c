#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/wal.h"
#include "scratch.h"
#include "wal_support.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void records_are_told_of_in_order_at_the_next_opening(void **state)
{
    struct rig r;
    rig_make(&r, 64 << 10);
    for (unsigned k = 0; k < 300; k++)
        rig_append(&r, k, k * 37 % 5000);
    assert_true(rig_files(&r, ".wal") > 8);
    rig_reopen(&r);
    rig_expect(&r, 0, 300);
    rig_append(&r, 300, 10);
    rig_reopen(&r);
    rig_expect(&r, 0, 301);
    rig_remove(&r);
}

static void the_largest_record_has_room_in_any_log(void **state)
{
    struct rig r;
    struct err e = ERR_INIT;
    uint64_t number;
    rig_make(&r, 64 << 10);
    rig_append(&r, 0, 100);
    rig_append(&r, 1, WAL_RECORD_MAX);
    rig_append(&r, 2, 100);
    CLEANUP(free) char *large = calloc(1, WAL_RECORD_MAX + 1);
    assert_int_equal(wal_append(r.wal, large, WAL_RECORD_MAX + 1, &number, &e), ERR_TOO_BIG);
    rig_reopen(&r);
    rig_expect(&r, 0, 3);
    rig_remove(&r);
}

static void what_was_appended_survives_a_kill(void **state)
{
    struct rig r;
    rig_make(&r, 64 << 10);
    rig_close(&r);
    pid_t child = fork();
    if (child == 0) {
        rig_open(&r);
        for (unsigned k = 0; k < 50; k++)
            rig_append(&r, k, 3000);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    rig_open(&r);
    rig_expect(&r, 0, 50);
    rig_remove(&r);
}

/* Power loss: of what was not synced any part may be there. */
static void of_a_torn_end_the_records_before_the_tear_are_told_of(void **state)
{
    struct rig r;
    rig_make(&r, 64 << 10);
    for (unsigned k = 0; k < 4; k++)
        rig_append(&r, k, 100);
    rig_sync(&r);
    rig_append(&r, 4, 100); /* it says that those before are durable */
    uint64_t begin = rig_end(&r), each = (rig_end(&r) - 4096) / 5;
    for (unsigned k = 5; k < 8; k++)
        rig_append(&r, k, 100);
    rig_close(&r);
    struct snapshot image;
    snapshot_take(&image, &r);
    for (uint64_t cut = begin; cut < begin + 3 * each; cut++) {
        snapshot_put(&image, &r, cut); /* zeros from there on */
        rig_open(&r);
        unsigned whole = 5 + (unsigned)((cut - begin) / each);
        bool only_padding = (cut - begin) % each >= each - 4; /* 100 bytes are filled up to 104 */
        rig_expect(&r, 0, whole + only_padding);
        rig_append(&r, 100, 50);
        rig_reopen(&r);
        assert_int_equal(r.n, whole + only_padding + 1);
        rig_close(&r);
    }
    snapshot_release(&image);
    rig_remove(&r);
}

/* A page that was written before an earlier one: what stands on the missing one must not be told of, nor ever after. */
static void nothing_behind_a_torn_record_counts(void **state)
{
    struct rig r;
    rig_make(&r, 64 << 10);
    rig_append(&r, 0, 100);
    uint64_t begin = rig_end(&r);
    for (unsigned k = 1; k < 4; k++)
        rig_append(&r, k, 100);
    rig_close(&r);
    static const char zeros[160];
    rig_patch(&r, begin, zeros, 144);
    rig_open(&r);
    rig_expect(&r, 0, 1);
    assert_int_equal(rig_files(&r, ".damaged"), 1);
    rig_append(&r, 1, 100);
    rig_reopen(&r);
    rig_expect(&r, 0, 2);
    rig_reopen(&r);
    rig_expect(&r, 0, 2);
    rig_remove(&r);
}

static void a_flipped_bit_costs_the_record_that_it_is_in_and_its_bytes_are_kept(void **state)
{
    struct rig r;
    rig_make(&r, 64 << 10);
    for (unsigned k = 0; k < 6; k++)
        rig_append(&r, k, 60);
    rig_sync(&r);
    rig_append(&r, 6, 60);
    uint64_t each = (rig_end(&r) - 4096) / 7;
    rig_close(&r);
    struct snapshot image;
    snapshot_take(&image, &r);
    for (uint64_t at = 4096; at < 4096 + 6 * each; at++) {
        unsigned hit = (unsigned)((at - 4096) / each);
        bool padding = (at - 4096) % each >= 100; /* a head of 40, and 60 */
        char flipped = (char)(image.p[at] ^ 1 << at % 8);
        snapshot_put(&image, &r, image.len);
        rig_patch(&r, at, &flipped, 1);
        rig_open(&r);
        rig_expect_without(&r, 7, padding ? 7 : hit);
        assert_int_equal(rig_files(&r, ".damaged"), !padding);
        rig_close(&r);
        rig_clear(&r, ".damaged");
    }
    snapshot_release(&image);
    rig_remove(&r);
}

static void bytes_that_look_like_a_log_are_never_taken_for_records(void **state)
{
    struct rig r;
    uint64_t number;
    struct err e = ERR_INIT;
    rig_make(&r, 64 << 10);
    rig_append(&r, 0, 100);
    rig_append(&r, 1, 100);
    rig_append(&r, 2, 100);
    rig_close(&r);
    struct snapshot image;
    snapshot_take(&image, &r);
    rig_open(&r);
    uint64_t begin = rig_end(&r);
    assert_int_equal(wal_append(r.wal, image.p + 4096, image.end - 4096, &number, &e), ERR_OK);
    rig_close(&r);
    char wrong = 1;
    rig_patch(&r, begin, &wrong, 1); /* the head of the record that holds them */
    rig_open(&r);
    rig_expect(&r, 0, 3);
    snapshot_release(&image);
    rig_remove(&r);
}

static void a_log_of_another_kind_is_left_alone(void **state)
{
    struct rig r;
    struct err e = ERR_INIT;
    rig_make(&r, 64 << 10);
    rig_append(&r, 0, 100);
    struct wal_config c = r.config;
    assert_null(wal_open(&c, rig_tell, &r, &e));
    assert_int_equal(e.code, ERR_BUSY);
    rig_close(&r);
    c.identity = "s3://other/ at https://example.com";
    assert_null(wal_open(&c, rig_tell, &r, &e));
    assert_int_equal(e.code, ERR_INVAL);
    char version = 2;
    rig_patch(&r, 8, &version, 1);
    assert_null(wal_open(&r.config, rig_tell, &r, &e));
    assert_int_equal(e.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(e.msg, "newer"));
    version = 1;
    rig_patch(&r, 8, &version, 1);
    rig_open(&r);
    rig_expect(&r, 0, 1);
    rig_remove(&r);
}

static void a_segment_whose_header_is_damaged_is_kept_aside(void **state)
{
    struct rig r;
    rig_make(&r, 64 << 10);
    for (unsigned k = 0; k < 30; k++)
        rig_append(&r, k, 10000);
    rig_close(&r);
    char wrong = 'X';
    rig_patch_first(&r, 3, &wrong, 1);
    rig_open(&r);
    assert_true(r.n > 20 && r.n < 30);
    assert_int_equal(r.told[r.n - 1], 29);
    assert_int_equal(rig_files(&r, ".damaged"), 1);
    rig_append(&r, 30, 10);
    rig_reopen(&r);
    assert_int_equal(r.told[r.n - 1], 30);
    rig_remove(&r);
}

static void what_is_trimmed_is_gone_and_its_space_is_used_again(void **state)
{
    struct rig r;
    struct wal_stats stats;
    rig_make(&r, 64 << 10);
    for (unsigned k = 0; k < 400; k++) {
        uint64_t number = rig_append(&r, k, 10000);
        wal_trim(r.wal, number > 10 ? number - 10 : 0);
    }
    wal_stats(r.wal, &stats);
    assert_true(stats.bytes <= (2 + 3 + 4) * (64 << 10));
    rig_reopen(&r);
    assert_int_equal(r.told[r.n - 1], 399);
    assert_true(r.n >= 10 && r.n < 10 + 6 + 6);
    rig_remove(&r);
}

static void a_segment_that_comes_back_after_it_was_trimmed_is_not_told_of(void **state)
{
    struct rig r;
    rig_make(&r, 64 << 10);
    for (unsigned k = 0; k < 5; k++)
        rig_append(&r, k, 10000);
    struct snapshot image;
    snapshot_take(&image, &r);
    for (unsigned k = 5; k < 12; k++)
        rig_append(&r, k, 10000);
    struct wal_stats stats;
    wal_stats(r.wal, &stats);
    wal_trim(r.wal, stats.next);
    rig_close(&r);
    snapshot_restore(&image);
    rig_open(&r);
    for (unsigned k = 0; k < r.n; k++)
        assert_true(r.told[k] >= 5);
    snapshot_release(&image);
    rig_remove(&r);
}

/* ---- Syncs: the disk is the test's (wal_support.c) */

static void *append_and_sync(void *arg)
{
    struct rig *r = arg;
    struct err e = ERR_INIT;
    uint64_t number;
    bool ok = wal_append(r->wal, "x", 1, &number, &e) == ERR_OK && wal_sync(r->wal, number, &e) == ERR_OK;
    return ok ? r : NULL;
}

static void those_who_wait_while_the_disk_syncs_share_the_next_sync(void **state)
{
    struct rig r;
    pthread_t threads[9];
    void *ok;
    struct wal_stats stats;
    rig_make(&r, 64 << 10);
    disk_hold();
    assert_int_equal(pthread_create(&threads[0], NULL, append_and_sync, &r), 0);
    disk_wait_held();
    for (size_t k = 1; k < 9; k++)
        assert_int_equal(pthread_create(&threads[k], NULL, append_and_sync, &r), 0);
    do
        wal_stats(r.wal, &stats);
    while (stats.appends < 9 && usleep(1000) == 0);
    disk_release();
    for (size_t k = 0; k < 9; k++) {
        assert_int_equal(pthread_join(threads[k], &ok), 0);
        assert_ptr_equal(ok, &r);
    }
    wal_stats(r.wal, &stats);
    assert_int_equal(stats.syncs, 2);
    rig_remove(&r);
}

static void after_a_sync_that_failed_nothing_is_taken_until_the_next_opening(void **state)
{
    struct rig r;
    struct err e = ERR_INIT;
    rig_make(&r, 64 << 10);
    uint64_t first = rig_append(&r, 0, 10), number;
    rig_sync(&r);
    rig_append(&r, 1, 10);
    disk_fail(EIO);
    assert_int_equal(wal_sync(r.wal, first + 1, &e), ERR_IO);
    disk_fail(0);
    assert_int_equal(wal_sync(r.wal, first + 1, &e), ERR_IO);
    assert_int_equal(wal_sync(r.wal, first, &e), ERR_OK);
    assert_int_equal(wal_append(r.wal, "x", 1, &number, &e), ERR_IO);
    rig_reopen(&r);
    rig_append(&r, 2, 10);
    rig_sync(&r);
    rig_remove(&r);
}

static void a_full_disk_refuses_a_record_and_keeps_the_others(void **state)
{
    struct rig r;
    struct err e = ERR_INIT;
    uint64_t number;
    rig_make(&r, 64 << 10);
    rig_append(&r, 0, 1000);
    disk_fill(500); /* bytes that still have room */
    CLEANUP(free) char *bytes = calloc(1, 1000);
    assert_int_equal(wal_append(r.wal, bytes, 1000, &number, &e), ERR_NOSPC);
    disk_fill(UINT64_MAX);
    rig_append(&r, 1, 1000);
    rig_reopen(&r);
    rig_expect(&r, 0, 2);
    rig_remove(&r);
}

static void a_full_disk_is_told_as_such_also_where_a_segment_is_begun(void **state)
{
    struct rig r;
    struct err e = ERR_INIT;
    uint64_t number;
    rig_make(&r, 64 << 10);
    rig_append(&r, 0, 60 << 10);
    disk_fill(0);
    CLEANUP(free) char *bytes = calloc(1, 10 << 10);
    assert_int_equal(wal_append(r.wal, bytes, 10 << 10, &number, &e), ERR_NOSPC);
    assert_int_equal(e.code, ERR_NOSPC);
    assert_int_equal(wal_append(r.wal, bytes, 10 << 10, &number, NULL), ERR_NOSPC);
    disk_fill(UINT64_MAX);
    rig_append(&r, 1, 10 << 10);
    rig_reopen(&r);
    rig_expect(&r, 0, 2);
    rig_remove(&r);
}

static void a_log_is_opened_on_a_disk_without_room_for_a_segment(void **state)
{
    struct rig r;
    rig_make(&r, 1 << 20);
    rig_append(&r, 0, 1000);
    rig_sync(&r);
    disk_fill(100 << 10);
    rig_reopen(&r);
    rig_expect(&r, 0, 1);
    rig_append(&r, 1, 1000);
    disk_fill(UINT64_MAX);
    rig_reopen(&r);
    rig_expect(&r, 0, 2);
    rig_remove(&r);
}

static bool make_a_little_room(void *arg)
{
    unsigned *left = arg;
    if (*left == 0)
        return false;
    disk_fill((100 << 10) / --*left);
    return true;
}

static void a_log_that_finds_no_room_at_all_is_opened_with_what_was_set_aside(void **state)
{
    struct rig r;
    unsigned left = 4;
    rig_make(&r, 1 << 20);
    rig_append(&r, 0, 1000);
    rig_close(&r);
    disk_fill(0);
    assert_null(wal_open(&r.config, rig_tell, &r, NULL));
    r.config.make_room = make_a_little_room;
    r.config.room_arg = &left;
    rig_open(&r);
    assert_int_equal(left, 1);
    rig_expect(&r, 0, 1);
    rig_append(&r, 1, 1000);
    disk_fill(UINT64_MAX);
    rig_reopen(&r);
    rig_expect(&r, 0, 2);
    rig_remove(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_told_of_in_order_at_the_next_opening),
        cmocka_unit_test(the_largest_record_has_room_in_any_log),
        cmocka_unit_test(what_was_appended_survives_a_kill),
        cmocka_unit_test(of_a_torn_end_the_records_before_the_tear_are_told_of),
        cmocka_unit_test(nothing_behind_a_torn_record_counts),
        cmocka_unit_test(a_flipped_bit_costs_the_record_that_it_is_in_and_its_bytes_are_kept),
        cmocka_unit_test(bytes_that_look_like_a_log_are_never_taken_for_records),
        cmocka_unit_test(a_log_of_another_kind_is_left_alone),
        cmocka_unit_test(a_segment_whose_header_is_damaged_is_kept_aside),
        cmocka_unit_test(what_is_trimmed_is_gone_and_its_space_is_used_again),
        cmocka_unit_test(a_segment_that_comes_back_after_it_was_trimmed_is_not_told_of),
        cmocka_unit_test(those_who_wait_while_the_disk_syncs_share_the_next_sync),
        cmocka_unit_test(after_a_sync_that_failed_nothing_is_taken_until_the_next_opening),
        cmocka_unit_test(a_full_disk_refuses_a_record_and_keeps_the_others),
        cmocka_unit_test(a_full_disk_is_told_as_such_also_where_a_segment_is_begun),
        cmocka_unit_test(a_log_that_finds_no_room_at_all_is_opened_with_what_was_set_aside),
        cmocka_unit_test(a_log_is_opened_on_a_disk_without_room_for_a_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
