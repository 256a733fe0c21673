#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void put_many(struct rig *r, const char *dir, int n, mode_t mode)
{
    for (int k = 0; k < n; k++) {
        char key[64];
        snprintf(key, sizeof(key), "%sf%04d", dir, k);
        others_put_meta(r, key, "x", mode ? meta_of(mode, NULL) : NULL);
    }
}

static void a_root_of_2500_plain_files_costs_three_listings_and_two_heads(void **state)
{
    struct rig r;
    BUF(names, 1 << 20);
    rig_start(&r, NULL);
    put_many(&r, "", 2500, 0);
    expect_ok(&r, names_in(&r, "", true, &names));
    for (int k = 0; k < 2500; k += 100) {
        char path[16];
        snprintf(path, sizeof(path), "f%04d", k);
        assert_int_equal(stat_of(&r, path).st_mode, S_IFREG | 0644);
    }
    assert_int_equal(rig_count(&r, MEM_LIST), 3);
    assert_true(rig_count(&r, MEM_STAT) <= 2);
    assert_int_equal(rig_requests(&r), rig_count(&r, MEM_LIST) + rig_count(&r, MEM_STAT));
    rig_stop(&r);
}

static void the_children_of_a_posix_directory_are_looked_at_once_per_version(void **state)
{
    struct rig r;
    BUF(names, 1 << 20);
    rig_start(&r, &(struct rig_kind){.ttl_ms = 100});
    put_many(&r, "d/", 20, S_IFREG | 0600);
    (void)walk(&r, "d");
    rig_mark(&r);
    expect_ok(&r, names_in(&r, "d", true, &names));
    assert_int_equal(stat_of(&r, "d/f0007").st_mode, S_IFREG | 0600);
    assert_int_equal(rig_count(&r, MEM_STAT), 20);
    usleep(120 * 1000);
    rig_mark(&r);
    expect_ok(&r, names_in(&r, "d", true, &names));
    assert_int_equal(rig_count(&r, MEM_STAT), 0);
    others_put_meta(&r, "d/f0003", "changed", meta_of(S_IFREG | 0640, NULL));
    usleep(120 * 1000);
    expect_ok(&r, names_in(&r, "d", true, &names));
    assert_int_equal(rig_count(&r, MEM_STAT), 1);
    assert_int_equal(stat_of(&r, "d/f0003").st_mode, S_IFREG | 0640);
    rig_stop(&r);
}

static void a_marker_with_attributes_makes_a_directory_posix(void **state)
{
    struct rig r;
    BUF(names, 1 << 20);
    rig_start(&r, NULL);
    others_put_meta(&r, "d/", "", meta_of(S_IFDIR | 0700, NULL));
    put_many(&r, "d/", 10, 0);
    expect_ok(&r, names_in(&r, "d", true, &names));
    assert_true(rig_count(&r, MEM_STAT) >= 10);
    assert_int_equal(stat_of(&r, "d").st_mode, S_IFDIR | 0700);
    rig_stop(&r);
}

struct releaser {
    struct rig *r;
    bool end;
    unsigned peak; /* looks that were held at once */
};

/* Lets go what has gathered, again and again. */
static void *release_gathered(void *arg)
{
    struct releaser *x = arg;
    while (!__atomic_load_n(&x->end, __ATOMIC_ACQUIRE)) {
        usleep(50000);
        unsigned held = mem_store_held(x->r->mem, MEM_STAT);
        x->peak = held > x->peak ? held : x->peak;
        while (mem_store_release_one(x->r->mem, MEM_STAT, NULL))
            continue;
    }
    return NULL;
}

