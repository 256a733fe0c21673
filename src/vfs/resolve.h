/* Names and whole directories, asked for where they are not known (resolve.c, list.c). Private to src/vfs. */
#ifndef VFS_RESOLVE_H
#define VFS_RESOLVE_H

#include "util/buf.h"
#include "vfs/tree.h"

/* A directory may be renamed while it is asked or listed: the answer is then of another place, and it is asked again. */
#define MOVED_TRIES 5

/* Makes the directory's names known and within ttl; lists it if need be (waiting for another thread that does). Called
 * without the lock, `dir` referenced by the caller. ERR_AGAIN with nowait. */
enum err_code list_dir(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* For a lookup: the same where one page has all the names and so serves every lookup of a ttl, at the price of one for a single
 * name. *whole false: that is not so, or not known yet, and the name is to be asked for by itself. */
enum err_code list_small(struct vfs *v, struct inode *dir, const struct vfs_caller *c, bool *whole, struct err *e) MUST_CHECK;

/* It is time to find out whether that is so: list_small() is worth a try beside the question for the name. */
bool list_small_due(struct vfs *v, const struct inode *dir);

/* What stands under `name`, asked for if it is not known within ttl. `out` is referenced; NULL: nothing. Without the lock. */
enum err_code resolve(struct vfs *v, struct inode *dir, const char *name, const struct vfs_caller *c, struct inode **out,
                      struct err *e) MUST_CHECK;
/* The same, as a last-known answer without any request; ERR_AGAIN where that is not within ttl. `out` borrowed. */
enum err_code resolve_known_locked(struct vfs *v, struct inode *dir, const char *name, struct inode **out,
                                   struct err *e) MUST_CHECK;
/* The component a name that does not exist would get. Appends. ERR_BAD_NAME, ERR_NAME_TOO_LONG. */
enum err_code resolve_new_component_locked(struct vfs *v, struct inode *dir, const char *name, struct buf *component,
                                           struct err *e) MUST_CHECK;

#endif
