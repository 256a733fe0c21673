/* Directories: their record, and the marker of one that lost its last file. */
#include "util/clock.h"
#include "vfs/tree.h"

#include <string.h>

#define MARKER_DELAY_MS 1000

static struct map_key key_of(const void *value)
{
    const struct inode *i = value;
    return (struct map_key){i->name, strlen(i->name)};
}

enum err_code dir_new_locked(struct inode *i, struct err *e)
{
    i->dir = calloc(1, sizeof(*i->dir));
    if (i->dir && !(i->dir->children = map_new(key_of))) {
        free(i->dir);
        i->dir = NULL;
    }
    return i->dir ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory for a directory");
}

void dir_free(struct dir *d)
{
    if (!d)
        return;
    map_free(d->children);
    free(d);
}

static bool has_names_locked(const struct inode *dir)
{
    return map_size(dir->dir->children) > dir->dir->negative;
}

struct marker_task {
    struct vfs *v;
    struct inode *dir;
};

static ssize_t read_nothing(void *arg, uint64_t offset, void *buf, size_t len)
{
    return 0;
}

/* Unless another file or a marker came, or the directory went. */
static void marker_put(void *arg)
{
    CLEANUP(free) struct marker_task *t = arg;
    struct vfs *v = t->v;
    struct inode *dir = t->dir;
    lock_take(&v->tree);
    bool due = dir->dir->marker_due && (dir->flags & INODE_LINKED) && !has_names_locked(dir);
    CLEANUP(free) char *key = due ? inode_key_dup_locked(dir) : NULL;
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_ref(dir->meta);
    lock_drop(&v->tree);

    struct err err = ERR_INIT;
    struct store_version version;
    enum err_code code = ERR_OK;
    if (key) {
        struct store_body body = {.read = read_nothing};
        struct store_cond absent = {.kind = STORE_IF_ABSENT};
        code = store_put(v->store, key, &body, meta, &absent, NULL, &version, &err);
    }
    lock_take(&v->tree);
    if (key && !code) {
        if (inode_set_version_locked(v, dir, &version, NULL, NULL))
            dir->flags |= INODE_STALE;
        dir->flags &= (uint16_t)~INODE_NO_MARKER;
        inode_changed_locked(v, dir);
    } else if (code && code != ERR_CONFLICT) {
        LOG_WARN("vfs", "the empty directory \"%s\" could not be kept: %s", key, err.msg);
    }
    dir->dir->marker_due = false;
    inode_unref_locked(v, dir);
    v->background--;
    cond_broadcast(&v->changed);
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
    bool has_marker = dir->etag || !dir->parent;
    if (has_marker || has_names_locked(dir) || dir->dir->marker_due)
        return;
    struct marker_task *t = malloc(sizeof(*t));
    if (!t)
        return;
    *t = (struct marker_task){.v = v, .dir = inode_ref_locked(dir)};
    dir->dir->marker_due = true;
    v->background++;
    timer_arm(v->timers, &dir->dir->marker_timer, clock_mono_ms() + MARKER_DELAY_MS, marker_timer, t);
}
