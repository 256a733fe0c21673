/* Attributes as they are shown, and of what is new. Private to src/vfs. */
#ifndef VFS_ATTR_H
#define VFS_ATTR_H

#include "vfs/tree.h"

void attr_fill_locked(struct vfs *v, struct inode *i, struct vfs_attr *out);
enum err_code attr_entry_locked(struct vfs *v, struct inode *i, struct vfs_entry *out, struct err *e) MUST_CHECK;
/* Asks again for an inode whose ttl has passed. Its name may have got another inode meanwhile: then ERR_CONFLICT, and the
 * kernel looks the name up again. Without the lock, `i` referenced. */
enum err_code inode_refresh(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* Metadata of something new, made by this caller. One reference; NULL without memory. */
struct store_meta *attr_new_meta(struct vfs *v, struct inode *parent, mode_t mode, const struct vfs_caller *c);

#endif
