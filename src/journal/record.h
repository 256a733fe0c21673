/*
 * What the records of write=back's log say: operations on the store in full, and what became of them. A record is a number in the
 * log (journal/wal.h); others speak of it by that number. Pure: no files, no locks.
 *
 * The first byte of the encoded form is the format's version, the second the kind; fields follow in an order that the kind
 * decides, numbers in little-endian order, text with its length before it and a NUL behind it. What is decoded was checked: keys, ETags
 * and ids are UTF-8, names of body files have no way out of their directory, counts and sizes fit together, nothing is left over.
 */
#ifndef JOURNAL_RECORD_H
#define JOURNAL_RECORD_H

#include "awsfs/err.h"
#include "awsfs/meta.h"
#include "util/buf.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define RECORD_INLINE_MAX (64u << 10) /* bytes of a body in its record; longer ones are files of their own */
#define RECORD_KEY_MAX    4096        /* bytes, as the next three */
#define RECORD_ETAG_MAX   135
#define RECORD_ID_MAX     1023
#define RECORD_TEXT_MAX   1024        /* of an error */
#define RECORD_PARTS_MAX  10000
#define RECORD_PAIRS_MAX  2048

/* The values are those on the disk. */
enum record_kind {
    RECORD_PUT = 1,      /* a marker of a directory is one: its key ends with '/', its size is 0 */
    RECORD_COPY = 2,
    RECORD_REMOVE = 3,
    RECORD_RENAME = 4,   /* one object where the store can; with `tree` all that is below */
    RECORD_PROPERTY = 5, /* a change that metadata cannot express: tags, acl */
    RECORD_UPLOAD = 6,   /* a multipart upload is about to be asked for */
    RECORD_PARTS = 7,    /* `of` an upload: its id, and parts that are in the store now */
    RECORD_FINISH = 8,   /* `of` an upload: it is to become the object */
    RECORD_BEGUN = 9,    /* `of` an operation: from now on the store may have it */
    RECORD_DONE = 10,    /* `of` an operation or an upload: nothing is left to do */
    RECORD_FAILED = 11,  /* `of` an operation: an attempt failed */
    RECORD_CONFLICT = 12, /* `of` an operation: others were first, its bytes are the object `key` instead */
    RECORD_MEMBER = 13,   /* one object of a RENAME with `tree` (journal/renames.h) */
};

enum record_how {
    RECORD_SENT = 1,      /* the store has it: `version` is what it made */
    RECORD_MERGED = 2,    /* the operation `into` does what this one was to do, or says it again */
    RECORD_DISCARDED = 3, /* somebody wanted that */
    RECORD_ABORTED = 4,   /* an upload: the store has none of it */
};

enum record_cond_kind { RECORD_ALWAYS = 0, RECORD_IF_ABSENT = 1, RECORD_IF_MATCH = 2 };

struct record_part {
    unsigned number;
    uint64_t size;
    const char *etag;
    uint64_t crc64nvme;
    bool unsummed;
};

/* Which fields a kind has is said behind them; the others are zero. Pointers that may be NULL say so. */
struct record {
    enum record_kind kind;
    struct timespec when;       /* all but DONE and MEMBER: the wall clock, when the program did it or when it happened */
    uint64_t of;                /* UPLOAD (the operation it is for, 0: none yet), PARTS, FINISH, BEGUN, DONE, FAILED, CONFLICT */
    const char *key;            /* PUT, COPY and RENAME (from), REMOVE, PROPERTY, UPLOAD, FINISH, CONFLICT, MEMBER (from) */
    const char *to;             /* COPY, RENAME */
    const char *etag;           /* COPY, RENAME, REMOVE, MEMBER: of the version it was made for, or NULL: whatever there is */
    enum record_cond_kind cond; /* PUT, FINISH; COPY, RENAME: on the target */
    const char *cond_etag;      /* with RECORD_IF_MATCH */
    uint64_t size;              /* PUT, FINISH; COPY, RENAME, MEMBER: of the source */
    const struct meta_fields *meta;    /* PUT, COPY, RENAME, UPLOAD, FINISH; or NULL */
    const struct timespec *mtime;      /* COPY, RENAME, MEMBER; or NULL */
    const uint8_t *sha512;             /* PUT, UPLOAD, FINISH: 64 bytes, or NULL */
    const uint64_t *crc64nvme;         /* PUT, FINISH: of all bytes, or NULL */
    const void *body;                  /* PUT: `size` bytes, unless they are a file */
    const char *file;                  /* PUT: that file's name in the log's directory of bodies, or NULL */
    bool tree;                         /* RENAME: `key` and `to` end with '/' */
    const char *name;                  /* PROPERTY */
    const void *value;                 /* PROPERTY: value_len bytes; NULL removes it */
    size_t value_len;
    const char *upload_id;             /* PARTS, FINISH */
    const struct record_part *parts;   /* PARTS, FINISH: in the order of their numbers */
    size_t n_parts;
    enum record_how how;               /* DONE */
    uint64_t into;                     /* DONE with RECORD_MERGED */
    const char *version_etag;          /* DONE, CONFLICT: what is there now; "" for nothing */
    uint64_t version_size;
    struct timespec version_mtime;
    enum err_code code;                /* FAILED */
    const char *text;                  /* FAILED */
    unsigned attempts;                 /* FAILED: so far */
};

/* Appends the encoded form. ERR_INVAL: it is not a record as described above, or passes one of its limits; ERR_TOO_BIG: it has no
 * room in `out`, whose maximum may be WAL_RECORD_MAX; ERR_NOMEM. */
enum err_code record_encode(const struct record *r, struct buf *out, struct err *e) MUST_CHECK;

/* Decodes `len` bytes, which must stay as long as the result is used: it points into them. Free with record_free(). NULL with
 * ERR_PROTO: they are no record; ERR_UNSUPPORTED: they are of a newer version; ERR_NOMEM. */
struct record *record_decode(const void *p, size_t len, struct err *e);

/* Only of what record_decode() made. NULL is fine. */
void record_free(struct record *r);
CLEANUP_DEFINE(struct record, record_free)

/* "put", "copy", ...; "unknown" for what is none. */
const char *record_kind_name(enum record_kind kind);

#endif
