/* Bytes whose writer goes on before the disk has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/left.h"
#include "journal/stage.h"
#include "scratch.h"
#include "util/digest.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LEN 300000

static char bytes[2 * LEN];

static struct stage *begun(struct scratch *d)
{
    struct err e = ERR_INIT;
    uint64_t at = 0;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(1 + i % 251);
    scratch_make(d);
    struct stage *s = stage_new(d->path, 0, 0, &e);
    assert_non_null(s);
    assert_true(stage_arrive(s, LEN, true, &at));
    assert_int_equal(at, 0);
    assert_int_equal(stage_size(s), LEN);
    return s;
}

/* ---- Others meanwhile */

static void reads(struct stage *s)
{
    char *got = malloc(LEN);
    size_t n = 0;
    assert_int_equal(stage_read(s, 0, got, LEN, false, &n, NULL), ERR_OK);
    assert_true(n == LEN && memcmp(got, bytes, LEN) == 0);
    free(got);
}

static void reads_to_send(struct stage *s)
{
    char got[1000];
    size_t n = 0;
    assert_int_equal(stage_read_sending(s, LEN - 1000, got, 1000, false, &n, NULL), ERR_OK);
    assert_true(n == 1000 && memcmp(got, bytes + LEN - 1000, 1000) == 0);
}

static void freezes(struct stage *s)
{
    char got[1000];
    uint64_t crc = 0;
    size_t n = 0;
    assert_int_equal(stage_freeze(s, NULL), ERR_OK);
    assert_true(stage_crc(s, 0, LEN, true, &crc) && crc == crc64nvme(0, bytes, LEN));
    assert_int_equal(stage_read_sending(s, 0, got, 1000, true, &n, NULL), ERR_OK);
    assert_true(n == 1000 && memcmp(got, bytes, 1000) == 0);
    assert_int_equal(stage_thaw(s, NULL), ERR_OK);
}

static void appends(struct stage *s)
{
    uint64_t at = 0;
    assert_int_equal(stage_append(s, bytes + LEN, LEN, &at, NULL), ERR_OK);
    assert_int_equal(at, LEN);
}

static void appends_late(struct stage *s)
{
    uint64_t at = 0;
    assert_true(stage_arrive(s, LEN, true, &at));
    assert_int_equal(at, LEN);
    assert_int_equal(stage_arrived(s, bytes + LEN, NULL), ERR_OK);
}

static void overwrites(struct stage *s)
{
    assert_int_equal(stage_write(s, 5, bytes + 5, 100, NULL), ERR_OK);
}

static void lends(struct stage *s)
{
    assert_int_equal(stage_freeze(s, NULL), ERR_OK);
    int dir = open("/tmp", O_RDONLY | O_DIRECTORY);
    char name[64];
    (void)snprintf(name, sizeof(name), "awsfs-lent-%d", getpid());
    enum err_code code = stage_lend(s, dir, name, NULL);
    unlinkat(dir, name, 0);
    close(dir);
    assert_true(code == ERR_OK || code == ERR_IO); /* IO: another file system */
    assert_int_equal(stage_thaw(s, NULL), ERR_OK);
}

struct other {
    struct stage *s;
    void (*does)(struct stage *s);
};

static void *run(void *arg)
{
    const struct other *o = arg;
    o->does(o->s);
    return NULL;
}

static void who_wants_the_bytes_waits_for_them(void **state)
{
    void (*const all[])(struct stage *s) = {reads, reads_to_send, freezes, appends, appends_late, overwrites, lends};
    for (size_t i = 0; i < 3 * ARRAY_LEN(all); i++) {
        struct scratch d;
        struct err e = ERR_INIT;
        struct other o = {.does = all[i % ARRAY_LEN(all)]};
        pthread_t thread;
        o.s = begun(&d);
        assert_int_equal(pthread_create(&thread, NULL, run, &o), 0);
        for (size_t k = 0; k < i; k++)
            sched_yield();
        assert_int_equal(stage_arrived(o.s, bytes, &e), ERR_OK);
        pthread_join(thread, NULL);
        reads(o.s);
        stage_free(o.s);
        scratch_remove(&d);
    }
}

/* ---- A disk that does not take them */

