/* How inodes use their staging files. Private to src/vfs. */
#ifndef VFS_STAGE_USE_H
#define VFS_STAGE_USE_H

#include "vfs/tree.h"

/* Makes sure that the inode has a stage to write to; with `empty` its content is given up (O_TRUNC). Without the lock. */
enum err_code stage_open(struct vfs *v, struct inode *i, bool empty, struct err *e) MUST_CHECK;

/* Keeps `active` and its stage in place while the lock is dropped. */
enum err_code stage_pin_locked(struct vfs *v, struct inode *i, struct err *e) MUST_CHECK;
void stage_unpin_locked(struct vfs *v, struct inode *i);

/* The last close of a new file that is still empty, where the store takes no empty objects: it stays here, out of the store, until
 * something is written to it, it is removed, or the mount ends. The other: somebody is about to write to it. */
void stage_keep_empty_locked(struct vfs *v, struct inode *i);
void stage_leave_empty_locked(struct vfs *v, struct inode *i);

/* Bytes that the file may have: what the store can hold, or, if it stays out of the store, what locked memory is spent on it.
 * Without the lock. */
uint64_t stage_size_max(struct vfs *v, const struct inode *i);

/* truncate(2): a new size. What has no close is sent within a second. Without the lock. */
enum err_code stage_resize(struct vfs *v, struct inode *i, uint64_t size, struct err *e) MUST_CHECK;

/* Fetches what the frozen state (or with !frozen the present one) still lacks of its base, from `content`. */
enum err_code stage_complete_from(struct stage *s, struct content *content, bool frozen, struct cancel *cancel,
                                  struct err *e) MUST_CHECK;

/* The same of [start, end) only. */
enum err_code stage_complete_range(struct stage *s, struct content *content, uint64_t start, uint64_t end, bool frozen,
                                   struct cancel *cancel, struct err *e) MUST_CHECK;

#endif
