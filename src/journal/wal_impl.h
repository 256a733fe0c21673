/* The inside of a write-ahead log. Private to it. */
#ifndef JOURNAL_WAL_IMPL_H
#define JOURNAL_WAL_IMPL_H

#include "journal/wal.h"
#include "journal/wal_segment.h"
#include "util/lock.h"

#include <stdbool.h>

#define WAL_FREE_MAX 4 /* segments that are kept to be written again */

struct wal {
    char *dir, *identity;
    uint64_t segment_bytes;
    int lock_fd;
    struct lock lock;      /* LOCK_WAL: all below */
    struct cond synced;    /* a sync has ended */
    struct wal_segments segments; /* in order; records are appended to the last one */
    struct wal_freed freed[WAL_FREE_MAX];
    size_t n_free;
    uint64_t free_bytes;
    uint64_t next;         /* the number of the next record */
    uint64_t durable;      /* every record up to this one is on the disk */
    bool syncing;          /* a thread syncs the last segment, without the lock */
    struct err failure;    /* of a sync: then code is not ERR_OK */
    uint64_t appends, syncs;
    uint64_t damaged;      /* what the opening could not read and was durable once */
};

/* Finds the segments that are there, tells of their records, and moves aside what is damaged. w->next is the number after the
 * highest one seen. Nobody else uses `w` yet. */
enum err_code wal_replay(struct wal *w, wal_replay_fn replay, void *arg, struct err *e) MUST_CHECK;

/* The segment's file is needed no more: it becomes a free one, or is removed where there are enough. */
void wal_set_free(struct wal *w, const struct wal_segment *s);

#endif
