#include "vfs/conflicts.h"

#include "util/clock.h"
#include "vfs/inode.h"

#include <string.h>

static void clear(struct conflict *c)
{
    free(c->path);
    free(c->kept);
    *c = (struct conflict){0};
}

void conflict_note(struct vfs *v, const struct inode *i, const char *kept)
{
    BUF(path, KEY_BUF_MAX);
    LOCK_SCOPE(&v->tree);
    inode_path_locked(i, &path);
    struct conflict c = {buf_take(&path), strdup(kept), clock_now()};
    if (!c.path || !c.kept) {
        clear(&c);
        return;
    }
    struct conflict *slot = &v->conflicts[v->n_conflicts++ % VFS_CONFLICTS];
    clear(slot);
    *slot = c;
}

void conflicts_release(struct vfs *v)
{
    for (size_t k = 0; k < VFS_CONFLICTS; k++)
        clear(&v->conflicts[k]);
}

static bool take(struct vfs *v, uint64_t k, struct conflict *out)
{
    LOCK_SCOPE(&v->tree);
    const struct conflict *c = &v->conflicts[k % VFS_CONFLICTS];
    *out = (struct conflict){c->path ? strdup(c->path) : NULL, c->kept ? strdup(c->kept) : NULL, c->when};
    if (out->path && out->kept)
        return true;
    clear(out);
    return false;
}

uint64_t vfs_each_conflict(struct vfs *v, void (*fn)(void *arg, const struct vfs_conflict *c), void *arg)
{
    lock_take(&v->tree);
    uint64_t n = v->n_conflicts;
    lock_drop(&v->tree);
    for (uint64_t k = n > VFS_CONFLICTS ? n - VFS_CONFLICTS : 0; k < n; k++) {
        struct conflict c;
        if (!take(v, k, &c))
            continue;
        struct vfs_conflict told = {c.path, c.kept, c.when};
        fn(arg, &told);
        clear(&c);
    }
    return n;
}
