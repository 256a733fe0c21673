/* What the next mount makes of a journal, and conditions that fail. */
#include "support.h"

#include "util/buf.h"
#include "util/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Keys that begin so, in the inner store. */
static unsigned count(struct fixture *f, const char *prefix)
{
    struct err e = ERR_INIT;
    struct store_page page = {0};
    const struct store_list l = {.prefix = prefix};
    assert_int_equal(store_list(f->inner, &l, NULL, &page, &e), ERR_OK);
    unsigned n = (unsigned)page.n;
    store_page_release(&page);
    return n;
}

static char *large(size_t len, char c)
{
    char *p = malloc(len + 1);
    memset(p, c, len);
    p[len] = 0;
    return p;
}

/* ---- Recovery */

static void the_next_mount_sends_what_was_left(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct writeback_stats stats;
    CLEANUP(free) char *big = large(200000, 'b');
    fixture_make(&f);
    struct store_version old = put_ok(f.inner, "old", "text", NULL), was = put_ok(f.inner, "was", "text", NULL), v;
    put_ok(f.s, "new", "small", "");
    put_ok(f.s, "large", big, "");
    v = put_ok(f.s, "tmp", big, "");
    assert_int_equal(rename_object(f.s, "tmp", v.etag, "renamed", "", &v), ERR_OK);
    assert_int_equal(rename_object(f.s, "was", was.etag, "is", "", &v), ERR_OK);
    assert_int_equal(unlink_object(f.s, "old", old.etag), ERR_OK);
    put_ok(f.s, "dir/", "", "");
    fixture_close(&f);
    assert_listing(f.inner, "", false, "old was");
    fixture_open(&f);
    assert_listing(f.s, "", false, "dir/ is large new renamed");
    assert_text(f.s, "renamed", big);
    writeback_stats(f.w, &stats);
    assert_true(stats.recovered >= 6);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "dir/ is large new renamed");
    assert_text(f.inner, "large", big);
    assert_text(f.inner, "renamed", big);
    fixture_close(&f);
    fixture_open(&f);
    writeback_stats(f.w, &stats);
    assert_int_equal(stats.recovered, 0);
    fixture_remove(&f);
}

/* Everything was done, and the log does not know: as after a power loss. */
static void what_was_done_already_is_done_again_without_a_conflict(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    CLEANUP(free) char *big = large(200000, 'b');
    fixture_make(&f);
    struct store_version doc = put_ok(f.inner, "doc", "old", NULL), gone = put_ok(f.inner, "gone", "x", NULL),
                         moved = put_ok(f.inner, "moved", "y", NULL), v;
    put_ok(f.s, "new", "text", "");
    put_ok(f.s, "big", big, "");
    v = put_ok(f.s, "doc", "edited", doc.etag);
    assert_int_equal(unlink_object(f.s, "gone", gone.etag), ERR_OK);
    assert_int_equal(rename_object(f.s, "moved", moved.etag, "target", "", &v), ERR_OK);
    journal_save(&f);
    drain_ok(&f);
    fixture_close(&f);
    journal_restore(&f);
    fixture_open(&f);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "big doc new target");
    assert_text(f.inner, "doc", "edited");
    assert_text(f.inner, "big", big);
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    fixture_remove(&f);
}

/* One put by parts has another ETag than its copy. */
static void a_copy_of_what_was_put_by_parts_that_was_made_already_is_no_conflict(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct err e = ERR_INIT;
    char id[STORE_ID_SIZE];
    struct store_part part = {.number = 1};
    struct store_version parts, v;
    BUF(bytes, 100);
    buf_add_str(&bytes, "by parts");
    const struct store_body body = {.size = bytes.len, .read = buf_read, .arg = &bytes};
    fixture_make(&f);
    assert_int_equal(store_upload_begin(f.inner, "from", NULL, NULL, NULL, id, &e), ERR_OK);
    assert_int_equal(store_upload_part(f.inner, "from", id, &body, NULL, &part, &e), ERR_OK);
    assert_int_equal(store_upload_finish(f.inner, "from", id, &part, 1, NULL, NULL, NULL, &parts, &e), ERR_OK);
    assert_int_equal(rename_object(f.s, "from", parts.etag, "to", "", &v), ERR_OK);
    put_ok(f.s, "to", "another", v.etag);
    journal_save(&f);
    fixture_close(&f);
    journal_restore(&f);
    put_ok(f.inner, "to", "by parts", NULL); /* the copy was made, and the log does not know */
    struct store_object made;
    assert_int_equal(store_stat(f.inner, "to", NULL, &made, &e), ERR_OK);
    assert_string_not_equal(made.version.etag, parts.etag);
    store_object_release(&made);
    fixture_open(&f);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "to");
    assert_text(f.inner, "to", "another");
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    fixture_remove(&f);
}

