#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/renames.h"
#include "scratch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned syncs; /* of directories */

/* In place of libc's. */
int fsync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fsync, fd);
}

static struct rename_item items[] = {
    {.key = "from/", .etag = "e0"},
    {.key = "from/a", .etag = "e1", .size = 5, .mtime = {1700000000, 7}},
    {.key = "from/b/c", .etag = "e2-3", .size = 1ull << 40, .mtime = {1700000001, 0}},
};
static const struct rename_plan tree = {.tree = true, .from = "from/", .to = "to/", .replaced = "marker", .keep_times = true,
                                        .items = items, .n = 3, .when = {1800000000, 5}};

static struct rename_note *begin(const struct scratch *d, const struct rename_plan *plan, bool durable)
{
    struct err e = ERR_INIT;
    struct rename_note *n = NULL;
    if (renames_begin(d->path, plan, durable, &n, &e))
        fail_msg("%s", e.msg);
    return n;
}

struct found {
    unsigned n;
    char path[512];
};

static void find(void *arg, const char *path, bool readable)
{
    struct found *f = arg;
    f->n += readable;
    if (readable)
        snprintf(f->path, sizeof(f->path), "%s", path);
}

static struct found look(const struct scratch *d)
{
    struct found f = {0};
    assert_int_equal(renames_each(d->path, find, &f, NULL), ERR_OK);
    return f;
}

static struct rename_plan *take(const struct scratch *d, struct rename_note **note)
{
    struct err e = ERR_INIT;
    struct rename_plan *plan = NULL;
    struct found f = look(d);
    assert_int_equal(f.n, 1);
    if (renames_take(f.path, note, &plan, &e))
        fail_msg("%s", e.msg);
    return plan;
}

static void a_rename_is_read_as_it_was_recorded(void **state)
{
    struct scratch d;
    struct rename_note *n;
    struct err why = {ERR_TIMEOUT, "no answer"};
    scratch_make(&d);
    n = begin(&d, &tree, true);
    rename_note_copied(n, 2, "copied-2");
    rename_note_copied(n, 0, "copied-0");
    rename_note_failed(n, &why, 3);
    rename_note_leave(n);
    CLEANUP(rename_plan_free) struct rename_plan *p = take(&d, &n);
    assert_true(p->tree && p->keep_times && !p->undo && p->n == 3 && p->when.tv_sec == tree.when.tv_sec);
    assert_string_equal(p->from, "from/");
    assert_string_equal(p->to, "to/");
    assert_string_equal(p->replaced, "marker");
    for (size_t k = 0; k < 3; k++) {
        assert_string_equal(p->items[k].key, items[k].key);
        assert_string_equal(p->items[k].etag, items[k].etag);
        assert_int_equal(p->items[k].size, items[k].size);
        assert_memory_equal(&p->items[k].mtime, &items[k].mtime, sizeof(items[k].mtime));
    }
    assert_string_equal(p->items[0].copied, "copied-0");
    assert_null(p->items[1].copied);
    assert_string_equal(p->items[2].copied, "copied-2");
    assert_int_equal(p->failed, ERR_TIMEOUT);
    assert_int_equal(p->attempts, 3);
    assert_string_equal(p->text, "no answer");
    rename_note_end(n);
    assert_int_equal(look(&d).n, 0);
    scratch_remove(&d);
}

static void a_file_has_its_metadata_and_what_it_replaces(void **state)
{
    struct scratch d;
    struct rename_note *n;
    struct rename_item file = {.key = "a", .etag = "e", .size = 9};
    const struct meta_fields meta = {.has = 1, .mode = 0100640};
    const struct rename_plan plan = {.from = "a", .to = "b", .items = &file, .n = 1, .meta = &meta};
    scratch_make(&d);
    rename_note_leave(begin(&d, &plan, false));
    CLEANUP(rename_plan_free) struct rename_plan *p = take(&d, &n);
    assert_true(!p->tree && p->n == 1 && !p->replaced && p->meta && p->meta->mode == 0100640);
    assert_string_equal(p->items[0].key, "a");
    assert_string_equal(p->items[0].etag, "e");
    assert_int_equal(p->items[0].size, 9);
    rename_note_leave(n);
    scratch_remove(&d);
}

