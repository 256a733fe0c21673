/*
 * write=back: a store that stands between the filesystem and the store of a service (the inner one). Puts, copies and removals
 * return when they are in a journal on the local disk; they are sent in the background, and until the inner store has them,
 * listings, stats and gets are answered as if it had. Everything else passes through, in order with what is still to be sent.
 *
 * What is kept:
 *  - operations on one key take effect in the order in which they were made, a copy before what is done to its source later;
 *  - what store_put() returned for is durable; removals and copies are with the next store_sync(), or after a second;
 *  - a condition is decided when the operation is sent. Where it fails, the bytes are put beside, "KEY (conflict HOST DATE)";
 *  - an operation is sent only after its record is durable, and is tried for ever.
 *
 * Not supported: stores with STORE_SECRET.
 */
#ifndef WRITEBACK_WRITEBACK_H
#define WRITEBACK_WRITEBACK_H

#include "awsfs/store.h"

struct writeback;

/* Below the directory of the journal: the log's segments lie in the directory itself. */
#define WRITEBACK_BODIES "bodies"  /* bodies too large for a record, a file each */
#define WRITEBACK_UPLOADS "uploads" /* multipart uploads under way (journal/uploads.h) */

struct writeback_config {
    struct store *inner;   /* borrowed; outlives the store made here */
    const char *dir;       /* of the journal; made where it is not there */
    const char *identity;  /* what the journal is of: source and endpoint */
    uint64_t dirty_limit;  /* bytes of bodies that may be unsent; 0: no limit */
    size_t max_operations; /* that may be unsent, whatever their bytes: each takes about a kilobyte of memory; 0: 100,000 */
    unsigned patience_ms;  /* without any success: a put that waits for room, and a drain, give up; 0: 60,000 */
    unsigned linger_ms;    /* how long an operation waits for others that it may be merged with; 0: as is best */
    unsigned hold_ms;      /* with a linger_ms: how long it waits at most while others come with no more than linger_ms between them */
};

/* Opens the journal, takes over what an earlier mount has left in it, and begins to send. `control` is borrowed, for the functions
 * below; it lives as long as the store. NULL: as wal_open() says, or ERR_UNSUPPORTED. Blocks on the disk. The store's free() ends the
 * sending: requests under way are cancelled, and whatever has no answer stays in the journal. */
struct store *writeback_store_new(const struct writeback_config *c, struct writeback **control, struct err *e);

/* Whether the journal in `dir` may have something unsent: it has records. */
bool writeback_has_journal(const char *dir);

/* Waits until everything that was there when it began is in the inner store; progress(arg, operations, bytes left) about once a second, on
 * the caller's thread. Gives up when nothing succeeded for patience_ms, or once everything left has been refused: ERR_IO with the number and
 * the first error; ERR_CANCELED. With `for_ever` it does not give up but for `cancel` (may be NULL), and where the journal failed
 * so that it takes nothing until it is opened anew. Any thread. */
enum err_code writeback_drain(struct writeback *w, bool for_ever, struct cancel *cancel,
                              void (*progress)(void *arg, uint64_t operations, uint64_t bytes), void *arg, struct err *e) MUST_CHECK;

struct writeback_stats {
    uint64_t operations, bytes;    /* unsent */
    uint64_t limit;                /* bytes, 0: none */
    uint64_t records, syncs;       /* of the journal, since it was opened */
    uint64_t journal_bytes;
    uint64_t sent, merged, conflicts, recovered; /* operations since then */
    bool paused;                   /* everything is refused */
};
void writeback_stats(struct writeback *w, struct writeback_stats *out);

/* One operation that is not in the inner store yet. */
struct writeback_item {
    uint64_t number;          /* of its record */
    const char *what;         /* "put", "copy", "remove" */
    const char *key, *from;   /* `from`: of a copy, else NULL */
    uint64_t size, age_ms;
    unsigned attempts;
    const char *error;        /* of the last attempt, "" without one */
    bool sending;
};
/* Tells of at most `max` of them, the oldest first; what it tells is copied before. Any thread. */
void writeback_each(struct writeback *w, size_t max, void (*fn)(void *arg, const struct writeback_item *item), void *arg);

struct writeback_conflict {
    const char *key, *kept; /* `kept`: where the bytes are now */
    struct timespec when;
};
/* The last ones, the oldest first; returns how many there were in all. `fn` may be NULL. */
uint64_t writeback_each_conflict(struct writeback *w, void (*fn)(void *arg, const struct writeback_conflict *c), void *arg);

/* Everything that waits after a failure is tried again now. */
void writeback_retry(struct writeback *w);

#endif
