/*
 * Tells the kernel what to forget. Has its own thread and a set in which equal notifications merge: such a call can wait
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

struct notify;
struct fuse_session;

/* Starts the thread; until a session is attached, what comes is dropped. NULL: ERR_NOMEM. */
struct notify *notify_new(struct err *e);

/* What a vfs is given; `n` outlives it. The callbacks only enqueue. */
struct vfs_notify notify_callbacks(struct notify *n);

/* From now on `se` is told. */
void notify_attach(struct notify *n, struct fuse_session *se);

/* From now on nobody is told. Waits for a call under way, at most `wait_ms`: it can stand behind a request that is not answered
 * yet. False when it still runs. */
bool notify_detach(struct notify *n, unsigned wait_ms);

/* Notifications that wait. */
size_t notify_pending(struct notify *n);

/* Ends the thread; waits for a call under way, so the mount must be gone by then. NULL is fine. */
void notify_free(struct notify *n);
CLEANUP_DEFINE(struct notify, notify_free)

#endif
