/* Renames that an earlier mount has left: by their record, whatever stands under both names by then. */
#include "support.h"

#include "journal/renames.h"
#include "util/digest.h"
#include "util/str.h"

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct names {
    const char *here, *there; /* bytes under the old and the new name; NULL: nothing */
};

static void put_both(struct rig *r, const struct names *now)
{
    if (now->here)
        others_put(r, "from/x", now->here);
    if (now->there)
        others_put(r, "to/x", now->there);
}

static void expect_both(struct rig *r, const struct names *then)
{
    const char *const keys[] = {"from/x", "to/x"}, *const bytes[] = {then->here, then->there};
    for (size_t k = 0; k < 2; k++) {
        if (bytes[k])
            expect_object(r, keys[k], bytes[k]);
        else
            expect_no_object(r, keys[k]);
    }
}

static void etag_of(const char *text, char out[2 * DIGEST_MAX + 1])
{
    assert_int_equal(digest_hex(DIGEST_MD5, text, strlen(text), out, NULL), ERR_OK);
}

/* The record of a rename of "from/x", which had `was`, as a daemon that was killed leaves it. */
static void leave_record(struct rig *r, const char *was, const char *copied, bool undo)
{
    char dir[128], etag[2 * DIGEST_MAX + 1];
    struct rename_note *note;
    struct err e = ERR_INIT;
    etag_of(was, etag);
    struct rename_item item = {.key = "from/x", .etag = etag, .size = strlen(was), .mtime = {1700000000, 0}};
    const struct rename_plan plan = {.tree = true, .from = "from/", .to = "to/", .items = &item, .n = 1, .keep_times = true};
    snprintf(dir, sizeof(dir), "%s/renames", r->state);
    assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
    if (renames_begin(dir, &plan, true, &note, &e))
        fail_msg("%s", e.msg);
    if (copied)
        rename_note_copied(note, 0, copied);
    if (undo)
        expect_ok(r, rename_note_undo(note, &r->err));
    rename_note_leave(note);
}

/* Of a rename of "from/x" alone, which kill -9 leaves. */
static void leave_file_record(struct rig *r, const char *was)
{
    char dir[128], etag[2 * DIGEST_MAX + 1];
    struct rename_note *note;
    etag_of(was, etag);
    struct rename_item item = {.key = "from/x", .etag = etag, .size = strlen(was)};
    const struct rename_plan plan = {.from = "from/x", .to = "to/x", .items = &item, .n = 1};
    snprintf(dir, sizeof(dir), "%s/renames", r->state);
    assert_true(mkdir(dir, 0700) == 0);
    expect_ok(r, renames_begin(dir, &plan, false, &note, &r->err));
    rename_note_leave(note);
}

