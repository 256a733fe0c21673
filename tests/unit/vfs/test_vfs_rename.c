/* rename of files. */
#include "support.h"

#include "util/clock.h"

#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

static void a_renamed_file_is_copied_and_deleted_with_all_that_belongs_to_it(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put_meta(&r, "a", "bytes", meta_of(S_IFREG | 0751, "text/x-odd"));
    struct timespec before = stat_of(&r, "a").st_mtim;
    uint64_t ino = walk(&r, "a");
    expect_ok(&r, try_rename(&r, "a", "b", 0));
    expect_no_object(&r, "a");
    expect_object(&r, "b", "bytes");
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "b");
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "text/x-odd");
    assert_int_equal(m->mode, S_IFREG | 0751);
    rig_mark(&r);
    assert_true(walk(&r, "b") == ino);
    assert_int_equal(stat_of(&r, "b").st_mtim.tv_sec, before.tv_sec);
    expect_absent(&r, "a");
    assert_int_equal(rig_requests(&r), 0);
    rig_stop(&r);
}

static void the_time_of_a_plain_object_stays_after_a_rename_and_a_remount(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "bytes");
    time_t before = stat_of(&r, "a").st_mtim.tv_sec;
    sleep(2);
    expect_ok(&r, try_rename(&r, "a", "b", 0));
    assert_int_equal(stat_of(&r, "b").st_mtim.tv_sec, before);
    rig_unmount(&r);
    r.cfg.attrs = VFS_ATTRS_HEAD;
    rig_mount(&r);
    assert_int_equal(stat_of(&r, "b").st_mtim.tv_sec, before);
    rig_stop(&r);
}

static void files_being_written_can_be_renamed(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "new");
    expect_ok(&r, try_rename(&r, "new", "new2", 0));
    write_at(&r, h, 0, "one");
    expect_ok(&r, try_rename(&r, "new2", "new3", 0));
    expect_object(&r, "new3", "one");
    write_at(&r, h, 3, " two");
    expect_ok(&r, try_rename(&r, "new3", "new4", 0));
    write_at(&r, h, 7, " three");
    expect_bytes(&r, h, "one two three");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "new4", "one two three");
    assert_int_equal(mem_store_objects(r.mem), 1);
    expect_names(&r, "", "new4\n");
    rig_stop(&r);
}

static void an_open_reader_follows_its_file(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.async = true});
    CLEANUP(free) char *text = bytes_of(1500000);
    others_put(&r, "a", text);
    struct vfs_handle *h = open_at(&r, "a", O_RDONLY);
    BUF(some, 4096);
    expect_ok(&r, read_some(&r, h, 0, 100, &some));
    expect_ok(&r, try_rename(&r, "a", "b", 0));
    expect_bytes(&r, h, text);
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

static void a_file_renamed_over_keeps_its_bytes_for_those_who_have_it_open(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "the new one");
    others_put(&r, "b", "the old one");
    struct vfs_handle *h = open_at(&r, "b", O_RDONLY);
    expect_ok(&r, try_rename(&r, "a", "b", 0));
    expect_bytes(&r, h, "the old one");
    expect_ok(&r, close_file(&r, h));
    expect_file(&r, "b", "the new one");
    expect_object(&r, "b", "the new one");
    expect_no_object(&r, "a");
    rig_stop(&r);
}

static void what_was_written_to_a_file_that_is_renamed_over_is_gone(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "the new one");
    others_put(&r, "b", "the old one");
    struct vfs_handle *h = open_at(&r, "b", O_RDWR);
    write_at(&r, h, 0, "THE");
    expect_ok(&r, try_rename(&r, "a", "b", 0));
    expect_bytes(&r, h, "THE old one");
    expect_ok(&r, close_file(&r, h));
    drain(&r);
    expect_object(&r, "b", "the new one");
    assert_int_equal(mem_store_objects(r.mem), 1);
    rig_stop(&r);
}

