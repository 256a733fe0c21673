/* What status tells of conflicts. Private to src/vfs. */
#ifndef VFS_CONFLICTS_H
#define VFS_CONFLICTS_H

#include "vfs/tree.h"

/* What was written to the inode was put as `kept`. Without the lock. Without memory it is only in the log. */
void conflict_note(struct vfs *v, const struct inode *i, const char *kept);

/* At the end of the vfs. */
void conflicts_release(struct vfs *v);

#endif