static void readdirplus_looks_in_parallel_batches(void **state)
{
    struct rig r;
    pthread_t thread;
    BUF(names, 1 << 20);
    rig_start(&r, NULL);
    others_put_meta(&r, "d/", "", meta_of(S_IFDIR | 0755, NULL));
    put_many(&r, "d/", 300, S_IFREG | 0600);
    struct releaser x = {.r = &r};
    mem_store_hold(r.mem, MEM_STAT, NULL);
    assert_int_equal(pthread_create(&thread, NULL, release_gathered, &x), 0);
    expect_ok(&r, names_in(&r, "d", true, &names));
    __atomic_store_n(&x.end, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
    mem_store_unhold(r.mem, MEM_STAT);
    assert_true(x.peak >= 4);
    rig_stop(&r);
}

static void attrs_list_never_looks_and_attrs_head_always_does(void **state)
{
    struct rig r;
    BUF(names, 1 << 20);
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    put_many(&r, "d/", 10, S_IFREG | 0600);
    expect_ok(&r, names_in(&r, "d", true, &names));
    assert_int_equal(stat_of(&r, "d/f0001").st_mode, S_IFREG | 0644);
    assert_int_equal(rig_count(&r, MEM_STAT), 0);
    rig_stop(&r);

    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_HEAD});
    put_many(&r, "d/", 10, 0);
    expect_ok(&r, names_in(&r, "d", true, &names));
    assert_int_equal(rig_count(&r, MEM_STAT), 10); /* that there is no marker is known */
    expect_ok(&r, names_in(&r, "d", true, &names));
    (void)walk(&r, "d/f0003");
    assert_int_equal(rig_count(&r, MEM_STAT), 10);
    rig_stop(&r);
}

static void a_symbolic_link_shows_as_one_where_it_is_looked_at(void **state)
{
    struct rig r;
    BUF(target, 4096);
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_HEAD});
    others_put_meta(&r, "link", "to/there", meta_of(S_IFLNK | 0777, NULL));
    uint64_t ino = walk(&r, "link");
    assert_true(S_ISLNK(stat_of(&r, "link").st_mode));
    expect_ok(&r, vfs_readlink(r.v, ino, &r.who, &target, &r.err));
    assert_string_equal(buf_str(&target), "to/there");
    rig_stop(&r);
}

static void a_link_made_here_is_one_for_the_next_mount(void **state)
{
    struct rig r;
    struct vfs_entry entry;
    BUF(target, 4096);
    rig_start(&r, NULL);
    expect_ok(&r, try_mkdir(&r, "d"));
    expect_ok(&r, vfs_symlink(r.v, walk(&r, "d"), "l", "../x y", &r.who, &entry, &r.err));
    assert_true(S_ISLNK(entry.attr.st.st_mode));
    expect_object(&r, "d/l", "../x y");
    rig_unmount(&r);
    rig_mount(&r);
    expect_ok(&r, vfs_readlink(r.v, walk(&r, "d/l"), &r.who, &target, &r.err));
    assert_string_equal(buf_str(&target), "../x y");
    rig_stop(&r);
}

static void a_get_brings_attributes_without_cost(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST, .meta_in_get = true});
    others_put_meta(&r, "f", "bytes", meta_of(S_IFREG | 0751, NULL));
    expect_file(&r, "f", "bytes");
    assert_int_equal(stat_of(&r, "f").st_mode, S_IFREG | 0751);
    assert_int_equal(rig_count(&r, MEM_STAT), 0);
    rig_stop(&r);
}

/* The first listing of a directory cannot tell what is put there later. */
static void a_directory_that_was_empty_at_first_may_still_turn_out_posix(void **state)
{
    struct rig r;
    BUF(names, 4096);
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    expect_names(&r, "", "");
    put_many(&r, "", 3, S_IFREG | 0600);
    expect_ok(&r, names_in(&r, "", true, &names));
    assert_int_equal(stat_of(&r, "f0002").st_mode, S_IFREG | 0600);
    rig_stop(&r);
}

static void a_sample_that_failed_is_taken_again(void **state)
{
    struct rig r;
    BUF(names, 4096);
    rig_start(&r, NULL);
    put_many(&r, "", 5, S_IFREG | 0600);
    rig_fail(&r, MEM_STAT, NULL, ERR_TIMEOUT, 2);
    (void)names_in(&r, "", true, &names);
    rig_heal(&r);
    expect_ok(&r, names_in(&r, "", true, &names));
    assert_int_equal(stat_of(&r, "f0002").st_mode, S_IFREG | 0600);
    rig_stop(&r);
}

