#include "support.h"

#include "util/clock.h"

#include <stdio.h>
#include <unistd.h>

static void a_directory_has_its_objects_and_prefixes(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/", "");
    others_put(&r, "d/x", "1");
    others_put(&r, "d/y/deep/z", "1");
    others_put(&r, "e", "1");
    expect_names(&r, "", "d\ne\n");
    expect_names(&r, "d", "x\ny\n");
    expect_names(&r, "d/y", "deep\n");
    expect_names(&r, "d/y/deep", "z\n");
    rig_stop(&r);
}

static void a_large_directory_is_listed_page_by_page_once(void **state)
{
    struct rig r;
    BUF(names, 1 << 20);
    rig_start(&r, &(struct rig_kind){.page_size = 10});
    for (int k = 0; k < 95; k++) {
        char key[16];
        snprintf(key, sizeof(key), "n%03d", k);
        others_put(&r, key, "x");
    }
    expect_ok(&r, names_in(&r, "", true, &names));
    assert_int_equal(names.len, 95 * 5);
    assert_int_equal(rig_count(&r, MEM_LIST), 10);
    (void)walk(&r, "n050");
    expect_absent(&r, "n0505");
    assert_int_equal(rig_count(&r, MEM_LIST), 10);
    rig_stop(&r);
}

struct listing {
    struct rig *r;
    enum err_code code;
    struct buf out;
};

static void *list_root(void *arg)
{
    struct listing *l = arg;
    struct vfs_dir_handle *d;
    struct err e = ERR_INIT;
    l->code = vfs_opendir(l->r->v, VFS_ROOT, &l->r->who, &d, &e);
    if (!l->code)
        vfs_releasedir(l->r->v, d);
    return NULL;
}

static void two_threads_that_list_one_directory_send_one_listing(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "1");
    mem_store_hold(r.mem, MEM_LIST, NULL);
    struct listing l[4];
    pthread_t t[4];
    for (int k = 0; k < 4; k++) {
        l[k] = (struct listing){.r = &r};
        pthread_create(&t[k], NULL, list_root, &l[k]);
    }
    assert_true(mem_store_wait_held(r.mem, MEM_LIST, 1, 60000));
    usleep(50 * 1000);
    assert_int_equal(mem_store_held(r.mem, MEM_LIST), 1);
    mem_store_unhold(r.mem, MEM_LIST);
    for (int k = 0; k < 4; k++) {
        pthread_join(t[k], NULL);
        assert_int_equal(l[k].code, ERR_OK);
    }
    assert_int_equal(rig_count(&r, MEM_LIST), 1);
    rig_stop(&r);
}

/* A listing is under way while `change` is made; it answers with what was there before. */
static void during_a_listing(struct rig *r, void (*change)(struct rig *r))
{
    struct listing l = {.r = r};
    pthread_t t;
    mem_store_hold(r->mem, MEM_LIST, "");
    pthread_create(&t, NULL, list_root, &l);
    assert_true(mem_store_wait_held(r->mem, MEM_LIST, 1, 60000));
    change(r);
    mem_store_unhold(r->mem, MEM_LIST);
    pthread_join(t, NULL);
    assert_int_equal(l.code, ERR_OK);
}

/* Answers of listings are made to come late: the in-memory store reads its table when the call is let go on, so the listing is
 * taken apart by a hook that waits after the table was read. */
struct late {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool waits, go, armed;
};

static struct late late = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false, false};

static enum err_code late_hook(void *arg, const struct mem_event *ev, struct err *e)
{
    if (ev->op != MEM_LIST || ev->phase != MEM_AFTER)
        return ERR_OK;
    pthread_mutex_lock(&late.mutex);
    if (late.armed) {
        late.armed = false;
        late.waits = true;
        pthread_cond_broadcast(&late.cond);
        while (!late.go)
            pthread_cond_wait(&late.cond, &late.mutex);
    }
    pthread_mutex_unlock(&late.mutex);
    return ERR_OK;
}

