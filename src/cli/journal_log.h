/* The journal of write=back as it is on the disk, for awsfs journal: what of it is not in the store. Only while no daemon has it. */
#ifndef CLI_JOURNAL_LOG_H
#define CLI_JOURNAL_LOG_H

#include "awsfs/err.h"
#include "journal/record.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct journal_log;

/* One operation. Texts are the log's. */
struct journal_op {
    uint64_t number;         /* of its record */
    enum record_kind kind;   /* RECORD_PUT, RECORD_COPY, RECORD_REMOVE */
    const char *key, *from;  /* what it changes; of a copy where from, else NULL */
    uint64_t size;           /* bytes of a put */
    const char *file;        /* path of a put's bytes; NULL: they are in the log */
    uint64_t at;             /* then: where they are in journal_log_bytes() */
    int64_t since;           /* seconds of the wall clock */
    unsigned attempts;
    const char *error;       /* of the last attempt, "" */
    bool discarded;          /* by journal_log_discard() */
};

/* Reads the journal in `dir`, which is of that source and endpoint. `with_bytes`: those in the log are kept in a file without a
 * name. NULL with ERR_NOT_FOUND: there is none; ERR_BUSY: a daemon has it; what wal_open() says. Blocks on the disk. */
struct journal_log *journal_log_open(const char *dir, const char *source, const char *endpoint, bool with_bytes, struct err *e);
void journal_log_free(struct journal_log *l);
CLEANUP_DEFINE(struct journal_log, journal_log_free)

/* Those that are not in the store, in the order in which they were made. */
size_t journal_log_size(const struct journal_log *l);
const struct journal_op *journal_log_at(const struct journal_log *l, size_t i);

/* The file of the bytes that are in the log; -1 where they were not wanted. */
int journal_log_bytes(const struct journal_log *l);

/* Notes, durably, that nobody is to send it. A body that was a file of its own is removed. */
enum err_code journal_log_discard(struct journal_log *l, const struct journal_op *op, struct err *e) MUST_CHECK;

#endif