/* ---- Changes */

static mode_t stored_mode(struct rig *r, const char *key)
{
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(r, key);
    return m->has & STORE_HAS_MODE ? m->mode : 0;
}

struct awaited {
    struct rig *r;
    const char *key;
    mode_t mode;
};

static bool has_mode(void *arg)
{
    struct awaited *a = arg;
    return stored_mode(a->r, a->key) == a->mode;
}

static void chmod_reaches_the_store_within_a_second_and_keeps_what_others_stored(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put_meta(&r, "f", "bytes", meta_of(0, "text/x-odd"));
    expect_ok(&r, try_chmod(&r, "f", 0600));
    assert_int_equal(stat_of(&r, "f").st_mode, S_IFREG | 0600);
    assert_true(within(60 * 1000, has_mode, &(struct awaited){&r, "f", S_IFREG | 0600}));
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_string_equal(store_meta_prop(m, "content-type", NULL), "text/x-odd");
    expect_object(&r, "f", "bytes");
    rig_stop(&r);
}

static void several_changes_of_attributes_are_one_request(void **state)
{
    struct rig r;
    struct vfs_attr attr;
    rig_start(&r, NULL);
    others_put(&r, "f", "bytes");
    uint64_t ino = walk(&r, "f");
    struct vfs_setattr mode = {.set = VFS_SET_MODE, .mode = 0600};
    struct vfs_setattr owner = {.set = VFS_SET_UID | VFS_SET_GID, .uid = 7, .gid = 8};
    struct vfs_setattr times = {.set = VFS_SET_MTIME | VFS_SET_ATIME, .mtime = {1000, 5}, .atime = {2000, 6}};
    expect_ok(&r, vfs_setattr(r.v, ino, NULL, &mode, &r.who, &attr, &r.err));
    expect_ok(&r, vfs_setattr(r.v, ino, NULL, &owner, &r.who, &attr, &r.err));
    expect_ok(&r, vfs_setattr(r.v, ino, NULL, &times, &r.who, &attr, &r.err));
    assert_int_equal(attr.st.st_mtim.tv_nsec, 5);
    drain(&r);
    assert_int_equal(rig_count(&r, MEM_COPY), 1);
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_int_equal(m->mode, S_IFREG | 0600);
    assert_int_equal(m->uid, 7);
    assert_int_equal(m->mtime.tv_sec, 1000);
    assert_int_equal(m->atime.tv_nsec, 6);
    rig_stop(&r);
}

static void fsync_sends_attributes_at_once(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "bytes");
    expect_ok(&r, try_chmod(&r, "f", 0640));
    expect_ok(&r, vfs_fsync(r.v, walk(&r, "f"), NULL, &r.who, &r.err));
    assert_int_equal(stored_mode(&r, "f"), S_IFREG | 0640);
    rig_stop(&r);
}

static void a_change_of_attributes_goes_with_a_put_that_is_due(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    expect_ok(&r, try_chmod(&r, "f", 0600));
    expect_ok(&r, close_file(&r, h));
    drain(&r);
    assert_int_equal(stored_mode(&r, "f"), S_IFREG | 0600);
    assert_int_equal(rig_count(&r, MEM_PUT), 1);
    assert_int_equal(rig_count(&r, MEM_COPY), 0);
    rig_stop(&r);
}

struct upload {
    struct rig *r;
    struct vfs_handle *h;
    enum err_code code;
};

static void *flush_it(void *arg)
{
    struct upload *u = arg;
    struct err e = ERR_INIT;
    u->code = vfs_flush(u->r->v, u->h, &u->r->who, &e);
    return NULL;
}

