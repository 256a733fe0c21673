/* What is journaled, merged, sent in which order, and shown meanwhile. */
#include "support.h"

#include "util/cancel.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nothing is sent until it is unheld. */
static void hold_all(struct fixture *f)
{
    static const enum mem_op ops[] = {MEM_PUT, MEM_COPY, MEM_REMOVE, MEM_REMOVE_MANY};
    for (size_t k = 0; k < 4; k++)
        mem_store_hold(f->mem, ops[k], NULL);
}

static void unhold_all(struct fixture *f)
{
    static const enum mem_op ops[] = {MEM_PUT, MEM_COPY, MEM_REMOVE, MEM_REMOVE_MANY};
    for (size_t k = 0; k < 4; k++)
        mem_store_unhold(f->mem, ops[k]);
}

static unsigned changes(struct fixture *f)
{
    return sent(f, MEM_PUT) + sent(f, MEM_COPY) + sent(f, MEM_REMOVE) + sent(f, MEM_REMOVE_MANY);
}

/* ---- Merging: the lingering is long, so that nothing begins before the drain */

static void what_is_not_begun_merges(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    /* put, put */
    struct store_version v = put_ok(f.s, "twice", "1", "");
    v = put_ok(f.s, "twice", "22", v.etag);
    /* put, attributes */
    v = put_ok(f.s, "mode", "m", "");
    assert_int_equal(change_mode(f.s, "mode", v.etag, S_IFREG | 0600, &v), ERR_OK);
    /* put, rename, rename */
    v = put_ok(f.s, "tmp", "new", "");
    assert_int_equal(rename_object(f.s, "tmp", v.etag, "mid", "", &v), ERR_OK);
    assert_int_equal(rename_object(f.s, "mid", v.etag, "final", "", &v), ERR_OK);
    /* put, remove */
    v = put_ok(f.s, "gone", "x", "");
    assert_int_equal(unlink_object(f.s, "gone", v.etag), ERR_OK);
    assert_int_equal(changes(&f), 0);
    assert_listing(f.s, "", false, "final mode twice");
    assert_text(f.s, "final", "new");
    assert_text(f.s, "tmp", NULL);
    drain_ok(&f);
    assert_int_equal(sent(&f, MEM_PUT), 3);
    assert_int_equal(changes(&f), 3);
    assert_listing(f.inner, "", false, "final mode twice");
    assert_text(f.inner, "twice", "22");
    assert_text(f.inner, "final", "new");
    struct store_object o;
    struct err e = ERR_INIT;
    assert_int_equal(store_stat(f.inner, "mode", NULL, &o, &e), ERR_OK);
    assert_int_equal(o.meta->mode & 07777, 0600);
    store_object_release(&o);
    fixture_remove(&f);
}

static void a_save_over_a_file_that_is_unsent_is_one_put(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    struct store_version old = put_ok(f.inner, "doc", "old", NULL);
    struct store_version v = put_ok(f.s, "doc", "edited", old.etag), tmp = put_ok(f.s, ".tmp", "saved", "");
    assert_int_equal(rename_object(f.s, ".tmp", tmp.etag, "doc", v.etag, &v), ERR_OK);
    assert_listing(f.s, "", false, "doc");
    unsigned before = changes(&f);
    drain_ok(&f);
    assert_int_equal(changes(&f) - before, 1);
    assert_text(f.inner, "doc", "saved");
    fixture_remove(&f);
}

static void a_removal_replaces_a_change(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    struct store_version old = put_ok(f.inner, "doc", "old", NULL), v = put_ok(f.s, "doc", "new", old.etag);
    unsigned before = changes(&f);
    assert_int_equal(unlink_object(f.s, "doc", v.etag), ERR_OK);
    assert_text(f.s, "doc", NULL);
    assert_text(f.inner, "doc", "old");
    drain_ok(&f);
    assert_int_equal(changes(&f) - before, 1);
    assert_text(f.inner, "doc", NULL);
    fixture_remove(&f);
}

