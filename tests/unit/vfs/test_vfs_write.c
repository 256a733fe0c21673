#include "support.h"

#include "util/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static void a_new_file_is_one_put(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    expect_absent(&r, "f");
    rig_mark(&r);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "hello");
    assert_int_equal(rig_requests(&r), 0);
    expect_ok(&r, close_file(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    assert_int_equal(rig_requests(&r), 1);
    drain(&r);
    assert_int_equal(rig_requests(&r), 1);
    expect_object(&r, "f", "hello");
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_int_equal(m->mode, S_IFREG | 0644);
    assert_int_equal(m->uid, 1000);
    rig_unmount(&r);
    assert_int_equal(state_files(&r, "staged", ""), 0);
    rig_stop(&r);
}

static void a_new_file_does_not_overwrite_what_others_made_meanwhile(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "mine");
    others_put(&r, "f", "theirs");
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    expect_object(&r, "f", "theirs");
    rig_stop(&r);
}

static void a_file_still_empty_is_put_at_release_and_not_at_flush(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    expect_ok(&r, flush(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    expect_ok(&r, flush(&r, h));
    release(&r, h);
    drain(&r);
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    expect_object(&r, "f", "");
    rig_stop(&r);
}

/* { a; b; } > f: the shell's own close comes first, each writer's exit closes once. */
static void a_file_emptied_by_a_shell_is_put_with_its_first_data(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "old content");
    struct vfs_handle *h = open_at(&r, "f", O_WRONLY | O_TRUNC);
    expect_ok(&r, flush(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    write_at(&r, h, 0, "a");
    expect_ok(&r, flush(&r, h));
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    expect_ok(&r, flush(&r, h));
    release(&r, h);
    drain(&r);
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    expect_object(&r, "f", "a");
    rig_stop(&r);
}

static void an_overwrite_looks_once_and_keeps_what_others_stored(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    others_put_meta(&r, "f", "0123456789", meta_of(0, "text/x-odd"));
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    rig_mark(&r);
    write_at(&r, h, 2, "ab");
    expect_ok(&r, close_file(&r, h));
    assert_int_equal(rig_count(&r, MEM_STAT), 1);
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    expect_object(&r, "f", "01ab456789");
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "text/x-odd");
    rig_stop(&r);
}

static void a_full_rewrite_keeps_what_others_stored_too(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    others_put_meta(&r, "f", "old", meta_of(S_IFREG | 0640, "text/x-odd"));
    write_file(&r, "f", "new");
    assert_int_equal(rig_count(&r, MEM_STAT), 1);
    assert_int_equal(rig_count(&r, MEM_GET), 0);
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "text/x-odd");
    assert_int_equal(m->mode, S_IFREG | 0640);
    expect_object(&r, "f", "new");
    rig_stop(&r);
}

static void a_full_rewrite_needs_no_condition(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "old");
    struct vfs_handle *h = open_at(&r, "f", O_WRONLY | O_TRUNC);
    others_put_meta(&r, "f", "theirs", meta_of(0, "text/x-odd"));
    write_at(&r, h, 0, "mine");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "f", "mine");
    rig_stop(&r);
}

static void a_full_rewrite_of_what_others_removed_is_put_again(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    others_put(&r, "f", "old");
    uint64_t ino = walk(&r, "f");
    others_remove(&r, "f");
    struct vfs_handle *h;
    expect_ok(&r, vfs_open(r.v, ino, O_WRONLY | O_TRUNC, &r.who, &h, &r.err));
    write_at(&r, h, 0, "mine");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "f", "mine");
    rig_stop(&r);
}

static void bytes_anywhere(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "0123456789");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    write_at(&r, h, 3, "XYZ");
    expect_bytes(&r, h, "012XYZ6789");
    write_at(&r, h, 8, "END!");
    expect_bytes(&r, h, "012XYZ67END!");
    expect_ok(&r, try_truncate(&r, "f", 5));
    expect_bytes(&r, h, "012XY");
    expect_ok(&r, try_truncate(&r, "f", 7));
    BUF(out, 64);
    expect_ok(&r, read_some(&r, h, 0, 64, &out));
    assert_int_equal(out.len, 7);
    assert_memory_equal(buf_str(&out), "012XY\0\0", 7);
    write_at(&r, h, 5, "ab");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "f", "012XYab");
    rig_stop(&r);
}

static void a_gap_is_zeros(void **state)
{
    struct rig r;
    BUF(out, 1 << 20);
    uint64_t at = 0;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "a");
    write_at(&r, h, 100000, "z");
    expect_ok(&r, read_some(&r, h, 0, 200000, &out));
    assert_int_equal(out.len, 100001);
    for (size_t k = 1; k < 100000; k++)
        assert_int_equal(out.data[k], 0);
    expect_ok(&r, vfs_lseek(r.v, h, 10, SEEK_DATA, &r.who, &at, &r.err));
    assert_true(at > 10 && at <= 100000);
    expect_code(&r, ERR_NO_ATTR, vfs_lseek(r.v, h, 100001, SEEK_DATA, &r.who, &at, &r.err));
    expect_ok(&r, vfs_lseek(r.v, h, 100000, SEEK_HOLE, &r.who, &at, &r.err));
    assert_int_equal(at, 100001);
    expect_ok(&r, close_file(&r, h));
    assert_int_equal(stat_of(&r, "f").st_size, 100001);
    rig_stop(&r);
}

