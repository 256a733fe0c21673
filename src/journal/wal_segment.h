/*
 * One file of a write-ahead log. Private to the log. Not thread-safe.
 *
 * Blocks that are reserved but were never written make a sync dear: the filesystem has to note for each in its own journal that it
 * was. So zeros are written ahead of small records, some hundred of which share that. Large ones would only be written twice. Nor
 * are there any where files are copied on write: what is reserved is good for the first writing of a block there, which zeros would be.
 */
#ifndef JOURNAL_WAL_SEGMENT_H
#define JOURNAL_WAL_SEGMENT_H

#include "awsfs/err.h"
#include "journal/wal_frame.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#define WAL_SUFFIX         ".wal"
#define WAL_FREE_SUFFIX    ".free"
#define WAL_DAMAGED_SUFFIX ".damaged"

struct wal_segment {
    int fd; /* -1: of an earlier opening; nothing is written to it */
    char *path;
    struct wal_header header;
    uint64_t next;  /* the number of the record that would follow its last one */
    uint64_t end;   /* behind its last record, bytes */
    uint64_t bytes; /* that the file takes */
    uint64_t written; /* up to here blocks were written once, in this life or a former one */
    bool no_ahead;    /* zeros could not be written, or must not be: what is appended still may */
    TAILQ_ENTRY(wal_segment) link;
};

TAILQ_HEAD(wal_segments, wal_segment);

/* A file that is needed no more. */
struct wal_freed {
    char *path;
    uint64_t written; /* as above; 0 where it is not known */
};

/* Makes the segment of `dir` whose records begin with `first`, from the file `reuse` (NULL: a new one) which is then gone; with
 * room for `bytes`, or less on a disk that is nearly full, where the filesystem can reserve it. It is durable. ERR_NOSPC, ERR_IO,
 * ERR_NOMEM. */
struct wal_segment *wal_segment_create(const char *dir, const char *identity, uint64_t first, const struct wal_freed *reuse,
                                       uint64_t bytes, struct err *e);

void wal_segment_free(struct wal_segment *s);
CLEANUP_DEFINE(struct wal_segment, wal_segment_free)

/* Writes a frame at the end; its number must be s->next. A failure leaves the end where it was; one of the zeros behind it is none.
 * ERR_NOSPC, ERR_IO. */
enum err_code wal_segment_write(struct wal_segment *s, const struct wal_frame *f, struct err *e) MUST_CHECK;

/* The whole file at `path`, at most `max` bytes, into *p (malloc'd; `*len` bytes), durable first: whoever wrote it may have been
 * killed before. ERR_TOO_BIG, ERR_IO, ERR_NOMEM. */
enum err_code wal_segment_load(const char *path, size_t max, uint8_t **p, size_t *len, struct err *e) MUST_CHECK;

#endif
