/*
 * What stands for a download: before the bytes of a version are asked for, whether the disk cache holds them under another name, by
 * what is told of them (cache_entry_claim() of cache/cache.h). Private to src/vfs.
 */
#ifndef VFS_STANDIN_H
#define VFS_STANDIN_H

#include "vfs/tree.h"

/* For an inode about to be opened, referenced by the caller; without the lock. Reads and hashes what the cache holds; where a file
 * of exactly that size is held and nothing is known of the version, sends a HEAD, unless the last few were in vain. A failure is
 * none: the bytes are fetched then. ERR_AGAIN with c->nowait; ERR_CANCELED. */
enum err_code standin(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;

#endif
