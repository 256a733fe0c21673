/* What send.c and its tasks share. Private to src/vfs. */
#ifndef VFS_SEND_H
#define VFS_SEND_H

#include "vfs/tree.h"

/* One attempt to put what is unsent, on a pool thread: content with its attributes (send_content.c), or attributes alone
 * (send_attr.c). The outcome is in the inode. */
void send_content(struct vfs *v, struct inode *i);
void send_attr(struct vfs *v, struct inode *i);

/* Records that generation `gen` (and `attr_gen`) could not be sent. */
void send_failed_locked(struct vfs *v, struct inode *i, uint64_t gen, uint64_t attr_gen, const struct err *e);

#endif
