#include "vfs/backing.h"

#include "vfs/handle.h"
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/send.h"

#include <fcntl.h>
#include <string.h>

static enum open_state state_of(const struct inode *i)
{
    return i->active ? i->active->mode.state : OPEN_CLOSED;
}

static bool reads_only(int flags, const struct vfs_caller *c)
{
    return c->backing && (flags & (O_ACCMODE | O_TRUNC)) == O_RDONLY;
}

static bool eligible_locked(const struct vfs *v, const struct inode *i)
{
    const struct active *a = i->active;
    if (!v->backing.open || i->kind != INODE_FILE || !i->etag || i->size < BACKING_MIN || !(i->flags & INODE_LINKED) ||
        (i->flags & (INODE_NEW | INODE_LOCAL | INODE_WRITTEN | INODE_CONFLICT)))
        return false;
    return !a || (a->mode.state == OPEN_CLOSED && !a->stage && !active_dirty(a) && !a->held);
}

void backing_from(struct vfs *v, const struct backing_source *source)
{
    v->backing = *source;
}

void backing_find(struct vfs *v, struct inode *i, int flags, const struct vfs_caller *c, struct backing_file *out)
{
    *out = (struct backing_file){0};
    if (!reads_only(flags, c))
        return;
    CLEANUP(free) char *key = NULL;
    lock_take(&v->tree);
    bool again = state_of(i) == OPEN_PASSTHROUGH && (i->flags & INODE_LINKED);
    if ((again || eligible_locked(v, i)) && (key = inode_key_dup_locked(i)))
        inode_version_locked(i, &out->version);
    lock_drop(&v->tree);
    if (!key)
        return;
    out->fd = v->backing.open(v->backing.arg, key, &out->version, &out->keep);
    out->any = out->fd >= 0;
    out->unsound = again && !out->any;
}

enum open_state backing_way_locked(struct vfs *v, struct inode *i, int flags, const struct vfs_caller *c,
                                   const struct backing_file *found)
{
    lock_assert_held(&v->tree);
    if (!reads_only(flags, c))
        return OPEN_COPIED;
    if (state_of(i) == OPEN_PASSTHROUGH)
        return found->unsound ? OPEN_COPIED : OPEN_PASSTHROUGH;
    bool same = found->any && eligible_locked(v, i) && found->version.size == i->size &&
                strcmp(found->version.etag, i->etag) == 0;
    return same ? OPEN_PASSTHROUGH : OPEN_COPIED;
}

void backing_enter_locked(struct vfs *v, struct inode *i, enum open_state way, struct backing_file *found)
{
    lock_assert_held(&v->tree);
    struct active *a = i->active;
    bool begins = way == OPEN_PASSTHROUGH && a->mode.state == OPEN_CLOSED;
    if (begins) {
        a->backing = *found;
        *found = (struct backing_file){0};
    }
    open_mode_enter(&a->mode, way, begins ? ++v->last_backing : 0);
}

void backing_leave_locked(struct inode *i, struct backing_file *out)
{
    struct active *a = i->active;
    *out = (struct backing_file){0};
    open_mode_leave(&a->mode);
    if (a->mode.state != OPEN_CLOSED)
        return;
    *out = a->backing;
    a->backing = (struct backing_file){0};
}

void backing_release(struct vfs *v, struct backing_file *f)
{
    if (f->any)
        v->backing.close(v->backing.arg, f->keep);
    *f = (struct backing_file){0};
}

bool vfs_backing(struct vfs *v, struct vfs_handle *h, struct vfs_backing *out)
{
    LOCK_SCOPE(&v->tree);
    const struct active *a = h->inode->active;
    if (a->mode.state != OPEN_PASSTHROUGH)
        return false;
    *out = (struct vfs_backing){.fd = a->backing.fd, .id = a->mode.id};
    return true;
}

void vfs_backing_refused(struct vfs *v, struct vfs_handle *h)
{
    LOCK_SCOPE(&v->tree);
    open_mode_refuse(&h->inode->active->mode);
}

/* Attributes that were changed and are not in the store yet go to it by the fresh inode. */
static enum err_code hand_over_locked(struct vfs *v, struct inode *i, struct inode *fresh, struct err *e)
{
    struct active *a = i->active;
    if (a->attr_gen == a->attr_sent_gen)
        return ERR_OK;
    enum err_code code = inode_activate_locked(v, fresh, e);
    if (code)
        return code;
    a->attr_sent_gen = a->attr_gen;
    send_dirty_locked(v, i);
    fresh->active->attr_gen = 1;
    return ERR_OK;
}

static enum err_code part_locked(struct vfs *v, struct inode *i, struct err *e)
{
    struct inode *fresh = inode_new_locked(v, i->parent, i->name, i->component, i->kind);
    if (!fresh)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct store_version version;
    inode_version_locked(i, &version);
    /* Who asked tries once more and no oftener, so no reader may take the fresh one into passthrough before. */
    fresh->flags = (i->flags & (uint16_t)~INODE_LINKED) | INODE_WRITTEN;
    fresh->checked_ms = i->checked_ms;
    fresh->changed_seq = i->changed_seq;
    fresh->mark = i->mark;
    enum err_code code = inode_set_version_locked(v, fresh, &version, i->meta, e);
    if (!code)
        code = hand_over_locked(v, i, fresh, e);
    if (!code)
        code = inode_link_locked(v, fresh, e); /* detaches the old one */
    if (!code) {
        i->flags |= INODE_PARTED;
        if (fresh->active) {
            send_dirty_locked(v, fresh);
            send_later_locked(v, fresh);
        }
    }
    inode_unref_locked(v, fresh);
    return code;
}

enum err_code backing_part(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    struct hold hold = {.a = i};
    enum err_code code = hold_take(v, &hold, NULL, c, e);
    if (code)
        return code;
    lock_take(&v->tree);
    bool linked = i->flags & INODE_LINKED, excludes = state_of(i) == OPEN_PASSTHROUGH;
    if (linked && excludes)
        code = part_locked(v, i, e);
    lock_drop(&v->tree);
    hold_drop(v, &hold);
    if (code || (linked && !excludes)) /* readers that came and went would use up the one time that the kernel looks a name up again */
        return code;
    return err_set(e, ERR_CONFLICT, "open for reading in a way that excludes this: to be looked up again");
}
