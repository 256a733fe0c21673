/* Open files that a local file may serve: which, how handles of one inode go together, and what becomes of the name. */
#include "support.h"

#include "vfs/backing.h"
#include "vfs/inode.h"

#include <stdio.h>

#define SIZE BACKING_MIN

/* Has every version as a "file": descriptor 1000 plus the number of the asking. */
struct source {
    bool has;
    int asked, opened, closed;
};

static int source_open(void *arg, const char *key, const struct store_version *version, void **keep)
{
    struct source *s = arg;
    s->asked++;
    if (!s->has)
        return -1;
    *keep = s;
    return 1000 + ++s->opened;
}

static void source_close(void *arg, void *keep)
{
    struct source *s = arg;
    assert_ptr_equal(keep, s);
    s->closed++;
}

/* Files that somebody still has. */
static int held(const struct source *s)
{
    return s->opened - s->closed;
}

static void start(struct rig *r, struct source *s)
{
    rig_store(r, &(struct rig_kind){.async = true});
    rig_mount(r);
    *s = (struct source){.has = true};
    const struct backing_source source = {source_open, source_close, s};
    backing_from(r->v, &source);
    r->who.backing = true;
    CLEANUP(free) char *text = bytes_of(SIZE);
    others_put(r, "f", text);
}

static void stop(struct rig *r, struct source *s)
{
    rig_stop(r);
    assert_int_equal(s->opened, s->closed);
}

static bool backed(struct rig *r, struct vfs_handle *h)
{
    struct vfs_backing b;
    return vfs_backing(r->v, h, &b);
}

static struct vfs_backing backing_of(struct rig *r, struct vfs_handle *h)
{
    struct vfs_backing b = {0};
    assert_true(vfs_backing(r->v, h, &b));
    return b;
}

/* A handle of that nodeid: what a kernel with a cached name does. */
static enum err_code open_node(struct rig *r, uint64_t ino, int flags, struct vfs_handle **out)
{
    return vfs_open(r->v, ino, flags, &r->who, out, &r->err);
}

/* Opens in a way that handles which are backed exclude; the name must have a fresh nodeid then. */
static struct vfs_handle *open_anew(struct rig *r, uint64_t old, int flags)
{
    struct vfs_handle *h;
    expect_code(r, ERR_CONFLICT, open_node(r, old, flags, &h));
    uint64_t fresh = walk(r, "f");
    assert_int_not_equal(fresh, old);
    expect_ok(r, open_node(r, fresh, flags, &h));
    return h;
}

static void handles_for_reading_share_a_file_until_the_last_close(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    struct vfs_handle *a = open_at(&r, "f", O_RDONLY), *b = open_at(&r, "f", O_RDONLY);
    struct vfs_backing of_a = backing_of(&r, a), of_b = backing_of(&r, b);
    assert_int_equal(of_a.fd, 1001);
    assert_int_equal(of_b.fd, 1001);
    assert_int_equal(of_a.id, of_b.id);
    assert_int_equal(held(&s), 1); /* each open asks whether it is still sound */
    release(&r, a);
    assert_int_equal(held(&s), 1);
    release(&r, b);
    assert_int_equal(held(&s), 0);
    a = open_at(&r, "f", O_RDONLY);
    struct vfs_backing later = backing_of(&r, a);
    assert_int_equal(later.fd, 1003);
    assert_int_not_equal(later.id, of_a.id);
    release(&r, a);
    assert_int_equal(rig_count(&r, MEM_GET), 0);
    stop(&r, &s);
}

static void only_large_files_that_others_wrote_are_backed_and_only_for_who_asks(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    CLEANUP(free) char *small = bytes_of(SIZE - 1), *text = bytes_of(SIZE);
    others_put(&r, "small", small);
    struct vfs_handle *h = open_at(&r, "small", O_RDONLY);
    assert_false(backed(&r, h));
    release(&r, h);
    write_file(&r, "mine", text);
    h = open_at(&r, "mine", O_RDONLY);
    assert_false(backed(&r, h));
    release(&r, h);
    h = open_at(&r, "f", O_RDWR);
    assert_false(backed(&r, h));
    release(&r, h);
    r.who.backing = false;
    h = open_at(&r, "f", O_RDONLY);
    assert_false(backed(&r, h));
    release(&r, h);
    assert_int_equal(s.asked, 0);
    stop(&r, &s);
}

