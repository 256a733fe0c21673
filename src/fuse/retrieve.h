/*
 * Asks the kernel for what its page cache has of an inode (FUSE_NOTIFY_RETRIEVE). Where it knows the inode it answers with a request of
 * its own, FUSE_NOTIFY_REPLY, that a worker reads: the pages from the offset on up to the first that is not there. A request that is
 * under way when the mount ends is never answered; it ends with retrieves_end().
 */
#ifndef FUSE_RETRIEVE_H
#define FUSE_RETRIEVE_H

#include "util/lock.h"
#include "vfs/vfs.h"

#define RETRIEVES_MAX 8

struct fuse_session;
struct fuse_lowlevel_ops;

struct retrieves {
    struct lock lock; /* LOCK_NOTIFY */
    struct vfs_retrieve *under_way[RETRIEVES_MAX];
    uint64_t ids[RETRIEVES_MAX], last_id;
};

void retrieves_init(struct retrieves *s);
void retrieves_release(struct retrieves *s);

/* As vfs_notify.retrieve has it. Also false with RETRIEVES_MAX under way. */
bool retrieve_ask(struct retrieves *s, struct fuse_session *se, uint64_t ino, uint64_t offset, size_t len, struct vfs_retrieve *r);

/* The answer to `id`. One that ended meanwhile is none's. Without locks. */
void retrieve_answer(struct retrieves *s, uint64_t id, const void *p, size_t len);

/* What is under way ends without bytes. Without locks. */
void retrieves_end(struct retrieves *s);

/* The handler of answers. */
void retrieve_ops(struct fuse_lowlevel_ops *ops);

#endif
