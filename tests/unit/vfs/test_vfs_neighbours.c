/* Read-ahead across the files of a directory, counted: requests, and what was fetched in vain. */
#include "neighbours_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the allowance begins with. */
#define IN_VAIN 32

static void start(struct rig *r, int files)
{
    rig_start(r, &(struct rig_kind){.async = true, .meta_in_get = true, .ttl_ms = 300000});
    put_files(r, "d", files);
    list(r, "d");
}

static void one_file_is_one_request(void **state)
{
    struct rig r;
    start(&r, 20);
    for (int pass = 0; pass < 3; pass++) {
        read_file(&r, "d", 4);
        assert_int_equal(rig_requests(&r), pass + 1);
    }
    read_file(&r, "d", 9);
    read_file(&r, "d", 2);
    assert_int_equal(rig_requests(&r), 5);
    assert_int_equal(stats(&r).files_ahead, 0);
    rig_stop(&r);
}

static void the_second_file_in_order_brings_the_next_one(void **state)
{
    struct rig r;
    start(&r, 20);
    read_file(&r, "d", 3);
    assert_int_equal(rig_requests(&r), 1);
    read_file(&r, "d", 4);
    assert_int_equal(rig_requests(&r), 3);
    assert_int_equal(rig_count(&r, MEM_GET), 3);
    rig_stop(&r);
}

static void files_one_after_another_are_asked_for_once_each(void **state)
{
    struct rig r;
    start(&r, 300);
    rig_slow(&r, MEM_GET, 1);
    for (int k = 0; k < 300; k++)
        read_file(&r, "d", k);
    assert_int_equal(rig_requests(&r), 300);
    assert_int_equal(stats(&r).files_ahead, 298);
    assert_int_equal(stats(&r).files_ahead_used, 298);
    assert_int_equal(stats(&r).files_ahead_unused, 0);
    rig_stop(&r);
}

static void *release_later(void *arg)
{
    struct rig *r = arg;
    while (stats(r).parked_reads == 0)
        usleep(1000);
    mem_store_unhold(r->mem, MEM_GET);
    return NULL;
}

/* Its request is under way until the read waits for it. */
static void read_late(struct rig *r, const char *dir, int k)
{
    pthread_t thread;
    assert_true(mem_store_wait_held(r->mem, MEM_GET, 1, 60000));
    assert_int_equal(pthread_create(&thread, NULL, release_later, r), 0);
    read_file(r, dir, k);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* So many files have come, alone or ahead. */
static void wait_files(struct rig *r, unsigned files)
{
    while (stats(r).bytes_fetched < files * strlen("d/f0000"))
        usleep(1000);
}

static void a_reader_that_had_to_wait_gets_twice_as_many_files_ahead(void **state)
{
    struct rig r;
    start(&r, 300);
    mem_store_hold(r.mem, MEM_GET, "d/f0002");
    read_file(&r, "d", 0);
    read_file(&r, "d", 1);
    assert_int_equal(stats(&r).files_ahead, 1);
    read_late(&r, "d", 2);
    assert_int_equal(stats(&r).files_ahead, 1 + 2);
    wait_files(&r, 5);
    mem_store_hold(r.mem, MEM_GET, "d/f0005");
    read_file(&r, "d", 3);
    read_file(&r, "d", 4);
    assert_int_equal(stats(&r).files_ahead, 3 + 2);
    read_late(&r, "d", 5);
    assert_int_equal(stats(&r).files_ahead, 5 + 3);
    rig_stop(&r);
}

static void a_reader_that_need_not_wait_gets_one_file_ahead_only(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 300000}); /* what is asked for is there at once */
    put_files(&r, "d", 50);
    list(&r, "d");
    for (int k = 0; k < 20; k++)
        read_file(&r, "d", k);
    assert_int_equal(rig_requests(&r), 21);
    rig_stop(&r);
}

static void directories_in_turn_are_each_read_ahead(void **state)
{
    static const char *const dirs[] = {"a", "b", "c", "e"};
    struct rig r;
    rig_start(&r, &(struct rig_kind){.async = true, .ttl_ms = 300000});
    for (int d = 0; d < 4; d++)
        put_files(&r, dirs[d], 30);
    for (int d = 0; d < 4; d++)
        list(&r, dirs[d]);
    for (int k = 0; k < 30; k++)
        for (int d = 0; d < 4; d++)
            read_file(&r, dirs[d], k);
    assert_int_equal(rig_requests(&r), 120);
    assert_int_equal(stats(&r).files_ahead_used, 120 - 4 * 2);
    rig_stop(&r);
}

