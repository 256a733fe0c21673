/* Holds: nobody else changes or sends what is about to be removed or moved. Private to src/vfs. */
#ifndef VFS_HOLD_H
#define VFS_HOLD_H

#include "vfs/tree.h"

/* In the caller's storage, inodes counted by the caller. */
struct hold {
    struct inode *a, *b;  /* are removed or renamed; each may be NULL */
    struct inode *gone;   /* `a` or `b` whose object is taken away: who opens it meanwhile waits; may be NULL */
    struct inode *into;   /* a directory into which something is put, not below them; may be NULL */
    const char *name;     /* in `into`, free, with `b` NULL: what the store has under it meanwhile is not made an inode; may be NULL */
    LIST_ENTRY(hold) link;
};
/* Waits for others and for sendings that are under way; that of `stop` (`a`, `b` or NULL) is stopped where that is safe.
 * Afterwards the caller looks again at what it knew. ERR_AGAIN with nowait; ERR_CONFLICT: something has the name. */
enum err_code hold_take(struct vfs *v, struct hold *h, struct inode *stop, const struct vfs_caller *c,
                        struct err *e) MUST_CHECK;
void hold_drop(struct vfs *v, struct hold *h);
/* Who is to open the inode would get a version whose bytes are being taken away, of which only those who had it open before keep what
 * they have not read: waits for the end of that. ERR_CONFLICT: it is over and the name is another's, or nobody's (the kernel looks the
 * name up again for ESTALE). ERR_AGAIN with nowait. */
enum err_code hold_wait_open_locked(struct vfs *v, const struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* True if the inode or a directory above it is held, or a rename that is being finished by its record has it: nothing of it is sent. */
bool hold_covers_locked(const struct vfs *v, const struct inode *i);

#endif