static void a_file_that_becomes_complete_while_it_is_open_is_backed_after_its_last_close(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    s.has = false;
    struct vfs_handle *a = open_at(&r, "f", O_RDONLY);
    s.has = true;
    struct vfs_handle *b = open_at(&r, "f", O_RDONLY);
    assert_false(backed(&r, a) || backed(&r, b));
    release(&r, a);
    struct vfs_handle *c = open_at(&r, "f", O_RDONLY);
    assert_false(backed(&r, c));
    release(&r, b);
    release(&r, c);
    a = open_at(&r, "f", O_RDONLY);
    assert_true(backed(&r, a));
    release(&r, a);
    stop(&r, &s);
}

static void a_writer_beside_readers_gets_a_fresh_nodeid_and_they_keep_their_version(void **state)
{
    static const int ways[] = {O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC, O_RDWR | O_APPEND};
    for (size_t k = 0; k < ARRAY_LEN(ways); k++) {
        struct rig r;
        struct source s;
        start(&r, &s);
        uint64_t old = walk(&r, "f");
        struct vfs_handle *reader, *writer;
        struct vfs_attr attr;
        expect_ok(&r, open_node(&r, old, O_RDONLY, &reader));
        struct stat before = stat_of(&r, "f");
        uint64_t id = backing_of(&r, reader).id;
        writer = open_anew(&r, old, ways[k]);
        struct stat after = stat_of(&r, "f");
        assert_int_equal(after.st_ino, before.st_ino);
        assert_int_equal(after.st_size, ways[k] & O_TRUNC ? 0 : SIZE);
        if ((ways[k] & O_ACCMODE) != O_RDONLY)
            write_at(&r, writer, 0, "new");
        assert_int_equal(backing_of(&r, reader).id, id);
        expect_ok(&r, vfs_getattr(r.v, old, reader, &r.who, &attr, &r.err));
        assert_int_equal(attr.st.st_size, SIZE);
        struct vfs_handle *third = open_at(&r, "f", O_RDONLY);
        assert_false(backed(&r, third));
        release(&r, third);
        expect_ok(&r, close_file(&r, writer));
        drain(&r);
        release(&r, reader);
        third = open_at(&r, "f", O_RDONLY);
        assert_false(backed(&r, third)); /* written by this mount */
        release(&r, third);
        stop(&r, &s);
    }
}

static void who_only_opens_for_writing_leaves_the_file_as_it_was(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    uint64_t old = walk(&r, "f");
    struct vfs_handle *reader, *writer;
    struct vfs_attr attr;
    expect_ok(&r, open_node(&r, old, O_RDONLY, &reader));
    rig_mark(&r);
    writer = open_anew(&r, old, O_RDWR);
    expect_ok(&r, close_file(&r, writer));
    drain(&r);
    assert_int_equal(rig_requests(&r), 0);
    struct vfs_handle *again = open_at(&r, "f", O_RDONLY);
    expect_ok(&r, vfs_getattr(r.v, walk(&r, "f"), NULL, &r.who, &attr, &r.err));
    assert_int_equal(attr.st.st_size, SIZE);
    release(&r, reader);
    release(&r, again);
    stop(&r, &s);
}

static void a_reader_that_comes_between_does_not_take_the_fresh_nodeid_from_the_writer(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    uint64_t old = walk(&r, "f");
    struct vfs_handle *reader, *between, *writer;
    expect_ok(&r, open_node(&r, old, O_RDONLY, &reader));
    expect_code(&r, ERR_CONFLICT, open_node(&r, old, O_RDWR, &writer));
    uint64_t fresh = walk(&r, "f");
    expect_ok(&r, open_node(&r, fresh, O_RDONLY, &between));
    assert_false(backed(&r, between));
    expect_ok(&r, open_node(&r, fresh, O_RDWR, &writer));
    release(&r, writer);
    release(&r, between);
    release(&r, reader);
    stop(&r, &s);
}

static void a_truncation_by_name_goes_to_a_fresh_nodeid(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    uint64_t old = walk(&r, "f");
    struct vfs_handle *reader;
    expect_ok(&r, open_node(&r, old, O_RDONLY, &reader));
    expect_code(&r, ERR_CONFLICT, try_truncate(&r, "f", 4)); /* the kernel looks it up again then */
    expect_ok(&r, try_truncate(&r, "f", 4));
    assert_int_equal(stat_of(&r, "f").st_size, 4);
    assert_true(backed(&r, reader));
    drain(&r);
    release(&r, reader);
    stop(&r, &s);
}

