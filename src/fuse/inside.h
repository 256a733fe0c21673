/*
 * What the files of src/fuse share. A kernel request becomes a `struct request`: who asks, what of, and a function that calls
 * the vfs and, on success, replies. It is tried on the worker that has read it with nowait; where that is ERR_AGAIN, or where
 * the network is needed anyway, a copy goes to the pool, whose threads may wait. So workers never all wait: for a sync of the local disk,
 * as the close of a small file needs it with write=back, half of them may.
 *
 * An interrupt is looked at by a thread of its own (interrupt.c): where the program is to be let go it fires the request's cancel
 * token. One that still queues is answered by that thread, so that no number of stalled requests ahead of it keeps a killed
 * program.
 */
#ifndef FUSE_INSIDE_H
#define FUSE_INSIDE_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "awsfs/err.h"
#include "fuse/backing.h"
#include "fuse/session.h"
#include "fuse/watchdog.h"
#include "fuse/wire.h"
#include "util/cancel.h"
#include "util/lock.h"
#include "vfs/vfs.h"

#include <pthread.h>
#include <stdatomic.h>

struct pool;
struct request;

/* A request that waits (in the pool, or a parked read), so that the end of the session can cancel it. */
struct flight {
    struct flight *next, **prev;
    struct cancel *cancel; /* owned by whoever embeds this */
    pid_t tid;             /* who waits */
    bool interrupted;      /* at least once; under the session's lock */
    uint64_t looked;       /* the round of looks that saw it last */
    /* NULL, or: takes a reference on what embeds this (called with the session's lock held), and what to do with it once the
     * token was fired (takes the reference over). */
    void *(*hold)(struct flight *f);
    void (*let_go)(void *held);
};

struct session {
    struct wire wire; /* first: libfuse's userdata is both */
    struct vfs *vfs;
    struct notify *notify;
    struct fuse_session *se;
    struct watchdog watchdog;
    struct session_config config;
    char *mountpoint, *source;
    struct pool *pool, *changes; /* what looks, and what changes, which may wait for minutes */
    struct lock lock;        /* what follows, to `signals_running` */
    struct cond landed;
    struct flight *flights;
    size_t n_flights;
    bool ended, canceling, stopping, told, stop_wanted, signals_running;
    pthread_t main, signals;
    bool detached;           /* by the signals' thread */
    pthread_t watcher;       /* interrupt.c */
    struct cond watch_wake;
    bool watching, watch_ended;
    uint64_t watch_round;
    atomic_uint_fast64_t served, deferred, interrupted;
    atomic_uint brief;       /* workers that may wait for the local disk */
    struct backings backings;
};

/* Mounts s->mountpoint and puts the hooks on; s->se is set. ERR_IO with the cause. */
enum err_code session_connect(struct session *s, struct err *e) MUST_CHECK;

/* Lists a flight; when the session cancels what waits, its token is fired at once. */
void flight_start(struct session *s, struct flight *f);
void flight_end(struct session *s, struct flight *f);

/* The thread that decides about interrupts. After interrupt_stop() no flight may be interrupted. */
enum err_code interrupt_start(struct session *s, struct err *e) MUST_CHECK;
void interrupt_stop(struct session *s);
/* From libfuse's callback: only marks and wakes. */
void interrupt_note(struct session *s, struct flight *f);

struct request {
    fuse_req_t req;
    struct session *session;
    struct vfs_caller caller;
    /* Calls the vfs. ERR_OK: it has replied. Otherwise it has not, and has changed nothing where it is ERR_AGAIN. */
    enum err_code (*run)(struct request *r, struct err *e);
    int (*to_errno)(enum err_code code); /* NULL: errno_of() */
    bool changes;                        /* may wait for an upload or a copy: has threads of its own */
    bool armed;                          /* an interrupt function is registered */
    bool answered;                       /* before run() has ended */

    /* The arguments, as each operation needs them. Borrowed while on the worker, copied when deferred. */
    uint64_t ino, new_parent, offset, to_offset, length;
    const char *name, *new_name;
    const void *data;
    size_t size;
    mode_t mode;
    int flags;
    bool kill_suid, plus, mapped;
    struct vfs_setattr set;
    struct vfs_handle *file, *to_file;
    struct vfs_dir_handle *dir;
};

/* A request of the calling worker, for the caller's stack. */
struct request request_make(fuse_req_t req, fuse_ino_t ino, enum err_code (*run)(struct request *r, struct err *e));

/* Tries it here, defers it on ERR_AGAIN. It is answered, now or later. */
void request_serve(struct request *r);
/* The same of what may wait for the local disk, unless half of the workers do. */
void request_serve_brief(struct request *r);

/* Hands a copy to a pool, by r->changes. It is answered later (or at once, without memory). */
void request_defer(struct request *r);

/* The same for what changes something in the store. */
void request_change(struct request *r);

/* Drops a reference that a flight's hold() took. */
void request_release(void *held);

/* Unregisters the interrupt function: afterwards it is not running and will not. Before every reply. */
void request_disarm(struct request *r);

/* ---- Replies. Each ends the request. Where the kernel no longer wants what it would have owned (the request was aborted),
 * it is given back to the vfs. */

void reply_err(struct request *r, enum err_code code);
void reply_done(struct request *r);
void reply_entry(struct request *r, const struct vfs_entry *entry);
void reply_attr(struct request *r, const struct vfs_attr *attr);
void reply_open(struct request *r, struct vfs_handle *h);
void reply_create(struct request *r, const struct vfs_entry *entry, struct vfs_handle *h);
void reply_bytes(struct request *r, const void *p, size_t len);

/* Seconds as libfuse wants them. */
double timeout_seconds(uint64_t valid_ms);
struct fuse_entry_param entry_param(const struct vfs_entry *entry);

/* ---- Operations by theme: each fills in its part of the table. */

void names_ops(struct fuse_lowlevel_ops *ops);
void attrs_ops(struct fuse_lowlevel_ops *ops);
void files_ops(struct fuse_lowlevel_ops *ops);
void dirs_ops(struct fuse_lowlevel_ops *ops);
void xattrs_ops(struct fuse_lowlevel_ops *ops);

/* Clears setuid and setgid where a request asked for it and they are set. */
enum err_code clear_suid(struct request *r, uint64_t ino, struct vfs_handle *h, struct err *e) MUST_CHECK;

#endif
