/* unlink, rmdir and rename. */
#include "support.h"

#include "util/clock.h"

#include <linux/fs.h>
#include <stdio.h>
#include <unistd.h>

static char *bytes_of(size_t len)
{
    char *p = malloc(len + 1);
    assert_non_null(p);
    for (size_t k = 0; k < len; k++)
        p[k] = (char)('a' + (k * 7 + k / 4096) % 26);
    p[len] = 0;
    return p;
}

/* ---- unlink and rmdir */

static void a_removed_file_keeps_its_bytes_for_those_who_have_it_open(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.async = true});
    CLEANUP(free) char *text = bytes_of(500000);
    others_put(&r, "f", text);
    struct vfs_handle *reader = open_at(&r, "f", O_RDONLY), *writer = open_at(&r, "f", O_RDWR);
    expect_ok(&r, try_unlink(&r, "f"));
    expect_no_object(&r, "f");
    expect_absent(&r, "f");
    expect_bytes(&r, reader, text);
    write_at(&r, writer, 100, "WRITTEN");
    memcpy(text + 100, "WRITTEN", 7);
    expect_bytes(&r, reader, text);
    rig_mark(&r);
    expect_ok(&r, fsync_file(&r, writer));
    expect_ok(&r, close_file(&r, writer));
    expect_ok(&r, close_file(&r, reader));
    drain(&r);
    assert_int_equal(rig_requests(&r), 0);
    rig_unmount(&r);
    assert_int_equal(state_files(&r, "staged", ""), 0);
    rig_stop(&r);
}

static void a_new_file_removed_before_its_put_sends_nothing(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    rig_mark(&r);
    expect_ok(&r, try_unlink(&r, "f"));
    expect_bytes(&r, h, "bytes");
    expect_ok(&r, close_file(&r, h));
    drain(&r);
    assert_int_equal(rig_requests(&r), 0);
    expect_absent(&r, "f");
    rig_stop(&r);
}

struct call {
    struct rig *r;
    struct vfs_handle *h;
    const char *a, *b;
    enum err_code code;
};

static void *call_flush(void *arg)
{
    struct call *c = arg;
    struct err e = ERR_INIT;
    c->code = vfs_flush(c->r->v, c->h, &c->r->who, &e);
    return NULL;
}

static void *call_unlink(void *arg)
{
    struct call *c = arg;
    struct err e = ERR_INIT;
    c->code = vfs_unlink(c->r->v, VFS_ROOT, c->a, &c->r->who, &e);
    return NULL;
}

static void *call_rename(void *arg)
{
    struct call *c = arg;
    struct err e = ERR_INIT;
    c->code = vfs_rename(c->r->v, VFS_ROOT, c->a, VFS_ROOT, c->b, 0, &c->r->who, &e);
    return NULL;
}

static void a_file_removed_during_its_put_does_not_come_back(void **state)
{
    for (int fresh = 0; fresh < 2; fresh++) {
        struct rig r;
        rig_start(&r, NULL);
        if (!fresh)
            others_put(&r, "f", "old");
        struct vfs_handle *h = fresh ? create_at(&r, "f") : open_at(&r, "f", O_RDWR | O_TRUNC);
        write_at(&r, h, 0, "bytes");
        mem_store_hold(r.mem, MEM_PUT, "f");
        struct call put = {.r = &r, .h = h}, removal = {.r = &r, .a = "f"};
        pthread_t t, u;
        pthread_create(&t, NULL, call_flush, &put);
        assert_true(mem_store_wait_held(r.mem, MEM_PUT, 1, 2000));
        pthread_create(&u, NULL, call_unlink, &removal);
        usleep(100 * 1000);
        mem_store_unhold(r.mem, MEM_PUT);
        pthread_join(t, NULL);
        pthread_join(u, NULL);
        assert_int_equal(removal.code, ERR_OK);
        expect_bytes(&r, h, "bytes");
        expect_ok(&r, close_file(&r, h));
        drain(&r);
        expect_no_object(&r, "f");
        expect_absent(&r, "f");
        rig_stop(&r);
    }
}

