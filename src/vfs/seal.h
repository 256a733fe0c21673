/* Files whose bytes, and how many they are, are asked for only when somebody opens them (STORE_LIST_CONTENT,
 * store_object.sealed). Between the last close and the next open such an inode holds nothing of them, and its size is
 * 0. Private to src/vfs. */
#ifndef VFS_SEAL_H
#define VFS_SEAL_H

#include "vfs/tree.h"

/* Brings the bytes of an inode that is pinned (stage_pin_locked()) and keeps them until it settles; nothing where they
 * are here, or it is not sealed. Blocks on the network; no lock may be held. ERR_CONFLICT: another version is there,
 * the name will have a fresh inode at its next lookup. ERR_AGAIN where c->nowait; `c` may be NULL. */
enum err_code seal_break(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;

/* The last close: the bytes go. */
void seal_again_locked(struct inode *i);

#endif