static void renames_that_cannot_be(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "a");
    others_put(&r, "b", "b");
    others_put(&r, "d/x", "x");
    others_put(&r, "e/", "");
    expect_code(&r, ERR_EXISTS, try_rename(&r, "a", "b", RENAME_NOREPLACE));
    expect_code(&r, ERR_INVAL, try_rename(&r, "a", "b", RENAME_EXCHANGE));
    expect_code(&r, ERR_NOT_FOUND, try_rename(&r, "none", "b", 0));
    expect_code(&r, ERR_IS_DIR, try_rename(&r, "a", "d", 0));
    expect_code(&r, ERR_NOT_DIR, try_rename(&r, "d", "a", 0));
    expect_code(&r, ERR_NOT_EMPTY, try_rename(&r, "e", "d", 0));
    expect_ok(&r, try_rename(&r, "a", "a", 0));
    struct vfs_handle *h = create_at(&r, "e/unsent");
    write_at(&r, h, 0, "x");
    expect_code(&r, ERR_NOT_EMPTY, try_rename(&r, "d", "e", 0));
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "e/unsent", "x");
    expect_names(&r, "", "a\nb\nd\ne\n");
    rig_stop(&r);
}

static void a_target_that_others_changed_is_not_overwritten(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "mine");
    others_put(&r, "b", "known");
    expect_names(&r, "", "a\nb\n");
    others_put(&r, "b", "theirs, newer");
    expect_code(&r, ERR_CONFLICT, try_rename(&r, "a", "b", 0));
    expect_object(&r, "a", "mine");
    expect_object(&r, "b", "theirs, newer");
    expect_file(&r, "b", "theirs, newer");
    expect_names(&r, "", "a\nb\n");
    others_put(&r, "c", "appeared");
    expect_code(&r, ERR_CONFLICT, try_rename(&r, "a", "c", 0));
    expect_object(&r, "c", "appeared");
    rig_stop(&r);
}

static void a_name_that_others_took_meanwhile_exists_for_who_would_not_replace_it(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "mine");
    others_put(&r, "d/x", "mine");
    expect_names(&r, "", "a\nd\n");
    expect_names(&r, "d", "x\n");
    others_put(&r, "b", "theirs");
    others_put(&r, "e/x", "theirs");
    expect_code(&r, ERR_EXISTS, try_rename(&r, "a", "b", RENAME_NOREPLACE));
    expect_code(&r, ERR_EXISTS, try_rename(&r, "d", "e", RENAME_NOREPLACE));
    expect_object(&r, "a", "mine");
    expect_object(&r, "b", "theirs");
    expect_object(&r, "d/x", "mine");
    expect_object(&r, "e/x", "theirs");
    rig_stop(&r);
}

static void a_name_that_a_lookup_finds_taken_meanwhile_exists_too(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    struct vfs_handle *h = create_at(&r, "a");
    write_at(&r, h, 0, "mine");
    struct call c = {.r = &r, .kind = CALL_RENAME, .a = "a", .b = "b", .flags = RENAME_NOREPLACE};
    call_start_held(&c, MEM_PUT, "a");
    others_put(&r, "b", "theirs");
    walk(&r, "b");
    expect_code(&r, ERR_EXISTS, call_end_held(&c, MEM_PUT));
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "a", "mine");
    expect_object(&r, "b", "theirs");
    rig_stop(&r);
}

static void a_source_that_others_changed_is_a_conflict_also_where_nothing_would_be_replaced(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "known");
    expect_names(&r, "", "a\n");
    others_put(&r, "a", "theirs");
    expect_code(&r, ERR_CONFLICT, try_rename(&r, "a", "b", RENAME_NOREPLACE));
    expect_object(&r, "a", "theirs");
    expect_no_object(&r, "b");
    rig_stop(&r);
}

static void after_a_deletion_without_an_answer_both_names_are_there(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "bytes");
    rig_fail(&r, MEM_REMOVE, "a", ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, try_rename(&r, "a", "b", 0));
    expect_file(&r, "a", "bytes");
    expect_file(&r, "b", "bytes");
    expect_names(&r, "", "a\nb\n");
    rig_stop(&r);
}

