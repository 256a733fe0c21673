/*
 * Many threads at once over a store that is slow and fails now and then. Whatever the order was, in the end the mount shows
 * what is in the store, nothing is left behind, and no read ever was a mixture.
 */
#include "support.h"

#include "util/clock.h"

#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THREADS 8
#define ROUNDS 150

struct worker {
    struct rig *r;
    unsigned seed;
    unsigned done;
    const char *bad;
};

static unsigned failure_permille;

/* The kernel holds a directory's lock during create, unlink, rename, mkdir and rmdir in it. */
#define LOCKS 64
static pthread_mutex_t dir_locks[LOCKS] = {[0 ... LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER};

static void lock_dirs(uint64_t a, uint64_t b)
{
    unsigned x = a % LOCKS, y = b % LOCKS;
    pthread_mutex_lock(&dir_locks[x < y ? x : y]);
    if (x != y)
        pthread_mutex_lock(&dir_locks[x < y ? y : x]);
}

static void unlock_dirs(uint64_t a, uint64_t b)
{
    unsigned x = a % LOCKS, y = b % LOCKS;
    pthread_mutex_unlock(&dir_locks[x]);
    if (x != y)
        pthread_mutex_unlock(&dir_locks[y]);
}

static enum err_code shaky(void *arg, const struct mem_event *ev, struct err *e)
{
    static unsigned calls;
    unsigned n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED) * 2654435761u;
    if (ev->phase != MEM_BEFORE)
        return ERR_OK;
    if ((n >> 8) % 4 == 0)
        usleep((n >> 12) % 2000);
    if ((n >> 16) % 1000 < failure_permille)
        return err_set(e, (n >> 4) % 2 ? ERR_TIMEOUT : ERR_NET, "shaky");
    return ERR_OK;
}

static uint64_t dir_of(struct worker *w, struct vfs_entry *entry)
{
    char name[8];
    struct err e = ERR_INIT;
    snprintf(name, sizeof(name), "d%d", rand_r(&w->seed) % 3);
    struct vfs *v = w->r->v;
    memset(entry, 0, sizeof(*entry));
    if (vfs_lookup(v, VFS_ROOT, name, &w->r->who, entry, &e))
        return 0;
    if (entry->ino)
        return entry->ino;
    lock_dirs(VFS_ROOT, VFS_ROOT);
    enum err_code code = vfs_mkdir(v, VFS_ROOT, name, 0755, &w->r->who, entry, &e);
    unlock_dirs(VFS_ROOT, VFS_ROOT);
    return code ? 0 : entry->ino;
}

static void write_whole(struct worker *w, uint64_t dir, const char *name)
{
    struct vfs *v = w->r->v;
    struct err e = ERR_INIT;
    struct vfs_entry entry = {0};
    struct vfs_handle *h = NULL;
    char bytes[3000];
    memset(bytes, 'a' + rand_r(&w->seed) % 26, sizeof(bytes));
    lock_dirs(dir, dir);
    enum err_code code = vfs_create(v, dir, name, 0644, O_RDWR | O_CREAT, &w->r->who, &entry, &h, &e);
    unlock_dirs(dir, dir);
    if (code)
        return;
    if (vfs_write(v, h, bytes, sizeof(bytes), 0, &w->r->who, &e) == ERR_OK)
        w->done++;
    if (rand_r(&w->seed) % 4 == 0 && vfs_fsync(v, 0, h, &w->r->who, &e) == ERR_OK)
        w->done++;
    if (vfs_flush(v, h, &w->r->who, &e) == ERR_OK)
        w->done++;
    vfs_release(v, h);
    vfs_forget(v, entry.ino, 1);
}

struct wait {
    struct vfs_read read;
    char bytes[3000];
    size_t len;
    int done; /* atomic */
};

static void wait_done(struct vfs_read *read, enum err_code code, const struct iovec *iov, int n, size_t len, const struct err *e)
{
    struct wait *x = read->arg;
    for (int k = 0; !code && k < n; k++) {
        memcpy(x->bytes + x->len, iov[k].iov_base, iov[k].iov_len);
        x->len += iov[k].iov_len;
    }
    __atomic_store_n(&x->done, 1, __ATOMIC_RELEASE);
}

static void read_whole(struct worker *w, uint64_t dir, const char *name)
{
    struct vfs *v = w->r->v;
    struct err e = ERR_INIT;
    struct vfs_entry entry = {0};
    struct vfs_handle *h = NULL;
    if (vfs_lookup(v, dir, name, &w->r->who, &entry, &e) || !entry.ino)
        return;
    if (vfs_open(v, entry.ino, O_RDONLY, &w->r->who, &h, &e) == ERR_OK) {
        struct wait x = {.read = {.done = wait_done, .arg = &x}};
        vfs_read(v, h, 0, sizeof(x.bytes), &w->r->who, &x.read);
        while (!__atomic_load_n(&x.done, __ATOMIC_ACQUIRE))
            usleep(100);
        /* Every write is of one byte all over, of full length. */
        for (size_t k = 1; k < x.len; k++)
            if (x.bytes[k] != x.bytes[0])
                w->bad = "a mixture of two versions";
        vfs_release(v, h);
        w->done++;
    }
    vfs_forget(v, entry.ino, 1);
}