/* The version that the second put was made over has its name from the first. */
static void what_follows_an_operation_follows_it_after_a_kill_too(void **state)
{
    struct fixture f = {0};
    CLEANUP(free) char *one = large(100000, '1');
    CLEANUP(free) char *two = large(100000, '2');
    fixture_make(&f);
    mem_store_hold(f.mem, MEM_PUT, NULL);
    struct store_version v = put_ok(f.s, "a", one, "");
    assert_true(mem_store_wait_held(f.mem, MEM_PUT, 1, 60000));
    v = put_ok(f.s, "a", two, v.etag);
    journal_save(&f);
    mem_store_unhold(f.mem, MEM_PUT);
    drain_ok(&f);
    assert_text(f.inner, "a", two);
    fixture_close(&f);
    journal_restore(&f);
    put_ok(f.inner, "a", one, NULL); /* the first was sent, the second not */
    fixture_open(&f);
    assert_text(f.s, "a", two);
    drain_ok(&f);
    assert_text(f.inner, "a", two);
    assert_int_equal(count(&f, "a"), 1);
    fixture_remove(&f);
}

static void a_second_opening_is_refused(void **state)
{
    struct fixture f = {0};
    struct err e = ERR_INIT;
    fixture_make(&f);
    const struct writeback_config c = {.inner = f.inner, .dir = f.dir, .identity = "test"};
    assert_null(writeback_store_new(&c, NULL, &e));
    assert_int_equal(e.code, ERR_BUSY);
    fixture_remove(&f);
}

static void a_journal_of_something_else_is_refused_and_left_as_it_is(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct err e = ERR_INIT;
    fixture_make(&f);
    put_ok(f.s, "a", "x", "");
    fixture_close(&f);
    const struct writeback_config c = {.inner = f.inner, .dir = f.dir, .identity = "another"};
    assert_null(writeback_store_new(&c, NULL, &e));
    assert_int_equal(e.code, ERR_INVAL);
    fixture_open(&f);
    drain_ok(&f);
    assert_text(f.inner, "a", "x");
    fixture_remove(&f);
}

/* Cut off at each byte of the last record, what is before it is there. */
static void a_torn_end_costs_what_was_torn_only(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    char path[128];
    fixture_make(&f);
    put_ok(f.s, "first", "x", "");
    journal_save(&f);
    put_ok(f.s, "second", "y", "");
    fixture_close(&f);
    journal_save(&f);
    (void)snprintf(path, sizeof(path), "%s/0000000000000001.wal", f.dir);
    break_calls(&f, MEM_OPS, ERR_NET, false); /* what was left is not to be sent before it is counted */
    for (off_t cut = 4096 + 8; cut < 4096 + 400; cut += 24) {
        journal_restore(&f);
        assert_int_equal(truncate(path, cut), 0);
        fixture_open(&f);
        struct writeback_stats stats;
        writeback_stats(f.w, &stats);
        assert_true(stats.recovered <= 2);
        assert_text(f.s, "second", stats.recovered == 2 ? "y" : NULL);
        assert_text(f.s, "first", stats.recovered >= 1 ? "x" : NULL);
        fixture_close(&f);
    }
    fixture_remove(&f);
}

static void what_is_sent_leaves_no_file(void **state)
{
    struct fixture f = {0};
    CLEANUP(free) char *big = large(200000, 'b');
    char command[160];
    fixture_make(&f);
    put_ok(f.s, "large", big, "");
    drain_ok(&f);
    fixture_close(&f);
    (void)snprintf(command, sizeof(command), "test -z \"$(ls %s/" WRITEBACK_BODIES ")\"", f.dir);
    assert_int_equal(system(command), 0);
    fixture_remove(&f);
}