static void a_change_during_an_upload_is_sent_though_the_file_stays_open(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    struct vfs_handle *h = create_at(&r, "f");
    write_at(&r, h, 0, "bytes");
    mem_store_hold(r.mem, MEM_PUT, "f");
    struct upload u = {&r, h, ERR_OK};
    pthread_t t;
    pthread_create(&t, NULL, flush_it, &u);
    assert_true(mem_store_wait_held(r.mem, MEM_PUT, 1, 60000));
    expect_ok(&r, try_chmod(&r, "f", 0600));
    usleep(1300 * 1000);
    mem_store_unhold(r.mem, MEM_PUT);
    pthread_join(t, NULL);
    assert_int_equal(u.code, ERR_OK);
    assert_true(within(60 * 1000, has_mode, &(struct awaited){&r, "f", S_IFREG | 0600}));
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

static void attributes_of_a_directory_without_a_marker_make_one(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/f", "x");
    expect_ok(&r, try_chmod(&r, "d", 0700));
    assert_int_equal(stat_of(&r, "d").st_mode, S_IFDIR | 0700);
    drain(&r);
    assert_int_equal(stored_mode(&r, "d/"), S_IFDIR | 0700);
    rig_stop(&r);
}

static void attributes_of_a_directory_whose_marker_has_a_body_keep_the_body(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/", "somebody put bytes here");
    expect_names(&r, "d", "%\n");
    expect_ok(&r, try_chmod(&r, "d", 0700));
    drain(&r);
    expect_object(&r, "d/", "somebody put bytes here");
    assert_int_equal(stored_mode(&r, "d/"), S_IFDIR | 0700);
    rig_stop(&r);
}

static void an_attribute_that_cannot_be_stored_is_not_shown_for_ever(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "bytes");
    rig_fail(&r, MEM_COPY, "f", ERR_ACCESS, 1);
    expect_ok(&r, try_chmod(&r, "f", 0600));
    expect_code(&r, ERR_ACCESS, vfs_fsync(r.v, walk(&r, "f"), NULL, &r.who, &r.err));
    assert_int_equal(stat_of(&r, "f").st_mode, S_IFREG | 0644);
    assert_int_equal(state_files(&r, "staged", ""), 0);
    rig_stop(&r);
}

static void extended_attributes_are_kept_with_the_object(void **state)
{
    struct rig r;
    BUF(out, 4096);
    rig_start(&r, NULL);
    others_put_meta(&r, "f", "bytes", meta_of(0, "text/x-odd"));
    uint64_t ino = walk(&r, "f");
    expect_ok(&r, vfs_setxattr(r.v, ino, "user.note", "hello", 5, 0, &r.who, &r.err));
    expect_ok(&r, vfs_getxattr(r.v, ino, "user.note", &r.who, &out, &r.err));
    assert_string_equal(buf_str(&out), "hello");
    buf_clear(&out);
    expect_ok(&r, vfs_listxattr(r.v, ino, &r.who, &out, &r.err));
    assert_int_equal(out.len, strlen("user.note") + 1);
    buf_clear(&out);
    expect_ok(&r, vfs_getxattr(r.v, ino, "user.s3.content-type", &r.who, &out, &r.err));
    assert_string_equal(buf_str(&out), "text/x-odd");
    CLEANUP(store_meta_unref) struct store_meta *m = object_meta(&r, "f");
    assert_string_equal(store_meta_xattr(m, "user.note", NULL), "hello");
    expect_ok(&r, vfs_removexattr(r.v, ino, "user.note", &r.who, &r.err));
    expect_code(&r, ERR_NO_ATTR, vfs_getxattr(r.v, ino, "user.note", &r.who, &out, &r.err));
    expect_code(&r, ERR_NO_ATTR, vfs_removexattr(r.v, ino, "user.note", &r.who, &r.err));
    rig_mark(&r);
    expect_code(&r, ERR_UNSUPPORTED, vfs_setxattr(r.v, ino, "security.selinux", "x", 1, 0, &r.who, &r.err));
    expect_code(&r, ERR_UNSUPPORTED, vfs_getxattr(r.v, ino, "system.posix_acl_access", &r.who, &out, &r.err));
    assert_int_equal(rig_requests(&r), 0);
    rig_stop(&r);
}

