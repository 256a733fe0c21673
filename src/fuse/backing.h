/*
 * Which open files the kernel serves by itself, and the ids it knows their local files by.
 *
 * The vfs says which handles may be served so, with an id that all open handles of a nodeid share (vfs_backing()); for each of these
 * there is one id of the kernel while a handle that was answered with it is open. Invariant: of handles with one id of the vfs either
 * all are answered with passthrough or none: the kernel would refuse the other kind (fs/fuse/iomode.c). So whether it is granted is
 * decided once, with the lock held from the vfs's word to the kernel's.
 */
#ifndef FUSE_BACKING_H
#define FUSE_BACKING_H

#include "awsfs/err.h"
#include "util/lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fuse_conn_info;
struct map;
struct session;
struct vfs_handle;

struct backings {
    struct lock lock; /* LOCK_FUSE_BACKING: the map and what is in it */
    struct map *by_id;
    atomic_bool on;
    atomic_uint_fast64_t opens; /* answered so */
};

/* ERR_NOMEM. */
enum err_code backings_init(struct backings *b, struct err *e) MUST_CHECK;
/* Every id of the kernel is gone with its connection. */
void backings_release(struct backings *b);

/* From the handler of INIT: turns it on where kernel and rights allow, else says in one line of the log why not. */
void backings_ask(struct session *s, struct fuse_conn_info *conn);

/* The kernel's id to answer the OPEN of `h` with, counted until backing_drop(); 0: the daemon serves it. Any thread. Takes the lock
 * of the vfs. */
int32_t backing_take(struct session *s, struct vfs_handle *h);

/* The handle is about to be released, or the kernel does not want it. To be called before vfs_release(), for any handle. */
void backing_drop(struct session *s, struct vfs_handle *h);

#endif