static void a_put_that_begins_during_a_removal_waits_for_it(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "old");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    mem_store_hold(r.mem, MEM_REMOVE, "f");
    struct call removal = {.r = &r, .a = "f"}, put = {.r = &r, .h = h};
    pthread_t t, u;
    pthread_create(&u, NULL, call_unlink, &removal);
    assert_true(mem_store_wait_held(r.mem, MEM_REMOVE, 1, 2000));
    write_at(&r, h, 0, "bytes");
    pthread_create(&t, NULL, call_flush, &put);
    usleep(200 * 1000);
    mem_store_unhold(r.mem, MEM_REMOVE);
    pthread_join(u, NULL);
    pthread_join(t, NULL);
    assert_int_equal(removal.code, ERR_OK);
    release(&r, h);
    drain(&r);
    assert_int_equal(mem_store_objects(r.mem), 0);
    rig_stop(&r);
}

static void a_removal_that_fails_leaves_the_file_and_what_was_written(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "old");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    write_at(&r, h, 0, "NEW");
    rig_fail(&r, MEM_REMOVE, "f", ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, try_unlink(&r, "f"));
    expect_bytes(&r, h, "NEW");
    expect_ok(&r, close_file(&r, h));
    expect_file(&r, "f", "NEW");
    expect_object(&r, "f", "NEW");
    rig_stop(&r);
}

static void only_an_empty_directory_is_removed(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/", "");
    others_put(&r, "d/f", "x");
    others_put(&r, "body/", "bytes");
    others_put(&r, "p/sub/x", "x");
    expect_code(&r, ERR_NOT_EMPTY, try_rmdir(&r, "d"));
    expect_code(&r, ERR_NOT_EMPTY, try_rmdir(&r, "body"));
    expect_code(&r, ERR_NOT_EMPTY, try_rmdir(&r, "p"));
    expect_code(&r, ERR_NOT_DIR, try_rmdir(&r, "d/f"));
    expect_code(&r, ERR_IS_DIR, try_unlink(&r, "d"));
    expect_code(&r, ERR_NOT_FOUND, try_unlink(&r, "d/none"));
    struct vfs_handle *h = create_at(&r, "d/new");
    expect_ok(&r, try_unlink(&r, "d/f"));
    expect_code(&r, ERR_NOT_EMPTY, try_rmdir(&r, "d"));
    expect_ok(&r, try_unlink(&r, "d/new"));
    expect_ok(&r, close_file(&r, h));
    expect_ok(&r, try_rmdir(&r, "d"));
    expect_no_object(&r, "d/");
    expect_absent(&r, "d");
    others_put(&r, "e/", "");
    (void)walk(&r, "body");
    rig_stop(&r);
}

static void the_last_file_of_a_directory_leaves_it_with_a_marker(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "d/f", "x");
    expect_ok(&r, try_unlink(&r, "d/f"));
    expect_names(&r, "", "d\n");
    expect_no_object(&r, "d/");
    usleep(1300 * 1000);
    expect_object(&r, "d/", "");
    expect_names(&r, "", "d\n");
    rig_stop(&r);
}

static void rmdir_right_after_the_last_file_leaves_no_marker(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "x");
    expect_ok(&r, try_unlink(&r, "d/f"));
    expect_ok(&r, try_rmdir(&r, "d"));
    expect_absent(&r, "d");
    drain(&r);
    usleep(1300 * 1000);
    assert_int_equal(mem_store_objects(r.mem), 0);
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    rig_stop(&r);
}

static void *call_rmdir(void *arg)
{
    struct call *c = arg;
    struct err e = ERR_INIT;
    c->code = vfs_rmdir(c->r->v, VFS_ROOT, c->a, &c->r->who, &e);
    return NULL;
}

static void a_marker_that_is_being_put_does_not_bring_a_removed_directory_back(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "x");
    mem_store_hold(r.mem, MEM_PUT, "d/");
    expect_ok(&r, try_unlink(&r, "d/f"));
    assert_true(mem_store_wait_held(r.mem, MEM_PUT, 1, 3000));
    struct call c = {.r = &r, .a = "d"};
    pthread_t t;
    pthread_create(&t, NULL, call_rmdir, &c);
    usleep(200 * 1000);
    mem_store_unhold(r.mem, MEM_PUT);
    pthread_join(t, NULL);
    assert_int_equal(c.code, ERR_OK);
    drain(&r);
    assert_int_equal(mem_store_objects(r.mem), 0);
    expect_absent(&r, "d");
    rig_stop(&r);
}

static void no_marker_where_other_files_are_only_not_known(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/a", "x");
    others_put(&r, "d/z", "x");
    expect_ok(&r, try_unlink(&r, "d/z"));
    drain(&r);
    expect_no_object(&r, "d/");
    expect_names(&r, "d", "a\n");
    rig_stop(&r);
}