/* Of the one record there is. */
static void record_path(struct rig *r, char path[128])
{
    glob_t found;
    snprintf(path, 128, "%s/renames/*.rename", r->state);
    assert_int_equal(glob(path, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    snprintf(path, 128, "%s", found.gl_pathv[0]);
    globfree(&found);
}

#define RECORDS(r) (state_files(r, "renames", ".rename") + state_files(r, "renames", ".undo"))

static void each_object_ends_under_one_name_and_nothing_is_lost(void **state)
{
    static const struct {
        struct names now, then, undone;
        bool kept; /* the record, for a person */
        unsigned copies;
    } rows[] = {
        /* as the rename found it: */ {{"was", NULL}, {NULL, "was"}, {"was", NULL}, false, 1},
        /* copied: */ {{"was", "was"}, {NULL, "was"}, {"was", NULL}, false, 0},
        /* removed: */ {{NULL, "was"}, {NULL, "was"}, {NULL, "was"}, false, 0},
        /* copied, then others wrote the new name: */ {{"was", "theirs"}, {"was", "theirs"}, {"was", "theirs"}, true, 0},
        /* with as many bytes: */ {{"was", "saw"}, {"was", "saw"}, {"was", "saw"}, true, 0},
        /* copied, then others wrote the old name: */ {{"new", "was"}, {"new", "was"}, {"new", NULL}, false, 0},
        /* others wrote the old name before it was copied: */ {{"new", NULL}, {"new", NULL}, {"new", NULL}, true, 0},
        /* others wrote both: */ {{"new", "theirs"}, {"new", "theirs"}, {"new", "theirs"}, true, 0},
        /* the same: */ {{"new", "new"}, {NULL, "new"}, {"new", NULL}, false, 0},
        /* others removed both: */ {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}, true, 0},
    };
    for (size_t k = 0; k < 2 * ARRAY_LEN(rows); k++) {
        bool undo = k % 2;
        struct rig r;
        rig_store(&r, NULL);
        put_both(&r, &rows[k / 2].now);
        leave_record(&r, "was", NULL, undo);
        rig_mount(&r);
        assert_true(vfs_settled(r.v, 10000));
        r.before[MEM_COPY] = 0;
        assert_int_equal(rig_count(&r, MEM_COPY), undo ? 0 : rows[k / 2].copies);
        expect_both(&r, undo ? &rows[k / 2].undone : &rows[k / 2].then);
        assert_int_equal(RECORDS(&r), !undo && rows[k / 2].kept);
        rig_stop(&r);
    }
}

static void a_copy_is_known_by_its_recorded_version(void **state)
{
    struct rig r;
    char etag[2 * DIGEST_MAX + 1];
    rig_store(&r, NULL);
    others_put(&r, "from/x", "was");
    others_put(&r, "to/x", "encrypted, so to say");
    etag_of("encrypted, so to say", etag);
    leave_record(&r, "was", etag, true);
    rig_mount(&r);
    assert_true(vfs_settled(r.v, 10000));
    assert_int_equal(rig_count(&r, MEM_GET), 0);
    expect_object(&r, "from/x", "was");
    expect_no_object(&r, "to/x");
    rig_stop(&r);
}

static void a_store_that_fails_leaves_it_to_the_next_mount(void **state)
{
    static const enum mem_op where[] = {MEM_LIST, MEM_COPY, MEM_REMOVE_MANY};
    for (size_t k = 0; k < ARRAY_LEN(where); k++) {
        struct rig r;
        rig_store(&r, NULL);
        others_put(&r, "from/x", "was");
        leave_record(&r, "was", NULL, false);
        rig_fail(&r, where[k], NULL, ERR_THROTTLED, 100);
        rig_mount(&r);
        assert_true(vfs_settled(r.v, 10000));
        expect_object(&r, "from/x", "was");
        assert_int_equal(RECORDS(&r), 1);
        rig_heal(&r);
        rig_unmount(&r);
        rig_mount(&r);
        assert_true(vfs_settled(r.v, 10000));
        expect_both(&r, &(struct names){NULL, "was"});
        expect_names(&r, "", "to\n");
        rig_stop(&r);
    }
}

static void what_waits_for_a_person_is_tried_again_when_asked(void **state)
{
    struct rig r;
    rig_store(&r, NULL);
    others_put(&r, "from/x", "was");
    others_put(&r, "to/x", "theirs");
    leave_record(&r, "was", NULL, false);
    rig_mount(&r);
    assert_true(vfs_settled(r.v, 10000));
    rig_unmount(&r);
    rig_mount(&r);
    rig_mark(&r);
    assert_true(vfs_settled(r.v, 10000));
    assert_int_equal(rig_requests(&r), 0);
    others_remove(&r, "to/x");
    vfs_retry(r.v, NULL);
    assert_true(vfs_settled(r.v, 10000));
    expect_both(&r, &(struct names){NULL, "was"});
    assert_int_equal(RECORDS(&r), 0);
    rig_stop(&r);
}

static void a_read_only_mount_changes_nothing(void **state)
{
    struct rig r;
    rig_store(&r, &(struct rig_kind){.read_only = true});
    others_put(&r, "from/x", "was");
    leave_record(&r, "was", NULL, false);
    rig_mount(&r);
    assert_true(vfs_settled(r.v, 10000));
    expect_object(&r, "from/x", "was");
    assert_int_equal(RECORDS(&r), 1);
    rig_stop(&r);
}

static bool no_record(void *arg)
{
    return RECORDS((struct rig *)arg) == 0;
}

static void a_record_that_was_in_use_is_tried_again_by_itself(void **state)
{
    struct rig r;
    char path[128];
    struct rename_note *note;
    CLEANUP(rename_plan_free) struct rename_plan *plan = NULL;
    rig_store(&r, NULL);
    others_put(&r, "from/x", "was");
    leave_record(&r, "was", NULL, false);
    record_path(&r, path);
    expect_ok(&r, renames_take(path, &note, &plan, &r.err));
    rig_mount(&r);
    assert_true(vfs_settled(r.v, 60000));
    drain(&r);
    expect_object(&r, "from/x", "was");
    rename_note_leave(note);
    assert_true(within(60000, no_record, &r));
    expect_both(&r, &(struct names){NULL, "was"});
    rig_stop(&r);
}

/* ---- What programs do with the names meanwhile */

/* What a program does with the names after this mount could not carry out a record; the next mount finds `then`. */
static void each_use_of_a_name_ends_its_record(void **state)
{
    static const struct {
        enum { TREE, UNDO, ONE } kind;
        struct names now, then;
        const char *write, *unlink, *chmod, *onto;
    } rows[] = {
        {UNDO, {"was", NULL}, {"was", "was"}, .write = "to/x"},
        {UNDO, {"was", "was"}, {NULL, "was"}, .unlink = "from/x"},
        {UNDO, {"was", "was"}, {"was", NULL}, .unlink = "to/x"},
        {UNDO, {"was", "was"}, {"was", "was"}, .chmod = "to/x"},
        {UNDO, {"was", "was"}, {"was", "was"}, .onto = "to/x"},
        {TREE, {"was", "was"}, {"was", "was"}, .write = "from/x"},
        {TREE, {"was", NULL}, {"was", "was"}, .write = "to/x"},
        {ONE, {"was", "was"}, {"was", "was"}, .write = "from/x"},
        {ONE, {"was", "was"}, {"was", "was"}, .chmod = "from/x"},
        {ONE, {"was", NULL}, {"was", "was"}, .write = "to/x"},
    };
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        struct rig r;
        rig_store(&r, NULL);
        put_both(&r, &rows[k].now);
        others_put(&r, "to/other", "was");
        if (rows[k].kind == ONE)
            leave_file_record(&r, "was");
        else
            leave_record(&r, "was", NULL, rows[k].kind == UNDO);
        rig_fail(&r, rows[k].kind == ONE ? MEM_STAT : MEM_LIST, rows[k].kind == ONE ? "to/x" : "to/", ERR_NET, 1);
        rig_mount(&r);
        assert_true(vfs_settled(r.v, 10000));
        assert_int_equal(RECORDS(&r), 1);
        rig_heal(&r);
        if (rows[k].write)
            write_file(&r, rows[k].write, "was");
        if (rows[k].unlink)
            expect_ok(&r, try_unlink(&r, rows[k].unlink));
        if (rows[k].chmod)
            expect_ok(&r, try_chmod(&r, rows[k].chmod, 0600));
        if (rows[k].onto)
            expect_ok(&r, try_rename(&r, "to/other", rows[k].onto, 0));
        drain(&r);
        assert_int_equal(RECORDS(&r), 0);
        rig_unmount(&r);
        rig_mount(&r);
        assert_true(vfs_settled(r.v, 10000));
        expect_both(&r, &rows[k].then);
        rig_stop(&r);
    }
}