static void a_source_that_others_rewrote_in_between_stays_with_their_bytes(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "bytes");
    (void)walk(&r, "a");
    struct call c = {.r = &r, .kind = CALL_RENAME, .a = "a", .b = "b"};
    call_start_held(&c, MEM_REMOVE, "a");
    others_put(&r, "a", "theirs");
    assert_int_equal(call_end_held(&c, MEM_REMOVE), ERR_OK);
    expect_object(&r, "b", "bytes");
    expect_object(&r, "a", "theirs");
    expect_names(&r, "", "a\nb\n");
    expect_file(&r, "a", "theirs");
    rig_stop(&r);
}

static void a_source_that_others_rewrote_in_between_is_found_by_its_name(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "bytes");
    expect_names(&r, "", "a\n");
    struct call c = {.r = &r, .kind = CALL_RENAME, .a = "a", .b = "b"};
    call_start_held(&c, MEM_REMOVE, "a");
    others_put(&r, "a", "theirs");
    assert_int_equal(call_end_held(&c, MEM_REMOVE), ERR_OK);
    expect_file(&r, "a", "theirs");
    expect_file(&r, "b", "bytes");
    rig_stop(&r);
}

static void bytes_written_during_a_rename_come_to_the_new_name(void **state)
{
    static const enum mem_op where[] = {MEM_COPY, MEM_REMOVE};
    for (size_t k = 0; k < ARRAY_LEN(where); k++) {
        struct rig r;
        rig_start(&r, NULL);
        others_put(&r, "a", "bytes");
        struct vfs_handle *h = open_at(&r, "a", O_RDWR);
        struct call c = {.r = &r, .kind = CALL_RENAME, .a = "a", .b = "b"}, put = {.r = &r, .kind = CALL_FLUSH, .h = h};
        call_start_held(&c, where[k], "a");
        write_at(&r, h, 0, "BYTES");
        call_start(&put);
        usleep(200 * 1000);
        assert_int_equal(call_end_held(&c, where[k]), ERR_OK);
        assert_int_equal(call_end(&put), ERR_OK);
        expect_ok(&r, close_file(&r, h));
        expect_object(&r, "b", "BYTES");
        expect_no_object(&r, "a");
        expect_file(&r, "b", "BYTES");
        rig_stop(&r);
    }
}

static void a_stat_in_the_middle_of_a_rename_does_not_lose_the_file(void **state)
{
    for (int dir = 0; dir < 2; dir++) {
        struct rig r;
        rig_start(&r, &(struct rig_kind){.ttl_zero = true});
        others_put(&r, dir ? "a/x" : "a", "bytes");
        uint64_t ino = walk(&r, "a");
        struct call c = {.r = &r, .kind = CALL_RENAME, .a = "a", .b = "b"};
        /* The answer of the deletion is what is delayed. */
        pthread_mutex_lock(&r.mutex);
        r.rules[0] = (struct rule){.op = dir ? MEM_REMOVE_MANY : MEM_REMOVE, .phase = MEM_AFTER, .any_key = true,
                                   .times = 1, .delay_ms = 300};
        pthread_mutex_unlock(&r.mutex);
        call_start(&c);
        while (there(&r, dir ? "a/x" : "a"))
            usleep(1000);
        /* The name itself, asked again while it is being moved, finds nothing at the old key. */
        struct vfs_attr attr;
        enum err_code code = vfs_getattr(r.v, ino, NULL, &r.who, &attr, &r.err);
        assert_true(code == ERR_OK || code == ERR_CONFLICT);
        assert_int_equal(call_end(&c), ERR_OK);
        expect_names(&r, "", "b\n");
        expect_file(&r, dir ? "b/x" : "b", "bytes");
        assert_true(walk(&r, "b") == ino);
        rig_stop(&r);
    }
}

/* ---- A directory that is looked up between its making in the store and here */

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open, reached;
};

static enum err_code wait_at_gate(void *arg, const struct mem_event *ev, struct err *e)
{
    struct gate *g = arg;
    if (ev->op != MEM_PUT || ev->phase != MEM_AFTER || strcmp(ev->key, "d1/") != 0)
        return ERR_OK;
    pthread_mutex_lock(&g->lock);
    g->reached = true;
    pthread_cond_broadcast(&g->changed);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
    return ERR_OK;
}

