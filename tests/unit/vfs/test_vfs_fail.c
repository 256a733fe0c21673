/* Uploads that fail, conflicts, and what is left of them. */
#include "support.h"

#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"

#include <stdio.h>
#include <unistd.h>

static char log_file[64];

static unsigned logged(const char *what)
{
    char line[2048];
    unsigned n = 0;
    FILE *f = fopen(log_file, "r");
    while (f && fgets(line, sizeof(line), f))
        n += strstr(line, what) != NULL;
    if (f)
        fclose(f);
    return n;
}

static bool is_logged(void *arg)
{
    return logged(arg) > 0;
}

/* By who puts the bytes aside, afterwards. */
static void expect_logged_once(char *what)
{
    assert_true(within(60 * 1000, is_logged, what));
    assert_int_equal(logged(what), 1);
}

/* A drain that may find failures. */
static void settle(struct rig *r)
{
    enum err_code code = vfs_drain(r->v, NULL, NULL, &r->err);
    assert_true(code == ERR_OK || code == ERR_IO);
}

static bool is_kept(void *arg)
{
    return state_files(arg, "staged", ".info") == 1;
}

/* Who has the file last puts its bytes aside: that may be the task that fetches what it came from. */
static void expect_kept_soon(struct rig *r)
{
    settle(r);
    assert_true(within(60 * 1000, is_kept, r));
}

/* What was written is in an object beside, or in the state directory. */
static void expect_kept(struct rig *r, const char *name, const char *text)
{
    char key[1100];
    BUF(part, 256);
    buf_addf(&part, "%s (conflict ", name);
    if (find_key(r, buf_str(&part), key))
        expect_object(r, key, text);
    else
        assert_true(within(60 * 1000, is_kept, r));
}

static void a_failed_put_is_the_error_of_the_close_and_leaves_the_bytes(void **state)
{
    struct rig r;
    BUF(text, 4096);
    rig_start(&r, NULL);
    others_put(&r, "d/failing-one", "the store's version");
    struct vfs_handle *h = open_at(&r, "d/failing-one", O_RDWR);
    write_at(&r, h, 0, "THE MOUNT'S");
    rig_fail(&r, MEM_PUT, "d/failing-one", ERR_ACCESS, 1000);
    expect_code(&r, ERR_ACCESS, flush(&r, h));
    expect_bytes(&r, h, "THE MOUNT'S version");
    unsigned puts = rig_count(&r, MEM_PUT);
    assert_int_equal(puts, 1);
    expect_code(&r, ERR_ACCESS, flush(&r, h));
    release(&r, h);
    expect_kept_soon(&r);
    assert_int_equal(rig_count(&r, MEM_PUT), puts);
    assert_int_equal(state_files(&r, "staged", ""), 2);
    state_text(&r, "staged", ".info", &text);
    assert_non_null(strstr(buf_str(&text), "d/failing-one"));
    expect_logged_once("failing-one");
    rig_heal(&r);
    expect_file(&r, "d/failing-one", "the store's version");
    usleep(1200 * 1000);
    expect_object(&r, "d/failing-one", "the store's version");
    rig_unmount(&r);
    rig_mount(&r);
    drain(&r);
    expect_file(&r, "d/failing-one", "the store's version");
    assert_int_equal(state_files(&r, "staged", ".info"), 1);
    rig_stop(&r);
}

static void a_new_file_that_failed_is_gone_after_its_close(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    rig_fail(&r, MEM_PUT, "f", ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, close_file(&r, h));
    expect_kept_soon(&r);
    expect_absent(&r, "f");
    expect_names(&r, "", "");
    rig_stop(&r);
}

static void fsync_and_another_write_try_again(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    rig_fail(&r, MEM_PUT, "f", ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, flush(&r, h));
    expect_ok(&r, fsync_file(&r, h));
    expect_object(&r, "f", "bytes");
    write_at(&r, h, 0, "BYTES");
    rig_fail(&r, MEM_PUT, "f", ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, fsync_file(&r, h));
    write_at(&r, h, 5, "!");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "f", "BYTES!");
    rig_unmount(&r);
    assert_int_equal(state_files(&r, "staged", ""), 0);
    rig_stop(&r);
}

static void a_failure_at_release_leaves_the_bytes_and_one_line(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "late-failure");
    write_at(&r, h, 0, "bytes");
    rig_fail(&r, MEM_PUT, NULL, ERR_NET, 1);
    release(&r, h);
    expect_kept_soon(&r);
    expect_logged_once("late-failure");
    rig_stop(&r);
}