static void attributes_that_wait_to_be_sent_go_with_the_name(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    uint64_t old = walk(&r, "f");
    struct vfs_handle *reader;
    expect_ok(&r, open_node(&r, old, O_RDONLY, &reader));
    expect_ok(&r, try_chmod(&r, "f", 0600));
    assert_true(backed(&r, reader));
    struct vfs_handle *writer = open_anew(&r, old, O_RDWR);
    assert_int_equal(stat_of(&r, "f").st_mode & 07777, 0600);
    expect_ok(&r, close_file(&r, writer));
    release(&r, reader);
    drain(&r);
    struct store_meta *m = object_meta(&r, "f");
    assert_int_equal(m->mode & 07777, 0600);
    store_meta_unref(m);
    stop(&r, &s);
}

static void what_has_given_its_name_away_is_not_changed_silently(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    uint64_t old = walk(&r, "f");
    struct vfs_handle *reader;
    struct vfs_attr attr;
    expect_ok(&r, open_node(&r, old, O_RDONLY, &reader));
    struct vfs_handle *writer = open_anew(&r, old, O_RDWR);
    const struct vfs_setattr set = {.set = VFS_SET_MODE, .mode = 0600};
    expect_code(&r, ERR_CONFLICT, vfs_setattr(r.v, old, reader, &set, &r.who, &attr, &r.err));
    struct vfs_handle *again;
    expect_ok(&r, open_node(&r, old, O_RDONLY, &again)); /* /proc/self/fd */
    assert_true(backed(&r, again));
    release(&r, again);
    release(&r, writer);
    release(&r, reader);
    stop(&r, &s);
}

static void what_others_put_or_what_is_moved_over_it_does_not_disturb_readers(void **state)
{
    for (int way = 0; way < 3; way++) {
        struct rig r;
        struct source s;
        start(&r, &s);
        CLEANUP(free) char *other = bytes_of(SIZE + 5);
        others_put(&r, "g", other);
        uint64_t old = walk(&r, "f");
        struct vfs_handle *reader;
        expect_ok(&r, open_node(&r, old, O_RDONLY, &reader));
        uint64_t id = backing_of(&r, reader).id;
        rig_mark(&r);
        if (way == 0)
            expect_ok(&r, try_rename(&r, "g", "f", 0));
        else if (way == 1)
            expect_ok(&r, try_unlink(&r, "f"));
        else
            others_put(&r, "f", other);
        assert_int_equal(rig_count(&r, MEM_GET), 0); /* nothing is fetched for them: they have it */
        assert_int_equal(backing_of(&r, reader).id, id);
        assert_int_equal(s.closed, 0);
        release(&r, reader);
        assert_int_equal(s.closed, 1);
        stop(&r, &s);
    }
}

static void refused_by_the_kernel_all_handles_are_read_here_and_a_writer_may_come(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    CLEANUP(free) char *text = bytes_of(SIZE);
    uint64_t node = walk(&r, "f");
    struct vfs_handle *a, *b, *writer;
    expect_ok(&r, open_node(&r, node, O_RDONLY, &a));
    expect_ok(&r, open_node(&r, node, O_RDONLY, &b));
    vfs_backing_refused(r.v, a);
    assert_false(backed(&r, a) || backed(&r, b));
    BUF(out, 4096);
    expect_ok(&r, read_some(&r, a, 100, 100, &out));
    assert_memory_equal(buf_str(&out), text + 100, 100);
    expect_ok(&r, open_node(&r, node, O_RDWR, &writer));
    release(&r, writer);
    release(&r, a);
    assert_int_equal(held(&s), 1);
    release(&r, b);
    assert_int_equal(held(&s), 0);
    stop(&r, &s);
}

static void a_writer_is_sent_to_look_again_only_where_the_name_has_a_fresh_nodeid(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    uint64_t node = walk(&r, "f");
    struct vfs_handle *reader = open_at(&r, "f", O_RDONLY);
    struct inode *i;
    lock_take(&r.v->tree);
    expect_ok(&r, inode_find_locked(r.v, node, &i, &r.err));
    inode_ref_locked(i);
    lock_drop(&r.v->tree);
    release(&r, reader); /* meanwhile */
    expect_ok(&r, backing_part(r.v, i, &r.who, &r.err));
    assert_int_equal(walk(&r, "f"), node);
    reader = open_at(&r, "f", O_RDONLY);
    expect_code(&r, ERR_CONFLICT, backing_part(r.v, i, &r.who, &r.err));
    assert_int_not_equal(walk(&r, "f"), node);
    expect_code(&r, ERR_CONFLICT, backing_part(r.v, i, &r.who, &r.err));
    release(&r, reader);
    inode_unref(r.v, i);
    stop(&r, &s);
}

