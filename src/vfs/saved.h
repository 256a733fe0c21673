/*
 * Listings that outlive the mount: what the store told of all names of a directory is kept by the disk cache (cache/listings.h),
 * and taken in place of a request as long as it is younger than `ttl`, by whichever mount opens the directory next. It enters the tree as
 * the page of a listing that began when the first request for it did, so nothing gets younger by it; what was changed from this
 * machine since makes it useless, whoever did it. Private to src/vfs.
 */
#ifndef VFS_SAVED_H
#define VFS_SAVED_H

#include "vfs/merge.h"

/* The directory was merged with all its names: with those of its catalog if m->records. Keeps them; of a large one in the background.
 * Only packs what fits, and never waits. */
void saved_keep_locked(struct vfs *v, struct inode *dir, const struct found_dir *f, const struct merge *m);

/* Whether its children are looked at was found out: the next mount need not sample any. */
void saved_judged_locked(struct vfs *v, struct inode *dir);

/* Where the directory is not known, and its names are kept: makes them known. Without the lock; `dir` is referenced by the caller.
 * Blocks on the disk, or for who does the same just now. True: it is fresh now. */
bool saved_take(struct vfs *v, struct inode *dir, const struct vfs_caller *c);

#endif
