/* Holds: nobody else changes or sends what is about to be removed or moved. Private to src/vfs. */
#ifndef VFS_HOLD_H
#define VFS_HOLD_H

#include "vfs/tree.h"

/* In the caller's storage, inodes counted by the caller. */
struct hold {
    struct inode *a, *b;  /* are removed or renamed; each may be NULL */
    struct inode *into;   /* a directory into which something is put, not below them; may be NULL */
    LIST_ENTRY(hold) link;
};
/* Waits for others and for sendings that are under way; that of `stop` (`a`, `b` or NULL) is stopped where that is safe.
 * Afterwards the caller looks again at what it knew. ERR_AGAIN with nowait. */
enum err_code hold_take(struct vfs *v, struct hold *h, struct inode *stop, const struct vfs_caller *c,
                        struct err *e) MUST_CHECK;
void hold_drop(struct vfs *v, struct hold *h);
/* True if the inode or a directory above it is held. */
bool hold_covers_locked(const struct vfs *v, const struct inode *i);

#endif