/* Each directory's reader once had to wait, so that two files ahead of each would do no harm, but one is enough. */
static void a_slow_reader_of_many_directories_gets_one_file_ahead_in_each(void **state)
{
    enum { DIRS = 12, FEW = 8, PAUSE_US = 12000 };
    struct rig r;
    char dir[DIRS][4], path[64];
    rig_start(&r, &(struct rig_kind){.async = true, .ttl_ms = 300000});
    for (int d = 0; d < DIRS; d++) {
        snprintf(dir[d], sizeof(dir[d]), "%c", 'a' + d);
        put_files(&r, dir[d], 30);
    }
    for (int d = 0; d < DIRS; d++)
        list(&r, dir[d]);
    for (int d = 0; d < DIRS; d++) {
        read_file(&r, dir[d], 0);
        path_of(path, dir[d], 2);
        mem_store_hold(r.mem, MEM_GET, path);
        read_file(&r, dir[d], 1);
        usleep(PAUSE_US);
        read_late(&r, dir[d], 2);
        usleep(PAUSE_US);
    }
    for (int k = 3; k < 8; k++)
        for (int d = 0; d < DIRS; d++) { /* to and fro: no rounds */
            usleep(PAUSE_US / DIRS);
            read_file(&r, dir[k % 2 ? d : DIRS - 1 - d], k);
        }
    struct vfs_stats s = stats(&r);
    assert_in_range(s.files_ahead - s.files_ahead_used, DIRS, DIRS + FEW);
    assert_int_equal(rig_requests(&r), 8 * DIRS + s.files_ahead - s.files_ahead_used);
    rig_stop(&r);
}

/* Several readers of one directory, each with a part of it: what one has read is not fetched again for the one before it. */
static void readers_of_parts_are_told_apart(void **state)
{
    struct rig r;
    start(&r, 160);
    for (int k = 0; k < 20; k++)
        for (int part = 0; part < 8; part++)
            read_file(&r, "d", part * 20 + k);
    assert_int_equal(rig_requests(&r), 160);
    assert_true(stats(&r).files_ahead_used >= 100);
    rig_stop(&r);
}

static void a_reader_at_random_costs_a_bounded_number_of_files(void **state)
{
    enum { N = 400 };
    struct rig r;
    start(&r, N);
    int order[N];
    unsigned seed = 7;
    for (int k = 0; k < N; k++)
        order[k] = k;
    for (int k = N - 1; k > 0; k--) {
        seed = seed * 1103515245u + 12345u;
        int other = (int)((seed >> 8) % (unsigned)(k + 1)), was = order[k];
        order[k] = order[other];
        order[other] = was;
    }
    for (int k = 0; k < N / 2; k++)
        read_file(&r, "d", order[k]);
    struct vfs_stats s = stats(&r);
    assert_int_equal(rig_requests(&r), N / 2 + s.files_ahead - s.files_ahead_used);
    assert_true(s.files_ahead - s.files_ahead_used <= IN_VAIN + s.files_ahead_used / 2);
    rig_stop(&r);
}

/* Who takes a few files here and there in order leaves what was fetched: that stops. */
static void what_is_not_used_is_bounded(void **state)
{
    struct rig r;
    start(&r, 1200);
    for (int k = 0; k + 10 < 1200; k += 10) { /* two in order, then far away */
        read_file(&r, "d", k);
        read_file(&r, "d", k + 1);
    }
    struct vfs_stats s = stats(&r);
    assert_in_range(s.files_ahead, 1, IN_VAIN + 10);
    assert_int_equal(rig_requests(&r), 238 + s.files_ahead);
    rig_stop(&r);
}

static void every_file_of_a_very_large_directory_is_asked_for_once(void **state)
{
    struct rig r;
    start(&r, 9000);
    for (int k = 1000; k < 6000; k++)
        read_file(&r, "d", k);
    struct vfs_stats s = stats(&r);
    assert_int_equal(rig_requests(&r), 5000 + s.files_ahead - s.files_ahead_used);
    assert_in_range(s.files_ahead_used, 4980, 5000);
    rig_stop(&r);
}

static void bytes_of_a_version_that_was_replaced_are_not_given(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    put_files(&r, "d", 10);
    read_file(&r, "d", 0);
    read_file(&r, "d", 1);
    assert_int_equal(stats(&r).files_ahead, 1);
    others_put(&r, "d/f0002", "another text");
    expect_file(&r, "d/f0002", "another text");
    read_file(&r, "d", 3);
    rig_stop(&r);
}

static void what_was_fetched_for_a_name_is_not_given_under_another(void **state)
{
    struct rig r;
    start(&r, 10);
    read_file(&r, "d", 0);
    read_file(&r, "d", 1);
    expect_ok(&r, try_rename(&r, "d/f0002", "d/x", 0));
    expect_file(&r, "d/x", "d/f0002");
    expect_ok(&r, try_unlink(&r, "d/f0003"));
    write_file(&r, "d/f0002", "new");
    expect_file(&r, "d/f0002", "new");
    read_file(&r, "d", 4);
    rig_stop(&r);
}

static void a_file_that_could_not_be_fetched_ahead_is_read_all_the_same(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 300000}); /* the failure comes before the read */
    put_files(&r, "d", 30);
    list(&r, "d");
    rig_fail(&r, MEM_GET, "d/f0002", ERR_NET, 1);
    rig_fail(&r, MEM_GET, "d/f0009", ERR_NET, 1);
    for (int k = 0; k < 30; k++)
        if (k != 9)
            read_file(&r, "d", k);
    assert_true(rig_requests(&r) <= 32);
    rig_stop(&r);
}

