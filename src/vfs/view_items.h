/* What a view is made of: the objects of a directory as they are known, taken in one step. Private to src/vfs. */
#ifndef VFS_VIEW_ITEMS_H
#define VFS_VIEW_ITEMS_H

#include "vfs/tree.h"

struct view_source;

struct view_items {
    struct vfs *v;
    struct inode *dir;
    bool tree;
    struct view_source *sources; /* of each item */
    struct store_view_item *items;
    size_t n, cap;  /* sources */
    size_t n_items; /* fewer, where one is gone by now */
    uint64_t bytes;
    uint64_t state; /* differs whenever names or versions differ */
};

/* Makes sure that all names below are known and that nothing known to be out of date is taken. Without the lock. */
enum err_code view_items_refresh(struct vfs *v, struct inode *dir, bool tree, const struct vfs_caller *c,
                                 struct err *e) MUST_CHECK;

/* Takes names, versions and references to the bytes. Nothing is read yet. ERR_NOMEM, ERR_TOO_BIG. */
enum err_code view_items_take_locked(struct view_items *x, struct err *e) MUST_CHECK;

/* Fills in the bytes; what is not at hand is asked for, but for what is sealed. Without the lock. Errors of store_stat(). */
enum err_code view_items_read(struct vfs *v, struct view_items *x, const struct vfs_caller *c, struct err *e) MUST_CHECK;

void view_items_release(struct view_items *x);

#endif