static void what_is_under_way_is_nobody_elses(void **state)
{
    struct scratch d;
    struct rename_note *n, *other = NULL;
    struct rename_plan *p = NULL;
    bool busy = false;
    scratch_make(&d);
    n = begin(&d, &tree, true);
    struct found f = look(&d);
    assert_int_equal(renames_take(f.path, &other, &p, NULL), ERR_BUSY);
    CLEANUP(rename_plan_free) struct rename_plan *seen = renames_read(f.path, &busy, NULL);
    assert_true(seen && busy);
    rename_note_leave(n);
    assert_int_equal(renames_take(f.path, &other, &p, NULL), ERR_OK);
    rename_note_end(other);
    rename_plan_free(p);
    assert_int_equal(renames_take(f.path, &other, &p, NULL), ERR_NOT_FOUND);
    scratch_remove(&d);
}

static void one_that_failed_is_to_be_taken_back(void **state)
{
    struct scratch d;
    struct rename_note *n;
    scratch_make(&d);
    n = begin(&d, &tree, true);
    rename_note_copied(n, 1, "c");
    assert_int_equal(rename_note_undo(n, NULL), ERR_OK);
    assert_int_equal(rename_note_undo(n, NULL), ERR_OK);
    rename_note_leave(n);
    CLEANUP(rename_plan_free) struct rename_plan *p = take(&d, &n);
    assert_true(p->undo);
    assert_string_equal(p->items[1].copied, "c");
    rename_note_end(n);
    scratch_remove(&d);
}

/* Whatever of the file is left: it is read in full, up to what was appended last, or it cannot be read. */
static void a_record_that_was_cut_anywhere_tells_nothing_wrong(void **state)
{
    struct scratch d;
    struct rename_note *n;
    size_t len, whole;
    scratch_make(&d);
    rename_note_leave(begin(&d, &tree, true));
    char path[512];
    snprintf(path, sizeof(path), "%s", look(&d).path);
    free(scratch_read(path, &whole));
    CLEANUP(rename_plan_free) struct rename_plan *first = take(&d, &n);
    rename_note_copied(n, 1, "copied");
    rename_note_leave(n);
    CLEANUP(free) char *bytes = scratch_read(path, &len);
    assert_true(len > whole);
    for (size_t cut = 0; cut <= len; cut++) {
        struct rename_plan *p = NULL;
        scratch_write(path, bytes, cut);
        enum err_code code = renames_take(path, &n, &p, NULL);
        assert_int_equal(code, cut == 0 ? ERR_NOT_FOUND : cut < whole ? ERR_PROTO : ERR_OK);
        if (code)
            continue;
        assert_int_equal(p->n, 3);
        assert_int_equal(p->items[1].copied != NULL, cut == len);
        rename_note_leave(n);
        rename_plan_free(p);
    }
    scratch_remove(&d);
}

static void a_flipped_bit_is_found_and_the_record_is_moved_aside(void **state)
{
    struct scratch d;
    struct rename_note *n;
    size_t len;
    scratch_make(&d);
    rename_note_leave(begin(&d, &tree, true));
    struct found f = look(&d);
    CLEANUP(free) char *bytes = scratch_read(f.path, &len);
    for (size_t at = 0; at < len; at++) {
        struct rename_plan *p = NULL;
        bytes[at] ^= 0x10;
        scratch_write(f.path, bytes, len);
        assert_int_equal(renames_take(f.path, &n, &p, NULL), ERR_PROTO);
        bytes[at] ^= 0x10;
    }
    struct err why = {ERR_PROTO, "damaged"};
    renames_set_aside(f.path, &why);
    assert_int_equal(look(&d).n, 0);
    assert_int_equal(scratch_count(&d, ".bad", NULL, 0), 1);
    scratch_remove(&d);
}

