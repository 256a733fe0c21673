/*
 * A vfs in memory for the tests of src/fuse: a flat handful of nodes below the root, and names that misbehave on purpose.
 *
 *   park*   reads of it wait until double_let_go() or their cancel
 *   stall*  unlink of it waits until double_let_go() or its cancel
 *   brief*  a flush of it that may wait for the local disk waits until double_let_go()
 *   slow*   lookup of it is ERR_AGAIN on a worker
 *   own*    is left out of listings
 */
#ifndef TESTS_VFS_DOUBLE_H
#define TESTS_VFS_DOUBLE_H

#include "vfs/vfs.h"

/* Writes of so many bytes are told as accepted before they are done. */
#define DOUBLE_LATE 4096

enum { DOUBLE_LOOKUP, DOUBLE_GETATTR, DOUBLE_SETATTR, DOUBLE_GETXATTR, DOUBLE_WRITE, DOUBLE_READ, DOUBLE_FLUSH, DOUBLE_FSYNC,
       DOUBLE_RELEASE, DOUBLE_DRAIN, DOUBLE_KILL, DOUBLE_CANCELED, DOUBLE_KINDS };

/* Calls of that kind so far. */
unsigned double_count(int kind);

/* Reads parked, unlinks and flushes stalled now. */
unsigned double_waiting(void);

/* Ends all that waits, with success; later ones do not wait. */
void double_let_go(void);

/* Puts a file there behind the kernel's back. */
void double_put(const char *name, const char *text, mode_t mode);

/* Puts a file there whose handles for reading are backed by `fd` (borrowed until the file is gone). While they are open it
 * behaves as vfs.h says: opened or truncated in another way it is ERR_CONFLICT, and its name has a fresh node with a copy of
 * its bytes, not backed. */
void double_back(const char *name, int fd);

/* Handles that are backed now. */
unsigned double_backed(void);

/* The inode number of a name, 0 if there is none. */
uint64_t double_ino(const char *name);

/* What vfs_new() was given. */
const struct vfs_notify *double_notify(struct vfs *v);

/* Lookups not forgotten yet. */
uint64_t double_lookups(const char *name);

#endif