/* ---- rename of files */

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
    assert_true(walk(&r, "b") == ino);
    assert_int_equal(stat_of(&r, "b").st_mtim.tv_sec, before.tv_sec);
    expect_absent(&r, "a");
    rig_mark(&r);
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

static void after_a_deletion_that_failed_both_names_are_there(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "bytes");
    rig_fail(&r, MEM_REMOVE, "a", ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, try_rename(&r, "a", "b", 0));
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
    mem_store_hold(r.mem, MEM_REMOVE, "a");
    struct call c = {.r = &r, .a = "a", .b = "b"};
    pthread_t t;
    pthread_create(&t, NULL, call_rename, &c);
    assert_true(mem_store_wait_held(r.mem, MEM_REMOVE, 1, 2000));
    others_put(&r, "a", "theirs");
    mem_store_unhold(r.mem, MEM_REMOVE);
    pthread_join(t, NULL);
    assert_int_equal(c.code, ERR_OK);
    expect_object(&r, "b", "bytes");
    expect_object(&r, "a", "theirs");
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
        mem_store_hold(r.mem, where[k], "a");
        struct call c = {.r = &r, .a = "a", .b = "b"}, put = {.r = &r, .h = h};
        pthread_t t, u;
        pthread_create(&t, NULL, call_rename, &c);
        assert_true(mem_store_wait_held(r.mem, where[k], 1, 2000));
        write_at(&r, h, 0, "BYTES");
        pthread_create(&u, NULL, call_flush, &put);
        usleep(200 * 1000);
        mem_store_unhold(r.mem, where[k]);
        pthread_join(t, NULL);
        pthread_join(u, NULL);
        assert_int_equal(c.code, ERR_OK);
        assert_int_equal(put.code, ERR_OK);
        expect_ok(&r, close_file(&r, h));
        expect_object(&r, "b", "BYTES");
        expect_no_object(&r, "a");
        expect_file(&r, "b", "BYTES");
        rig_stop(&r);
    }
}

/* stat of the name itself, asked again while it is being moved, finds nothing at the old key. */
static void *stat_old(void *arg)
{
    struct call *c = arg;
    struct vfs_attr attr;
    struct err e = ERR_INIT;
    c->code = vfs_getattr(c->r->v, (uint64_t)(uintptr_t)c->h, NULL, &c->r->who, &attr, &e);
    return NULL;
}

static void a_stat_in_the_middle_of_a_rename_does_not_lose_the_file(void **state)
{
    for (int dir = 0; dir < 2; dir++) {
        struct rig r;
        rig_start(&r, &(struct rig_kind){.ttl_zero = true});
        others_put(&r, dir ? "a/x" : "a", "bytes");
        uint64_t ino = walk(&r, "a");
        struct call c = {.r = &r, .a = "a", .b = "b"};
        /* The answer of the deletion is what is delayed. */
        rig_slow(&r, MEM_REMOVE, 0);
        rig_heal(&r);
        pthread_mutex_lock(&r.mutex);
        r.rules[0] = (struct rule){.op = dir ? MEM_REMOVE_MANY : MEM_REMOVE, .phase = MEM_AFTER, .any_key = true,
                                   .times = 1, .delay_ms = 300};
        pthread_mutex_unlock(&r.mutex);
        pthread_t t;
        pthread_create(&t, NULL, call_rename, &c);
        while (there(&r, dir ? "a/x" : "a"))
            usleep(1000);
        struct call s = {.r = &r, .h = (struct vfs_handle *)(uintptr_t)ino};
        (void)stat_old(&s);
        pthread_join(t, NULL);
        assert_int_equal(c.code, ERR_OK);
        expect_names(&r, "", "b\n");
        expect_file(&r, dir ? "b/x" : "b", "bytes");
        assert_true(walk(&r, "b") == ino);
        rig_stop(&r);
    }
}

/* ---- rename of directories */

