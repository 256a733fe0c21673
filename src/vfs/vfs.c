/* The life of a vfs: what it needs is started here, what is unsent is waited for, and the tree is freed. */
#include "vfs/vfs.h"

#include "util/clock.h"
#include "util/str.h"
#include "vfs/tree.h"

#include <errno.h>
#include <string.h>

#define POOL_THREADS 64
#define PROGRESS_MS 1000
#define BACKGROUND_MS 10000

static struct map_key ino_key(const void *value)
{
    const struct inode *i = value;
    return (struct map_key){&i->ino, sizeof(i->ino)};
}

/* ---- Construction */

static enum err_code make_dir(char *path, struct err *e)
{
    if (!path)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (mkdir(path, 0700) && errno != EEXIST)
        return err_sys(e, errno, "create %s", path);
    return ERR_OK;
}

static enum err_code open_state(struct vfs *v, struct err *e)
{
    if (!v->cfg.state_dir || vfs_has(v, STORE_SECRET))
        return ERR_OK;
    v->stage_dir = str_printf("%s/staged", v->cfg.state_dir);
    enum err_code code = make_dir(v->stage_dir, e);
    if (!code)
        stage_report_left(v->stage_dir);
    CLEANUP(free) char *uploads = str_printf("%s/uploads", v->cfg.state_dir);
    if (!code)
        code = make_dir(uploads, e);
    if (!code && !(v->uploads = uploads_open(uploads, e)))
        code = ERR_IO;
    return code;
}

static enum err_code open_parts(struct vfs *v, struct err *e)
{
    v->by_ino = map_new(ino_key);
    v->pool = pool_new("vfs", POOL_THREADS, e);
    v->timers = timers_new(e);
    v->ending = cancel_new();
    v->contents = contents_new(v->store, v->cfg.memory, vfs_has(v, STORE_SECRET), e);
    if (!v->by_ino || !v->pool || !v->timers || !v->contents || !v->ending)
        return err_set(e, ERR_NOMEM, "out of memory");
    LOCK_SCOPE(&v->tree);
    v->root = inode_new_locked(v, NULL, "", "", INODE_DIR);
    if (!v->root)
        return err_set(e, ERR_NOMEM, "out of memory");
    v->root->mtime = clock_now();
    v->root->flags |= INODE_NO_MARKER;
    return inode_give_locked(v, v->root, e);
}

struct vfs *vfs_new(struct store *store, const struct vfs_config *config, struct err *e)
{
    struct vfs *v = calloc(1, sizeof(*v));
    if (!v) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    v->store = store;
    v->caps = store_caps(store);
    v->cfg = *config;
    lock_init(&v->tree, "vfs tree", LOCK_VFS_TREE);
    cond_init(&v->changed);
    TAILQ_INIT(&v->unsent);
    LIST_INIT(&v->holds);
    LIST_INIT(&v->sending);
    LIST_INIT(&v->handles);
    LIST_INIT(&v->dir_handles);
    if (open_state(v, e) || open_parts(v, e)) {
        vfs_free(v);
        return NULL;
    }
    v->cfg.state_dir = NULL; /* the caller's string */
    left_init(v);
    left_begin(v);
    return v;
}

/* ---- The end */

static void free_tree(struct vfs *v)
{
    memset(&v->cfg.notify, 0, sizeof(v->cfg.notify));
    LOCK_SCOPE(&v->tree);
    for (struct active *a; (a = TAILQ_FIRST(&v->unsent));)
        send_give_up_locked(v, a->inode);
    inode_detach_children_locked(v, v->root);
    size_t cursor = 0;
    for (struct inode *i; (i = map_next(v->by_ino, &cursor));) {
        map_remove(v->by_ino, &i->ino, sizeof(i->ino));
        i->ino = 0;
        i->lookups = 0;
        inode_unref_locked(v, i);
    }
    inode_unref_locked(v, v->root);
}

/* What an unmount left open: written bytes go to the store, as with any last close. */
static void release_open(struct vfs *v)
{
    for (struct vfs_handle *h; (h = LIST_FIRST(&v->handles));)
        vfs_release(v, h);
    for (struct vfs_dir_handle *d; (d = LIST_FIRST(&v->dir_handles));)
        vfs_releasedir(v, d);
}

static void wait_background(struct vfs *v)
{
    LOCK_SCOPE(&v->tree);
    while (v->background > 0)
        cond_wait(&v->changed, &v->tree, UINT64_MAX);
}

void vfs_free(struct vfs *v)
{
    if (!v)
        return;
    release_open(v);
    left_end(v);
    wait_background(v);
    if (v->root)
        free_tree(v);
    wait_background(v);
    pool_free(v->pool);
    timers_free(v->timers);
    contents_free(v->contents);
    uploads_free(v->uploads);
    cancel_unref(v->ending);
    map_free(v->by_ino);
    cond_release(&v->changed);
    lock_release(&v->tree);
    free(v->stage_dir);
    free(v);
}

/* ---- Draining */

/* What was unsent when the drain began: a program that writes on must not keep it from ending. */
struct due {
    struct inode *inode; /* counted */
    uint64_t gen, attr_gen;
};

