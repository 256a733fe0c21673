/* The life of a vfs: what it needs is started here, and freed. */
#include "vfs/vfs.h"

#include "journal/left.h"
#include "util/clock.h"
#include "util/private_dir.h"
#include "util/str.h"
#include "vfs/beside.h"
#include "vfs/changed.h"
#include "vfs/handle.h"
#include "vfs/conflicts.h"
#include "vfs/inode.h"
#include "vfs/neighbours.h"
#include "vfs/refresh.h"
#include "vfs/resume.h"
#include "vfs/spans.h"
#include "vfs/send.h"
#include "vfs/upload.h"
#include "vfs/unfinished.h"
#include "vfs/view.h"
#include "vfs/walk.h"

#include <string.h>

/* Memory of blocks that nobody needed for so long goes back to the system. */
#define IDLE_MEMORY_MS 10000
#define POOL_THREADS 64

static struct map_key ino_key(const void *value)
{
    const struct inode *i = value;
    return (struct map_key){&i->ino, sizeof(i->ino)};
}

/* ---- Construction */

/* What is synced in it must not go with its name. */
static enum err_code make_dir(const char *path, struct err *e)
{
    return path ? private_dir(path, e) : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code open_state(struct vfs *v, struct err *e)
{
    if (!v->cfg.state_dir || vfs_has(v, STORE_SECRET))
        return ERR_OK;
    CLEANUP(free) char *staged = str_printf("%s/staged", v->cfg.state_dir);
    enum err_code code = make_dir(staged, e);
    if (!code)
        left_report(staged);
    if (!code && !(v->stages = stage_pool_new(staged, e)))
        code = ERR_NOMEM;
    CLEANUP(free) char *uploads = str_printf("%s/uploads", v->cfg.state_dir);
    if (!code)
        code = make_dir(uploads, e);
    if (!code && !(v->uploads = uploads_open(uploads, e)))
        code = ERR_IO;
    if (v->uploads)
        uploads_set_aside(v->uploads);
    v->renames_dir = str_printf("%s/renames", v->cfg.state_dir);
    if (!code)
        code = make_dir(v->renames_dir, e);
    return code;
}

static enum err_code open_parts(struct vfs *v, struct err *e)
{
    v->by_ino = map_new(ino_key);
    v->pool = pool_new("vfs", POOL_THREADS, e);
    v->resumers = pool_new("resume", POOL_THREADS, e);
    v->listers = pool_new("list", SPANS_MAX, e);
    v->timers = timers_new(e);
    v->ending = cancel_new();
    v->contents = contents_new(v->store, v->cfg.memory, vfs_has(v, STORE_SECRET), e);
    v->neighbours = neighbours_new(e);
    v->walks = walks_new(e);
    v->refresh = refresh_new(v, e);
    if (!v->refresh || !v->by_ino || !v->neighbours || !v->walks || !v->pool || !v->resumers || !v->listers || !v->timers || !v->contents || !v->ending)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (v->cfg.cache && !vfs_has(v, STORE_SECRET) && !(v->beside = beside_new(v, e)))
        return ERR_NOMEM;
    contents_give_back(v->contents, v->timers, IDLE_MEMORY_MS);
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
    TAILQ_INIT(&v->deferred);
    LIST_INIT(&v->holds);
    LIST_INIT(&v->sending);
    LIST_INIT(&v->unfinished);
    LIST_INIT(&v->resume_waiting);
    LIST_INIT(&v->handles);
    LIST_INIT(&v->dir_handles);
    if (open_state(v, e) || open_parts(v, e)) {
        vfs_free(v);
        return NULL;
    }
    v->cfg.state_dir = v->cfg.origin = v->cfg.cache_prefix = NULL; /* the caller's strings */
    left_init(v);
    left_begin(v);
    resume_begin(v);
    if (store_watch(store, changed_key, v, e)) {
        vfs_free(v);
        return NULL;
    }
    return v;
}

/* ---- The end */

static void free_tree(struct vfs *v)
{
    memset(&v->cfg.notify, 0, sizeof(v->cfg.notify));
    LOCK_SCOPE(&v->tree);
    for (struct active *a; (a = TAILQ_FIRST(&v->unsent));)
        send_give_up_locked(v, a->inode, true);
    views_drop_locked(v);
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
void vfs_let_go(struct vfs *v)
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
    lock_take(&v->tree);
    v->closing = true;
    lock_drop(&v->tree);
    struct err ignored = ERR_INIT;
    (void)!store_watch(v->store, NULL, NULL, &ignored);
    vfs_let_go(v);
    neighbours_end(v);
    walks_end(v);
    refresh_end(v->refresh);
    resume_end(v);
    left_end(v);
    wait_background(v);
    beside_end(v->beside);
    if (v->root)
        free_tree(v);
    wait_background(v);
    pool_free(v->pool);
    pool_free(v->resumers);
    pool_free(v->listers);
    neighbours_free(v->neighbours);
    walks_free(v->walks);
    contents_free(v->contents);
    beside_free(v->beside);
    timers_free(v->timers);
    refresh_free(v->refresh);
    uploads_free(v->uploads);
    conflicts_release(v);
    unfinished_release(v);
    cancel_unref(v->ending);
    map_free(v->by_ino);
    cond_release(&v->changed);
    lock_release(&v->tree);
    stage_pool_free(v->stages);
    free(v->renames_dir);
    free(v);
}
