/* Attributes that a listing does not carry. Private to src/vfs. */
#ifndef VFS_LOOK_H
#define VFS_LOOK_H

#include "vfs/tree.h"

bool look_needed_locked(const struct vfs *v, const struct inode *i);
/* Whether its directory's verdict has to be found first, by a sample. */
bool look_undecided_locked(struct vfs *v, const struct inode *i);
/* Whether a name of the directory that is not known at all is worth a HEAD beside the listing, so that one round trip brings
 * both: its verdict is not known, and it is the root, or was asked for a name before, or names of it came with others. Counts: only the
 * first few names are. */
bool look_beside_locked(struct vfs *v, struct inode *dir);
/* False: of no child of the directory it is. */
bool look_wanted_locked(const struct vfs *v, const struct inode *dir);
/* Fetches the metadata of n inodes (referenced by the caller) in parallel. */
enum err_code look_many(struct vfs *v, struct inode **inodes, size_t n, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* Makes sure that the metadata of one are known, whatever attrs= says, to be shown: an earlier mount may have known them. */
enum err_code look_shown(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* Whether the store has told the metadata of one to this mount. */
bool look_is_told_locked(const struct vfs *v, const struct inode *i);
/* Makes sure of that (a change must carry them along). */
enum err_code look_always(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* The same in the background, so that it is known when it is needed (W7: while the program writes). */
void look_ahead_locked(struct vfs *v, struct inode *i);
/* Whether one would be looked at by fetching its bytes: it is small, and they can be kept for who reads it (look_get.c). */
bool look_gets_locked(const struct vfs *v, const struct inode *i);
/* Does so: one request, waited for, without the lock; the inode is referenced by the caller. False: the attributes are still not
 * known, a HEAD tells more (or as much, where the disk cache has the bytes). */
bool look_by_get(struct vfs *v, struct inode *i, const struct vfs_caller *c);
/* What the store said of an inode's object. */
enum err_code look_take_locked(struct vfs *v, struct inode *i, uint64_t seq, uint64_t start_ms,
                               const struct store_object *o) MUST_CHECK;
/* Decides whether the directory counts as POSIX, if that is not known: by its marker and two of the children known, or `first`
 * alone where that is not NULL. Without the lock. */
enum err_code look_sample(struct vfs *v, struct inode *dir, struct inode *first, const struct vfs_caller *c,
                          struct err *e) MUST_CHECK;

#endif
