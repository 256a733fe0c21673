/*
 * Tells the kernel what to forget, and asks it for pages. The former has its own thread and a set in which equal notifications merge: such a call can wait
 * behind a stalled request, so nothing waits for it and no answer depends on it. What is lost (no memory, no session) only
 * stays cached until its time is over.
 */
#ifndef FUSE_NOTIFY_H
#define FUSE_NOTIFY_H

#include "awsfs/err.h"
#include "util/cleanup.h"
#include "vfs/vfs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct notify;
struct fuse_session;

/* Starts the thread; until a session is attached, what comes is dropped. NULL: ERR_NOMEM. */
struct notify *notify_new(struct err *e);

/* What a vfs is given; `n` outlives it. The callbacks only enqueue, but retrieve(), which asks on the caller's thread (retrieve.h). */
struct vfs_notify notify_callbacks(struct notify *n);

/* From now on `se` is told. */
void notify_attach(struct notify *n, struct fuse_session *se);

/* The kernel's answer to a retrieve(). Calls the vfs. */
void notify_answer(struct notify *n, uint64_t id, const void *p, size_t len);

/* From now on nobody is told or asked; what was asked for ends. Waits for a call under way, at most `wait_ms`: it can stand behind a request that is not answered
 * yet. False when it still runs. */
bool notify_detach(struct notify *n, unsigned wait_ms);

/* A request on names of the directory waits from now on, or has been answered. The kernel holds the directory's lock meanwhile, and who
 * tells it of a name there waits for that lock: were the daemon killed then, nobody would ever answer the request, and nothing but
 * an abort of the connection would free its program. So names of such a directory are told afterwards. Any thread. */
void notify_dir_waits(struct notify *n, uint64_t ino);
void notify_dir_answered(struct notify *n, uint64_t ino);

/* Notifications that wait. */
size_t notify_pending(struct notify *n);

/* Ends the thread; waits for a call under way, so the mount must be gone by then. NULL is fine. */
void notify_free(struct notify *n);
CLEANUP_DEFINE(struct notify, notify_free)

#endif
