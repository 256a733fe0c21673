/* What the log writes ahead of small records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/wal.h"
#include "scratch.h"
#include "wal_support.h"

#include <linux/fs.h>
#include <linux/magic.h>
#include <stdbool.h>

#define AHEAD ((uint64_t)256 << 10)

static void some_hundred_small_records_share_one_writing_of_new_blocks(void **state)
{
    struct rig r;
    rig_make(&r, 1 << 20);
    uint64_t end = 4096;
    for (unsigned k = 0; k < 900; k++) {
        rig_append(&r, k, 1000);
        end += 1040;
        if (k % 20 == 0)
            assert_int_equal(disk_reached(), (end / AHEAD + 1) * AHEAD);
    }
    rig_reopen(&r);
    rig_expect(&r, 0, 900);
    rig_remove(&r);
}

static void nothing_is_written_ahead_of_large_records_nor_behind_what_is_reserved(void **state)
{
    struct rig r;
    rig_make(&r, 300 << 10);
    uint64_t before = disk_written();
    rig_append(&r, 0, 64 << 10);
    assert_int_equal(disk_written() - before, (64 << 10) + 40);
    for (unsigned k = 1; k < 30; k++)
        rig_append(&r, k, 8000);
    assert_int_equal(disk_reached(), 300 << 10);
    rig_reopen(&r);
    rig_expect(&r, 0, 30);
    rig_remove(&r);
}

static void a_segment_that_is_used_again_is_not_written_ahead_again(void **state)
{
    struct rig r;
    rig_make(&r, 1 << 20);
    uint64_t number = 0, before = 0;
    for (unsigned k = 0; k < 300; k++) { /* two segments and a half */
        number = rig_append(&r, k, 8000);
        wal_trim(r.wal, number);
    }
    for (unsigned k = 0; k < 200; k++) {
        number = rig_append(&r, k, 8000);
        wal_trim(r.wal, number);
        before = k == 100 ? disk_written() : before; /* by now each of them was written in whole */
    }
    assert_true(disk_written() - before < 99 * 8040 + 3 * (4096 + 48));
    rig_remove(&r);
}

static void where_zeros_have_no_room_the_records_still_have_theirs(void **state)
{
    struct rig r;
    rig_make(&r, 1 << 20);
    disk_fill(1040 + 20000);
    rig_append(&r, 0, 1000);
    disk_fill(3 * 1040);
    for (unsigned k = 1; k < 4; k++)
        rig_append(&r, k, 1000);
    disk_fill(UINT64_MAX);
    uint64_t before = disk_written();
    rig_append(&r, 4, 1000);
    assert_int_equal(disk_written() - before, 1040);
    rig_reopen(&r);
    rig_expect(&r, 0, 5);
    rig_remove(&r);
}

static void nothing_is_written_ahead_where_it_would_use_up_what_is_reserved(void **state)
{
    static const struct {
        unsigned type;
        int flags;
        bool ahead;
    } cases[] = {
        {BTRFS_SUPER_MAGIC, 0, false},
        {BTRFS_SUPER_MAGIC, FS_NOCOW_FL, true},
        {0xca451a4e, 0, false}, /* bcachefs */
        {EXT4_SUPER_MAGIC, 0, true},
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(*cases); k++) {
        struct rig r;
        disk_is(cases[k].type, cases[k].flags);
        rig_make(&r, 1 << 20);
        rig_append(&r, 0, 1000);
        assert_int_equal(disk_reached(), cases[k].ahead ? AHEAD : 4096 + 1040);
        rig_reopen(&r);
        rig_expect(&r, 0, 1);
        rig_remove(&r);
    }
    disk_is(0, 0);
}

static void a_tear_before_the_zeros_costs_the_torn_record_only(void **state)
{
    struct rig r;
    rig_make(&r, 1 << 20);
    for (unsigned k = 0; k < 3; k++)
        rig_append(&r, k, 1000);
    rig_close(&r);
    static const char zeros[500];
    rig_patch(&r, 4096 + 2 * 1040 + 540, zeros, sizeof(zeros));
    rig_open(&r);
    rig_expect(&r, 0, 2);
    rig_append(&r, 2, 1000);
    rig_reopen(&r);
    rig_expect(&r, 0, 3);
    rig_remove(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_hundred_small_records_share_one_writing_of_new_blocks),
        cmocka_unit_test(nothing_is_written_ahead_of_large_records_nor_behind_what_is_reserved),
        cmocka_unit_test(a_segment_that_is_used_again_is_not_written_ahead_again),
        cmocka_unit_test(where_zeros_have_no_room_the_records_still_have_theirs),
        cmocka_unit_test(nothing_is_written_ahead_where_it_would_use_up_what_is_reserved),
        cmocka_unit_test(a_tear_before_the_zeros_costs_the_torn_record_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