struct taken {
    uint64_t ino[256];
    size_t n;
};

static bool take_all(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next)
{
    struct taken *t = arg;
    if (t->n == ARRAY_LEN(t->ino))
        return false;
    if (entry->ino && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        t->ino[t->n++] = entry->ino;
    return true;
}

static void list_names(struct worker *w, uint64_t dir)
{
    struct vfs *v = w->r->v;
    struct err e = ERR_INIT;
    struct vfs_dir_handle *d;
    if (vfs_opendir(v, dir, &w->r->who, &d, &e))
        return;
    struct taken t = {.n = 0};
    if (vfs_readdir(v, d, 0, true, &w->r->who, take_all, &t, &e) == ERR_OK)
        w->done++;
    for (size_t k = 0; k < t.n; k++)
        vfs_forget(v, t.ino[k], 1);
    vfs_releasedir(v, d);
}

static void change_attributes(struct worker *w, uint64_t dir, const char *name)
{
    struct vfs *v = w->r->v;
    struct err e = ERR_INIT;
    struct vfs_entry entry = {0};
    struct vfs_attr attr;
    struct vfs_setattr s = {.set = VFS_SET_MODE, .mode = 0600};
    if (vfs_lookup(v, dir, name, &w->r->who, &entry, &e) || !entry.ino)
        return;
    if (vfs_setattr(v, entry.ino, NULL, &s, &w->r->who, &attr, &e) == ERR_OK)
        w->done++;
    vfs_forget(v, entry.ino, 1);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct vfs *v = w->r->v;
    for (int k = 0; k < ROUNDS; k++) {
        struct vfs_entry a, b;
        struct err e = ERR_INIT;
        char name[8], other[8];
        uint64_t dir = dir_of(w, &a), to = dir_of(w, &b);
        snprintf(name, sizeof(name), "f%d", rand_r(&w->seed) % 4);
        snprintf(other, sizeof(other), "f%d", rand_r(&w->seed) % 4);
        enum err_code code = ERR_OK;
        switch (dir && to ? rand_r(&w->seed) % 12 : 99) {
        case 0: case 1: case 2:
            write_whole(w, dir, name);
            break;
        case 3: case 4: case 5:
            read_whole(w, dir, name);
            break;
        case 6:
            lock_dirs(dir, dir);
            code = vfs_unlink(v, dir, name, &w->r->who, &e);
            unlock_dirs(dir, dir);
            break;
        case 7: case 8:
            lock_dirs(dir, to);
            code = vfs_rename(v, dir, name, to, other, 0, &w->r->who, &e);
            unlock_dirs(dir, to);
            break;
        case 9:
            list_names(w, rand_r(&w->seed) % 2 ? dir : VFS_ROOT);
            break;
        case 10:
            change_attributes(w, dir, name);
            break;
        case 11:
            lock_dirs(VFS_ROOT, dir);
            if (rand_r(&w->seed) % 3)
                code = vfs_rename(v, VFS_ROOT, rand_r(&w->seed) % 2 ? "d0" : "d1", VFS_ROOT, "d2", RENAME_NOREPLACE, &w->r->who, &e);
            else
                code = vfs_rmdir(v, VFS_ROOT, "d1", &w->r->who, &e);
            unlock_dirs(VFS_ROOT, dir);
            break;
        default:
            break;
        }
        w->done += code == ERR_OK;
        if (a.ino)
            vfs_forget(v, a.ino, 1);
        if (b.ino)
            vfs_forget(v, b.ino, 1);
    }
    return NULL;
}

/* "path size\n" for every file, in the order of a walk. */
static void describe(struct rig *r, const char *path, struct buf *out)
{
    BUF(names, 1 << 16);
    expect_ok(r, names_in(r, path, true, &names));
    char *rest = names.data;
    for (char *name; rest && (name = strsep(&rest, "\n")) && *name;) {
        char below[512];
        snprintf(below, sizeof(below), "%.250s%s%.250s", path, *path ? "/" : "", name);
        struct stat st = stat_of(r, below);
        if (S_ISDIR(st.st_mode)) {
            buf_addf(out, "%s/\n", below);
            describe(r, below, out);
            continue;
        }
        struct vfs_handle *h = open_at(r, below, O_RDONLY);
        BUF(bytes, 1 << 16);
        expect_ok(r, read_some(r, h, 0, 1 << 16, &bytes));
        expect_ok(r, close_file(r, h));
        for (size_t k = 1; k < bytes.len; k++)
            assert_int_equal(bytes.data[k], bytes.data[0]);
        buf_addf(out, "%s %zu %c\n", below, bytes.len, bytes.len ? bytes.data[0] : ' ');
    }
}

static void run(unsigned permille, unsigned seed, uint64_t ttl_ms)
{
    struct rig r;
    struct worker w[THREADS];
    pthread_t t[THREADS];
    rig_start(&r, &(struct rig_kind){.async = true, .ttl_ms = ttl_ms, .ttl_zero = ttl_ms == 0});
    failure_permille = permille;
    mem_store_set_hook(r.mem, (struct mem_hook){shaky, NULL});
    unsigned done = 0;
    for (int k = 0; k < THREADS; k++) {
        w[k] = (struct worker){.r = &r, .seed = seed + (unsigned)k};
        assert_int_equal(pthread_create(&t[k], NULL, work, &w[k]), 0);
    }
    for (int k = 0; k < THREADS; k++) {
        pthread_join(t[k], NULL);
        if (w[k].bad)
            fail_msg("%s", w[k].bad);
        done += w[k].done;
    }
    assert_true(done > THREADS * ROUNDS / 4);
    mem_store_set_hook(r.mem, (struct mem_hook){NULL, NULL});
    enum err_code code = vfs_drain(r.v, NULL, NULL, &r.err);
    assert_true(code == ERR_OK || (permille && code == ERR_IO));
    vfs_retry(r.v, NULL); /* what of failed renames the next mount would do */
    assert_true(vfs_settled(r.v, 60000));
    struct vfs_stats s;
    vfs_stats(r.v, &s);
    assert_int_equal(s.handles, 0);
    assert_int_equal(s.dirty_files, 0);
    assert_int_equal(mem_store_uploads(r.mem), 0);

    BUF(here, 1 << 20);
    BUF(again, 1 << 20);
    if (ttl_ms)
        usleep((useconds_t)(ttl_ms + 20) * 1000);
    describe(&r, "", &here);
    rig_unmount(&r);
    char key[1100];
    if (!permille) {
        assert_int_equal(state_files(&r, "staged", ""), 0);
        if (find_key(&r, "(conflict", key)) /* nobody else writes here */
            fail_msg("\"%s\"", key);
    }
    r.cfg.attrs = VFS_ATTRS_LIST;
    rig_mount(&r);
    describe(&r, "", &again);
    assert_string_equal(buf_str(&here), buf_str(&again));
    rig_stop(&r);
}

static void threads_over_a_slow_store(void **state)
{
    run(0, 1, 200);
}

static void threads_over_a_slow_store_that_is_always_asked(void **state)
{
    run(0, 100, 0);
}

static void threads_over_a_store_that_fails_now_and_then(void **state)
{
    run(20, 200, 100);
    run(60, 300, 0);
}

/* ---- Who waits for a file to be sent */

static bool stop;

/* Each release wakes all that wait. */
static void *wake_all(void *arg)
{
    struct rig *r = arg;
    struct err e = ERR_INIT;
    uint64_t ino = walk(r, "other");
    for (struct vfs_handle *h; !__atomic_load_n(&stop, __ATOMIC_ACQUIRE);)
        if (!vfs_open(r->v, ino, O_RDONLY, &r->who, &h, &e))
            vfs_release(r->v, h);
    return NULL;
}

struct syncer {
    struct rig *r;
    struct vfs_handle *h;
    enum err_code code;
};

static void *sync_one(void *arg)
{
    struct syncer *s = arg;
    struct err e = ERR_INIT;
    s->code = vfs_fsync(s->r->v, 0, s->h, &s->r->who, &e);
    return NULL;
}

/* A file that is written while others replace it, and closed and synced at once. */
static void lose_to_others(struct rig *r, const char *name)
{
    pthread_t thread;
    others_put(r, name, "known");
    struct vfs_handle *h = open_at(r, name, O_RDWR);
    struct syncer syncer = {.r = r, .h = h};
    write_at(r, h, 0, "mine!");
    others_put(r, name, "theirs");
    assert_int_equal(pthread_create(&thread, NULL, sync_one, &syncer), 0);
    enum err_code closed = flush(r, h);
    pthread_join(thread, NULL);
    assert_int_equal(closed, ERR_CONFLICT);
    assert_int_equal(syncer.code, ERR_CONFLICT);
    expect_code(r, ERR_CONFLICT, fsync_file(r, h));
    expect_code(r, ERR_CONFLICT, close_file(r, h));
}

static void a_conflict_is_told_to_all_that_wait_whoever_wakes_them(void **state)
{
    struct rig r;
    pthread_t waker;
    rig_start(&r, NULL);
    write_file(&r, "other", "x");
    __atomic_store_n(&stop, false, __ATOMIC_RELEASE);
    assert_int_equal(pthread_create(&waker, NULL, wake_all, &r), 0);
    for (int k = 0; k < 300; k++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", k);
        lose_to_others(&r, name);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(waker, NULL);
    assert_int_equal(objects_below(&r, "f"), 2 * 300);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_conflict_is_told_to_all_that_wait_whoever_wakes_them),
        cmocka_unit_test(threads_over_a_slow_store),
        cmocka_unit_test(threads_over_a_slow_store_that_is_always_asked),
        cmocka_unit_test(threads_over_a_store_that_fails_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
