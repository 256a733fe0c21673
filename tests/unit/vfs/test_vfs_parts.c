/* Uploads by parts. */
#include "support.h"

#include "journal/uploads.h"
#include "util/str.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MIB (1u << 20)

static const struct rig_kind small_target = {.put_target = 9 * MIB};

static void write_big(struct rig *r, struct vfs_handle *h, const char *text)
{
    for (size_t at = 0, len = strlen(text); at < len; at += MIB) {
        size_t n = len - at < MIB ? len - at : MIB;
        expect_ok(r, vfs_write(r->v, h, text + at, n, at, &r->who, &r->err));
    }
}

static void a_file_above_the_target_goes_by_parts(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(20 * MIB + 12345);
    struct vfs_handle *h = create_at(&r, "big");
    write_big(&r, h, text);
    rig_mark(&r);
    expect_ok(&r, close_file(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_BEGIN), 1);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_PART), 3);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_FINISH), 1);
    expect_object(&r, "big", text);
    assert_int_equal(state_files(&r, "uploads", ""), 0);
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "big");
    assert_non_null(store_meta_prop(m, "sha512", NULL));
    rig_stop(&r);
}

static bool all_parts_sent(void *arg)
{
    return rig_count(arg, MEM_UPLOAD_PART) == 8;
}

static void a_large_file_is_sent_while_it_is_written_and_what_is_changed_again(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(64 * MIB);
    struct vfs_handle *h = create_at(&r, "big");
    rig_mark(&r);
    write_big(&r, h, text);
    assert_true(within(60 * 1000, all_parts_sent, &r));
    assert_int_equal(state_files(&r, "uploads", ""), 1);
    memcpy(text + 20 * MIB, "changed", 7);
    write_at(&r, h, 20 * MIB, "changed");
    expect_ok(&r, close_file(&r, h));
    assert_int_equal(rig_count(&r, MEM_UPLOAD_BEGIN), 1);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_PART), 8 + 1);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_FINISH), 1);
    expect_object(&r, "big", text);
    assert_int_equal(state_files(&r, "uploads", ""), 0);
    rig_stop(&r);
}

static void sync_it(struct rig *r, struct vfs_handle *h)
{
    rig_mark(r);
    expect_ok(r, vfs_fsync(r->v, 0, h, &r->who, &r->err));
}

static void a_file_that_is_put_again_and_again_costs_what_was_changed(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(40 * MIB + 200);
    struct vfs_handle *h = create_at(&r, "log");
    text[40 * MIB] = 0;
    write_big(&r, h, text);
    sync_it(&r, h);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_PART), 5);
    expect_object(&r, "log", text);

    write_at(&r, h, 40 * MIB, "a line");
    sync_it(&r, h);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_PART), 1);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_COPY), 1);
    memcpy(text + 40 * MIB, "a line", 7);
    expect_object(&r, "log", text);

    write_at(&r, h, 20 * MIB, "amended");
    memcpy(text + 20 * MIB, "amended", 7);
    sync_it(&r, h);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_PART), 1);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_COPY), 2);
    expect_object(&r, "log", text);
    rig_mark(&r);
    expect_ok(&r, close_file(&r, h));
    assert_int_equal(rig_count(&r, MEM_UPLOAD_BEGIN) + rig_count(&r, MEM_PUT), 0);
    rig_stop(&r);
}

