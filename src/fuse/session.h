/*
 * A mount from its beginning to its end: the kernel connection, the workers that read requests, and the signals.
 *
 * Order: session_block_signals() before any thread starts; notify_new(), vfs_new(), session_new() (which mounts),
 * session_run() (which serves until the mount is gone), vfs_drain(), vfs_free(), session_free().
 */
#ifndef FUSE_SESSION_H
#define FUSE_SESSION_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct session;
struct vfs;
struct notify;

/* Before an unmount: what was just read has so long to come from the kernel's pages into the disk cache. */
#define SESSION_SETTLE_MS 30000

struct session_config {
    const char *mountpoint;   /* absolute */
    const char *source;       /* shown as the device in /proc/mounts */
    bool read_only, allow_other;
    bool noexec, noatime, nodiratime, sync, dirsync; /* generic mount options that the kernel carries out */
    bool passthrough;         /* the kernel may serve files that the vfs has whole by itself, where it can */
    bool secret;              /* what is written is wiped from the buffer of the kernel's requests */
    unsigned workers;         /* 0: 10 */
    unsigned waiters;         /* threads for requests that wait for the network, as many for those that look as for those
                                 that change something; 0: 64 */
    /* The mount answers from now on. Called once, on a worker; must not block on the mount. May be NULL. */
    void (*ready)(void *arg);
    /* The mount is about to end ("finishing what is being written"): once, on any thread. May be NULL. */
    void (*stopping)(void *arg, const char *what);
    void *arg;
};

/* Blocks SIGTERM, SIGINT, SIGHUP and SIGUSR1 (used internally) in the calling thread and all it starts; ignores SIGPIPE. */
void session_block_signals(void);

/* Mounts. `vfs` and `notify` outlive the session; `config` is copied. ERR_IO with the cause: no /dev/fuse, no fusermount3,
 * refused. Nothing is served before session_run(). */
struct session *session_new(struct vfs *vfs, struct notify *notify, const struct session_config *config, struct err *e);

/* Serves on the calling thread until the mount is gone: umount(8), or SIGTERM or SIGINT, at which what is being written is
 * finished first (vfs_drain) and the mount removed. Further signals then change nothing. SIGHUP opens the log again. When it
 * returns no request is under way and the mount is removed. ERR_IO when the connection broke. */
enum err_code session_run(struct session *s, struct err *e) MUST_CHECK;

/* The same as SIGTERM, also before session_run() has begun. Any thread, never blocks. */
void session_stop(struct session *s);

/* Whether a signal asked for the end: then somebody waits for the process. */
bool session_told_to_end(struct session *s);

struct session_stats {
    uint64_t served;      /* requests, but for FORGET, RELEASE and STATFS */
    uint64_t deferred;    /* of these, handed to a thread that may wait */
    uint64_t interrupted;
    uint64_t waiting;     /* now: deferred requests and parked reads */
    bool killpriv;        /* HANDLE_KILLPRIV_V2 is in force */
    bool passthrough;     /* the kernel serves what it can by itself */
    uint64_t passthrough_opens; /* open files served so, since the mount */
};
void session_stats(struct session *s, struct session_stats *out);

/* Unmounts where session_run() has not. NULL is fine. */
void session_free(struct session *s);
CLEANUP_DEFINE(struct session, session_free)

/* Removes the mount at `mountpoint`: umount2() for root, fusermount3 otherwise. `lazy`: also while it is in use. May be called
 * without a session. ERR_BUSY, ERR_INVAL (nothing is mounted there), ERR_PERM, ERR_IO. Blocks until done. */
enum err_code session_unmount(const char *mountpoint, bool lazy, struct err *e) MUST_CHECK;

/* The same of a mount whose daemon was killed. For root it first ends, with an error, every request that nobody will answer: one that
 * was queued at that moment keeps the mount alive where a thread of the daemon waits in the kernel for its directory. */
enum err_code session_unmount_dead(const char *mountpoint, struct err *e) MUST_CHECK;

#endif