static void a_conflict_puts_the_bytes_beside_the_newer_object(void **state)
{
    struct rig r;
    char key[1100];
    rig_start(&r, NULL);
    others_put(&r, "d/doc", "first");
    struct vfs_handle *h = open_at(&r, "d/doc", O_RDWR);
    write_at(&r, h, 5, " and mine");
    expect_bytes(&r, h, "first and mine");
    others_put(&r, "d/doc", "theirs");
    expect_code(&r, ERR_CONFLICT, flush(&r, h));
    expect_object(&r, "d/doc", "theirs");
    assert_true(find_key(&r, "d/doc (conflict ", key));
    expect_object(&r, key, "first and mine");
    expect_bytes(&r, h, "first and mine");
    release(&r, h);
    expect_file(&r, "d/doc", "theirs");
    expect_file(&r, key, "first and mine");
    rig_unmount(&r);
    assert_int_equal(state_files(&r, "staged", ""), 0);
    rig_stop(&r);
}

static void conflicts_of_one_second_have_names_of_their_own(void **state)
{
    enum { WRITERS = 4 };
    struct rig r;
    char text[WRITERS][24];
    rig_start(&r, NULL);
    for (int k = 0; k < WRITERS; k++) {
        others_put(&r, "doc", "known");
        expect_file(&r, "doc", "known");
        struct vfs_handle *h = open_at(&r, "doc", O_RDWR);
        snprintf(text[k], sizeof(text[k]), "mine %d", k);
        write_at(&r, h, 0, text[k]);
        others_put(&r, "doc", "theirs, newer");
        expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    }
    settle(&r);
    assert_int_equal(objects_below(&r, "doc (conflict "), WRITERS);
    rig_unmount(&r);
    assert_int_equal(state_files(&r, "staged", ""), 0);
    rig_stop(&r);
}

static void who_asked_for_a_name_of_its_own_and_lost_it_is_told_that_it_exists(void **state)
{
    static const int flags[] = {O_RDWR | O_CREAT | O_EXCL, O_RDWR | O_CREAT};
    static const enum err_code expected[] = {ERR_EXISTS, ERR_CONFLICT};
    for (size_t k = 0; k < ARRAY_LEN(flags); k++) {
        struct rig r;
        char key[1100];
        struct vfs_handle *h = NULL;
        rig_start(&r, NULL);
        expect_ok(&r, try_create(&r, "f", flags[k], &h));
        write_at(&r, h, 0, "mine");
        others_put(&r, "f", "theirs");
        expect_code(&r, expected[k], fsync_file(&r, h));
        expect_code(&r, expected[k], close_file(&r, h));
        assert_true(find_key(&r, "f (conflict ", key));
        expect_object(&r, key, "mine");
        expect_object(&r, "f", "theirs");
        rig_stop(&r);
    }
}

/* Programs make a file of their own and cut it to nothing before they write: that is no licence to replace another's. */
static void a_new_file_that_is_truncated_replaces_nobody_elses(void **state)
{
    struct rig r;
    char key[1100];
    struct vfs_handle *h = NULL;
    rig_start(&r, NULL);
    expect_ok(&r, try_create(&r, "f", O_RDWR | O_CREAT | O_EXCL, &h));
    expect_ok(&r, try_truncate(&r, "f", 0));
    write_at(&r, h, 0, "mine");
    others_put(&r, "f", "theirs");
    expect_code(&r, ERR_EXISTS, close_file(&r, h));
    expect_object(&r, "f", "theirs");
    assert_true(find_key(&r, "f (conflict ", key));
    expect_object(&r, key, "mine");
    rig_stop(&r);
}

/* The rewrite replaces whatever is there once: when it was put, what others put afterwards is newer. */
static void what_is_written_while_a_rewrite_is_put_replaces_only_that(void **state)
{
    struct rig r;
    char key[1100];
    rig_start(&r, NULL);
    others_put(&r, "doc", "first");
    struct vfs_handle *h = open_at(&r, "doc", O_RDWR | O_TRUNC);
    write_at(&r, h, 0, "one");
    mem_store_hold(r.mem, MEM_PUT, "doc");
    struct call sync = {.r = &r, .kind = CALL_FLUSH, .h = h};
    call_start(&sync);
    assert_true(mem_store_wait_held(r.mem, MEM_PUT, 1, 60000));
    write_at(&r, h, 3, " two");
    mem_store_unhold(r.mem, MEM_PUT);
    expect_ok(&r, call_end(&sync));
    others_put(&r, "doc", "theirs");
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    expect_object(&r, "doc", "theirs");
    assert_true(find_key(&r, "doc (conflict ", key));
    expect_object(&r, key, "one two");
    rig_stop(&r);
}

