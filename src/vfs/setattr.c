/*
 * Changes of attributes. They are made here at once and reach the store with the next put of the content, or within a second,
 * or by fsync (W9). What others stored with the object is looked up before, so that nothing of it is lost (W7).
 */
#include "util/clock.h"
#include "vfs/attr.h"
#include "vfs/backing.h"
#include "vfs/handle.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/send.h"
#include "vfs/stage_use.h"

#include <string.h>

#define ATTRIBUTES (VFS_SET_MODE | VFS_SET_UID | VFS_SET_GID | VFS_SET_ATIME | VFS_SET_MTIME)

static void take_suid(struct store_meta *m)
{
    m->mode &= (mode_t)~S_ISUID;
    if (m->mode & S_IXGRP)
        m->mode &= (mode_t)~S_ISGID;
}

/* What is shown now becomes what is stored, so that the rest stays as it was seen. */
static void settle_shown(const struct stat *shown, struct store_meta *m)
{
    m->mode = shown->st_mode;
    m->uid = shown->st_uid;
    m->gid = shown->st_gid;
    m->mtime = shown->st_mtim;
    m->has |= STORE_HAS_MODE | STORE_HAS_UID | STORE_HAS_GID | STORE_HAS_MTIME;
}

static void apply(const struct vfs_setattr *s, struct store_meta *m)
{
    if (s->set & VFS_SET_MODE)
        m->mode = (m->mode & S_IFMT) | (s->mode & 07777);
    if (s->set & VFS_SET_UID)
        m->uid = s->uid;
    if (s->set & VFS_SET_GID)
        m->gid = s->gid;
    if (s->set & VFS_SET_MTIME)
        m->mtime = s->mtime;
    if (s->set & VFS_SET_ATIME) {
        m->atime = s->atime;
        m->has |= STORE_HAS_ATIME;
    }
    if (s->kill_suid)
        take_suid(m);
    m->ctime = clock_now();
    m->has |= STORE_HAS_CTIME;
}

/*
 * What keeps no attributes (parameters, containers). Programs set them without need (cp -a, rsync -a, editors), so a change is
 * accepted, and changes nothing: what is shown stays. Where others are let in, mode and owner decide who reads what; there a change
 * that would take something away from others or give the file to somebody else is refused, because it would not be so. Containers
 * are no copies of anything: of them every change is refused.
 */
static enum err_code refuse_change(const struct vfs *v, const struct inode *i, const struct vfs_setattr *s,
                                   const struct stat *shown, struct err *e)
{
    bool container = is_container_locked(v, i);
    mode_t lost = container ? (shown->st_mode ^ s->mode) & 07777 : shown->st_mode & ~s->mode & 077;
    bool mode = (s->set & VFS_SET_MODE) && lost;
    bool owner = ((s->set & VFS_SET_UID) && s->uid != shown->st_uid) || ((s->set & VFS_SET_GID) && s->gid != shown->st_gid);
    if ((v->cfg.shared || container) && (mode || owner))
        return err_set(e, ERR_PERM, "no mode and no owner is kept of this");
    return ERR_OK;
}

static enum err_code set_attributes_locked(struct vfs *v, struct inode *i, const struct vfs_setattr *s, struct err *e)
{
    struct vfs_attr shown;
    attr_fill_locked(v, i, &shown);
    if ((!vfs_has(v, STORE_POSIX) || is_container_locked(v, i)) && !(i->flags & INODE_LOCAL))
        return refuse_change(v, i, s, &shown.st, e);
    CLEANUP(store_meta_unref) struct store_meta *m = store_meta_copy(i->meta);
    if (!m || inode_activate_locked(v, i, e))
        return err_set(e, ERR_NOMEM, "out of memory");
    settle_shown(&shown.st, m);
    apply(s, m);
    inode_set_meta_locked(i, m);
    if (s->set & VFS_SET_MTIME)
        i->active->wrote = false;
    if (i->flags & INODE_LOCAL) {
        inode_settle_locked(v, i);
        return ERR_OK;
    }
    i->active->attr_gen++;
    inode_changed_locked(v, i);
    send_dirty_locked(v, i);
    send_later_locked(v, i);
    return ERR_OK;
}

/* Of what is served by passthrough the name must have another inode before its content changes; one that has given its name away
 * is not changed any more. */
static enum err_code check_parted(struct vfs *v, struct inode *i, const struct vfs_setattr *s, const struct vfs_caller *c,
                                  struct err *e)
{
    lock_take(&v->tree);
    bool passed = (s->set & VFS_SET_SIZE) && i->active && i->active->mode.state == OPEN_PASSTHROUGH;
    bool parted = i->flags & INODE_PARTED;
    lock_drop(&v->tree);
    if (parted)
        return err_set(e, ERR_CONFLICT, "another handle has changed the file since this one was opened");
    return passed ? backing_part(v, i, c, e) : ERR_OK;
}

static enum err_code set_all(struct vfs *v, struct inode *i, const struct vfs_setattr *s, const struct vfs_caller *c,
                             struct err *e)
{
    if (v->cfg.read_only || vfs_has(v, STORE_READ_ONLY))
        return err_set(e, ERR_READ_ONLY, "mounted read-only");
    enum err_code code = check_parted(v, i, s, c, e);
    bool attributes = (s->set & ATTRIBUTES) || s->kill_suid;
    if (!code && attributes)
        code = look_always(v, i, c, e);
    if (!code && (s->set & VFS_SET_SIZE))
        code = stage_resize(v, i, s->size, e);
    if (code || !attributes)
        return code;
    LOCK_SCOPE(&v->tree);
    return set_attributes_locked(v, i, s, e);
}

enum err_code vfs_setattr(struct vfs *v, uint64_t ino, struct vfs_handle *h, const struct vfs_setattr *s,
                          const struct vfs_caller *c, struct vfs_attr *out, struct err *e)
{
    struct inode *i;
    enum err_code code = handle_inode(v, ino, h, &i, e);
    if (code)
        return code;
    code = set_all(v, i, s, c, e);
    lock_take(&v->tree);
    if (!code)
        attr_fill_locked(v, i, out);
    inode_unref_locked(v, i);
    lock_drop(&v->tree);
    return code;
}