static void put_large(struct rig *r, const char *dir, int n, size_t size)
{
    char path[64];
    char *text = bytes_of(size);
    for (int k = 0; k < n; k++) {
        path_of(path, dir, k);
        others_put(r, path, text);
    }
    free(text);
}

static void of_large_files_only_the_first_block_is_fetched(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    put_large(&r, "d", 4, 3 << 20);
    list(&r, "d");
    char path[64];
    for (int k = 0; k < 2; k++) {
        path_of(path, "d", k);
        BUF(out, 1 << 20);
        struct vfs_handle *h = open_at(&r, path, O_RDONLY);
        expect_ok(&r, read_some(&r, h, 1000, 4096, &out)); /* no sequential reader of the file itself */
        release(&r, h);
    }
    assert_int_equal(stats(&r).files_ahead, 1);
    assert_int_equal(stats(&r).bytes_fetched, 3 * 128 * 1024);
    rig_stop(&r);
}

static void where_memory_is_short_nothing_is_fetched_ahead(void **state)
{
    struct rig r;
    rig_store(&r, &(struct rig_kind){.async = true});
    r.cfg.memory = 512 << 10;
    rig_mount(&r);
    put_large(&r, "d", 10, 400 << 10);
    list(&r, "d");
    char *text = bytes_of(400 << 10), path[64];
    for (int k = 0; k < 10; k++) {
        path_of(path, "d", k);
        expect_file(&r, path, text);
        assert_true(stats(&r).memory_used <= r.cfg.memory);
    }
    assert_int_equal(stats(&r).files_ahead, 0);
    free(text);
    rig_stop(&r);
}

static void attributes_that_came_with_the_bytes_are_kept(void **state)
{
    struct rig r;
    rig_store(&r, &(struct rig_kind){.meta_in_get = true, .ttl_ms = 300000, .attrs = VFS_ATTRS_LIST});
    rig_mount(&r);
    char path[64];
    for (int k = 0; k < 5; k++) {
        path_of(path, "d", k);
        others_put_meta(&r, path, path, meta_of(S_IFREG | 0600, NULL));
    }
    list(&r, "d");
    for (int k = 0; k < 4; k++)
        read_file(&r, "d", k);
    path_of(path, "d", 3);
    assert_int_equal(stat_of(&r, path).st_mode & 07777, 0600);
    assert_int_equal(rig_requests(&r), 5);
    rig_stop(&r);
}

static void writers_are_not_read_ahead_for(void **state)
{
    struct rig r;
    start(&r, 10);
    char path[64];
    for (int k = 0; k < 5; k++) {
        path_of(path, "d", k);
        struct vfs_handle *h = open_at(&r, path, O_RDWR);
        expect_bytes(&r, h, path);
        release(&r, h);
    }
    assert_int_equal(stats(&r).files_ahead, 0);
    rig_stop(&r);
}

static void an_unmount_does_not_wait_for_what_nobody_reads(void **state)
{
    struct rig r;
    start(&r, 10);
    mem_store_hold(r.mem, MEM_GET, "d/f0002");
    read_file(&r, "d", 0);
    read_file(&r, "d", 1);
    assert_true(mem_store_wait_held(r.mem, MEM_GET, 1, 60000));
    rig_unmount(&r);
    assert_int_equal(mem_store_held(r.mem, MEM_GET), 0);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_file_is_one_request),
        cmocka_unit_test(the_second_file_in_order_brings_the_next_one),
        cmocka_unit_test(files_one_after_another_are_asked_for_once_each),
        cmocka_unit_test(a_reader_that_had_to_wait_gets_twice_as_many_files_ahead),
        cmocka_unit_test(a_reader_that_need_not_wait_gets_one_file_ahead_only),
        cmocka_unit_test(directories_in_turn_are_each_read_ahead),
        cmocka_unit_test(a_slow_reader_of_many_directories_gets_one_file_ahead_in_each),
        cmocka_unit_test(readers_of_parts_are_told_apart),
        cmocka_unit_test(a_reader_at_random_costs_a_bounded_number_of_files),
        cmocka_unit_test(what_is_not_used_is_bounded),
        cmocka_unit_test(every_file_of_a_very_large_directory_is_asked_for_once),
        cmocka_unit_test(bytes_of_a_version_that_was_replaced_are_not_given),
        cmocka_unit_test(what_was_fetched_for_a_name_is_not_given_under_another),
        cmocka_unit_test(a_file_that_could_not_be_fetched_ahead_is_read_all_the_same),
        cmocka_unit_test(of_large_files_only_the_first_block_is_fetched),
        cmocka_unit_test(where_memory_is_short_nothing_is_fetched_ahead),
        cmocka_unit_test(attributes_that_came_with_the_bytes_are_kept),
        cmocka_unit_test(writers_are_not_read_ahead_for),
        cmocka_unit_test(an_unmount_does_not_wait_for_what_nobody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
