/* One name of a directory, asked for. Private to src/vfs. */
#ifndef VFS_ASK_H
#define VFS_ASK_H

#include "vfs/tree.h"

/* Asks the store and brings the tree in line with what it says, neighbours that come with it included. Waits; without the lock,
 * `dir` referenced by the caller. That there is no such name, or can be none, is no error. ERR_CONFLICT: the directory is being
 * moved; the store's errors. */
enum err_code ask_component(struct vfs *v, struct inode *dir, const char *name, const char *component,
                            const struct vfs_caller *c, struct err *e) MUST_CHECK;

#endif