static void *write_same(void *arg)
{
    write_file(arg, "to/x", "was");
    return NULL;
}

static bool is_unsent(void *arg)
{
    struct vfs_stats s;
    vfs_stats(((struct rig *)arg)->v, &s);
    return s.dirty_files == 1;
}

static void who_uses_a_name_waits_for_what_is_under_way(void **state)
{
    struct rig r;
    pthread_t t;
    rig_store(&r, NULL);
    others_put(&r, "from/x", "was");
    others_put(&r, "to/x", "was");
    others_put(&r, "to/y", "theirs");
    leave_record(&r, "was", NULL, true);
    mem_store_hold(r.mem, MEM_REMOVE_MANY, NULL);
    rig_mount(&r);
    assert_true(mem_store_wait_held(r.mem, MEM_REMOVE_MANY, 1, 60000));
    rig_mark(&r);
    assert_int_equal(pthread_create(&t, NULL, write_same, &r), 0);
    assert_true(within(60000, is_unsent, &r));
    usleep(20000);
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    mem_store_unhold(r.mem, MEM_REMOVE_MANY);
    pthread_join(t, NULL);
    drain(&r);
    expect_both(&r, &(struct names){"was", "was"});
    assert_int_equal(RECORDS(&r), 0);
    rig_stop(&r);
}

