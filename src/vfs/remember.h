/*
 * Attributes that outlive the mount: notes of the disk cache, a version each, with its Last-Modified. A copy of an object onto itself
 * changes its metadata and not its ETag, but Last-Modified, which a listing tells too; so a listing that shows key, ETag, size and
 * Last-Modified as noted stands for a HEAD. What has whole seconds cannot tell two changes of one second apart: noted is what a
 * reply told of an object that was settled (struct store_meta), and what this mount stored itself, once it is so old that what it
 * stores next has another time: the note of the next version may be lost with the daemon.
 *
 * They are for what is shown. What changes without Last-Modified (tags, storage class) is not noted, and whatever is to be
 * carried along by a change is asked for again (inode.remembered). Private to src/vfs.
 */
#ifndef VFS_REMEMBER_H
#define VFS_REMEMBER_H

#include "vfs/tree.h"

/* Notes what a reply told of the inode's version: `i->meta`. Never blocks. */
void remember_told_locked(struct vfs *v, const struct inode *i);
/* The same of what this mount has just stored; the store's time of that is `version->mtime`, or up to MADE_SLACK_S before it. */
void remember_made_locked(struct vfs *v, const struct inode *i, const struct store_version *version);

/* Takes the attributes that are noted of the inode's version, where they are not known; the inode may be replaced by one of another
 * kind, under its name. Blocks on the disk; without the lock; the inode is referenced by the caller. True: they are known. */
bool remember_take(struct vfs *v, struct inode *i);
/* Whether anything is noted of the key. Blocks on the disk; without the lock. */
bool remember_has(struct vfs *v, const char *key);

#endif