static void what_was_changed_before_a_put_that_failed_is_sent_by_the_next(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(40 * MIB);
    struct vfs_handle *h = create_at(&r, "log");
    write_big(&r, h, text);
    sync_it(&r, h);
    write_at(&r, h, 20 * MIB, "amended");
    memcpy(text + 20 * MIB, "amended", 7);
    rig_fail(&r, MEM_UPLOAD_FINISH, NULL, ERR_IO, 1);
    assert_int_equal(vfs_fsync(r.v, 0, h, &r.who, &r.err), ERR_IO);
    write_at(&r, h, 30 * MIB, "more");
    memcpy(text + 30 * MIB, "more", 4);
    sync_it(&r, h);
    assert_true(rig_count(&r, MEM_UPLOAD_COPY) >= 2);
    expect_object(&r, "log", text);
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

struct closing {
    struct rig *r;
    struct vfs_handle *h;
    enum err_code code;
};

static void *close_it(void *arg)
{
    struct closing *c = arg;
    struct err e = ERR_INIT;
    c->code = vfs_flush(c->r->v, c->h, &c->r->who, &e);
    return NULL;
}

static void parts_go_in_parallel_and_are_recorded_before_the_first(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(30 * MIB);
    struct vfs_handle *h = create_at(&r, "big");
    write_big(&r, h, text);
    mem_store_hold(r.mem, MEM_UPLOAD_PART, NULL);
    struct closing c = {&r, h, ERR_OK};
    pthread_t t;
    pthread_create(&t, NULL, close_it, &c);
    assert_true(mem_store_wait_held(r.mem, MEM_UPLOAD_PART, 4, 60000));
    assert_int_equal(state_files(&r, "uploads", ""), 1);
    mem_store_unhold(r.mem, MEM_UPLOAD_PART);
    pthread_join(t, NULL);
    assert_int_equal(c.code, ERR_OK);
    assert_int_equal(state_files(&r, "uploads", ""), 0);
    release(&r, h);
    rig_stop(&r);
}

static void a_part_that_fails_aborts_the_upload(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(20 * MIB);
    struct vfs_handle *h = create_at(&r, "big");
    write_big(&r, h, text);
    rig_fail(&r, MEM_UPLOAD_PART, NULL, ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, flush(&r, h));
    assert_int_equal(mem_store_uploads(r.mem), 0);
    assert_int_equal(state_files(&r, "uploads", ""), 0);
    expect_no_object(&r, "big");
    expect_ok(&r, fsync_file(&r, h));
    expect_object(&r, "big", text);
    release(&r, h);
    rig_stop(&r);
}

/* Others, or a rule of the bucket, abort uploads: the file that was written is not one that does not exist. */
static void an_upload_that_others_aborted_is_no_absence_and_can_be_repeated(void **state)
{
    static const enum mem_op ops[] = {MEM_UPLOAD_PART, MEM_UPLOAD_FINISH};
    for (size_t k = 0; k < ARRAY_LEN(ops); k++) {
        struct rig r;
        rig_start(&r, &small_target);
        CLEANUP(free) char *text = bytes_of(20 * MIB);
        struct vfs_handle *h = create_at(&r, "big");
        write_big(&r, h, text);
        rig_fail(&r, ops[k], NULL, ERR_NOT_FOUND, 1);
        expect_code(&r, ERR_IO, flush(&r, h));
        expect_ok(&r, fsync_file(&r, h));
        expect_ok(&r, close_file(&r, h));
        expect_object(&r, "big", text);
        rig_stop(&r);
    }
}

static void conditions_hold_at_the_finish(void **state)
{
    struct rig r;
    char key[1100];
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(12 * MIB);
    struct vfs_handle *h = create_at(&r, "big");
    write_big(&r, h, text);
    others_put(&r, "big", "theirs");
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    expect_object(&r, "big", "theirs");
    assert_int_equal(mem_store_uploads(r.mem), 0);
    assert_true(find_key(&r, "big (conflict ", key));
    expect_object(&r, key, text);
    rig_stop(&r);
}

/* A copy onto itself gives an object of parts another ETag. */
static void attributes_changed_between_two_writes_are_no_conflict(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(12 * MIB);
    struct vfs_handle *h = create_at(&r, "big");
    write_big(&r, h, text);
    expect_ok(&r, close_file(&r, h));
    h = open_at(&r, "big", O_RDWR);
    expect_ok(&r, try_chmod(&r, "big", 0600));
    mem_store_hold(r.mem, MEM_COPY, "big");
    assert_true(mem_store_wait_held(r.mem, MEM_COPY, 1, 60000));
    write_at(&r, h, 0, "HERE");
    memcpy(text, "HERE", 4);
    mem_store_unhold(r.mem, MEM_COPY);
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "big", text);
    assert_int_equal(mem_store_objects(r.mem), 1);
    rig_stop(&r);
}

/* Aborting is done in the background, and nothing waits for it. */
struct left {
    struct rig *r;
    unsigned uploads, records;
};