static void with_a_late_listing(struct rig *r, void (*change)(struct rig *r))
{
    struct listing l = {.r = r};
    pthread_t t;
    late.armed = true;
    late.waits = late.go = false;
    mem_store_set_hook(r->mem, (struct mem_hook){late_hook, NULL});
    pthread_create(&t, NULL, list_root, &l);
    pthread_mutex_lock(&late.mutex);
    while (!late.waits)
        pthread_cond_wait(&late.cond, &late.mutex);
    pthread_mutex_unlock(&late.mutex);
    change(r);
    pthread_mutex_lock(&late.mutex);
    late.go = true;
    pthread_cond_broadcast(&late.cond);
    pthread_mutex_unlock(&late.mutex);
    pthread_join(t, NULL);
    assert_int_equal(l.code, ERR_OK);
}

static void changes_of_all_kinds(struct rig *r)
{
    uint64_t root = VFS_ROOT;
    struct vfs_entry entry;
    struct vfs_handle *h = NULL;
    /* By nodeid: a walk would ask. */
    expect_ok(r, vfs_create(r->v, root, "new", 0644, O_WRONLY, &r->who, &entry, &h, &r->err));
    write_at(r, h, 0, "new bytes");
    expect_ok(r, close_file(r, h));
    expect_ok(r, vfs_create(r->v, root, "unsent", 0644, O_WRONLY, &r->who, &entry, &h, &r->err));
    write_at(r, h, 0, "x");
    release(r, h);
    expect_ok(r, vfs_mkdir(r->v, root, "newdir", 0755, &r->who, &entry, &r->err));
    expect_ok(r, vfs_unlink(r->v, root, "gone", &r->who, &r->err));
    expect_ok(r, vfs_rmdir(r->v, root, "gonedir", &r->who, &r->err));
    expect_ok(r, vfs_rename(r->v, root, "from", root, "to", 0, &r->who, &r->err));
    expect_ok(r, vfs_rename(r->v, root, "fromdir", root, "todir", 0, &r->who, &r->err));
    struct vfs_entry over;
    expect_ok(r, vfs_lookup(r->v, root, "over", &r->who, &over, &r->err));
    expect_ok(r, vfs_open(r->v, over.ino, O_WRONLY | O_TRUNC, &r->who, &h, &r->err));
    write_at(r, h, 0, "longer than before");
    expect_ok(r, close_file(r, h));
}

static void changes_made_here_outlive_a_listing_that_started_before(void **state)
{
    for (int primed = 0; primed < 2; primed++) {
        struct rig r;
        rig_start(&r, &(struct rig_kind){.ttl_ms = 80});
        others_put(&r, "gone", "1");
        others_put(&r, "gonedir/", "");
        others_put(&r, "from", "f");
        others_put(&r, "fromdir/", "");
        others_put(&r, "fromdir/sub/file", "1");
        others_put(&r, "over", "old");
        others_put(&r, "stays", "1");
        if (primed)
            expect_names(&r, "", "from\nfromdir\ngone\ngonedir\nover\nstays\n");
        usleep(90 * 1000);
        r.cfg.ttl_ms = 80;
        with_a_late_listing(&r, changes_of_all_kinds);
        BUF(names, 4096);
        expect_names(&r, "", "new\nnewdir\nover\nstays\nto\ntodir\nunsent\n");
        assert_int_equal(stat_of(&r, "over").st_size, strlen("longer than before"));
        assert_int_equal(stat_of(&r, "new").st_size, strlen("new bytes"));
        expect_names(&r, "todir/sub", "file\n");
        rig_stop(&r);
    }
}

static void make_and_remove(struct rig *r)
{
    struct vfs_handle *h = NULL;
    struct vfs_entry entry;
    expect_ok(r, vfs_create(r->v, VFS_ROOT, "made", 0644, O_WRONLY, &r->who, &entry, &h, &r->err));
    release(r, h);
}

static void a_file_made_while_a_listing_is_under_way_stays(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "f", "1");
    expect_absent(&r, "made");
    during_a_listing(&r, make_and_remove);
    expect_names(&r, "", "f\nmade\n");
    rig_stop(&r);
}

static void *rename_d_to_e(void *arg)
{
    struct rig *r = arg;
    struct err e = ERR_INIT;
    return vfs_rename(r->v, VFS_ROOT, "d", VFS_ROOT, "e", 0, &r->who, &e) ? arg : NULL;
}

struct dir_listing {
    struct rig *r;
    uint64_t ino;
    enum err_code code;
};