static void nothing_changes_on_a_mount_that_is_read_only(void **state)
{
    struct rig r;
    struct vfs_handle *h;
    struct vfs_entry entry;
    rig_start(&r, &(struct rig_kind){.read_only = true});
    others_put(&r, "f", "bytes");
    others_put(&r, "d/", "");
    expect_code(&r, ERR_READ_ONLY, try_create(&r, "new", O_RDWR, &h));
    expect_code(&r, ERR_READ_ONLY, try_open(&r, "f", O_RDWR, &h));
    expect_code(&r, ERR_READ_ONLY, try_open(&r, "f", O_RDONLY | O_TRUNC, &h));
    expect_code(&r, ERR_READ_ONLY, try_mkdir(&r, "e"));
    expect_code(&r, ERR_READ_ONLY, try_unlink(&r, "f"));
    expect_code(&r, ERR_READ_ONLY, try_rmdir(&r, "d"));
    expect_code(&r, ERR_READ_ONLY, try_rename(&r, "f", "g", 0));
    expect_code(&r, ERR_READ_ONLY, try_chmod(&r, "f", 0600));
    expect_code(&r, ERR_READ_ONLY, try_truncate(&r, "f", 0));
    expect_code(&r, ERR_READ_ONLY, vfs_symlink(r.v, VFS_ROOT, "l", "t", &r.who, &entry, &r.err));
    expect_code(&r, ERR_READ_ONLY, vfs_setxattr(r.v, walk(&r, "f"), "user.a", "x", 1, 0, &r.who, &r.err));
    expect_file(&r, "f", "bytes");
    rig_stop(&r);
}

static void nothing_changes_on_a_store_that_is_read_only(void **state)
{
    struct rig r;
    struct vfs_handle *h = NULL;
    rig_start(&r, &(struct rig_kind){.caps_on = STORE_READ_ONLY});
    expect_code(&r, ERR_READ_ONLY, try_create(&r, "new", O_RDWR, &h));
    expect_code(&r, ERR_READ_ONLY, try_mkdir(&r, "e"));
    expect_code(&r, ERR_READ_ONLY, try_chmod(&r, "", 0700));
    expect_code(&r, ERR_READ_ONLY, vfs_setxattr(r.v, VFS_ROOT, "user.a", "x", 1, 0, &r.who, &r.err));
    drain(&r);
    assert_int_equal(rig_count(&r, MEM_PUT), 0);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_of_2500_plain_files_costs_three_listings_and_two_heads),
        cmocka_unit_test(the_children_of_a_posix_directory_are_looked_at_once_per_version),
        cmocka_unit_test(a_marker_with_attributes_makes_a_directory_posix),
        cmocka_unit_test(readdirplus_looks_in_parallel_batches),
        cmocka_unit_test(attrs_list_never_looks_and_attrs_head_always_does),
        cmocka_unit_test(a_symbolic_link_shows_as_one_where_it_is_looked_at),
        cmocka_unit_test(a_link_made_here_is_one_for_the_next_mount),
        cmocka_unit_test(a_get_brings_attributes_without_cost),
        cmocka_unit_test(a_directory_that_was_empty_at_first_may_still_turn_out_posix),
        cmocka_unit_test(a_sample_that_failed_is_taken_again),
        cmocka_unit_test(chmod_reaches_the_store_within_a_second_and_keeps_what_others_stored),
        cmocka_unit_test(several_changes_of_attributes_are_one_request),
        cmocka_unit_test(fsync_sends_attributes_at_once),
        cmocka_unit_test(a_change_of_attributes_goes_with_a_put_that_is_due),
        cmocka_unit_test(a_change_during_an_upload_is_sent_though_the_file_stays_open),
        cmocka_unit_test(attributes_of_a_directory_without_a_marker_make_one),
        cmocka_unit_test(attributes_of_a_directory_whose_marker_has_a_body_keep_the_body),
        cmocka_unit_test(an_attribute_that_cannot_be_stored_is_not_shown_for_ever),
        cmocka_unit_test(extended_attributes_are_kept_with_the_object),
        cmocka_unit_test(nothing_changes_on_a_mount_that_is_read_only),
        cmocka_unit_test(nothing_changes_on_a_store_that_is_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