static void a_directory_is_renamed_with_everything_below(void **state)
{
    struct rig r;
    char key[64], want[16];
    rig_start(&r, &(struct rig_kind){.page_size = 50});
    others_put_meta(&r, "d/", "", meta_of(S_IFDIR | 0700, NULL));
    for (int k = 0; k < 220; k++) {
        snprintf(key, sizeof(key), "d/s%d/f%03d", k % 3, k);
        snprintf(want, sizeof(want), "%d", k);
        others_put(&r, key, want);
    }
    struct vfs_handle *reader = open_at(&r, "d/s1/f001", O_RDONLY), *writer = open_at(&r, "d/s2/f002", O_RDWR),
                      *new = create_at(&r, "d/s0/new");
    write_at(&r, writer, 0, "written");
    write_at(&r, new, 0, "new");
    expect_ok(&r, try_rename(&r, "d", "e", 0));
    assert_int_equal(objects_below(&r, "d/"), 0);
    assert_int_equal(objects_below(&r, "e/"), 222);
    expect_bytes(&r, reader, "1");
    write_at(&r, writer, 7, " more");
    write_at(&r, new, 3, " more");
    expect_ok(&r, close_file(&r, reader));
    expect_ok(&r, close_file(&r, writer));
    expect_ok(&r, close_file(&r, new));
    expect_object(&r, "e/s2/f002", "written more");
    expect_object(&r, "e/s0/new", "new more");
    expect_absent(&r, "d");
    expect_file(&r, "e/s0/f219", "219");
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "e/");
    assert_int_equal(m->mode, S_IFDIR | 0700);
    rig_stop(&r);
}

static void bytes_written_below_during_the_rename_come_to_the_new_name(void **state)
{
    static const enum mem_op where[] = {MEM_COPY, MEM_REMOVE_MANY};
    for (size_t k = 0; k < ARRAY_LEN(where); k++) {
        struct rig r;
        rig_start(&r, NULL);
        others_put(&r, "d/log", "line 1\n");
        struct vfs_handle *h = open_at(&r, "d/log", O_RDWR);
        mem_store_hold(r.mem, where[k], NULL);
        struct call c = {.r = &r, .a = "d", .b = "e"}, put = {.r = &r, .h = h};
        pthread_t t, u;
        pthread_create(&t, NULL, call_rename, &c);
        assert_true(mem_store_wait_held(r.mem, where[k], 1, 2000));
        write_at(&r, h, 7, "line 2\n");
        pthread_create(&u, NULL, call_flush, &put);
        usleep(200 * 1000);
        mem_store_unhold(r.mem, where[k]);
        pthread_join(t, NULL);
        pthread_join(u, NULL);
        assert_int_equal(c.code, ERR_OK);
        assert_int_equal(put.code, ERR_OK);
        expect_ok(&r, close_file(&r, h));
        drain(&r);
        expect_object(&r, "e/log", "line 1\nline 2\n");
        assert_int_equal(mem_store_objects(r.mem), 1);
        expect_file(&r, "e/log", "line 1\nline 2\n");
        rig_stop(&r);
    }
}

static void too_many_objects_are_another_filesystem(void **state)
{
    struct rig r;
    char key[32];
    rig_start(&r, &(struct rig_kind){.rename_limit = 10, .page_size = 4});
    for (int k = 0; k < 11; k++) {
        snprintf(key, sizeof(key), "d/%02d", k);
        others_put(&r, key, "x");
    }
    expect_code(&r, ERR_CROSS, try_rename(&r, "d", "e", 0));
    assert_int_equal(rig_count(&r, MEM_COPY), 0);
    assert_int_equal(objects_below(&r, "d/"), 11);
    expect_ok(&r, try_unlink(&r, "d/00"));
    expect_ok(&r, try_rename(&r, "d", "e", 0));
    rig_stop(&r);
}

static void a_copy_that_fails_in_the_middle_undoes_the_others(void **state)
{
    struct rig r;
    char key[32];
    rig_start(&r, NULL);
    for (int k = 0; k < 60; k++) {
        snprintf(key, sizeof(key), "d/%02d", k);
        others_put(&r, key, key);
    }
    rig_fail(&r, MEM_COPY, "d/37", ERR_ACCESS, 1);
    expect_code(&r, ERR_ACCESS, try_rename(&r, "d", "e", 0));
    assert_int_equal(objects_below(&r, "e/"), 0);
    assert_int_equal(objects_below(&r, "d/"), 60);
    expect_file(&r, "d/37", "d/37");
    expect_absent(&r, "e");
    rig_stop(&r);
}

static void a_deletion_that_fails_leaves_every_object_under_some_name(void **state)
{
    struct rig r;
    char key[32];
    rig_start(&r, NULL);
    for (int k = 0; k < 20; k++) {
        snprintf(key, sizeof(key), "d/%02d", k);
        others_put(&r, key, key);
    }
    struct vfs_handle *h = open_at(&r, "d/05", O_RDONLY);
    rig_fail(&r, MEM_REMOVE_MANY, NULL, ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, try_rename(&r, "d", "e", 0));
    assert_int_equal(objects_below(&r, "e/"), 20);
    expect_bytes(&r, h, "d/05");
    expect_ok(&r, close_file(&r, h));
    expect_file(&r, "e/05", "d/05");
    expect_names(&r, "", "d\ne\n");
    rig_stop(&r);
}