static void what_a_copy_still_reads_is_not_merged_away(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    struct store_version old = put_ok(f.inner, "a", "old", NULL), v = put_ok(f.s, "a", "one", old.etag), c, w;
    assert_int_equal(copy(f.s, "a", v.etag, "b", "", &c), ERR_OK);
    w = put_ok(f.s, "a", "two", v.etag);
    assert_int_equal(copy(f.s, "a", w.etag, "c", "", &c), ERR_OK);
    assert_int_equal(unlink_object(f.s, "a", w.etag), ERR_OK);
    assert_text(f.s, "b", "one");
    assert_text(f.s, "c", "two");
    drain_ok(&f);
    assert_text(f.inner, "b", "one");
    assert_text(f.inner, "c", "two");
    assert_text(f.inner, "a", NULL);
    fixture_remove(&f);
}

/* ---- Order */

static void a_source_is_removed_after_it_was_copied(void **state)
{
    struct fixture f = {0};
    fixture_make(&f);
    struct store_version v = put_ok(f.inner, "a", "text", NULL), c;
    mem_store_hold(f.mem, MEM_COPY, "a");
    assert_int_equal(rename_object(f.s, "a", v.etag, "b", "", &c), ERR_OK);
    assert_true(mem_store_wait_held(f.mem, MEM_COPY, 1, 60000));
    put_ok(f.s, "other", "x", "");
    while (sent(&f, MEM_PUT) < 2)
        usleep(1000);
    assert_int_equal(sent(&f, MEM_REMOVE), 0);
    assert_text(f.s, "b", "text");
    assert_text(f.s, "a", NULL);
    assert_listing(f.s, "", false, "b other");
    mem_store_unhold(f.mem, MEM_COPY);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "b other");
    fixture_remove(&f);
}

static void operations_of_a_path_go_one_by_one_and_others_beside_them(void **state)
{
    struct fixture f = {0};
    fixture_make(&f);
    mem_store_hold(f.mem, MEM_PUT, "slow");
    struct store_version v = put_ok(f.s, "slow", "1", "");
    assert_true(mem_store_wait_held(f.mem, MEM_PUT, 1, 60000));
    v = put_ok(f.s, "slow", "2", v.etag);
    assert_int_equal(unlink_object(f.s, "slow", v.etag), ERR_OK);
    v = put_ok(f.s, "slow", "3", "");
    put_ok(f.s, "quick", "q", "");
    while (sent(&f, MEM_PUT) < 2)
        usleep(1000);
    assert_int_equal(mem_store_held(f.mem, MEM_PUT), 1);
    assert_text(f.s, "slow", "3");
    mem_store_unhold(f.mem, MEM_PUT);
    drain_ok(&f);
    assert_text(f.inner, "slow", "3");
    assert_text(f.inner, "quick", "q");
    fixture_remove(&f);
}

static void removals_go_in_batches(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    char key[32];
    for (int k = 0; k < 1200; k++) {
        (void)snprintf(key, sizeof(key), "d/%04d", k);
        put_ok(f.inner, key, "x", NULL);
    }
    for (int k = 0; k < 1200; k++) {
        (void)snprintf(key, sizeof(key), "d/%04d", k);
        assert_int_equal(unlink_object(f.s, key, NULL), ERR_OK);
    }
    assert_listing(f.s, "d/", true, "");
    assert_listing(f.s, "", true, "");
    drain_ok(&f);
    assert_int_equal(sent(&f, MEM_REMOVE_MANY), 2);
    assert_int_equal(sent(&f, MEM_REMOVE), 0);
    assert_int_equal(mem_store_objects(f.mem), 0);
    fixture_remove(&f);
}

/* ---- Listings */

