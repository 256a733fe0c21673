/* A journal that was not told of everything: ends without room, ends that were lost, damage; and who relies on what it has. */
#include "support.h"

#include "journal/record.h"
#include "journal/wal.h"
#include "util/buf.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "writeback/inside.h"

#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char *large(size_t len, char c)
{
    char *p = malloc(len + 1);
    memset(p, c, len);
    p[len] = 0;
    return p;
}

/* ---- Journals as a crash between two records leaves them */

static enum err_code nothing(void *arg, uint64_t number, const void *p, size_t len, struct err *e)
{
    return ERR_OK;
}

static void journal_write(struct fixture *f, const struct record *records, size_t n)
{
    struct err e = ERR_INIT;
    uint64_t number;
    const struct wal_config c = {.dir = f->dir, .identity = "test"};
    struct wal *w = wal_open(&c, nothing, NULL, &e);
    assert_non_null(w);
    for (size_t k = 0; k < n; k++) {
        BUF(bytes, WAL_RECORD_MAX);
        assert_int_equal(record_encode(&records[k], &bytes, &e), ERR_OK);
        assert_int_equal(wal_append(w, bytes.data, bytes.len, &number, &e), ERR_OK);
        assert_int_equal(number, k + 1);
    }
    wal_free(w);
}

static struct record a_put(const char *key, const char *text, enum record_cond_kind cond, const char *etag)
{
    return (struct record){.kind = RECORD_PUT, .when = {.tv_sec = 1}, .key = key, .body = text, .size = strlen(text), .cond = cond, .cond_etag = etag};
}

static void make_empty(struct fixture *f)
{
    fixture_make(f);
    fixture_close(f);
    char command[160];
    (void)snprintf(command, sizeof(command), "rm -f %s/*.wal %s/*.free", f->dir, f->dir);
    assert_int_equal(system(command), 0);
}

static void an_end_tells_of_those_before_it(void **state)
{
    struct fixture f = {0};
    make_empty(&f);
    struct store_version now = put_ok(f.inner, "k", "new", NULL);
    const struct record records[] = {
        a_put("k", "old", RECORD_ALWAYS, NULL),
        a_put("k", "new", RECORD_ALWAYS, NULL),
        {.kind = RECORD_DONE, .of = 2, .how = RECORD_SENT, .version_etag = now.etag, .version_size = now.size},
    };
    journal_write(&f, records, 3);
    fixture_open(&f);
    drain_ok(&f);
    assert_text(f.inner, "k", "new");
    assert_int_equal(sent(&f, MEM_PUT), 1);
    fixture_remove(&f);
}

static void what_took_the_place_of_another_is_told_by_its_condition(void **state)
{
    struct fixture f = {0};
    make_empty(&f);
    struct store_version was = put_ok(f.inner, "changed", "0", NULL), gone = put_ok(f.inner, "gone", "0", NULL);
    const struct record records[] = {
        a_put("new", "one", RECORD_IF_ABSENT, NULL),
        a_put("new", "two", RECORD_IF_ABSENT, NULL),
        a_put("changed", "one", RECORD_IF_MATCH, was.etag),
        a_put("changed", "two", RECORD_IF_MATCH, was.etag),
        a_put("gone", "one", RECORD_IF_MATCH, gone.etag),
        {.kind = RECORD_REMOVE, .when = {.tv_sec = 1}, .key = "gone", .etag = gone.etag},
    };
    journal_write(&f, records, 6);
    fixture_open(&f);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "changed new");
    assert_text(f.inner, "new", "two");
    assert_text(f.inner, "changed", "two");
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    fixture_remove(&f);
}

/* ---- No room */

