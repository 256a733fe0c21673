#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/stage.h"
#include "scratch.h"
#include "util/digest.h"
#include "util/json.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static struct stage *open_stage(const char *dir, uint64_t base, uint64_t max)
{
    struct err e = ERR_INIT;
    struct stage *s = stage_new(dir, base, max, &e);
    if (!s)
        fail_msg("%s", e.msg);
    return s;
}

static void put(struct stage *s, uint64_t offset, const char *text)
{
    struct err e = ERR_INIT;
    assert_int_equal(stage_write(s, offset, text, strlen(text), &e), ERR_OK);
}

static void expect(struct stage *s, bool frozen, const char *bytes, size_t len)
{
    char got[256] = "";
    size_t n;
    struct err e = ERR_INIT;
    assert_true(len < sizeof(got));
    assert_int_equal(stage_read(s, 0, got, sizeof(got), frozen, &n, &e), ERR_OK);
    assert_int_equal(n, len);
    assert_memory_equal(got, bytes, len);
}

static void the_file_is_private_and_gone_when_it_is_freed(void **state)
{
    struct scratch d;
    char path[256];
    struct stat st;
    scratch_make(&d);
    struct stage *s = open_stage(d.path, 0, 0);
    assert_int_equal(scratch_count(&d, "", path, sizeof(path)), 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    stage_free(s);
    scratch_remove(&d);
}

static void what_is_frozen_stays_while_others_write(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    scratch_make(&d);
    struct stage *s = open_stage(d.path, 0, 0);
    put(s, 0, "hello world");
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    put(s, 6, "there");
    assert_int_equal(stage_truncate(s, 8, &e), ERR_OK);
    assert_int_equal(stage_truncate(s, 10, &e), ERR_OK);
    expect(s, true, "hello world", 11);
    expect(s, false, "hello th\0\0", 10);
    assert_int_equal(stage_frozen_size(s), 11);
    assert_int_equal(scratch_count(&d, "", NULL, 0), 1);
    assert_int_equal(stage_thaw(s, &e), ERR_OK);
    expect(s, false, "hello th\0\0", 10);
    stage_free(s);
    scratch_remove(&d);
}

static void base_bytes_never_replace_what_was_written(void **state)
{
    struct err e = ERR_INIT;
    struct stage *s = open_stage(NULL, 10, 100);
    put(s, 3, "XY");
    assert_false(stage_complete(s, false));
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    put(s, 0, "z");
    assert_int_equal(stage_fill(s, 0, "0123456789", 10, &e), ERR_OK);
    assert_true(stage_complete(s, true));
    expect(s, true, "012XY56789", 10);
    expect(s, false, "z12XY56789", 10);
    assert_int_equal(stage_thaw(s, &e), ERR_OK);
    expect(s, false, "z12XY56789", 10);
    stage_free(s);
}

static void a_stage_in_memory_keeps_its_limit(void **state)
{
    struct err e = ERR_INIT;
    uint64_t at = 77;
    struct stage *s = open_stage(NULL, 0, 16);
    put(s, 0, "0123456789");
    assert_int_equal(stage_write(s, 10, "0123456", 7, &e), ERR_TOO_BIG);
    assert_int_equal(stage_append(s, "0123456", 7, &at, &e), ERR_TOO_BIG);
    assert_int_equal(stage_truncate(s, 17, &e), ERR_TOO_BIG);
    assert_int_equal(stage_write(s, UINT64_MAX - 1, "0123456", 7, &e), ERR_TOO_BIG);
    assert_int_equal(at, 77);
    expect(s, false, "0123456789", 10);
    assert_null(stage_new(NULL, 17, 16, &e));
    assert_int_equal(e.code, ERR_TOO_BIG);
    stage_free(s);
}

static void offsets_beyond_what_a_file_can_have_are_refused(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    scratch_make(&d);
    struct stage *s = open_stage(d.path, 0, 0);
    assert_int_equal(stage_write(s, INT64_MAX, "x", 1, &e), ERR_TOO_BIG);
    assert_int_equal(stage_write(s, UINT64_MAX, "x", 1, &e), ERR_TOO_BIG);
    assert_int_equal(stage_truncate(s, UINT64_MAX, &e), ERR_TOO_BIG);
    assert_int_equal(stage_write(s, 5, "x", 0, &e), ERR_OK);
    assert_int_equal(stage_size(s), 0);
    stage_free(s);
    scratch_remove(&d);
}

/* The limit on a file's size stands in for a full disk: both end a write in the middle. */
static void a_write_that_does_not_fit_changes_nothing(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    struct rlimit old, low = {8192, RLIM_INFINITY};
    char big[8192];
    memset(big, 'b', sizeof(big));
    scratch_make(&d);
    struct stage *s = open_stage(d.path, 20, 0);
    put(s, 2, "old");
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    low.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &low);
    assert_int_equal(stage_write(s, 1, big, sizeof(big), &e), ERR_TOO_BIG);
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    assert_int_equal(stage_write(s, 1, big, sizeof(big), &e), ERR_TOO_BIG);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(stage_thaw(s, &e), ERR_OK);
    assert_int_equal(stage_size(s), 20);
    assert_int_equal(stage_local_bytes(s), 3);
    assert_int_equal(stage_fill(s, 0, "01234567890123456789", 20, &e), ERR_OK);
    expect(s, false, "01old567890123456789", 20);
    stage_free(s);
    scratch_remove(&d);
}

