/* The names of a directory as they come, for who reads them in order. Private to src/vfs. */
#ifndef VFS_LIST_H
#define VFS_LIST_H

#include "vfs/listing.h"

/* Zeroed: nothing. */
struct list_view {
    struct catalog *names;   /* counted; NULL: the directory's names are all inodes */
    struct listing *listing; /* counted and wanted while names come; NULL: they are all there */
};

/* Lists all of a directory, or all below it, once more whatever is known, with store_call.background; nothing where it is being listed.
 * Blocks on the network; without the lock. */
enum err_code list_again(struct vfs *v, struct inode *dir, struct err *e) MUST_CHECK;

/* Makes the beginning of the directory's names known: all of them within ttl, or those of a first page while the others come.
 * Joins a listing that is under way and within ttl. As list_dir(), else. */
enum err_code list_open(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct list_view *out, struct err *e) MUST_CHECK;
void list_close_locked(struct list_view *view);

#endif