static void *make_d1(void *arg)
{
    expect_ok(arg, try_mkdir(arg, "d1"));
    return NULL;
}

static void *move_out(void *arg)
{
    expect_ok(arg, try_rename(arg, "d1/f", "d2/g", 0));
    return NULL;
}

static void a_file_is_moved_out_of_a_directory_that_is_made_anew_meanwhile(void **state)
{
    struct gate g = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct rig r;
    pthread_t maker, mover;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "d2/x", "x");
    mem_store_set_hook(r.mem, (struct mem_hook){wait_at_gate, &g});
    pthread_create(&maker, NULL, make_d1, &r);
    pthread_mutex_lock(&g.lock);
    while (!g.reached)
        pthread_cond_wait(&g.changed, &g.lock);
    pthread_mutex_unlock(&g.lock);
    write_file(&r, "d1/f", "text");
    mem_store_hold(r.mem, MEM_COPY, "d1/f");
    pthread_create(&mover, NULL, move_out, &r);
    assert_true(mem_store_wait_held(r.mem, MEM_COPY, 1, 60000));
    pthread_mutex_lock(&g.lock);
    g.open = true;
    pthread_cond_broadcast(&g.changed);
    pthread_mutex_unlock(&g.lock);
    pthread_join(maker, NULL);
    mem_store_unhold(r.mem, MEM_COPY);
    pthread_join(mover, NULL);
    expect_file(&r, "d2/g", "text");
    expect_names(&r, "d1", "");
    expect_ok(&r, try_unlink(&r, "d2/g"));
    expect_names(&r, "d2", "x\n");
    mem_store_set_hook(r.mem, (struct mem_hook){NULL, NULL});
    rig_stop(&r);
}

static void what_is_written_into_a_directory_that_is_just_being_made_stays_in_it(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    struct call c = {.r = &r, .kind = CALL_MKDIR, .a = "d"};
    call_start_held(&c, MEM_PUT, "d/");
    others_put(&r, "d/theirs", "x");
    struct vfs_handle *h = create_at(&r, "d/f");
    write_at(&r, h, 0, "text");
    expect_ok(&r, call_end_held(&c, MEM_PUT));
    expect_names(&r, "d", "f\ntheirs\n");
    expect_ok(&r, close_file(&r, h));
    drain(&r);
    expect_object(&r, "d/f", "text");
    expect_object(&r, "d/", "");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_renamed_file_is_copied_and_deleted_with_all_that_belongs_to_it),
        cmocka_unit_test(the_time_of_a_plain_object_stays_after_a_rename_and_a_remount),
        cmocka_unit_test(files_being_written_can_be_renamed),
        cmocka_unit_test(an_open_reader_follows_its_file),
        cmocka_unit_test(a_file_renamed_over_keeps_its_bytes_for_those_who_have_it_open),
        cmocka_unit_test(what_was_written_to_a_file_that_is_renamed_over_is_gone),
        cmocka_unit_test(renames_that_cannot_be),
        cmocka_unit_test(a_target_that_others_changed_is_not_overwritten),
        cmocka_unit_test(a_name_that_others_took_meanwhile_exists_for_who_would_not_replace_it),
        cmocka_unit_test(a_name_that_a_lookup_finds_taken_meanwhile_exists_too),
        cmocka_unit_test(a_source_that_others_changed_is_a_conflict_also_where_nothing_would_be_replaced),
        cmocka_unit_test(after_a_deletion_without_an_answer_both_names_are_there),
        cmocka_unit_test(a_source_that_others_rewrote_in_between_stays_with_their_bytes),
        cmocka_unit_test(a_source_that_others_rewrote_in_between_is_found_by_its_name),
        cmocka_unit_test(bytes_written_during_a_rename_come_to_the_new_name),
        cmocka_unit_test(a_stat_in_the_middle_of_a_rename_does_not_lose_the_file),
        cmocka_unit_test(a_file_is_moved_out_of_a_directory_that_is_made_anew_meanwhile),
        cmocka_unit_test(what_is_written_into_a_directory_that_is_just_being_made_stays_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
