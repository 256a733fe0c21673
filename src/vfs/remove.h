/* Removals (remove.c), and what open readers of the removed keep (preserve.c). Private to src/vfs. */
#ifndef VFS_REMOVE_H
#define VFS_REMOVE_H

#include "vfs/tree.h"

/* The name is gone: a mark of our own removal stays, so that an older listing does not bring it back. */
void removed_locked(struct vfs *v, struct inode *dir, struct inode *i);
/* True if it has files that the store does not know. */
bool dir_has_unsent_locked(const struct inode *dir);
/* Asks the store: nothing but the marker may be below. `marker` (may be NULL) gets the ETag of that, "" where there is none.
 * ERR_NOT_EMPTY. */
enum err_code check_empty(struct vfs *v, const char *key, const struct vfs_caller *c, char marker[STORE_ETAG_SIZE],
                          struct err *e) MUST_CHECK;

/* ---- preserve.c */

/* Open readers of an inode whose object is about to go keep its bytes, where that is little (preserve.c has the rule). The inode
 * is held by the caller. An error means that nothing may be removed: the readers would lose what they can still have. */
enum err_code preserve(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;

#endif