static enum err_code try_on_a_full_disk(struct stage *s, struct err *e)
{
    const struct rlimit none = {1000, RLIM_INFINITY};
    struct rlimit before;
    signal(SIGXFSZ, SIG_IGN);
    assert_true(getrlimit(RLIMIT_FSIZE, &before) == 0 && setrlimit(RLIMIT_FSIZE, &none) == 0);
    enum err_code code = stage_arrived(s, bytes, e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    return code;
}

static enum err_code arrive_on_a_full_disk(struct stage *s, struct err *e)
{
    enum err_code code = try_on_a_full_disk(s, e);
    stage_lose(s, e);
    return code;
}

static void what_the_disk_did_not_take_is_the_error_of_all_that_follows(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    char got[100];
    size_t n;
    uint64_t at = LEN, len;
    struct stage *s = begun(&d);
    assert_int_not_equal(arrive_on_a_full_disk(s, &e), ERR_OK);
    enum err_code why = e.code;
    assert_int_equal(stage_check_whole(s, &e), why);
    assert_int_equal(stage_size(s), LEN);
    assert_int_equal(stage_extent_at(s, 0, false, &len), STAGE_HELD);
    assert_int_equal(stage_read(s, 0, got, sizeof(got), false, &n, &e), ERR_IO);
    assert_int_equal(stage_read_sending(s, 0, got, sizeof(got), false, &n, &e), ERR_IO);
    assert_false(stage_crc(s, 0, LEN, false, &at));
    at = LEN;
    assert_false(stage_arrive(s, LEN, false, &at));
    assert_int_equal(stage_write(s, LEN, "x", 1, &e), why);
    assert_int_equal(stage_freeze(s, &e), why);
    assert_int_equal(stage_truncate(s, 0, &e), ERR_OK);
    assert_int_equal(stage_check_whole(s, &e), ERR_OK);
    assert_int_equal(stage_write(s, 0, "new", 3, &e), ERR_OK);
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    stage_free(s);
    scratch_remove(&d);
}

static void a_disk_that_takes_them_later_has_them(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    char got[100];
    size_t n;
    uint64_t at = LEN, len;
    struct stage *s = begun(&d);
    assert_int_equal(stage_arrived(s, bytes, &e), ERR_OK);
    assert_int_equal(stage_watch(s, 0, LEN, &e), ERR_OK);
    assert_true(stage_arrive(s, LEN, false, &at));
    assert_int_equal(stage_watch(s, LEN, LEN, &e), ERR_OK);
    assert_int_not_equal(try_on_a_full_disk(s, &e), ERR_OK);
    assert_false(stage_send_away(s, LEN)); /* these arrive */
    assert_true(stage_send_away(s, 0));    /* waits for nothing */
    assert_int_equal(stage_arrived(s, bytes + LEN, &e), ERR_OK);
    assert_int_equal(stage_extent_at(s, 0, false, &len), STAGE_SENT);
    assert_int_equal(stage_read(s, LEN, got, sizeof(got), false, &n, &e), ERR_OK);
    assert_true(n == sizeof(got) && memcmp(got, bytes + LEN, n) == 0);
    stage_free(s);
    scratch_remove(&d);
}

static void note_missing(void *arg, const struct left_file *file)
{
    *(bool *)arg = file->n_unfetched == 1 && file->unfetched[0].offset == 0 && file->unfetched[0].length == LEN &&
                   file->about.origin == STAGE_OF_UNKNOWN; /* else the version's bytes would be taken for them */
}

static void what_the_disk_did_not_take_is_missing_in_what_is_left(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    const struct stage_about about = {.key = "k", .reason = "the disk", .origin = STAGE_OF_VERSION, .etag = "e"};
    char path[256];
    bool missing = false;
    struct stage *s = begun(&d);
    assert_int_not_equal(arrive_on_a_full_disk(s, &e), ERR_OK);
    assert_int_equal(stage_abandon(s, &about, path, sizeof(path), &e), ERR_OK);
    left_each(d.path, note_missing, &missing);
    assert_true(missing);
    scratch_remove(&d);
}

/* ---- Where it is not done */

static void only_what_is_behind_all_that_is_there_arrives_so(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    uint64_t at;
    struct stage *s = begun(&d);
    assert_int_equal(stage_arrived(s, bytes, &e), ERR_OK);
    for (at = 0; at < 3 * LEN; at += LEN / 2) {
        uint64_t wanted = at;
        if (at != LEN)
            assert_false(stage_arrive(s, 10, false, &wanted));
    }
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    assert_false(stage_arrive(s, 10, true, &at));
    assert_int_equal(stage_thaw(s, &e), ERR_OK);
    assert_false(stage_arrive(s, 0, true, &at));
    assert_int_equal(stage_size(s), LEN);
    assert_true(stage_arrive(s, 10, true, &at));
    assert_int_equal(stage_arrived(s, "0123456789", &e), ERR_OK);
    assert_int_equal(stage_size(s), LEN + 10);
    stage_free(s);
    scratch_remove(&d);

    s = stage_new(NULL, 0, 1000, &e);
    assert_false(stage_arrive(s, 10, true, &at));
    stage_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_wants_the_bytes_waits_for_them),
        cmocka_unit_test(what_the_disk_did_not_take_is_the_error_of_all_that_follows),
        cmocka_unit_test(a_disk_that_takes_them_later_has_them),
        cmocka_unit_test(what_the_disk_did_not_take_is_missing_in_what_is_left),
        cmocka_unit_test(only_what_is_behind_all_that_is_there_arrives_so),
    };
    return cmocka_run_group_tests_name("stage_arrive", tests, NULL, NULL);
}