static bool are_left(void *arg)
{
    const struct left *l = arg;
    return mem_store_uploads(l->r->mem) == l->uploads && state_files(l->r, "uploads", "") == l->records;
}

static void expect_left(struct rig *r, unsigned uploads, unsigned records)
{
    struct left l = {r, uploads, records};
    assert_true(within(60 * 1000, are_left, &l));
}

static void an_upload_that_a_dead_mount_left_is_aborted_and_no_other(void **state)
{
    struct rig r;
    char ours[STORE_ID_SIZE], foreign[STORE_ID_SIZE];
    rig_store(&r, &small_target);
    char dir[128];
    snprintf(dir, sizeof(dir), "%s/uploads", r.state);
    assert_int_equal(mkdir(dir, 0700), 0);
    expect_ok(&r, store_upload_begin(r.store, "big", NULL, NULL, NULL, ours, &r.err));
    expect_ok(&r, store_upload_begin(r.store, "big", NULL, NULL, NULL, foreign, &r.err));
    struct uploads *u = uploads_open(dir, &r.err);
    assert_non_null(u);
    expect_ok(&r, uploads_add(u, "big", ours, &r.err));
    uploads_free(u);
    rig_mount(&r);
    expect_left(&r, 1, 0);
    rig_unmount(&r);
    rig_mount(&r);
    rig_unmount(&r);
    assert_int_equal(mem_store_uploads(r.mem), 1);
    rig_stop(&r);
}

static void record_two(struct rig *r, char first[STORE_ID_SIZE], char second[STORE_ID_SIZE])
{
    char dir[128];
    snprintf(dir, sizeof(dir), "%s/uploads", r->state);
    assert_int_equal(mkdir(dir, 0700), 0);
    expect_ok(r, store_upload_begin(r->store, "one", NULL, NULL, NULL, first, &r->err));
    expect_ok(r, store_upload_begin(r->store, "two", NULL, NULL, NULL, second, &r->err));
    struct uploads *u = uploads_open(dir, &r->err);
    assert_non_null(u);
    expect_ok(r, uploads_add(u, "one", first, &r->err));
    expect_ok(r, uploads_add(u, "two", second, &r->err));
    uploads_free(u);
}

/* Who mounts read-only may not be allowed to remove anything, and expects that nothing is. */
static void a_read_only_mount_leaves_the_uploads_of_a_dead_one_to_the_next(void **state)
{
    struct rig r;
    char first[STORE_ID_SIZE], second[STORE_ID_SIZE];
    rig_store(&r, &small_target);
    record_two(&r, first, second);
    r.cfg.read_only = true;
    rig_mark(&r);
    rig_mount(&r);
    rig_unmount(&r);
    assert_int_equal(rig_count(&r, MEM_UPLOAD_ABORT), 0);
    expect_left(&r, 2, 2);
    r.cfg.read_only = false;
    rig_mount(&r);
    expect_left(&r, 0, 0);
    rig_stop(&r);
}

static void an_upload_that_cannot_be_aborted_stays_recorded(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(12 * MIB);
    struct vfs_handle *h = create_at(&r, "big");
    write_big(&r, h, text);
    rig_fail(&r, MEM_UPLOAD_PART, NULL, ERR_NET, 1);
    rig_fail(&r, MEM_UPLOAD_ABORT, NULL, ERR_NET, 1);
    expect_code(&r, ERR_NET, close_file(&r, h));
    assert_int_equal(state_files(&r, "uploads", ""), 1);
    rig_unmount(&r);
    rig_mount(&r);
    expect_left(&r, 0, 0);
    rig_stop(&r);
}

/* Two that a dead mount has left. */
static void one_that_cannot_be_aborted_does_not_keep_the_others(void **state)
{
    static const char *const failing[] = {"one", "two"};
    for (int k = 0; k < 2; k++) {
        struct rig r;
        char first[STORE_ID_SIZE], second[STORE_ID_SIZE];
        rig_store(&r, &small_target);
        record_two(&r, first, second);
        rig_fail(&r, MEM_UPLOAD_ABORT, failing[k], ERR_ACCESS, 1);
        rig_mount(&r);
        expect_left(&r, 1, 1);
        rig_unmount(&r);
        rig_mount(&r);
        expect_left(&r, 0, 0);
        rig_stop(&r);
    }
}

