/* Directories: their records, and the markers that keep empty ones. Private to src/vfs. */
#ifndef VFS_DIRS_H
#define VFS_DIRS_H

#include "vfs/tree.h"

/* A directory lost its last file: it stays, and gets its marker within a second unless rmdir follows. */
void dir_keep_locked(struct vfs *v, struct inode *dir);
enum err_code dir_new_locked(struct vfs *v, struct inode *i, struct err *e) MUST_CHECK;
void dir_free(struct dir *d);

/* Where directories are nothing of their own (STORE_LIST_SUBTREE), one whose names are all known is as new as the latest of them. */
void dir_take_latest_locked(struct vfs *v, struct inode *dir);

#endif