static void *list_dir_of(void *arg)
{
    struct dir_listing *l = arg;
    struct vfs_dir_handle *d;
    struct err e = ERR_INIT;
    l->code = vfs_opendir(l->r->v, l->ino, &l->r->who, &d, &e);
    if (!l->code)
        vfs_releasedir(l->r->v, d);
    return NULL;
}

/* Its listing asks for the old prefix, where nothing is any more. */
static void a_directory_renamed_while_it_is_listed_keeps_its_names(void **state)
{
    struct rig r;
    /* Without START_AFTER a lookup lists nothing. */
    rig_start(&r, &(struct rig_kind){.ttl_ms = VFS_TTL_INF, .caps_off = STORE_START_AFTER});
    others_put(&r, "d/", "");
    others_put(&r, "d/f", "1");
    others_put(&r, "d/sub/g", "1");
    (void)walk(&r, "d/sub");
    struct dir_listing l = {.r = &r, .ino = walk(&r, "d")};
    pthread_t t;
    mem_store_hold(r.mem, MEM_LIST, "d/");
    pthread_create(&t, NULL, list_dir_of, &l);
    assert_true(mem_store_wait_held(r.mem, MEM_LIST, 1, 60000));
    pthread_t u;
    void *bad;
    pthread_create(&u, NULL, rename_d_to_e, &r);
    assert_true(mem_store_wait_held(r.mem, MEM_LIST, 2, 60000)); /* and the listing of the tree that is to be moved */
    mem_store_unhold(r.mem, MEM_LIST);
    pthread_join(u, &bad);
    assert_null(bad);
    pthread_join(t, NULL);
    expect_names(&r, "e", "f\nsub\n");
    expect_file(&r, "e/f", "1");
    rig_stop(&r);
}

static void a_directory_that_only_has_unsent_files_stays(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "d/f", "1");
    struct vfs_handle *h = create_at(&r, "d/new");
    write_at(&r, h, 0, "x");
    others_remove(&r, "d/f");
    expect_names(&r, "", "d\n");
    expect_names(&r, "d", "new\n");
    expect_ok(&r, close_file(&r, h));
    expect_object(&r, "d/new", "x");
    expect_names(&r, "d", "new\n");
    rig_stop(&r);
}

static void what_others_add_and_remove_shows_after_the_ttl(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 60});
    others_put(&r, "a", "1");
    others_put(&r, "d/x", "1");
    expect_names(&r, "", "a\nd\n");
    others_put(&r, "b", "1");
    others_remove(&r, "a");
    others_remove(&r, "d/x");
    usleep(70 * 1000);
    expect_names(&r, "", "b\n");
    rig_stop(&r);
}

static void one_listing_refreshes_a_directory_and_keeps_what_is_the_same(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 60});
    others_put(&r, "a", "1");
    others_put(&r, "b", "1");
    expect_names(&r, "", "a\nb\n");
    uint64_t a = walk(&r, "a"), b = walk(&r, "b");
    others_put(&r, "b", "changed");
    usleep(70 * 1000);
    expect_names(&r, "", "a\nb\n");
    assert_true(walk(&r, "a") == a && walk(&r, "b") != b);
    assert_int_equal(rig_requests(&r), 1);
    rig_stop(&r);
}

struct taking {
    struct buf out;
    uint64_t next;
    int left;
};

static bool take_some(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next)
{
    struct taking *x = arg;
    if (x->left-- == 0)
        return false;
    buf_addf(&x->out, "%s\n", name);
    x->next = next;
    return true;
}

static void offsets_are_positions_in_a_snapshot_and_rewinding_renews_it(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    for (int k = 0; k < 6; k++)
        others_put(&r, (char[]){(char)('a' + k), 0}, "x");
    struct vfs_dir_handle *d;
    expect_ok(&r, vfs_opendir(r.v, VFS_ROOT, &r.who, &d, &r.err));
    struct taking x = {.out = {.max = 4096}, .left = 4};
    expect_ok(&r, vfs_readdir(r.v, d, 0, false, &r.who, take_some, &x, &r.err));
    assert_string_equal(buf_str(&x.out), ".\n..\na\nb\n");
    others_put(&r, "aa", "new");
    buf_clear(&x.out);
    x.left = 100;
    expect_ok(&r, vfs_readdir(r.v, d, x.next, false, &r.who, take_some, &x, &r.err));
    assert_string_equal(buf_str(&x.out), "c\nd\ne\nf\n");
    buf_clear(&x.out);
    x.left = 100;
    expect_ok(&r, vfs_readdir(r.v, d, 0, false, &r.who, take_some, &x, &r.err));
    assert_string_equal(buf_str(&x.out), ".\n..\na\naa\nb\nc\nd\ne\nf\n");
    vfs_releasedir(r.v, d);
    buf_release(&x.out);
    rig_stop(&r);
}