static void a_file_that_was_ones_own_once_is_a_conflict_later(void **state)
{
    struct rig r;
    struct vfs_handle *h = NULL;
    rig_start(&r, NULL);
    expect_ok(&r, try_create(&r, "f", O_RDWR | O_CREAT | O_EXCL, &h));
    write_at(&r, h, 0, "mine");
    expect_ok(&r, fsync_file(&r, h));
    others_put(&r, "f", "theirs");
    write_at(&r, h, 0, "MINE");
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    rig_stop(&r);
}

static void a_conflict_whose_copy_fails_too_leaves_the_bytes_staged(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "doc", "first");
    struct vfs_handle *h = open_at(&r, "doc", O_RDWR);
    write_at(&r, h, 0, "FIRST");
    others_put(&r, "doc", "theirs");
    rig_fail(&r, MEM_PUT, NULL, ERR_OK, 1);
    rig_fail(&r, MEM_PUT, NULL, ERR_ACCESS, 1);
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    expect_kept_soon(&r);
    expect_file(&r, "doc", "theirs");
    assert_int_equal(mem_store_objects(r.mem), 1);
    rig_stop(&r);
}

static void writing_on_after_a_conflict_is_never_told_to_be_stored(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "doc", "first");
    struct vfs_handle *h = open_at(&r, "doc", O_RDWR);
    write_at(&r, h, 0, "FIRST");
    others_put(&r, "doc", "theirs");
    expect_code(&r, ERR_CONFLICT, fsync_file(&r, h));
    usleep(1100 * 1000); /* the copies are told apart by the second */
    write_at(&r, h, 0, "more!");
    expect_code(&r, ERR_CONFLICT, fsync_file(&r, h));
    expect_code(&r, ERR_CONFLICT, flush(&r, h));
    expect_bytes(&r, h, "more!");
    release(&r, h);
    settle(&r);
    expect_object(&r, "doc", "theirs");
    assert_int_equal(mem_store_objects(r.mem), 3);
    assert_int_equal(state_files(&r, "staged", ".info"), 0);
    rig_stop(&r);
}

/* A listing has told us before the first write that the object is another one. */
static void a_write_to_a_version_that_is_known_to_be_replaced_is_not_lost(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "doc", "first");
    struct vfs_handle *h = open_at(&r, "doc", O_RDWR);
    expect_bytes(&r, h, "first");
    others_put(&r, "doc", "theirs");
    expect_names(&r, "", "doc\n");
    write_at(&r, h, 0, "FIRST");
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    settle(&r);
    expect_object(&r, "doc", "theirs");
    expect_kept(&r, "doc", "FIRST");
    rig_stop(&r);
}

static void a_write_to_a_file_that_others_removed_is_not_lost(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "doc", "first");
    struct vfs_handle *h = open_at(&r, "doc", O_RDWR);
    expect_bytes(&r, h, "first");
    others_remove(&r, "doc");
    expect_names(&r, "", "");
    write_at(&r, h, 0, "FIRST");
    expect_code(&r, ERR_CONFLICT, close_file(&r, h));
    settle(&r);
    expect_kept(&r, "doc", "FIRST");
    rig_stop(&r);
}

static void a_put_whose_base_cannot_be_fetched_fails(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.put_target = 4}); /* a larger base is not fetched ahead */
    others_put(&r, "f", "0123456789");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    write_at(&r, h, 0, "ab");
    rig_fail(&r, MEM_GET, "f", ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, flush(&r, h));
    assert_int_equal(rig_count(&r, MEM_UPLOAD_BEGIN), 0);
    expect_ok(&r, fsync_file(&r, h));
    expect_object(&r, "f", "ab23456789");
    release(&r, h);
    rig_stop(&r);
}

static void a_look_that_fails_does_not_lose_what_others_stored(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    others_put_meta(&r, "f", "0123456789", meta_of(0, "text/x-odd"));
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    rig_fail(&r, MEM_STAT, "f", ERR_TIMEOUT, 2);
    write_at(&r, h, 0, "ab");
    enum err_code first = flush(&r, h);
    assert_true(first == ERR_TIMEOUT || first == ERR_OK);
    rig_heal(&r);
    expect_ok(&r, fsync_file(&r, h));
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "text/x-odd");
    release(&r, h);
    rig_stop(&r);
}