/* ---- Conditions that fail */

static void what_others_have_changed_is_kept_beside_theirs(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    struct store_version old = put_ok(f.inner, "doc", "old", NULL);
    put_ok(f.s, "doc", "ours", old.etag);
    put_ok(f.s, "new", "ours too", "");
    put_ok(f.inner, "doc", "theirs", NULL);
    put_ok(f.inner, "new", "theirs too", NULL);
    drain_ok(&f);
    assert_text(f.s, "doc", "theirs");
    assert_text(f.s, "new", "theirs too");
    assert_int_equal(count(&f, "doc (conflict "), 1);
    assert_int_equal(count(&f, "new (conflict "), 1);
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 2);
    fixture_close(&f);
    fixture_open(&f);
    drain_ok(&f);
    assert_int_equal(count(&f, ""), 4);
    fixture_remove(&f);
}

static void only_the_last_of_several_contents_is_kept_beside(void **state)
{
    struct fixture f = {0};
    fixture_make(&f);
    struct store_version old = put_ok(f.inner, "doc", "old", NULL);
    mem_store_hold(f.mem, MEM_PUT, "doc");
    struct store_version v = put_ok(f.s, "doc", "one", old.etag);
    assert_true(mem_store_wait_held(f.mem, MEM_PUT, 1, 60000));
    put_ok(f.s, "doc", "two", v.etag);
    mem_store_unhold(f.mem, MEM_COPY);
    /* theirs comes before ours goes on */
    struct err e = ERR_INIT;
    assert_int_equal(store_remove(f.inner, "doc", NULL, NULL, &e), ERR_OK);
    mem_store_unhold(f.mem, MEM_PUT);
    drain_ok(&f);
    assert_int_equal(count(&f, "doc (conflict "), 1);
    assert_int_equal(count(&f, ""), 1);
    fixture_remove(&f);
}

static void what_others_have_changed_is_not_removed(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    struct store_version old = put_ok(f.inner, "doc", "old", NULL);
    assert_int_equal(unlink_object(f.s, "doc", old.etag), ERR_OK);
    put_ok(f.inner, "doc", "theirs", NULL);
    drain_ok(&f);
    assert_text(f.s, "doc", "theirs");
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 1);
    fixture_remove(&f);
}

static void a_rename_over_what_others_have_changed_keeps_both(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    struct store_version a = put_ok(f.inner, "a", "ours", NULL), b = put_ok(f.inner, "b", "old", NULL), v;
    assert_int_equal(rename_object(f.s, "a", a.etag, "b", b.etag, &v), ERR_OK);
    put_ok(f.inner, "b", "theirs", NULL);
    drain_ok(&f);
    assert_text(f.s, "b", "theirs");
    assert_int_equal(count(&f, "b (conflict "), 1);
    assert_text(f.s, "a", NULL);
    fixture_remove(&f);
}

static void a_rename_of_what_others_have_changed_leaves_theirs(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    fixture_make(&f);
    struct store_version a = put_ok(f.inner, "a", "old", NULL), v;
    assert_int_equal(rename_object(f.s, "a", a.etag, "b", "", &v), ERR_OK);
    put_ok(f.inner, "a", "theirs", NULL);
    drain_ok(&f);
    assert_text(f.s, "a", "theirs");
    assert_text(f.s, "b", NULL);
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 2); /* the copy and the removal */
    fixture_remove(&f);
}

