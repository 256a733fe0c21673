/*
 * What the state directories hold that is not in the store: read from the files alone, mounted or not. Nothing is changed but by
 * journal_drop().
 */
#ifndef CLI_JOURNAL_FIND_H
#define CLI_JOURNAL_FIND_H

#include "awsfs/err.h"
#include "cli/journal_mount.h"
#include "journal/left.h"

#include <stdbool.h>
#include <stdint.h>

enum journal_kind {
    JOURNAL_PENDING,    /* an operation in the journal of write=back */
    JOURNAL_FAILED,     /* bytes that could not be put */
    JOURNAL_UNFINISHED, /* bytes that were being written when the daemon was killed */
    JOURNAL_UPLOAD,     /* an upload by parts whose parts are in the store */
    JOURNAL_UNANSWERED, /* an upload that was asked for without an answer: the store is asked whether there is one */
    JOURNAL_RENAME,     /* a rename that was cut off: objects are under both names */
    JOURNAL_UNREADABLE, /* a record that was moved aside */
    JOURNAL_KINDS
};

struct journal_entry {
    struct journal_mount *mount;
    enum journal_kind kind;
    char name[80];  /* what people call it by */
    char *path;     /* of the file with the bytes, or of the record; "": of bytes that are in the journal, or of none */
    const struct journal_op *op; /* with JOURNAL_PENDING, the log's; NULL: a daemon is about to send it */
    char *key;      /* "": not known */
    char *reason;   /* "": none */
    char *upload_id; /* "": of one that is not known */
    struct stage_about about; /* its texts are the entry's; key and reason as above */
    struct left_range *unfetched;
    size_t n_unfetched;
    uint64_t size;  /* bytes */
    bool replaced;  /* an intent: by entries of what it may have led to */
    int64_t since;  /* when that happened, seconds of the wall clock; 0: not known */
};

struct journal {
    struct journal_mount **mounts;
    size_t n_mounts;
    struct journal_entry *entries; /* by mount, then by time */
    size_t n;
};

/* "failed", "unfinished", ... */
const char *journal_kind_name(enum journal_kind kind);

/* All entries of all mounts below `root`, a state= directory; one that is not there has none. `with_bytes`: those in journals can be
 * exported. ERR_NOMEM, ERR_IO, ERR_ACCESS. Fill a zeroed one, release it also after a failure. Locks are held until then. */
enum err_code journal_find(const char *root, bool with_bytes, struct journal *out, struct err *e) MUST_CHECK;
void journal_release(struct journal *j);

/* Closes the mount's journal, for who sends it: its entries have no `op` any more. */
void journal_let_go(struct journal *j, struct journal_mount *m);

/* Appends a copy of an intent with the id of an upload that may be its, unless that is there for another one; it may move the entries.
 * ERR_NOMEM. */
enum err_code journal_add_suspect(struct journal *j, size_t intent, const char *upload_id, struct err *e) MUST_CHECK;

/* The object's URL, "s3://bucket/key", malloc'd; NULL without memory. Of an unknown key that of the mount. */
char *journal_url(const struct journal_entry *entry);

/* Removes an entry for good. ERR_BUSY: of a journal, and others depend on it, or a daemon has it. */
enum err_code journal_drop(const struct journal_entry *entry, struct err *e) MUST_CHECK;

#endif