static void listings_are_as_if_everything_had_been_sent(void **state)
{
    struct fixture f = {0};
    fixture_make(&f);
    static const char *const there[] = {"a", "b/1", "b/2", "c/1", "d", "e/x/1", "e/y", "g"};
    for (size_t k = 0; k < sizeof(there) / sizeof(there[0]); k++)
        put_ok(f.inner, there[k], "x", NULL);
    hold_all(&f);
    put_ok(f.s, "a0", "new", "");
    put_ok(f.s, "f/new", "new", "");
    put_ok(f.s, "c/", "", "");
    put_ok(f.s, "e/x", "beside", "");
    assert_int_equal(unlink_object(f.s, "b/1", NULL), ERR_OK);
    assert_int_equal(unlink_object(f.s, "b/2", NULL), ERR_OK);
    assert_int_equal(unlink_object(f.s, "e/x/1", NULL), ERR_OK);
    assert_int_equal(unlink_object(f.s, "g", NULL), ERR_OK);
    for (unsigned page = 1; page <= 4; page++) {
        mem_store_set_page_size(f.mem, page);
        assert_listing(f.s, "", false, "a a0 c/ c/1 d e/x e/y f/new");
        assert_listing(f.s, "", true, "a a0 c/ d e/ f/");
        assert_listing(f.s, "b/", true, "");
        assert_listing(f.s, "c/", true, "c/ c/1");
        assert_listing(f.s, "e/", true, "e/x e/y");
        assert_listing(f.s, "e/x", true, "e/x");
        assert_listing(f.s, "f", false, "f/new");
    }
    mem_store_set_page_size(f.mem, 1000);
    unhold_all(&f);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "a a0 c/ c/1 d e/x e/y f/new");
    fixture_remove(&f);
}

static void many_that_are_unsent_come_in_pages(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    char key[32];
    for (int k = 0; k < 2500; k++) {
        (void)snprintf(key, sizeof(key), "%05d", k);
        put_ok(f.s, key, "x", "");
    }
    struct err e = ERR_INIT;
    char *token = NULL;
    int n = 0;
    do {
        struct store_page page = {0};
        const struct store_list l = {.prefix = "", .token = token};
        assert_int_equal(store_list(f.s, &l, NULL, &page, &e), ERR_OK);
        assert_true(page.n <= 1000);
        for (size_t k = 0; k < page.n; k++) {
            (void)snprintf(key, sizeof(key), "%05d", n++);
            assert_string_equal(page.entries[k].key, key);
        }
        free(token);
        token = page.next;
        page.next = NULL;
        store_page_release(&page);
    } while (token);
    assert_int_equal(n, 2500);
    fixture_remove(&f);
}

/* A listing that the store answered before a put took effect, and that comes back when the put is done. */
struct late {
    struct fixture *f;
    bool done;
};

static enum err_code put_meanwhile(void *arg, const struct mem_event *ev, struct err *e)
{
    struct late *l = arg;
    if (ev->op != MEM_LIST || ev->phase != MEM_AFTER || l->done)
        return ERR_OK;
    l->done = true;
    mem_store_unhold(l->f->mem, MEM_PUT);
    drain_ok(l->f);
    return ERR_OK;
}

static void a_listing_does_not_miss_what_is_sent_while_it_is_made(void **state)
{
    struct fixture f = {0};
    struct late late = {.f = &f};
    fixture_make(&f);
    mem_store_hold(f.mem, MEM_PUT, NULL);
    put_ok(f.s, "new", "x", "");
    mem_store_set_hook(f.mem, (struct mem_hook){put_meanwhile, &late});
    assert_listing(f.s, "", false, "new");
    assert_true(late.done);
    fixture_remove(&f);
}

/* ---- Limits and durability */

static void what_is_over_the_limit_waits_for_room(void **state)
{
    struct fixture f = {.dirty_limit = 10, .patience_ms = 200};
    fixture_make(&f);
    mem_store_hold(f.mem, MEM_PUT, NULL);
    put_ok(f.s, "a", "12345678", "");
    assert_int_equal(put(f.s, "b", "12345678", "", NULL), ERR_NOSPC);
    mem_store_unhold(f.mem, MEM_PUT);
    put_ok(f.s, "b", "12345678", "");
    put_ok(f.s, "larger than all", "12345678901234567890", "");
    assert_text(f.inner, "larger than all", "12345678901234567890");
    drain_ok(&f);
    assert_text(f.inner, "b", "12345678");
    struct writeback_stats stats;
    writeback_stats(f.w, &stats);
    assert_int_equal(stats.bytes, 0);
    assert_int_equal(stats.operations, 0);
    fixture_remove(&f);
}