/* cp has returned, and its source is somebody else's to change. */
static void a_copy_whose_source_stays_is_made_at_once(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct err e = ERR_INIT;
    CLEANUP(free) char *big = large(100000, 'b');
    fixture_make(&f);
    put_ok(f.s, "a", big, "");
    drain_ok(&f);
    struct store_object o;
    assert_int_equal(store_stat(f.s, "a", NULL, &o, &e), ERR_OK);
    struct store_copy c = {.from = "a", .from_etag = o.version.etag, .size = 100000, .to = "b", .cond = {.kind = STORE_IF_ABSENT},
                           .at_once = true};
    assert_int_equal(store_copy(f.s, &c, NULL, NULL, &e), ERR_OK);
    assert_text(f.inner, "b", big);
    put_ok(f.inner, "a", "theirs", NULL);
    c.to = "c";
    assert_int_equal(store_copy(f.s, &c, NULL, NULL, &e), ERR_CONFLICT);
    store_object_release(&o);
    /* What is not sent yet is here. */
    struct store_version v = put_ok(f.s, "new", "text", "");
    c = (struct store_copy){.from = "new", .from_etag = v.etag, .size = 4, .to = "d", .cond = {.kind = STORE_IF_ABSENT}, .at_once = true};
    assert_int_equal(store_copy(f.s, &c, NULL, NULL, &e), ERR_OK);
    assert_text(f.inner, "new", NULL);
    assert_text(f.s, "d", "text");
    drain_ok(&f);
    assert_text(f.inner, "d", "text");
    fixture_remove(&f);
}

static void a_full_rewrite_replaces_what_others_have_put(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct err e = ERR_INIT;
    fixture_make(&f);
    struct store_version old = put_ok(f.inner, "doc", "old", NULL);
    BUF(text, 100);
    buf_add_str(&text, "ours");
    const struct store_body body = {.size = 4, .read = buf_read, .arg = &text};
    const struct store_cond cond = {.kind = STORE_IF_MATCH, .etag = old.etag, .preferred = true};
    assert_int_equal(store_put(f.s, "doc", &body, NULL, &cond, NULL, NULL, &e), ERR_OK);
    put_ok(f.inner, "doc", "theirs", NULL);
    drain_ok(&f);
    assert_text(f.inner, "doc", "ours");
    assert_int_equal(count(&f, ""), 1);
    fixture_remove(&f);
}

static void lost_answers_are_no_conflicts(void **state)
{
    struct fixture f = {.linger_ms = 60000};
    struct err e = ERR_INIT;
    fixture_make(&f);
    struct store_version doc = put_ok(f.inner, "doc", "old", NULL), gone = put_ok(f.inner, "gone", "x", NULL),
                         moved = put_ok(f.inner, "moved", "y", NULL), v;
    put_ok(f.s, "doc", "edited", doc.etag);
    put_ok(f.s, "new", "n", "");
    assert_int_equal(unlink_object(f.s, "gone", gone.etag), ERR_OK);
    assert_int_equal(rename_object(f.s, "moved", moved.etag, "target", "", &v), ERR_OK);
    break_calls(&f, MEM_OPS, ERR_NET, true);
    fixture_close(&f);
    f.patience_ms = 300;
    f.linger_ms = 1;
    fixture_open(&f);
    assert_int_equal(writeback_drain(f.w, false, NULL, NULL, NULL, &e), ERR_IO);
    mend_calls(&f);
    drain_ok(&f);
    assert_listing(f.inner, "", false, "doc new target");
    assert_text(f.inner, "doc", "edited");
    assert_int_equal(writeback_each_conflict(f.w, NULL, NULL), 0);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_mount_sends_what_was_left),
        cmocka_unit_test(what_was_done_already_is_done_again_without_a_conflict),
        cmocka_unit_test(a_copy_of_what_was_put_by_parts_that_was_made_already_is_no_conflict),
        cmocka_unit_test(what_follows_an_operation_follows_it_after_a_kill_too),
        cmocka_unit_test(a_second_opening_is_refused),
        cmocka_unit_test(a_journal_of_something_else_is_refused_and_left_as_it_is),
        cmocka_unit_test(a_torn_end_costs_what_was_torn_only),
        cmocka_unit_test(what_is_sent_leaves_no_file),
        cmocka_unit_test(what_others_have_changed_is_kept_beside_theirs),
        cmocka_unit_test(only_the_last_of_several_contents_is_kept_beside),
        cmocka_unit_test(what_others_have_changed_is_not_removed),
        cmocka_unit_test(a_rename_over_what_others_have_changed_keeps_both),
        cmocka_unit_test(a_rename_of_what_others_have_changed_leaves_theirs),
        cmocka_unit_test(a_copy_whose_source_stays_is_made_at_once),
        cmocka_unit_test(a_full_rewrite_replaces_what_others_have_put),
        cmocka_unit_test(lost_answers_are_no_conflicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
