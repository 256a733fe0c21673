/* Directories: their record, and the marker of one that lost its last file. */
#include "util/clock.h"
#include "vfs/catalog.h"
#include "vfs/dirs.h"
#include "vfs/drain.h"
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/ranges.h"
#include "vfs/remove.h"
#include "vfs/send.h"
#include "vfs/unfinished.h"

#include <string.h>

#define MARKER_DELAY_MS 1000
#define MARKER_AGAIN_MS 100

static struct map_key key_of(const void *value)
{
    const struct inode *i = value;
    return (struct map_key){i->name, strlen(i->name)};
}

enum err_code dir_new_locked(struct vfs *v, struct inode *i, struct err *e)
{
    i->dir = calloc(1, sizeof(*i->dir));
    if (i->dir && !(i->dir->children = map_new(key_of))) {
        free(i->dir);
        i->dir = NULL;
    }
    if (i->dir) {
        i->dir->vfs = v;
        i->dir->inode = i;
    }
    return i->dir ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory for a directory");
}

void dir_free(struct dir *d)
{
    if (!d)
        return;
    map_free(d->children);
    ranges_free(d->ranges);
    if (d->names)
        d->vfs->n_records -= catalog_left(d->names);
    catalog_unref(d->names);
    free(d);
}

static bool has_names_locked(const struct inode *dir)
{
    const struct dir *d = dir->dir;
    return map_size(d->children) > d->negative || (d->names && catalog_left(d->names) > 0);
}

struct marker_task {
    struct vfs *v;
    struct inode *dir;
    struct deferred deferred;
};

static ssize_t read_nothing(void *arg, uint64_t offset, void *buf, size_t len)
{
    return 0;
}

static enum err_code put_marker(struct vfs *v, const char *key, bool listed, const struct store_meta *meta,
                                struct store_version *version, struct err *e)
{
    /* Where not all names are known, there may be others, and then the directory needs none. */
    enum err_code code = unfinished_claim_now(v, key, e);
    if (!code && !listed)
        code = check_empty(v, key, NULL, NULL, e);
    if (code)
        return code;
    struct store_body body = {.read = read_nothing};
    struct store_cond absent = {.kind = STORE_IF_ABSENT};
    return store_put(v->store, key, &body, meta, &absent, NULL, version, e);
}

static void marker_timer(void *arg);

/* While the directory is held or sent its marker is put off. Nothing waits for that here: the sending may be in the queue of the
 * very pool whose threads would wait. */
static void marker_later_locked(struct marker_task *t)
{
    timer_arm(t->v->timers, &t->dir->dir->marker_timer, clock_mono_ms() + MARKER_AGAIN_MS, marker_timer, t);
}

static bool marker_put_off_locked(struct marker_task *t)
{
    struct vfs *v = t->v;
    struct inode *dir = t->dir;
    if (!hold_covers_locked(v, dir) && !(dir->active && dir->active->sending))
        return false;
    marker_later_locked(t);
    return true;
}

/* Begins a sending of the directory, unless another file or a marker came, or the directory went. */
static bool marker_begin_locked(struct vfs *v, struct inode *dir)
{
    if (!dir->dir->marker_due || !(dir->flags & INODE_LINKED) || has_names_locked(dir) || dir->etag)
        return false;
    if (inode_activate_locked(v, dir, NULL))
        return false;
    send_begin_locked(v, dir, NULL);
    return true;
}

static void marker_end_locked(struct vfs *v, struct inode *dir, enum err_code code, const struct store_version *version)
{
    if (!code) {
        if (inode_set_version_locked(v, dir, version, NULL, NULL))
            dir->flags |= INODE_STALE;
        dir->flags &= (uint16_t)~INODE_NO_MARKER;
        inode_changed_locked(v, dir);
    }
    send_end_locked(v, dir);
}

static void marker_put(void *arg)
{
    CLEANUP(free) struct marker_task *t = arg;
    struct vfs *v = t->v;
    struct inode *dir = t->dir;
    lock_take(&v->tree);
    if (marker_put_off_locked(t)) {
        t = NULL;
        lock_drop(&v->tree);
        return;
    }
    bool due = marker_begin_locked(v, dir), listed = dir->dir->listed;
    CLEANUP(free) char *key = due ? inode_key_dup_locked(dir) : NULL;
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_ref(dir->meta);
    lock_drop(&v->tree);

    struct err err = ERR_INIT;
    struct store_version version;
    enum err_code code = key ? put_marker(v, key, listed, meta, &version, &err) : ERR_NOMEM;
    if (key && code && code != ERR_CONFLICT && code != ERR_NOT_EMPTY && code != ERR_CANCELED)
        LOG_WARN("vfs", "the empty directory \"%s\" could not be kept: %s", key, err.msg);
    lock_take(&v->tree);
    if (due)
        marker_end_locked(v, dir, code, &version);
    if (due && code == ERR_CANCELED) { /* a rename of that name is being finished */
        marker_later_locked(t);
        t = NULL;
        lock_drop(&v->tree);
        return;
    }
    dir->dir->marker_due = false;
    inode_unref_locked(v, dir);
    deferred_end_locked(v, &t->deferred, false);
    lock_drop(&v->tree);
}

static void marker_timer(void *arg)
{
    struct marker_task *t = arg;
    if (pool_submit(t->v->pool, marker_put, t, NULL) == ERR_OK)
        return;
    marker_put(t); /* without memory for the queue: here, late, rather than not at all */
}

void dir_keep_locked(struct vfs *v, struct inode *dir)
{
    lock_assert_held(&v->tree);
    if (!vfs_has(v, STORE_MARKERS)) {
        if (!has_names_locked(dir))
            dir->flags |= dir->parent ? INODE_LOCAL : 0;
        return;
    }
    bool has_marker = dir->etag || !dir->parent || is_container_locked(v, dir);
    if (has_marker || has_names_locked(dir) || dir->dir->marker_due)
        return;
    struct marker_task *t = malloc(sizeof(*t));
    if (!t)
        return;
    *t = (struct marker_task){.v = v, .dir = inode_ref_locked(dir)};
    dir->dir->marker_due = true;
    deferred_begin_locked(v, &t->deferred);
    timer_arm(v->timers, &dir->dir->marker_timer, clock_mono_ms() + MARKER_DELAY_MS, marker_timer, t);
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

void dir_take_latest_locked(struct vfs *v, struct inode *dir)
{
    lock_assert_held(&v->tree);
    size_t cursor = 0;
    if (!vfs_has(v, STORE_LIST_SUBTREE))
        return;
    for (const struct inode *i; (i = map_next(dir->dir->children, &cursor));)
        if (i->kind != INODE_NONE && !(i->flags & INODE_VIRTUAL) && is_later(&i->mtime, &dir->mtime))
            dir->mtime = i->mtime;
}