static void *put_some(void *arg)
{
    struct fixture *f = arg;
    char key[64];
    for (int k = 0; k < 20; k++) {
        (void)snprintf(key, sizeof(key), "%lx/%d", (unsigned long)pthread_self(), k);
        put_ok(f->s, key, "x", "");
    }
    return NULL;
}

static void writers_share_a_sync(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    pthread_t threads[16];
    struct writeback_stats stats;
    fixture_make(&f);
    for (int k = 0; k < 16; k++)
        assert_int_equal(pthread_create(&threads[k], NULL, put_some, &f), 0);
    for (int k = 0; k < 16; k++)
        pthread_join(threads[k], NULL);
    writeback_stats(f.w, &stats);
    assert_int_equal(stats.operations, 320);
    assert_true(stats.syncs >= 20);
    assert_true(stats.syncs < 320);
    drain_ok(&f);
    assert_int_equal(mem_store_objects(f.mem), 320);
    fixture_remove(&f);
}

static void removals_wait_for_no_disk(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct writeback_stats before, after;
    struct err e = ERR_INIT;
    fixture_make(&f);
    put_ok(f.s, "a", "x", NULL);
    writeback_stats(f.w, &before);
    for (int k = 0; k < 100; k++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "%d", k);
        assert_int_equal(unlink_object(f.s, key, NULL), ERR_OK);
    }
    writeback_stats(f.w, &after);
    assert_true(after.syncs - before.syncs <= 2); /* what the clock asks for */
    assert_int_equal(store_sync(f.s, NULL, &e), ERR_OK);
    fixture_remove(&f);
}

/* ---- Failures */

static void refusals_pause_everything_and_a_drain_says_so(void **state)
{
    struct fixture f = {.patience_ms = 60000};
    struct err e = ERR_INIT;
    char key[16];
    fixture_make(&f);
    break_calls(&f, MEM_OPS, ERR_ACCESS, false);
    for (int k = 0; k < 200; k++) {
        (void)snprintf(key, sizeof(key), "%d", k);
        put_ok(f.s, key, "x", "");
    }
    assert_int_equal(writeback_drain(f.w, false, NULL, NULL, NULL, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "a fault of the test"));
    struct writeback_stats stats;
    writeback_stats(f.w, &stats);
    assert_true(stats.paused);
    assert_true(stats.operations > 190);
    assert_true(failed_calls() < 100);
    mend_calls(&f);
    drain_ok(&f);
    assert_int_equal(mem_store_objects(f.mem), 200);
    fixture_remove(&f);
}

static void one_that_cannot_be_stored_keeps_no_other_from_it(void **state)
{
    struct fixture f = {0};
    struct err e = ERR_INIT;
    fixture_make(&f);
    break_calls(&f, MEM_COPY, ERR_TOO_BIG, false);
    struct store_version v = put_ok(f.inner, "a", "x", NULL), c;
    assert_int_equal(copy(f.s, "a", v.etag, "b", "", &c), ERR_OK);
    put_ok(f.s, "other", "y", "");
    assert_int_equal(writeback_drain(f.w, false, NULL, NULL, NULL, &e), ERR_IO);
    assert_text(f.inner, "other", "y");
    assert_text(f.s, "b", "x");
    mend_calls(&f);
    drain_ok(&f);
    assert_text(f.inner, "b", "x");
    fixture_remove(&f);
}