static size_t files(struct fixture *f, const char *pattern)
{
    char path[160];
    glob_t found;
    (void)snprintf(path, sizeof(path), "%s/%s", f->dir, pattern);
    size_t n = glob(path, 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    globfree(&found);
    return n;
}

static void let_files_be(rlim_t bytes)
{
    const struct rlimit limit = {bytes, RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void ends_without_room_are_told_when_there_is_room(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct writeback_stats stats;
    CLEANUP(free) char *big = large(200000, 'b');
    fixture_make(&f);
    put_ok(f.s, "small", "x", NULL);
    put_ok(f.s, "large", big, NULL);
    let_files_be(4096);
    drain_ok(&f);
    usleep(700000); /* what is needed no more goes after half a second: not this, who is killed now has to find it */
    assert_int_equal(files(&f, WRITEBACK_BODIES "/*"), 1);
    let_files_be(RLIM_INFINITY);
    fixture_close(&f);
    fixture_open(&f);
    writeback_stats(f.w, &stats);
    assert_int_equal(stats.recovered, 0);
    fixture_remove(&f);
}

static void a_removal_that_the_journal_has_no_room_for_fails(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    struct store_version v = put_ok(f.s, "k", "text", "");
    let_files_be(4096);
    enum err_code code = unlink_object(f.s, "k", v.etag);
    let_files_be(RLIM_INFINITY);
    assert_int_not_equal(code, ERR_OK);
    assert_text(f.s, "k", "text");
    assert_int_equal(unlink_object(f.s, "k", v.etag), ERR_OK);
    fixture_close(&f);
    fixture_open(&f);
    assert_text(f.s, "k", NULL);
    fixture_remove(&f);
}

/* ---- Damage */

static void flip(struct fixture *f, const char *text)
{
    char command[400];
    (void)snprintf(command, sizeof(command), "cd %s && for x in *.wal; do LC_ALL=C sed -i 's/%s/DAMAGED/' $x; done", f->dir, text);
    assert_int_equal(system(command), 0);
}

static void a_body_whose_record_is_damaged_is_kept(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    CLEANUP(free) char *big = large(200000, 'b');
    fixture_make(&f);
    put_ok(f.s, "precious", big, "");
    put_ok(f.s, "small", "x", "");
    put_ok(f.s, "another", "y", "");
    fixture_close(&f);
    flip(&f, "preciou");
    fixture_open(&f);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "another small");
    fixture_close(&f);
    assert_int_equal(files(&f, WRITEBACK_BODIES "/*"), 0);
    char command[200];
    (void)snprintf(command, sizeof(command), "test $(cat %s/*.damaged | tr -cd b | wc -c) -ge 200000", f.dir);
    assert_int_equal(system(command), 0);
    fixture_remove(&f);
}

static void a_body_that_was_cut_off_is_kept(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    CLEANUP(free) char *big = large(200000, 'b');
    char command[160];
    fixture_make(&f);
    put_ok(f.s, "large", big, "");
    fixture_close(&f);
    (void)snprintf(command, sizeof(command), "truncate -s 100000 %s/" WRITEBACK_BODIES "/*", f.dir);
    assert_int_equal(system(command), 0);
    fixture_open(&f);
    drain_ok(&f);
    fixture_close(&f);
    assert_int_equal(files(&f, "*.damaged"), 1);
    fixture_remove(&f);
}

/* ---- Who waits */

static void *drain(void *arg)
{
    struct err e = ERR_INIT;
    assert_int_equal(writeback_drain(arg, false, NULL, NULL, NULL, &e), ERR_OK);
    return NULL;
}

/* What takes the place of another has a higher number: the wait for the first would be over with nothing sent. */
static void a_flush_is_not_over_because_a_file_is_written_again(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct writeback_stats stats;
    pthread_t thread;
    char key[16];
    fixture_make(&f);
    mem_store_hold(f.mem, MEM_PUT, NULL);
    for (int k = 0; k < 32; k++) {
        (void)snprintf(key, sizeof(key), "k%d", k);
        put_ok(f.s, key, "x", "");
    }
    struct store_version v = put_ok(f.s, "last", "one", "");
    assert_int_equal(pthread_create(&thread, NULL, drain, f.w), 0);
    assert_true(mem_store_wait_held(f.mem, MEM_PUT, 32, 60000));
    put_ok(f.s, "last", "two", v.etag);
    writeback_stats(f.w, &stats);
    assert_int_equal(stats.merged, 0);
    mem_store_unhold(f.mem, MEM_PUT);
    pthread_join(thread, NULL);
    drain_ok(&f);
    assert_text(f.inner, "last", "two");
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    put_ok(f.s, "last", "three", NULL);
    put_ok(f.s, "last", "four", NULL);
    writeback_stats(f.w, &stats);
    assert_int_equal(stats.merged, 1);
    fixture_remove(&f);
}

static enum err_code is_durable(void *arg, const struct mem_event *ev, struct err *e)
{
    struct writeback *w = arg;
    if (ev->op != MEM_PUT || ev->phase != MEM_BEFORE || ev->size < 10)
        return ERR_OK;
    LOCK_SCOPE(&w->lock);
    return w->durable == w->appended ? ERR_OK : err_set(e, ERR_IO, "after a power loss the next mount would put the older one over it");
}

/* Too large for the journal, so its condition and its place are not in there. */
static void what_goes_past_the_journal_waits_until_it_knows_of_what_went_before(void **state)
{
    struct fixture f = {.dirty_limit = 8};
    fixture_make(&f);
    for (int k = 0; k < 5; k++) {
        put_ok(f.s, "k", "small", NULL);
        drain_ok(&f);
        mem_store_set_hook(f.mem, (struct mem_hook){is_durable, f.w});
        put_ok(f.s, "k", "too large for it", NULL);
        mend_calls(&f);
    }
    assert_text(f.s, "k", "too large for it");
    fixture_remove(&f);
}

/* ---- Refusals */

static atomic_uint n_refused;

static enum err_code refuse(void *arg, const struct mem_event *ev, struct err *e)
{
    if (ev->op != MEM_PUT || ev->phase != MEM_BEFORE || strncmp(ev->key, "forbidden", 9) != 0)
        return ERR_OK;
    atomic_fetch_add(&n_refused, 1);
    return err_set(e, ERR_ACCESS, "a fault of the test");
}

static bool is_there(struct fixture *f, const char *key)
{
    struct err e = ERR_INIT;
    struct store_object o = {0};
    enum err_code code = store_stat(f->inner, key, NULL, &o, &e);
    store_object_release(&o);
    return code == ERR_OK;
}

static void a_part_of_the_bucket_that_is_refused_does_not_hold_up_the_rest(void **state)
{
    struct fixture f = {0};
    char key[32];
    fixture_make(&f);
    atomic_store(&n_refused, 0);
    mem_store_set_hook(f.mem, (struct mem_hook){refuse, NULL});
    for (int k = 0; k < 200; k++) {
        (void)snprintf(key, sizeof(key), "forbidden/%d", k);
        put_ok(f.s, key, "x", "");
    }
    put_ok(f.s, "granted", "y", "");
    for (int ms = 0; ms < 30000 && !is_there(&f, "granted"); ms += 10)
        usleep(10000);
    assert_true(is_there(&f, "granted"));
    assert_true(atomic_load(&n_refused) < 100);
    fixture_remove(&f);
}

static void what_fails_at_once_counts_once(void **state)
{
    struct fixture f = {0};
    char key[32];
    fixture_make(&f);
    mem_store_hold(f.mem, MEM_PUT, NULL);
    for (int k = 0; k < 32; k++) {
        (void)snprintf(key, sizeof(key), "k%d", k);
        put_ok(f.s, key, "x", "");
    }
    assert_true(mem_store_wait_held(f.mem, MEM_PUT, 32, 60000));
    break_calls(&f, MEM_PUT, ERR_NET, true);
    mem_store_unhold(f.mem, MEM_PUT);
    while (failed_calls() < 32)
        usleep(1000);
    mend_calls(&f);
    lock_take(&f.w->lock);
    unsigned failures = f.w->failures;
    lock_drop(&f.w->lock);
    assert_true(failures < 8); /* 32 would be a pause of a minute */
    drain_ok(&f);
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    fixture_remove(&f);
}

/* ---- Versions of one name */

/* The store calls what was put, and what attributes made of it, by different names; here both have been told by one. */
static void a_change_of_attributes_does_not_hide_which_version_is_meant(void **state)
{
    struct fixture f = {0};
    struct err e = ERR_INIT;
    CLEANUP(free) char *big = large(200000, 'b');
    struct store_caps caps;
    mem_default_caps(&caps);
    caps.put_target = 65536; /* by parts: a copy has another ETag */
    const struct mem_options o = {.caps = &caps, .meta_in_get = true};
    fixture_make(&f);
    fixture_close(&f);
    store_free(f.inner);
    f.inner = mem_store_new(&o, &f.mem, &e);
    assert_non_null(f.inner);
    fixture_open(&f);
    mem_store_hold(f.mem, MEM_UPLOAD_FINISH, NULL);
    struct store_version v = put_ok(f.s, "k", big, "");
    assert_true(mem_store_wait_held(f.mem, MEM_UPLOAD_FINISH, 1, 60000));
    assert_int_equal(change_mode(f.s, "k", v.etag, S_IFREG | 0600, &v), ERR_OK);
    put_ok(f.s, "k", "edited", v.etag);
    mem_store_unhold(f.mem, MEM_UPLOAD_FINISH);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "k");
    assert_text(f.inner, "k", "edited");
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_tells_of_those_before_it),
        cmocka_unit_test(what_took_the_place_of_another_is_told_by_its_condition),
        cmocka_unit_test(ends_without_room_are_told_when_there_is_room),
        cmocka_unit_test(a_removal_that_the_journal_has_no_room_for_fails),
        cmocka_unit_test(a_body_whose_record_is_damaged_is_kept),
        cmocka_unit_test(a_body_that_was_cut_off_is_kept),
        cmocka_unit_test(a_flush_is_not_over_because_a_file_is_written_again),
        cmocka_unit_test(what_goes_past_the_journal_waits_until_it_knows_of_what_went_before),
        cmocka_unit_test(a_part_of_the_bucket_that_is_refused_does_not_hold_up_the_rest),
        cmocka_unit_test(what_fails_at_once_counts_once),
        cmocka_unit_test(a_change_of_attributes_does_not_hide_which_version_is_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
