/* The bytes of a write-ahead log: headers and frames, encoded and found again. Pure: no files, no locks. Numbers are stored in
 * little-endian order. Private to the log. */
#ifndef JOURNAL_WAL_FRAME_H
#define JOURNAL_WAL_FRAME_H

#include "awsfs/err.h"

#include <stddef.h>
#include <stdint.h>

#define WAL_HEADER_BYTES 4096 /* at the beginning of a segment: what follows begins with a block of its own */
#define WAL_FRAME_BYTES  40   /* before the bytes of a record, which are filled up to a multiple of eight */

enum wal_kind {
    WAL_DATA, /* a record of the log's user */
    WAL_TRIM, /* the log's own: eight bytes, the number below which records are needed no more */
};

struct wal_frame {
    enum wal_kind kind;
    uint64_t number; /* inside of a segment each is one more than the one before */
    uint64_t synced; /* when it was written, every record up to this number was durable */
    const void *p;
    size_t len;
};

/* Bytes that a frame with a record of `len` bytes takes. */
size_t wal_frame_size(size_t len);

/* What a segment's header says. The salt, a random number of each life of a segment, goes into every checksum: neither what the
 * blocks held before nor a file that holds the bytes of a log is ever taken for a record. */
struct wal_header {
    uint64_t first; /* number of the first record */
    uint32_t salt;
};

/* The frame's head; returns how many zeros are to follow the record's bytes (fewer than eight). */
size_t wal_frame_encode(const struct wal_frame *f, uint32_t salt, uint8_t head[WAL_FRAME_BYTES]);

/* `identity` is told by its digest only. ERR_NOMEM. */
enum err_code wal_header_encode(const struct wal_header *h, const char *identity, uint8_t out[WAL_HEADER_BYTES],
                                struct err *e) MUST_CHECK;

/* ERR_PROTO: these bytes are no header. ERR_UNSUPPORTED: of a newer version. ERR_INVAL: of another identity. */
enum err_code wal_header_decode(const uint8_t *p, size_t len, const char *identity, struct wal_header *out,
                                struct err *e) MUST_CHECK;

/* A walk over a segment that was read into memory. */
struct wal_scan {
    const uint8_t *p;
    size_t size, at;
    struct wal_header header;
    uint64_t next; /* the number expected at `at`: the header's first at the beginning */
};

enum wal_found {
    WAL_RECORD,
    WAL_END,     /* nothing of this segment follows */
    WAL_DAMAGED, /* bytes that cannot be read, and behind them something that can */
    WAL_TORN,    /* the same, and nothing that can be read behind them */
};

/* What is next. `f` is filled for WAL_RECORD only and points into the segment. Otherwise nothing has moved at WAL_END, and else
 * `at` and `next` are behind what cannot be read. */
enum wal_found wal_scan_next(struct wal_scan *s, struct wal_frame *f);

#endif