static void what_was_half_written_goes(void **state)
{
    struct scratch d;
    char path[512];
    scratch_make(&d);
    snprintf(path, sizeof(path), "%s/0011.rename.tmp", d.path);
    scratch_write(path, "half", 4);
    renames_tidy(d.path);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/not there", d.path);
    assert_int_equal(renames_each(path, find, NULL, NULL), ERR_OK);
    scratch_remove(&d);
}

static struct rename_item one_item = {.key = "a", .etag = "e", .size = 9};
static const struct rename_plan one_file = {.from = "a", .to = "b", .items = &one_item, .n = 1};

/* As a loss of power gives it back: under its name, with another inode. */
static void come_back(const struct scratch *d)
{
    char command[2048];
    struct found f = look(d);
    assert_int_equal(f.n, 1);
    (void)snprintf(command, sizeof(command), "cp %s %s/copy && mv %s/copy %s", f.path, d->path, d->path, f.path);
    assert_int_equal(system(command), 0);
}

static void one_that_is_not_durable_says_nothing_after_a_loss_of_power(void **state)
{
    struct scratch d;
    struct rename_note *n;
    struct rename_plan *plan;
    struct err e = ERR_INIT;
    bool busy;
    scratch_make(&d);
    rename_note_leave(begin(&d, &one_file, false));
    plan = take(&d, &n);
    rename_note_leave(n);
    rename_plan_free(plan);
    come_back(&d);
    struct found f = look(&d);
    assert_null(renames_read(f.path, &busy, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(renames_take(f.path, &n, &plan, &e), ERR_NOT_FOUND);
    assert_int_equal(look(&d).n, 0);
    scratch_remove(&d);
}

static void one_that_somebody_was_told_of_as_failed_is_there_after_a_loss_of_power(void **state)
{
    struct scratch d;
    struct err why = {ERR_TIMEOUT, "no answer"};
    for (unsigned undone = 0; undone < 2; undone++) {
        scratch_make(&d);
        struct rename_note *n = begin(&d, &one_file, false);
        struct err e = ERR_INIT;
        if (undone)
            assert_int_equal(rename_note_undo(n, &e), ERR_OK);
        else
            rename_note_failed(n, &why, 0);
        rename_note_leave(n);
        come_back(&d);
        CLEANUP(rename_plan_free) struct rename_plan *p = take(&d, &n);
        assert_int_equal(p->undo, undone);
        assert_int_equal(p->failed, undone ? ERR_OK : ERR_TIMEOUT);
        unsigned before = syncs;
        rename_note_end(n);
        assert_int_equal(syncs, before + 1);
        scratch_remove(&d);
    }
}

/* Else it would come back, and be carried out again on what has those names then. */
static void the_end_of_a_durable_one_is_durable_and_no_other_waits_for_the_disk(void **state)
{
    struct scratch d;
    scratch_make(&d);
    struct rename_note *n = begin(&d, &tree, true);
    unsigned before = syncs;
    rename_note_end(n);
    assert_int_equal(syncs, before + 1);
    rename_note_end(begin(&d, &one_file, false));
    assert_int_equal(syncs, before + 1);
    scratch_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rename_is_read_as_it_was_recorded),
        cmocka_unit_test(a_file_has_its_metadata_and_what_it_replaces),
        cmocka_unit_test(what_is_under_way_is_nobody_elses),
        cmocka_unit_test(one_that_failed_is_to_be_taken_back),
        cmocka_unit_test(a_record_that_was_cut_anywhere_tells_nothing_wrong),
        cmocka_unit_test(a_flipped_bit_is_found_and_the_record_is_moved_aside),
        cmocka_unit_test(what_was_half_written_goes),
        cmocka_unit_test(one_that_is_not_durable_says_nothing_after_a_loss_of_power),
        cmocka_unit_test(one_that_somebody_was_told_of_as_failed_is_there_after_a_loss_of_power),
        cmocka_unit_test(the_end_of_a_durable_one_is_durable_and_no_other_waits_for_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
