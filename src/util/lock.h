/*
 * Mutexes with a name and a rank. A thread takes locks only in rising rank; debug builds (NDEBUG_LOCKS not defined, the
 * default of sanitized builds) abort when it does not. The table of ranks is in docs/architecture.md and in enum lock_rank:
 * a new lock gets a line in both.
 */
#ifndef UTIL_LOCK_H
#define UTIL_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum lock_rank {
    LOCK_FUSE_BACKING = 5, /* which files the kernel serves by itself */
    LOCK_VFS_RENAME = 10,  /* serialises renames that move directories */
    LOCK_VFS_UPLOAD = 15,  /* one inode's upload state */
    LOCK_VFS_TREE = 20,    /* names, directories, inode table */
    LOCK_VFS_INODE = 30,   /* one inode's attributes and stage */
    LOCK_VFS_CONTENT = 40, /* one version's blocks and parked reads */
    LOCK_VFS_REFILL = 45,  /* what is to be taken from the kernel's pages into the disk cache */
    LOCK_STAGE = 50,       /* one staging file's extent map */
    LOCK_CACHE_ENTRY = 52, /* one version in the disk cache: what is held; held during local I/O */
    LOCK_CACHE = 53,       /* the disk cache's queues and its table of entries */
    LOCK_CACHE_INDEX = 54, /* the index's connections that are free */
    LOCK_CACHE_CHANGES = 58, /* when this process last changed what; held during a write into the page cache */
    LOCK_UPLOADS = 55,     /* the record of multipart uploads */
    LOCK_WRITEBACK = 56,   /* what is journaled and not sent yet */
    LOCK_WAL = 57,         /* a write-ahead log */
    LOCK_STORE = 60,       /* a store's own state (in-memory store, probes, rate limit) */
    LOCK_AWS_CREDS = 65,
    LOCK_AWS_CLIENT = 68,  /* region, clock offset */
    LOCK_NET_RETRY = 70,   /* retry tokens */
    LOCK_NET = 75,         /* the HTTP engine's queues */
    LOCK_NOTIFY = 80,      /* the set of kernel notifications that are due */
    LOCK_POOL = 85,
    LOCK_TIMER = 86,
    LOCK_CANCEL = 88,
    LOCK_LEAF = 95,        /* counters and the like: nothing is taken inside */
    LOCK_LOG = 99,
};

struct lock {
    pthread_mutex_t mutex;
    const char *name;
    int rank;
    pthread_t owner;
    bool held;
};

#define LOCK_INIT(name_, rank_) {.mutex = PTHREAD_MUTEX_INITIALIZER, .name = (name_), .rank = (rank_)}

/* In the caller's storage; `name` must be a literal. */
void lock_init(struct lock *l, const char *name, enum lock_rank rank);
void lock_release(struct lock *l);

/* Blocks until the lock is held. Not recursive. Aborts (debug builds) when the calling thread holds one of equal or higher
 * rank; two locks of one rank are never nested. */
void lock_take(struct lock *l);
void lock_drop(struct lock *l);

/* Aborts unless the calling thread holds the lock; first line of every `_locked` function. */
void lock_assert_held(const struct lock *l);

/* A condition variable on CLOCK_MONOTONIC. */
struct cond {
    pthread_cond_t c;
};
void cond_init(struct cond *c);
void cond_release(struct cond *c);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/* Waits with `l` held. `deadline_ms` is on clock_mono_ms()'s scale; UINT64_MAX waits for ever. Returns false when the
 * deadline passed. Wakes spuriously. */
bool cond_wait(struct cond *c, struct lock *l, uint64_t deadline_ms);

static inline void lock_scope_drop_(struct lock **l)
{
    lock_drop(*l);
}

/* Holds the lock until the end of the enclosing block. */
#define LOCK_SCOPE(l)                                                                                                      \
    __attribute__((cleanup(lock_scope_drop_), unused)) struct lock *lock_scope_ = (lock_take(l), (l))

#endif