/* Between the put that finds the conflict and that of the copy beside, a record of the directory comes to be tried. */
static void a_copy_beside_that_has_to_wait_for_a_rename_is_put_off(void **state)
{
    struct rig r;
    char key[1100];
    rig_start(&r, NULL);
    others_put(&r, "from/x", "was");
    others_put(&r, "to/x", "was");
    others_put(&r, "from/doc", "known");
    struct vfs_handle *h = open_at(&r, "from/doc", O_RDWR);
    write_at(&r, h, 0, "mine!");
    others_put(&r, "from/doc", "theirs");
    struct call closing = {.r = &r, .kind = CALL_FLUSH, .h = h};
    call_start_held(&closing, MEM_PUT, "from/doc");
    leave_record(&r, "was", NULL, true);
    mem_store_hold(r.mem, MEM_REMOVE_MANY, NULL);
    vfs_retry(r.v, NULL);
    assert_true(mem_store_wait_held(r.mem, MEM_REMOVE_MANY, 1, 60000));
    mem_store_unhold(r.mem, MEM_PUT);
    usleep(20000);
    assert_false(call_ended(&closing));
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    assert_int_equal(call_end_held(&closing, MEM_REMOVE_MANY), ERR_CONFLICT);
    assert_true(find_key(&r, "from/doc (conflict ", key));
    expect_object(&r, key, "mine!");
    expect_object(&r, "from/doc", "theirs");
    expect_both(&r, &(struct names){"was", NULL});
    assert_int_equal(RECORDS(&r), 0);
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    rig_stop(&r);
}

/* What waits for it is put off: the attempt needs none of the threads that send. */
static void an_attempt_comes_through_where_all_that_send_wait_for_it(void **state)
{
    struct rig r;
    char name[64];
    rig_store(&r, NULL);
    others_put(&r, "from/x", "was");
    others_put(&r, "to/x", "was");
    others_put(&r, "other/x", "theirs");
    leave_record(&r, "was", NULL, true);
    rig_fail(&r, MEM_LIST, "to/", ERR_NET, 1);
    rig_mount(&r);
    assert_true(vfs_settled(r.v, 10000));
    rig_heal(&r);
    mem_store_hold(r.mem, MEM_PUT, NULL);
    for (int k = 0; k < 200; k++) {
        snprintf(name, sizeof(name), "%s/f%d", k < 100 ? "other" : "to", k);
        struct vfs_handle *h = create_at(&r, name);
        write_at(&r, h, 0, "text");
        release(&r, h);
    }
    vfs_retry(r.v, NULL);
    assert_true(vfs_settled(r.v, 60000));
    expect_object(&r, "from/x", "was");
    expect_no_object(&r, "to/x");
    mem_store_unhold(r.mem, MEM_PUT);
    drain(&r);
    assert_int_equal(objects_below(&r, "to/"), 100);
    assert_int_equal(objects_below(&r, "other/"), 101);
    rig_stop(&r);
}

static void what_is_no_record_any_more_is_cleared_away(void **state)
{
    static const char *const names[] = {"00112233445566778899aabbccddeeff.rename", "11112233445566778899aabbccddeeff.rename"};
    struct rig r;
    char path[256];
    rig_store(&r, NULL);
    leave_file_record(&r, "was");
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        snprintf(path, sizeof(path), "%s/renames/%s", r.state, names[k]);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(k == 0 ? "no record of a rename" : "", f);
        fclose(f);
    }
    rig_mount(&r);
    assert_true(vfs_settled(r.v, 10000));
    assert_int_equal(state_files(&r, "renames", ".bad"), 1);
    assert_int_equal(state_files(&r, "renames", ".rename"), 1); /* nobody could say what became of its objects */
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_object_ends_under_one_name_and_nothing_is_lost),
        cmocka_unit_test(a_copy_is_known_by_its_recorded_version),
        cmocka_unit_test(a_store_that_fails_leaves_it_to_the_next_mount),
        cmocka_unit_test(what_waits_for_a_person_is_tried_again_when_asked),
        cmocka_unit_test(a_read_only_mount_changes_nothing),
        cmocka_unit_test(a_record_that_was_in_use_is_tried_again_by_itself),
        cmocka_unit_test(each_use_of_a_name_ends_its_record),
        cmocka_unit_test(who_uses_a_name_waits_for_what_is_under_way),
        cmocka_unit_test(a_copy_beside_that_has_to_wait_for_a_rename_is_put_off),
        cmocka_unit_test(an_attempt_comes_through_where_all_that_send_wait_for_it),
        cmocka_unit_test(what_is_no_record_any_more_is_cleared_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