static void nothing_comes_into_a_directory_that_was_removed(void **state)
{
    struct rig r;
    struct vfs_entry entry;
    struct vfs_handle *h;
    rig_start(&r, NULL);
    expect_ok(&r, try_mkdir(&r, "d"));
    others_put(&r, "f", "bytes");
    uint64_t d = walk(&r, "d");
    expect_ok(&r, try_rmdir(&r, "d"));
    expect_code(&r, ERR_NOT_FOUND, vfs_rename(r.v, VFS_ROOT, "f", d, "f", 0, &r.who, &r.err));
    expect_code(&r, ERR_NOT_FOUND, vfs_create(r.v, d, "g", 0644, O_RDWR, &r.who, &entry, &h, &r.err));
    expect_code(&r, ERR_NOT_FOUND, vfs_mkdir(r.v, d, "g", 0755, &r.who, &entry, &r.err));
    expect_object(&r, "f", "bytes");
    assert_int_equal(mem_store_objects(r.mem), 1);
    rig_stop(&r);
}

static void an_empty_directory_only_known_here_can_be_renamed(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    expect_ok(&r, try_mkdir(&r, "d"));
    expect_ok(&r, try_mkdir(&r, "d/sub"));
    expect_ok(&r, try_rename(&r, "d/sub", "top", 0));
    expect_names(&r, "", "d\ntop\n");
    expect_names(&r, "d", "");
    expect_object(&r, "top/", "");
    expect_ok(&r, try_rename(&r, "top", "d", 0));
    expect_names(&r, "", "d\n");
    expect_ok(&r, try_rmdir(&r, "d"));
    assert_int_equal(mem_store_objects(r.mem), 0);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_removed_file_keeps_its_bytes_for_those_who_have_it_open),
        cmocka_unit_test(a_new_file_removed_before_its_put_sends_nothing),
        cmocka_unit_test(a_file_removed_during_its_put_does_not_come_back),
        cmocka_unit_test(a_put_that_begins_during_a_removal_waits_for_it),
        cmocka_unit_test(a_removal_that_fails_leaves_the_file_and_what_was_written),
        cmocka_unit_test(only_an_empty_directory_is_removed),
        cmocka_unit_test(the_last_file_of_a_directory_leaves_it_with_a_marker),
        cmocka_unit_test(rmdir_right_after_the_last_file_leaves_no_marker),
        cmocka_unit_test(a_marker_that_is_being_put_does_not_bring_a_removed_directory_back),
        cmocka_unit_test(no_marker_where_other_files_are_only_not_known),
        cmocka_unit_test(a_renamed_file_is_copied_and_deleted_with_all_that_belongs_to_it),
        cmocka_unit_test(the_time_of_a_plain_object_stays_after_a_rename_and_a_remount),
        cmocka_unit_test(files_being_written_can_be_renamed),
        cmocka_unit_test(an_open_reader_follows_its_file),
        cmocka_unit_test(a_file_renamed_over_keeps_its_bytes_for_those_who_have_it_open),
        cmocka_unit_test(what_was_written_to_a_file_that_is_renamed_over_is_gone),
        cmocka_unit_test(renames_that_cannot_be),
        cmocka_unit_test(a_target_that_others_changed_is_not_overwritten),
        cmocka_unit_test(after_a_deletion_that_failed_both_names_are_there),
        cmocka_unit_test(a_source_that_others_rewrote_in_between_stays_with_their_bytes),
        cmocka_unit_test(bytes_written_during_a_rename_come_to_the_new_name),
        cmocka_unit_test(a_stat_in_the_middle_of_a_rename_does_not_lose_the_file),
        cmocka_unit_test(a_directory_is_renamed_with_everything_below),
        cmocka_unit_test(bytes_written_below_during_the_rename_come_to_the_new_name),
        cmocka_unit_test(too_many_objects_are_another_filesystem),
        cmocka_unit_test(a_copy_that_fails_in_the_middle_undoes_the_others),
        cmocka_unit_test(a_deletion_that_fails_leaves_every_object_under_some_name),
        cmocka_unit_test(nothing_comes_into_a_directory_that_was_removed),
        cmocka_unit_test(an_empty_directory_only_known_here_can_be_renamed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