static void a_mount_that_ends_gives_the_file_back(void **state)
{
    struct rig r;
    struct source s;
    start(&r, &s);
    assert_true(backed(&r, open_at(&r, "f", O_RDONLY)));
    stop(&r, &s);
    assert_int_equal(s.closed, 1);
}

struct race {
    struct rig *r;
    unsigned turn, bad; /* atomic */
};

/* As the kernel does it: a name it has looked up, and after ERR_CONFLICT once more with a fresh lookup, not oftener. */
static enum err_code open_as_the_kernel(struct rig *r, int flags, struct vfs_handle **h)
{
    enum err_code code = ERR_CONFLICT;
    for (int tries = 0; tries < 2 && code == ERR_CONFLICT; tries++) {
        struct vfs_entry entry;
        struct err e = ERR_INIT;
        struct vfs_caller who = {.backing = true};
        code = vfs_lookup(r->v, VFS_ROOT, "f", &who, &entry, &e);
        if (!code) {
            code = vfs_open(r->v, entry.ino, flags, &who, h, &e);
            vfs_forget(r->v, entry.ino, 1);
        }
    }
    return code;
}

static void *open_and_close(void *arg)
{
    struct race *race = arg;
    for (int i = 0; i < 8; i++) {
        struct vfs_handle *h;
        struct vfs_backing b;
        int flags = __atomic_add_fetch(&race->turn, 1, __ATOMIC_RELAXED) % 8 == 7 ? O_RDWR : O_RDONLY;
        enum err_code code = open_as_the_kernel(race->r, flags, &h);
        bool bad = code || (vfs_backing(race->r->v, h, &b) && (flags != O_RDONLY || b.fd <= 1000));
        __atomic_add_fetch(&race->bad, bad, __ATOMIC_RELAXED);
        if (!code)
            vfs_release(race->r->v, h);
    }
    return NULL;
}

static int racing_open(void *arg, const char *key, const struct store_version *version, void **keep)
{
    struct source *s = arg;
    *keep = s;
    return 1000 + __atomic_add_fetch(&s->opened, 1, __ATOMIC_RELAXED);
}

static void racing_close(void *arg, void *keep)
{
    __atomic_add_fetch(&((struct source *)arg)->closed, 1, __ATOMIC_RELAXED);
}

static void readers_and_writers_of_many_threads_never_meet_in_one_inode(void **state)
{
    for (int round = 0; round < 25; round++) {
        struct rig r;
        struct source s;
        pthread_t threads[4];
        start(&r, &s);
        const struct backing_source source = {racing_open, racing_close, &s};
        backing_from(r.v, &source);
        struct race race = {.r = &r};
        for (size_t i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, open_and_close, &race);
        for (size_t i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        assert_int_equal(race.bad, 0);
        assert_true(s.opened > 0);
        stop(&r, &s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handles_for_reading_share_a_file_until_the_last_close),
        cmocka_unit_test(only_large_files_that_others_wrote_are_backed_and_only_for_who_asks),
        cmocka_unit_test(a_file_that_becomes_complete_while_it_is_open_is_backed_after_its_last_close),
        cmocka_unit_test(a_writer_beside_readers_gets_a_fresh_nodeid_and_they_keep_their_version),
        cmocka_unit_test(who_only_opens_for_writing_leaves_the_file_as_it_was),
        cmocka_unit_test(a_reader_that_comes_between_does_not_take_the_fresh_nodeid_from_the_writer),
        cmocka_unit_test(a_truncation_by_name_goes_to_a_fresh_nodeid),
        cmocka_unit_test(attributes_that_wait_to_be_sent_go_with_the_name),
        cmocka_unit_test(what_has_given_its_name_away_is_not_changed_silently),
        cmocka_unit_test(what_others_put_or_what_is_moved_over_it_does_not_disturb_readers),
        cmocka_unit_test(refused_by_the_kernel_all_handles_are_read_here_and_a_writer_may_come),
        cmocka_unit_test(a_writer_is_sent_to_look_again_only_where_the_name_has_a_fresh_nodeid),
        cmocka_unit_test(a_mount_that_ends_gives_the_file_back),
        cmocka_unit_test(readers_and_writers_of_many_threads_never_meet_in_one_inode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