/* What cannot be merged is still read, and merged when there is room again. */
static void a_thaw_without_space_loses_nothing(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    struct rlimit old, low = {4, RLIM_INFINITY};
    scratch_make(&d);
    struct stage *s = open_stage(d.path, 0, 0);
    put(s, 0, "0123");
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    put(s, 2, "abcdef");
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    low.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &low);
    assert_int_equal(stage_thaw(s, &e), ERR_OK);
    expect(s, false, "01abcdef", 8);
    assert_int_equal(stage_freeze(s, &e), ERR_TOO_BIG);
    expect(s, false, "01abcdef", 8);
    setrlimit(RLIMIT_FSIZE, &old);
    put(s, 3, "X");
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    expect(s, true, "01aXcdef", 8);
    stage_free(s);
    scratch_remove(&d);
}

static void what_is_in_memory_is_not_left_anywhere(void **state)
{
    struct err e = ERR_INIT;
    char path[64] = "unchanged";
    struct stage *s = open_stage(NULL, 0, 100);
    put(s, 0, "secret");
    assert_int_equal(stage_abandon(s, &(struct stage_about){.key = "k", .reason = "403"}, path, sizeof(path), &e), ERR_UNSUPPORTED);
    assert_string_equal(path, "unchanged");
}

static void a_directory_that_is_not_there_is_no_absence(void **state)
{
    struct err e = ERR_INIT;
    assert_null(stage_new("/nonexistent/dir", 0, 0, &e));
    assert_int_equal(e.code, ERR_IO);
}

#define APPENDERS 4
#define APPENDS   200

static void *append_many(void *arg)
{
    struct err e = ERR_INIT;
    uint64_t at;
    for (int i = 0; i < APPENDS; i++)
        if (stage_append(arg, "0123456789", 10, &at, &e) != ERR_OK || at % 10 != 0)
            return arg;
    return NULL;
}

static void appends_and_freezes_run_in_parallel(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    pthread_t threads[APPENDERS];
    scratch_make(&d);
    struct stage *s = open_stage(d.path, 0, 0);
    for (int i = 0; i < APPENDERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, append_many, s), 0);
    for (int i = 0; i < 50; i++) {
        uint64_t len;
        assert_int_equal(stage_freeze(s, &e), ERR_OK);
        assert_int_equal(stage_frozen_size(s) % 10, 0);
        (void)stage_extent_at(s, 5, false, &len);
        assert_int_equal(stage_thaw(s, &e), ERR_OK);
    }
    for (int i = 0; i < APPENDERS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(stage_size(s), APPENDERS * APPENDS * 10);
    for (uint64_t at = 0; at < stage_size(s); at += 10) {
        char got[10];
        size_t n;
        assert_int_equal(stage_read(s, at, got, 10, false, &n, &e), ERR_OK);
        assert_memory_equal(got, "0123456789", 10);
    }
    stage_free(s);
    scratch_remove(&d);
}

static bool watch(struct stage *s, uint64_t start, uint64_t len)
{
    struct err e = ERR_INIT;
    return stage_watch(s, start, len, &e) == ERR_OK;
}

static void a_range_that_is_watched_is_touched_by_every_change_of_it_and_no_other(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    scratch_make(&d);
    struct stage *s = stage_new(d.path, 0, 0, &e);
    assert_int_equal(stage_write(s, 0, "0123456789abcdefghij", 20, &e), ERR_OK);
    assert_true(watch(s, 0, 5) && watch(s, 5, 5) && watch(s, 10, 5));
    assert_true(stage_touched(s, 1, false)); /* none begins there */
    assert_int_equal(stage_write(s, 15, "x", 1, &e), ERR_OK);
    assert_false(stage_touched(s, 0, false) || stage_touched(s, 5, false) || stage_touched(s, 10, false));
    assert_int_equal(stage_write(s, 4, "x", 1, &e), ERR_OK);
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    assert_int_equal(stage_zero(s, 9, 1, false, &e), ERR_OK);
    assert_true(stage_touched(s, 0, true) && !stage_touched(s, 5, true));
    assert_true(stage_touched(s, 5, false) && !stage_touched(s, 10, false));
    assert_int_equal(stage_thaw(s, &e), ERR_OK);
    assert_int_equal(stage_truncate(s, 14, &e), ERR_OK);
    assert_true(stage_touched(s, 10, false));
    stage_unwatch(s);
    assert_true(stage_touched(s, 0, false));
    stage_free(s);
    scratch_remove(&d);
}

