/*
 * What the readers of one open file will want next, from what they have read: no bytes, no requests, no locks (the caller's
 * guards a struct readahead).
 *
 * A handle may have several readers in order (STREAMS of them), each somewhere else in the file. One that goes on where it
 * stopped has a window: so many bytes ahead of it are to be on their way, in ranges side by side. The window grows while the
 * reader has to wait; far (beyond WINDOW_FREE) only where it waits for the latency of the link. Between several readers the
 * memory is divided (`share`). The kernel sends the reads of one sequential reader in parallel, so they may arrive a little
 * out of order.
 *
 * Reads at equal distances (backward, or every so many bytes) are noticed at the third distance; then the next ones like it
 * are named, twice as many each time, up to LEAPS_MAX. Any other read is a random one: nothing is fetched for it but what it
 * asks for.
 */
#ifndef VFS_READAHEAD_H
#define VFS_READAHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READAHEAD_STREAMS 8

struct readahead_stream {
    uint64_t next;   /* where it would go on */
    uint64_t ahead;  /* on its way up to here */
    uint32_t window; /* bytes; 0: one read, so far */
    uint32_t used;   /* the number of the read that used it last; 0: never */
    uint64_t slice;  /* in which it was counted last as active */
    /* Since the window was looked at last: */
    uint64_t mark, mark_us;
    bool waited;
};

/* Zeroed by its owner. */
struct readahead {
    struct readahead_stream streams[READAHEAD_STREAMS];
    uint32_t reads;
    /* Of reads at equal distances: */
    uint64_t last;
    int64_t step;
    uint8_t equal, leaps;
};

/* What is known of the connections to a store. 0: nothing yet. */
struct readahead_link {
    uint32_t latency_us; /* from a request to its first byte: the lesser of the last two that were alone */
    uint32_t alone_us;   /* the last one of them */
    uint32_t rate, peak; /* bytes a microsecond of one connection: usually, and at best */
};

/* Notes how long a request took to its first byte, and then for `bytes` more. `alone`: hardly anything else was under way when it
 * started, so the first byte waited for none of our own. */
void link_note(struct readahead_link *l, bool alone, uint64_t first_us, uint64_t rest_us, uint64_t bytes);

struct readahead_read {
    uint64_t offset, len, size; /* `size` of the file */
    uint64_t now_us;
    bool waits;     /* its bytes are not all here */
    uint64_t share; /* bytes that a window may have */
    struct readahead_link link;
};

struct readahead_plan {
    struct readahead_stream *stream; /* of a sequential reader; else NULL */
    uint64_t from, to;     /* bytes to fetch; none where `to` <= `from` */
    uint32_t range;        /* bytes of one request */
    int64_t step;          /* reads at equal distances: */
    unsigned leaps;        /* so many of them are expected, after this one */
};

struct readahead_plan readahead_move(struct readahead *ra, const struct readahead_read *r);

/* Of what was planned only that up to `reached` is on its way: there was no room for more. */
void readahead_cut(struct readahead_plan *p, uint64_t reached, uint64_t size);

#endif
