/* What is put off, and the drain that waits for it. Private to src/vfs. */
#ifndef VFS_DRAIN_H
#define VFS_DRAIN_H

#include "vfs/tree.h"

/* Frames what is put off: drains that begin meanwhile wait for it, and so does the end of the vfs. `failed`: something that the
 * program was told is done could not be. `d` lies in the task. */
void deferred_begin_locked(struct vfs *v, struct deferred *d);
void deferred_end_locked(struct vfs *v, struct deferred *d, bool failed);

/* What fsync of a directory promises: the names that were made in it are in the store. Sends, side by side, and waits for new files
 * that have no byte yet, open or not, and those that are closed for the last time; what is being written into others is their own
 * fsync's. The first failure. Without the lock, `dir` referenced. */
enum err_code drain_names(struct vfs *v, const struct inode *dir, const struct vfs_caller *c, struct err *e) MUST_CHECK;

#endif