static void bytes_written_in_order_have_their_sum_until_others_are_there(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    uint64_t crc, step = 8 << 20, piece = 1 << 20;
    CLEANUP(free) char *p = malloc(20 << 20);
    scratch_make(&d);
    CLEANUP(stage_free) struct stage *s = open_stage(d.path, 0, 0);
    for (size_t i = 0; i < 20 << 20; i++)
        p[i] = (char)(i * 7 + i / 4099);
    for (uint64_t at = 0; at < 20 << 20; at += piece)
        assert_int_equal(stage_write(s, at, p + at, piece, &e), ERR_OK);
    assert_true(stage_crc(s, 0, 20 << 20, false, &crc) && crc == crc64nvme(0, p, 20 << 20));
    assert_true(stage_crc(s, step, step, false, &crc) && crc == crc64nvme(0, p + step, step));
    assert_true(stage_crc(s, 2 * step, 4 << 20, false, &crc) && crc == crc64nvme(0, p + 2 * step, 4 << 20));
    assert_false(stage_crc(s, 1, step, false, &crc));
    assert_false(stage_crc(s, 2 * step, step, false, &crc));

    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    put(s, step + 5, "another");
    assert_true(stage_crc(s, 0, 20 << 20, true, &crc) && crc == crc64nvme(0, p, 20 << 20));
    assert_int_equal(stage_thaw(s, &e), ERR_OK);
    assert_true(stage_crc(s, 0, step, false, &crc));
    assert_false(stage_crc(s, step, step, false, &crc));
    scratch_remove(&d);
}

static void what_was_sent_away_is_busy_until_it_comes_back(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    char got[20];
    size_t n;
    uint64_t len;
    scratch_make(&d);
    struct stage *s = stage_new(d.path, 0, 0, &e);
    assert_int_equal(stage_write(s, 0, "0123456789abcdefghij", 20, &e), ERR_OK);
    assert_true(watch(s, 0, 5) && watch(s, 5, 5));
    assert_int_equal(stage_write(s, 7, "x", 1, &e), ERR_OK);
    assert_false(stage_send_away(s, 5));
    assert_false(stage_is_away(s));
    assert_true(stage_send_away(s, 0));
    assert_true(stage_is_away(s));
    assert_int_equal(stage_extent_at(s, 0, false, &len), STAGE_SENT);
    assert_int_equal(stage_local_bytes(s), 15);
    assert_int_equal(stage_read(s, 4, got, 3, false, &n, &e), ERR_BUSY);
    assert_int_equal(stage_read(s, 5, got, 3, false, &n, &e), ERR_OK);
    assert_int_equal(stage_write(s, 4, "yz", 2, &e), ERR_BUSY);
    assert_int_equal(stage_zero(s, 4, 2, false, &e), ERR_BUSY);
    assert_int_equal(stage_truncate(s, 3, &e), ERR_BUSY);
    assert_int_equal(stage_truncate(s, 18, &e), ERR_OK);
    stage_come_back(s);
    assert_false(stage_is_away(s));
    assert_int_equal(stage_extent_at(s, 0, false, &len), STAGE_BASE);
    assert_int_equal(len, 5);
    assert_int_equal(stage_write(s, 4, "yz", 2, &e), ERR_OK);
    stage_free(s);
    scratch_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_is_private_and_gone_when_it_is_freed),
        cmocka_unit_test(what_is_frozen_stays_while_others_write),
        cmocka_unit_test(base_bytes_never_replace_what_was_written),
        cmocka_unit_test(a_stage_in_memory_keeps_its_limit),
        cmocka_unit_test(offsets_beyond_what_a_file_can_have_are_refused),
        cmocka_unit_test(a_write_that_does_not_fit_changes_nothing),
        cmocka_unit_test(a_thaw_without_space_loses_nothing),
        cmocka_unit_test(a_range_that_is_watched_is_touched_by_every_change_of_it_and_no_other),
        cmocka_unit_test(bytes_written_in_order_have_their_sum_until_others_are_there),
        cmocka_unit_test(what_was_sent_away_is_busy_until_it_comes_back),
        cmocka_unit_test(what_is_in_memory_is_not_left_anywhere),
        cmocka_unit_test(a_directory_that_is_not_there_is_no_absence),
        cmocka_unit_test(appends_and_freezes_run_in_parallel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
