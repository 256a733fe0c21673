/*
 * A write-ahead log: records in the order in which they were appended, in files ("segments") of one directory. A record that
 * wal_append() took survives kill -9; one that wal_sync() covers survives power loss.
 *
 *   NNNNNNNNNNNNNNNN.wal   a segment; the number (hex) is that of its first record. Its first 4 KiB are the header.
 *   *.free                 a segment that is needed no more: its blocks are written again, which is cheaper than new ones
 *   *.damaged              what could not be read at an opening: kept, with what surrounds it, never read again
 *   lock                   locked while the log is open
 *
 * A record's frame carries its number, so that a block's former life is never taken for its present one, a checksum of its
 * own, so that the place of the next one is known although the bytes between are damaged, and one of the bytes.
 *
 * Thread-safe. One lock (LOCK_WAL), held while a record is copied to the page cache and never during a sync: those who wait for
 * a sync meanwhile share the next one.
 */
#ifndef JOURNAL_WAL_H
#define JOURNAL_WAL_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WAL_RECORD_MAX (4u << 20) /* bytes */

struct wal;

struct wal_config {
    const char *dir;        /* exists, this log's own */
    const char *identity;   /* what the records speak of; a log of another identity is not opened */
    uint64_t segment_bytes; /* 0: 16 MiB */
    bool (*make_room)(void *arg); /* for the opening on a full disk: makes a little room there, false: cannot; may be NULL */
    void *room_arg;
};

/* One record of the past. The bytes are borrowed. An error ends the opening with it. */
typedef enum err_code (*wal_replay_fn)(void *arg, uint64_t number, const void *p, size_t len, struct err *e);

/* Opens the log, or makes it, and tells of every record that is there, in order. Of the records behind the last synced one some
 * may be missing, from one on all of them. What is damaged before that is moved aside with a line in the log of the program, and the rest is
 * told of. NULL with ERR_BUSY: another process has it open; ERR_INVAL: it is of another identity, or ERR_UNSUPPORTED: of a newer
 * version (both leave everything as it is); ERR_NOSPC, ERR_IO, ERR_NOMEM. Blocks on the disk. */
struct wal *wal_open(const struct wal_config *c, wal_replay_fn replay, void *arg, struct err *e);

/* Syncs what was appended and closes. NULL is fine. */
void wal_free(struct wal *w);
CLEANUP_DEFINE(struct wal, wal_free)

/* Appends a record of `len` bytes, at most WAL_RECORD_MAX; *number becomes its number: 1 is the first of all, the next is one
 * higher. ERR_NOSPC: nothing was appended, later ones may succeed. ERR_IO: also after a sync that failed, see wal_sync(). */
enum err_code wal_append(struct wal *w, const void *p, size_t len, uint64_t *number, struct err *e) MUST_CHECK;

/* Returns when every record up to `number` is durable. After a sync that failed nobody knows what is on the disk, and asking
 * again proves nothing: from then on every append and sync of what is not durable yet is ERR_IO until the log is opened anew. */
enum err_code wal_sync(struct wal *w, uint64_t number, struct err *e) MUST_CHECK;

/* Records below `number` are needed no more. Segments that have no others are set free, beyond a few removed. */
void wal_trim(struct wal *w, uint64_t number);

struct wal_stats {
    uint64_t next;    /* the number that the next record will get */
    uint64_t oldest;  /* of the first record of the oldest segment */
    uint64_t bytes;   /* of all segments, free ones counted */
    uint64_t appends, syncs; /* since the opening; syncs of the disk, which several callers may have shared */
    bool failed;      /* a sync: nothing more is taken until the log is opened anew */
    uint64_t damaged; /* places that the opening moved aside although they had been durable: records may be missing */
};
void wal_stats(struct wal *w, struct wal_stats *out);

#endif