static void an_interrupted_wait_ends(void **state)
{
    struct fixture f = {0};
    struct err e = ERR_INIT;
    struct cancel *cancel = cancel_new();
    fixture_make(&f);
    mem_store_hold(f.mem, MEM_PUT, NULL);
    put_ok(f.s, "a", "x", "");
    cancel_fire(cancel);
    assert_int_equal(writeback_drain(f.w, true, cancel, NULL, NULL, &e), ERR_CANCELED);
    mem_store_unhold(f.mem, MEM_PUT);
    drain_ok(&f);
    cancel_unref(cancel);
    fixture_remove(&f);
}

/* A store that answers nothing any more: the end would wait for ever. */
static void the_end_cancels_what_is_under_way_and_the_next_mount_sends_it(void **state)
{
    struct fixture f = {0};
    fixture_make(&f);
    struct store_version gone = put_ok(f.inner, "gone", "old", NULL), also = put_ok(f.inner, "also", "old", NULL);
    struct store_version from = put_ok(f.inner, "from", "moved", NULL), v;
    unsigned before = changes(&f);
    hold_all(&f);
    put_ok(f.s, "put", "text", "");
    assert_int_equal(copy(f.s, "from", from.etag, "copy", "", &v), ERR_OK);
    assert_int_equal(unlink_object(f.s, "gone", gone.etag), ERR_OK);
    assert_int_equal(unlink_object(f.s, "also", also.etag), ERR_OK);
    while (sent(&f, MEM_PUT) == 3 || sent(&f, MEM_COPY) == 0 || sent(&f, MEM_REMOVE) + sent(&f, MEM_REMOVE_MANY) == 0)
        usleep(1000);
    assert_true(changes(&f) > before);
    fixture_close(&f);
    assert_listing(f.inner, "", false, "also from gone");
    unhold_all(&f);
    fixture_open(&f);
    assert_listing(f.s, "", false, "copy from put");
    drain_ok(&f);
    assert_listing(f.inner, "", false, "copy from put");
    assert_text(f.inner, "put", "text");
    assert_text(f.inner, "copy", "moved");
    fixture_remove(&f);
}

static void conditions_are_checked_against_what_is_unsent(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    struct store_version v = put_ok(f.s, "a", "x", ""), c;
    assert_int_equal(put(f.s, "a", "y", "", NULL), ERR_CONFLICT);
    assert_int_equal(put(f.s, "a", "y", "another", NULL), ERR_CONFLICT);
    assert_int_equal(unlink_object(f.s, "a", "another"), ERR_CONFLICT);
    assert_int_equal(copy(f.s, "a", "another", "b", "", &c), ERR_CONFLICT);
    assert_int_equal(unlink_object(f.s, "a", v.etag), ERR_OK);
    assert_int_equal(put(f.s, "a", "y", v.etag, NULL), ERR_OK); /* nobody knows any more that it was ever there */
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_begun_merges),
        cmocka_unit_test(a_save_over_a_file_that_is_unsent_is_one_put),
        cmocka_unit_test(a_removal_replaces_a_change),
        cmocka_unit_test(what_a_copy_still_reads_is_not_merged_away),
        cmocka_unit_test(a_source_is_removed_after_it_was_copied),
        cmocka_unit_test(operations_of_a_path_go_one_by_one_and_others_beside_them),
        cmocka_unit_test(removals_go_in_batches),
        cmocka_unit_test(listings_are_as_if_everything_had_been_sent),
        cmocka_unit_test(many_that_are_unsent_come_in_pages),
        cmocka_unit_test(a_listing_does_not_miss_what_is_sent_while_it_is_made),
        cmocka_unit_test(what_is_over_the_limit_waits_for_room),
        cmocka_unit_test(writers_share_a_sync),
        cmocka_unit_test(removals_wait_for_no_disk),
        cmocka_unit_test(refusals_pause_everything_and_a_drain_says_so),
        cmocka_unit_test(one_that_cannot_be_stored_keeps_no_other_from_it),
        cmocka_unit_test(an_interrupted_wait_ends),
        cmocka_unit_test(the_end_cancels_what_is_under_way_and_the_next_mount_sends_it),
        cmocka_unit_test(conditions_are_checked_against_what_is_unsent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