struct renaming {
    struct rig *r;
    enum err_code code;
};

static void *rename_it(void *arg)
{
    struct renaming *n = arg;
    n->code = try_rename(n->r, "big", "moved", 0);
    return NULL;
}

static void the_upload_of_a_copy_is_recorded_while_it_is_made(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(12 * MIB);
    struct vfs_handle *h = create_at(&r, "big");
    write_big(&r, h, text);
    expect_ok(&r, close_file(&r, h));
    mem_store_hold(r.mem, MEM_COPY, "big");
    struct renaming n = {&r, ERR_OK};
    pthread_t t;
    pthread_create(&t, NULL, rename_it, &n);
    assert_true(mem_store_wait_held(r.mem, MEM_COPY, 1, 60000));
    assert_int_equal(state_files(&r, "uploads", ""), 1);
    mem_store_unhold(r.mem, MEM_COPY);
    pthread_join(t, NULL);
    assert_int_equal(n.code, ERR_OK);
    assert_int_equal(state_files(&r, "uploads", ""), 0);
    expect_object(&r, "moved", text);
    rig_stop(&r);
}

static void the_upload_of_a_copy_that_failed_is_aborted_in_the_background(void **state)
{
    struct rig r;
    rig_start(&r, &small_target);
    CLEANUP(free) char *text = bytes_of(12 * MIB);
    struct vfs_handle *h = create_at(&r, "big");
    write_big(&r, h, text);
    expect_ok(&r, close_file(&r, h));
    rig_fail(&r, MEM_COPY, "big", ERR_NET, 1);
    mem_store_hold(r.mem, MEM_UPLOAD_ABORT, NULL);
    expect_code(&r, ERR_NET, try_rename(&r, "big", "moved", 0));
    assert_true(mem_store_wait_held(r.mem, MEM_UPLOAD_ABORT, 1, 60000));
    assert_int_equal(state_files(&r, "uploads", ""), 1);
    mem_store_unhold(r.mem, MEM_UPLOAD_ABORT);
    expect_left(&r, 0, 0);

    /* An unmount gives it up after a while: it stays recorded, and the next mount aborts it. */
    rig_fail(&r, MEM_COPY, "big", ERR_NET, 1);
    mem_store_hold(r.mem, MEM_UPLOAD_ABORT, NULL);
    expect_code(&r, ERR_NET, try_rename(&r, "big", "moved", 0));
    assert_true(mem_store_wait_held(r.mem, MEM_UPLOAD_ABORT, 1, 60000));
    vfs_free(TAKE(r.v));
    mem_store_unhold(r.mem, MEM_UPLOAD_ABORT);
    assert_int_equal(state_files(&r, "uploads", ""), 1);
    rig_mount(&r);
    expect_left(&r, 0, 0);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_above_the_target_goes_by_parts),
        cmocka_unit_test(a_large_file_is_sent_while_it_is_written_and_what_is_changed_again),
        cmocka_unit_test(a_file_that_is_put_again_and_again_costs_what_was_changed),
        cmocka_unit_test(what_was_changed_before_a_put_that_failed_is_sent_by_the_next),
        cmocka_unit_test(parts_go_in_parallel_and_are_recorded_before_the_first),
        cmocka_unit_test(a_part_that_fails_aborts_the_upload),
        cmocka_unit_test(an_upload_that_others_aborted_is_no_absence_and_can_be_repeated),
        cmocka_unit_test(conditions_hold_at_the_finish),
        cmocka_unit_test(attributes_changed_between_two_writes_are_no_conflict),
        cmocka_unit_test(an_upload_that_a_dead_mount_left_is_aborted_and_no_other),
        cmocka_unit_test(a_read_only_mount_leaves_the_uploads_of_a_dead_one_to_the_next),
        cmocka_unit_test(an_upload_that_cannot_be_aborted_stays_recorded),
        cmocka_unit_test(one_that_cannot_be_aborted_does_not_keep_the_others),
        cmocka_unit_test(the_upload_of_a_copy_is_recorded_while_it_is_made),
        cmocka_unit_test(the_upload_of_a_copy_that_failed_is_aborted_in_the_background),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
