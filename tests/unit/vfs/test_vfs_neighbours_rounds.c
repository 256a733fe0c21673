/* Read-ahead for who takes one file of each of many directories in turn, counted. */
#include "neighbours_support.h"

#include <stdio.h>
#include <string.h>

static void list_dirs(struct rig *r, int dirs, int files)
{
    char dir[4];
    rig_start(r, &(struct rig_kind){.async = true, .ttl_ms = 300000});
    for (int d = 0; d < dirs; d++) {
        snprintf(dir, sizeof(dir), "%c", 'a' + d);
        put_files(r, dir, files);
    }
    for (int d = 0; d < dirs; d++) {
        snprintf(dir, sizeof(dir), "%c", 'a' + d);
        list(r, dir);
    }
}

static void read_turn(struct rig *r, int d, int k)
{
    read_file(r, (char[]){(char)('a' + d), 0}, k);
}

/* One file of each of many directories in turn: who stops after a round leaves nothing behind. */
static void rounds_over_many_directories_cost_what_is_read(void **state)
{
    enum { DIRS = 12, ROUNDS = 20 };
    struct rig r;
    list_dirs(&r, DIRS, 100);
    rig_slow(&r, MEM_GET, 1);
    for (int k = 0; k < ROUNDS; k++)
        for (int d = 0; d < DIRS; d++)
            read_turn(&r, d, k);
    assert_int_equal(rig_requests(&r), ROUNDS * DIRS);
    /* All but the first round, and the first file of each. */
    assert_int_equal(stats(&r).files_ahead, (ROUNDS - 1) * (DIRS - 1));
    assert_int_equal(stats(&r).files_ahead_used, (ROUNDS - 1) * (DIRS - 1));
    rig_stop(&r);
}

static void a_round_goes_on_without_directories_that_have_ended(void **state)
{
    enum { DIRS = 12, ROUNDS = 10 };
    static const int files[DIRS] = {10, 10, 3, 10, 5, 5, 10, 10, 10, 10, 10, 10};
    struct rig r;
    char dir[4];
    int read = 0;
    rig_start(&r, &(struct rig_kind){.async = true, .ttl_ms = 300000});
    for (int d = 0; d < DIRS; d++) {
        snprintf(dir, sizeof(dir), "%c", 'a' + d);
        put_files(&r, dir, files[d]);
    }
    for (int d = 0; d < DIRS; d++) {
        snprintf(dir, sizeof(dir), "%c", 'a' + d);
        list(&r, dir);
    }
    for (int k = 0; k < ROUNDS; k++)
        for (int d = 0; d < DIRS; d++)
            if (k < files[d]) {
                read_turn(&r, d, k);
                read++;
            }
    assert_int_equal(rig_requests(&r), read);
    assert_int_equal(stats(&r).files_ahead_used, read - DIRS - (ROUNDS - 1));
    rig_stop(&r);
}

/* Any file of each directory in turn: that there is an order of directories says nothing of the files. */
static void random_files_of_directories_in_turn_are_not_fetched_ahead(void **state)
{
    enum { DIRS = 12, ROUNDS = 10 };
    struct rig r;
    list_dirs(&r, DIRS, 100);
    for (int k = 0; k < ROUNDS; k++)
        for (int d = 0; d < DIRS; d++)
            read_turn(&r, d, (k * 37 + d * 11) % 100);
    assert_int_equal(rig_requests(&r), ROUNDS * DIRS);
    assert_int_equal(stats(&r).files_ahead, 0);
    rig_stop(&r);
}

/* Who leaves a round leaves no more than the rest of it. */
static void a_round_that_is_not_ended_leaves_no_more_than_its_rest(void **state)
{
    enum { DIRS = 12 };
    struct rig r;
    list_dirs(&r, DIRS, 100);
    for (int k = 0; k < 5; k++)
        for (int d = 0; d < DIRS; d++)
            read_turn(&r, d, k);
    for (int d = 0; d < 4; d++)
        read_turn(&r, d, 5);
    struct vfs_stats s = stats(&r);
    assert_in_range(s.files_ahead - s.files_ahead_used, 1, DIRS - 4);
    assert_int_equal(rig_requests(&r), 5 * DIRS + 4 + s.files_ahead - s.files_ahead_used);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_over_many_directories_cost_what_is_read),
        cmocka_unit_test(a_round_goes_on_without_directories_that_have_ended),
        cmocka_unit_test(random_files_of_directories_in_turn_are_not_fetched_ahead),
        cmocka_unit_test(a_round_that_is_not_ended_leaves_no_more_than_its_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