struct appender {
    struct rig *r;
    struct vfs_handle *h;
    char mark;
};

static void *append_lines(void *arg)
{
    struct appender *a = arg;
    char line[9];
    memset(line, a->mark, 7);
    line[7] = '\n';
    struct err e = ERR_INIT;
    for (int k = 0; k < 500; k++)
        if (vfs_write(a->r->v, a->h, line, 8, 0, &a->r->who, &e))
            return a;
    return NULL;
}

static void two_handles_append_without_gap_or_overlap(void **state)
{
    struct rig r;
    BUF(out, 1 << 20);
    rig_start(&r, NULL);
    others_put(&r, "log", "first..\n");
    struct appender a[2];
    pthread_t t[2];
    for (int k = 0; k < 2; k++) {
        a[k] = (struct appender){&r, open_at(&r, "log", O_WRONLY | O_APPEND), (char)('A' + k)};
        pthread_create(&t[k], NULL, append_lines, &a[k]);
    }
    for (int k = 0; k < 2; k++) {
        void *bad;
        pthread_join(t[k], &bad);
        assert_null(bad);
    }
    for (int k = 0; k < 2; k++)
        expect_ok(&r, close_file(&r, a[k].h));
    struct vfs_handle *h = open_at(&r, "log", O_RDONLY);
    expect_ok(&r, read_some(&r, h, 0, 1 << 20, &out));
    assert_int_equal(out.len, 8 * 1001);
    for (size_t k = 0; k < out.len; k += 8)
        assert_int_equal(out.data[k + 7], '\n');
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

/* The kernel sends the pages of a mapping through whichever handle may write. */
static void what_a_mapping_changed_is_never_appended(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "0123456789");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR | O_APPEND);
    expect_ok(&r, vfs_write_mapped(r.v, h, "abc", 3, 2, &r.err));
    write_at(&r, h, 0, "+");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "f", "01abc56789+");
    rig_stop(&r);
}

static void only_what_fallocate_changes_is_sent(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "0123456789");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    rig_mark(&r);
    expect_ok(&r, vfs_fallocate(r.v, h, 0, 0, 10, &r.err));
    expect_ok(&r, vfs_fallocate(r.v, h, FALLOC_FL_KEEP_SIZE, 5, 100, &r.err));
    expect_ok(&r, vfs_fallocate(r.v, h, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10, 100, &r.err));
    expect_ok(&r, fsync_file(&r, h));
    assert_int_equal(rig_requests(&r), 0);
    expect_ok(&r, vfs_fallocate(r.v, h, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3, &r.err));
    expect_code(&r, ERR_UNSUPPORTED, vfs_fallocate(r.v, h, FALLOC_FL_COLLAPSE_RANGE, 0, 4096, &r.err));
    expect_code(&r, ERR_TOO_BIG, vfs_fallocate(r.v, h, 0, 0, 6ULL << 40, &r.err));
    expect_ok(&r, close_file(&r, h));
    h = open_at(&r, "f", O_RDONLY);
    BUF(bytes, 64);
    expect_ok(&r, read_some(&r, h, 0, 20, &bytes));
    assert_int_equal(bytes.len, 10);
    assert_memory_equal(bytes.data, "01\0\0\0" "56789", 10);
    expect_code(&r, ERR_BAD_HANDLE, vfs_fallocate(r.v, h, 0, 0, 100, &r.err));
    release(&r, h);
    rig_stop(&r);
}

static void reading_while_writing_sees_what_was_written_and_the_rest_of_the_old(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.async = true});
    CLEANUP(free) char *old = malloc(400001);
    for (size_t k = 0; k < 400000; k++)
        old[k] = (char)('a' + k % 26);
    old[400000] = 0;
    others_put(&r, "f", old);
    struct vfs_handle *w = open_at(&r, "f", O_RDWR), *reader = open_at(&r, "f", O_RDONLY);
    write_at(&r, w, 200000, "HERE");
    memcpy(old + 200000, "HERE", 4);
    expect_bytes(&r, reader, old);
    expect_ok(&r, close_file(&r, w));
    expect_bytes(&r, reader, old);
    expect_ok(&r, close_file(&r, reader));
    expect_object(&r, "f", old);
    rig_stop(&r);
}