static void a_file_removed_during_a_walk_is_left_out(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    for (int k = 0; k < 4; k++)
        others_put(&r, (char[]){(char)('a' + k), 0}, "x");
    struct vfs_dir_handle *d;
    expect_ok(&r, vfs_opendir(r.v, VFS_ROOT, &r.who, &d, &r.err));
    expect_ok(&r, try_unlink(&r, "b"));
    expect_ok(&r, try_rename(&r, "c", "z", 0));
    struct taking x = {.out = {.max = 4096}, .left = 100};
    expect_ok(&r, vfs_readdir(r.v, d, 0, true, &r.who, take_some, &x, &r.err));
    assert_string_equal(buf_str(&x.out), ".\n..\na\nd\n");
    vfs_releasedir(r.v, d);
    buf_release(&x.out);
    rig_stop(&r);
}

enum walk { WALK_LIST, WALK_RMDIR, WALK_RENAME, WALK_BELOW, WALKS };

static enum err_code walk_pages(struct rig *r, enum walk which)
{
    BUF(names, 4096);
    uint64_t ino;
    switch (which) {
    case WALK_LIST:
        return names_in(r, "d", false, &names);
    case WALK_RMDIR:
        return try_rmdir(r, "d");
    case WALK_RENAME:
        return try_rename(r, "d", "e", 0);
    default:
        return try_walk(r, "other", &ino);
    }
}

static void a_listing_of_empty_pages_without_an_end_is_given_up(void **state)
{
    static const struct {
        unsigned empty;
        bool ends;
    } cases[] = {{999, true}, {1000, false}, {3000, false}};
    for (size_t k = 0; k < ARRAY_LEN(cases); k++)
        for (enum walk which = 0; which < WALKS; which++) {
            struct rig r;
            rig_start(&r, &(struct rig_kind){.caps_off = which == WALK_BELOW || which == WALK_LIST ? STORE_START_AFTER : 0});
            others_put(&r, "d/", "");
            others_put(&r, "other/f", "x");
            (void)walk(&r, "d");
            expect_absent(&r, "e");
            rig_mark(&r);
            mem_store_set_empty_pages(r.mem, cases[k].empty);
            expect_code(&r, cases[k].ends ? ERR_OK : ERR_PROTO, walk_pages(&r, which));
            assert_int_equal(rig_count(&r, MEM_LIST), 1000);
            mem_store_set_empty_pages(r.mem, 0);
            assert_int_equal(there(&r, "d/"), !cases[k].ends || which == WALK_LIST || which == WALK_BELOW);
            rig_stop(&r);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_has_its_objects_and_prefixes),
        cmocka_unit_test(a_large_directory_is_listed_page_by_page_once),
        cmocka_unit_test(two_threads_that_list_one_directory_send_one_listing),
        cmocka_unit_test(changes_made_here_outlive_a_listing_that_started_before),
        cmocka_unit_test(a_file_made_while_a_listing_is_under_way_stays),
        cmocka_unit_test(a_directory_renamed_while_it_is_listed_keeps_its_names),
        cmocka_unit_test(a_directory_that_only_has_unsent_files_stays),
        cmocka_unit_test(what_others_add_and_remove_shows_after_the_ttl),
        cmocka_unit_test(one_listing_refreshes_a_directory_and_keeps_what_is_the_same),
        cmocka_unit_test(offsets_are_positions_in_a_snapshot_and_rewinding_renews_it),
        cmocka_unit_test(a_file_removed_during_a_walk_is_left_out),
        cmocka_unit_test(a_listing_of_empty_pages_without_an_end_is_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
