/* What the store's events tell: names are asked for again, whatever their age, and the kernel forgets them. */
#include "vfs/changed.h"

#include "util/buf.h"
#include "vfs/inode.h"
#include "vfs/found.h"
#include "vfs/names.h"
#include "vfs/ranges.h"

#include <string.h>

static void forget_name_locked(struct vfs *v, struct inode *dir, const char *name)
{
    if (v->cfg.notify.entry && dir->ino)
        v->cfg.notify.entry(v->cfg.notify.arg, dir->ino, name);
}

static void outdate_locked(struct vfs *v, struct inode *i)
{
    i->flags |= INODE_STALE;
    forget_name_locked(v, i->parent, i->name);
    if (v->cfg.notify.inode && i->ino)
        v->cfg.notify.inode(v->cfg.notify.arg, i->ino);
}

/* The last component: what stands there, or nothing. */
static void outdate_child_locked(struct vfs *v, struct inode *dir, const char *name, bool listed)
{
    struct inode *i = inode_child_locked(dir, name);
    struct inode *self = i && i->dir ? inode_child_locked(i, SELF_NAME) : NULL;
    if (self)
        outdate_locked(v, self);
    if (i)
        outdate_locked(v, i);
    else
        forget_name_locked(v, dir, name);
    if (listed && i && i->dir)
        dir_unlist_locked(v, i);
    if (listed || !i)
        dir_unlist_locked(v, dir);
}

void vfs_changed(struct vfs *v, const char *key)
{
    changed_key(v, key, true);
}

void changed_key(void *arg, const char *key, bool listed)
{
    struct vfs *v = arg;
    BUF(name, 1024);
    LOCK_SCOPE(&v->tree);
    struct inode *dir = v->root;
    for (;;) {
        size_t len = strcspn(key, "/");
        buf_clear(&name);
        name_of_component(&name, key, len, false);
        struct inode *next = inode_child_locked(dir, buf_str(&name));
        if (key[len] == '\0' || key[len + 1] == '\0')
            break;
        /* A directory that is new, as far as is known here. */
        if (!next || next->kind != INODE_DIR || !next->dir) {
            outdate_child_locked(v, dir, buf_str(&name), true);
            return;
        }
        if (listed)
            dir_unlist_locked(v, dir);
        dir = next;
        key += len + 1;
    }
    outdate_child_locked(v, dir, buf_str(&name), listed);
}