static void base_bytes_that_others_replaced_are_no_zeros_and_no_mixture(void **state)
{
    struct rig r;
    BUF(out, 64);
    rig_start(&r, &(struct rig_kind){.put_target = 4}); /* a larger base is not fetched ahead */
    others_put(&r, "f", "0123456789");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    write_at(&r, h, 0, "ab");
    others_put(&r, "f", "##########");
    expect_code(&r, ERR_CONFLICT, read_some(&r, h, 0, 10, &out));
    buf_clear(&out);
    expect_ok(&r, read_some(&r, h, 0, 2, &out));
    assert_string_equal(buf_str(&out), "ab");
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    expect_object(&r, "f", "##########");
    assert_int_equal(mem_store_objects(r.mem), 1); /* what could not be completed is not put as if it were */
    rig_unmount(&r);
    assert_int_equal(state_files(&r, "staged", ".info"), 1);
    rig_stop(&r);
}

static void a_small_base_is_fetched_ahead_so_that_a_conflict_is_put_whole(void **state)
{
    struct rig r;
    char key[1100];
    rig_start(&r, NULL);
    others_put(&r, "f", "0123456789");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    write_at(&r, h, 0, "ab");
    while (!rig_count(&r, MEM_GET))
        usleep(1000);
    expect_bytes(&r, h, "ab23456789");
    others_put(&r, "f", "##########");
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    assert_true(find_key(&r, "f (conflict ", key));
    expect_object(&r, key, "ab23456789");
    rig_stop(&r);
}

static void fsync_in_the_middle_puts_what_is_there(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "one");
    expect_ok(&r, fsync_file(&r, h));
    expect_object(&r, "f", "one");
    write_at(&r, h, 3, " two");
    expect_ok(&r, fsync_file(&r, h));
    expect_object(&r, "f", "one two");
    rig_mark(&r);
    expect_ok(&r, fsync_file(&r, h));
    expect_ok(&r, close_file(&r, h));
    assert_int_equal(rig_requests(&r), 0);
    rig_stop(&r);
}

struct syncing {
    struct rig *r;
    struct vfs_handle *h;
    enum err_code code;
};

static void *sync_it(void *arg)
{
    struct syncing *s = arg;
    struct err e = ERR_INIT;
    s->code = vfs_fsync(s->r->v, 0, s->h, &s->r->who, &e);
    return NULL;
}

static void a_write_during_an_upload_is_not_in_it_and_is_sent_after_it(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "one");
    mem_store_hold(r.mem, MEM_PUT, "f");
    struct syncing s = {&r, h, ERR_OK};
    pthread_t t;
    pthread_create(&t, NULL, sync_it, &s);
    assert_true(mem_store_wait_held(r.mem, MEM_PUT, 1, 60000));
    write_at(&r, h, 0, "TWO and more");
    expect_bytes(&r, h, "TWO and more");
    mem_store_unhold(r.mem, MEM_PUT);
    pthread_join(t, NULL);
    assert_int_equal(s.code, ERR_OK);
    expect_object(&r, "f", "one");
    assert_int_equal(stat_of(&r, "f").st_size, 12);
    expect_bytes(&r, h, "TWO and more");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "f", "TWO and more");
    rig_stop(&r);
}

static void stat_does_not_wait_for_an_upload(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "one");
    mem_store_hold(r.mem, MEM_PUT, "f");
    struct syncing s = {&r, h, ERR_OK};
    pthread_t t;
    pthread_create(&t, NULL, sync_it, &s);
    assert_true(mem_store_wait_held(r.mem, MEM_PUT, 1, 60000));
    r.who.nowait = true;
    assert_int_equal(stat_of(&r, "f").st_size, 3);
    expect_bytes(&r, h, "one");
    r.who.nowait = false;
    mem_store_unhold(r.mem, MEM_PUT);
    pthread_join(t, NULL);
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_file_is_one_put),
        cmocka_unit_test(a_new_file_does_not_overwrite_what_others_made_meanwhile),
        cmocka_unit_test(a_file_still_empty_is_put_at_release_and_not_at_flush),
        cmocka_unit_test(a_file_emptied_by_a_shell_is_put_with_its_first_data),
        cmocka_unit_test(an_overwrite_looks_once_and_keeps_what_others_stored),
        cmocka_unit_test(a_full_rewrite_keeps_what_others_stored_too),
        cmocka_unit_test(a_full_rewrite_needs_no_condition),
        cmocka_unit_test(a_full_rewrite_of_what_others_removed_is_put_again),
        cmocka_unit_test(bytes_anywhere),
        cmocka_unit_test(a_gap_is_zeros),
        cmocka_unit_test(two_handles_append_without_gap_or_overlap),
        cmocka_unit_test(what_a_mapping_changed_is_never_appended),
        cmocka_unit_test(only_what_fallocate_changes_is_sent),
        cmocka_unit_test(reading_while_writing_sees_what_was_written_and_the_rest_of_the_old),
        cmocka_unit_test(base_bytes_that_others_replaced_are_no_zeros_and_no_mixture),
        cmocka_unit_test(a_small_base_is_fetched_ahead_so_that_a_conflict_is_put_whole),
        cmocka_unit_test(fsync_in_the_middle_puts_what_is_there),
        cmocka_unit_test(a_write_during_an_upload_is_not_in_it_and_is_sent_after_it),
        cmocka_unit_test(stat_does_not_wait_for_an_upload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