static void a_read_that_fails_is_an_error_and_can_be_repeated(void **state)
{
    static const enum err_code codes[] = {ERR_ACCESS, ERR_TIMEOUT, ERR_NET, ERR_THROTTLED};
    struct rig r;
    BUF(out, 64);
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    others_put(&r, "f", "0123456789");
    struct vfs_handle *h = open_at(&r, "f", O_RDONLY);
    for (size_t k = 0; k < ARRAY_LEN(codes); k++) {
        rig_fail(&r, MEM_GET, "f", codes[k], 1);
        expect_code(&r, codes[k], read_some(&r, h, 0, 10, &out));
    }
    expect_bytes(&r, h, "0123456789");
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

static void a_handle_reads_one_version(void **state)
{
    struct rig r;
    BUF(out, 64);
    rig_start(&r, &(struct rig_kind){.ttl_zero = true, .attrs = VFS_ATTRS_LIST});
    others_put(&r, "f", "0123456789");
    struct vfs_handle *h = open_at(&r, "f", O_RDONLY);
    others_put(&r, "f", "other bytes of another version");
    expect_code(&r, ERR_CONFLICT, read_some(&r, h, 0, 10, &out));
    expect_file(&r, "f", "other bytes of another version");
    expect_code(&r, ERR_CONFLICT, read_some(&r, h, 0, 10, &out));
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

static void a_vfs_that_ends_with_open_and_failed_files_keeps_their_bytes(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "read", "x");
    struct vfs_handle *good = create_at(&r, "good"), *bad = create_at(&r, "bad");
    write_at(&r, good, 0, "good bytes");
    write_at(&r, bad, 0, "bad bytes");
    rig_fail(&r, MEM_PUT, "bad", ERR_ACCESS, 1000);
    expect_code(&r, ERR_ACCESS, flush(&r, bad));
    struct vfs_handle *reader = open_at(&r, "read", O_RDONLY);
    expect_bytes(&r, reader, "x");
    struct vfs_dir_handle *d;
    expect_ok(&r, vfs_opendir(r.v, VFS_ROOT, &r.who, &d, &r.err));
    rig_unmount(&r); /* without a release of any */
    expect_object(&r, "good", "good bytes");
    assert_int_equal(state_files(&r, "staged", ".info"), 1);
    rig_stop(&r);
}

static int open_log(void **state)
{
    snprintf(log_file, sizeof(log_file), "/tmp/awsfs-vfs-test-fail-%d.log", (int)getpid());
    struct err e = ERR_INIT;
    return log_open(log_file, LOG_LEVEL_INFO, &e);
}

static int close_log(void **state)
{
    log_close();
    unlink(log_file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_put_is_the_error_of_the_close_and_leaves_the_bytes),
        cmocka_unit_test(a_new_file_that_failed_is_gone_after_its_close),
        cmocka_unit_test(fsync_and_another_write_try_again),
        cmocka_unit_test(a_failure_at_release_leaves_the_bytes_and_one_line),
        cmocka_unit_test(a_conflict_puts_the_bytes_beside_the_newer_object),
        cmocka_unit_test(conflicts_of_one_second_have_names_of_their_own),
        cmocka_unit_test(who_asked_for_a_name_of_its_own_and_lost_it_is_told_that_it_exists),
        cmocka_unit_test(a_new_file_that_is_truncated_replaces_nobody_elses),
        cmocka_unit_test(what_is_written_while_a_rewrite_is_put_replaces_only_that),
        cmocka_unit_test(a_file_that_was_ones_own_once_is_a_conflict_later),
        cmocka_unit_test(a_conflict_whose_copy_fails_too_leaves_the_bytes_staged),
        cmocka_unit_test(writing_on_after_a_conflict_is_never_told_to_be_stored),
        cmocka_unit_test(a_write_to_a_version_that_is_known_to_be_replaced_is_not_lost),
        cmocka_unit_test(a_write_to_a_file_that_others_removed_is_not_lost),
        cmocka_unit_test(a_put_whose_base_cannot_be_fetched_fails),
        cmocka_unit_test(a_look_that_fails_does_not_lose_what_others_stored),
        cmocka_unit_test(a_read_that_fails_is_an_error_and_can_be_repeated),
        cmocka_unit_test(a_handle_reads_one_version),
        cmocka_unit_test(a_vfs_that_ends_with_open_and_failed_files_keeps_their_bytes),
    };
    return cmocka_run_group_tests(tests, open_log, close_log);
}