static size_t take_due_locked(struct vfs *v, struct due **out)
{
    size_t n = 0;
    struct active *a;
    TAILQ_FOREACH(a, &v->unsent, link)
        n++;
    *out = calloc(n + 1, sizeof(**out));
    if (!*out)
        return 0;
    n = 0;
    TAILQ_FOREACH(a, &v->unsent, link)
        (*out)[n++] = (struct due){inode_ref_locked(a->inode), a->gen, a->attr_gen};
    return n;
}

static bool due_ended_locked(const struct due *d, uint64_t *failed)
{
    const struct active *a = d->inode->active;
    if (!a || !a->queued || (a->sent_gen >= d->gen && a->attr_sent_gen >= d->attr_gen))
        return true;
    bool lost = !a->sending && send_has_failed(a);
    *failed += lost;
    return lost;
}

/* True while something of it is not in the store and has not failed; those are started. */
static bool count_due_locked(struct vfs *v, const struct due *due, size_t n, uint64_t *waiting, uint64_t *failed,
                             uint64_t *bytes)
{
    *waiting = *failed = *bytes = 0;
    for (size_t k = 0; k < n; k++) {
        if (due_ended_locked(&due[k], failed))
            continue;
        ++*waiting;
        *bytes += due[k].inode->size;
        send_start_locked(v, due[k].inode);
    }
    return *waiting > 0;
}

/* Markers and removals that were put off come within seconds; on a busy mount there are always new ones. */
static void wait_background_locked(struct vfs *v)
{
    uint64_t until = clock_mono_ms() + BACKGROUND_MS;
    while (v->background > 0 && clock_mono_ms() < until)
        cond_wait(&v->changed, &v->tree, clock_mono_ms() + 100);
}

enum err_code vfs_drain(struct vfs *v, void (*progress)(void *arg, uint64_t files, uint64_t bytes), void *arg, struct err *e)
{
    uint64_t next = clock_mono_ms() + PROGRESS_MS, waiting, failed, bytes;
    struct due *due;
    lock_take(&v->tree);
    uint64_t failed_before = v->failed_uploads;
    size_t n = take_due_locked(v, &due);
    while (count_due_locked(v, due, n, &waiting, &failed, &bytes)) {
        cond_wait(&v->changed, &v->tree, clock_mono_ms() + 100);
        if (!progress || clock_mono_ms() < next)
            continue;
        next = clock_mono_ms() + PROGRESS_MS;
        lock_drop(&v->tree);
        progress(arg, waiting, bytes);
        lock_take(&v->tree);
    }
    wait_background_locked(v);
    failed += v->failed_uploads - failed_before;
    for (size_t k = 0; k < n; k++)
        inode_unref_locked(v, due[k].inode);
    lock_drop(&v->tree);
    bool taken = due != NULL;
    free(due);
    if (!taken)
        return err_set(e, ERR_NOMEM, "out of memory");
    return failed ? err_set(e, ERR_IO, "some files could not be stored: the log names them") : ERR_OK;
}

/* ---- What status shows */

void vfs_stats(struct vfs *v, struct vfs_stats *out)
{
    struct content_stats c;
    contents_stats(v->contents, &c);
    LOCK_SCOPE(&v->tree);
    *out = (struct vfs_stats){
        .inodes = map_size(v->by_ino),
        .names = v->n_inodes,
        .handles = v->n_handles,
        .failed_uploads = v->failed_uploads,
        .memory_used = c.memory_used,
        .memory_limit = v->cfg.memory,
        .parked_reads = c.parked,
        .bytes_read = __atomic_load_n(&v->bytes_read, __ATOMIC_RELAXED),
        .bytes_fetched = c.fetched_bytes,
        .bytes_written = v->bytes_written,
        .bytes_sent = v->bytes_sent,
        .block_hits = c.hits,
        .block_misses = c.misses,
    };
    struct active *a;
    TAILQ_FOREACH(a, &v->unsent, link) {
        out->dirty_files++;
        out->dirty_bytes += active_dirty(a) ? a->inode->size : 0;
    }
}

struct dirty {
    char *path;
    uint64_t size;
    char error[ERR_MSG_SIZE];
};

void vfs_each_dirty(struct vfs *v, void (*fn)(void *arg, const char *path, uint64_t size, const char *error), void *arg)
{
    size_t n = 0, cap = 0;
    struct active *a;
    lock_take(&v->tree);
    TAILQ_FOREACH(a, &v->unsent, link)
        cap++;
    struct dirty *list = calloc(cap + 1, sizeof(*list));
    TAILQ_FOREACH(a, &v->unsent, link) {
        BUF(path, KEY_BUF_MAX);
        inode_path_locked(a->inode, &path);
        if (!list || !(list[n].path = buf_take(&path)))
            break;
        list[n].size = a->inode->size;
        if (send_has_failed(a))
            memcpy(list[n].error, a->failure.msg, sizeof(list[n].error));
        n++;
    }
    lock_drop(&v->tree);
    for (size_t k = 0; k < n; k++) {
        fn(arg, list[k].path, list[k].size, list[k].error);
        free(list[k].path);
    }
    free(list);
}
