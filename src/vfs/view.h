/*
 * Names that a store makes of others (store_form()), and views: a directory's objects rendered as one file. Private to src/vfs.
 *
 * A view is rendered when its name is looked up, from what is known within ttl of the directory, so it costs a listing at most.
 * Its inode is one rendering for ever: another state of the directory gives the name another inode, so no handle mixes two, and
 * the kernel asks for the name each time. As many renderings are kept as VIEWS_KEPT and VIEWS_KEPT_BYTES say, besides open ones;
 * one that its name does not stand for any more stays among them until the kernel forgets it, for who has just looked it up.
 * Where something in it is sealed, so is the view (seal.h): it is rendered when it is opened, and given up with the last close.
 */
#ifndef VFS_VIEW_H
#define VFS_VIEW_H

#include "vfs/tree.h"

/* What a name in a directory is by its spelling. With the lock, or without. */
enum store_form view_form_locked(const struct vfs *v, const struct inode *dir, const char *name);
enum store_form view_form(struct vfs *v, const struct inode *dir, const char *name);

static inline bool form_is_view(enum store_form form)
{
    return form == STORE_FORM_VIEW || form == STORE_FORM_TREE_VIEW;
}

/* The view of that name, rendered unless it was of this state already. `out` is referenced, never NULL on success. Without the
 * lock; ERR_AGAIN with nowait. Errors of the listing and of store_view(). */
enum err_code view_resolve(struct vfs *v, struct inode *dir, const char *name, bool tree, const struct vfs_caller *c,
                           struct inode **out, struct err *e) MUST_CHECK;

/* Renders a sealed view: the bytes that it stands for, and how many. Without the lock. ERR_CONFLICT: the directory has another state
 * by now. Otherwise as view_resolve(). */
enum err_code view_unseal(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct store_object *out,
                          struct err *e) MUST_CHECK;

/* Whether it is among those that are kept. */
bool view_is_kept_locked(const struct vfs *v, const struct inode *i);

/* The kernel has forgotten a view. */
void view_forgotten_locked(struct vfs *v, struct inode *i);

/* After a change of `i`, or of what belongs to its versions: what is made of it, there and in the directories above, is asked for
 * again, by the kernel too. */
void view_outdate_locked(struct vfs *v, struct inode *i);

/* Gives up all renderings that are kept. */
void views_drop_locked(struct vfs *v);

#endif
