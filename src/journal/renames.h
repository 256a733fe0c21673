/*
 * The record of renames that are several requests: what is moved, and how far that is. It is there before the first copy is made and
 * goes with the last removal, so that the next mount can carry out the rest of what a killed one has begun.
 *
 * A file each: `RANDOM.rename` (`RANDOM-BOOT-INODE.rename` of one that is not durable), or `RANDOM.undo` once the program was told that it failed and the copies are to go again. Frames of a
 * length, a CRC-32C and a record (journal/record.h): the RENAME; with `tree` a MEMBER for each object; then, as they come, a DONE of
 * each copy (`of` counts objects from 1) and a FAILED for each attempt to finish it. A torn end is no damage.
 * Who works on one holds a lock on its file. Functions without a note may be called from any thread, those of a note too.
 */
#ifndef JOURNAL_RENAMES_H
#define JOURNAL_RENAMES_H

#include "awsfs/err.h"
#include "journal/record.h"

struct rename_note;

struct rename_item {
    const char *key; /* the old one, whole; the new one has `to` in the place of `from` */
    const char *etag;
    uint64_t size;
    struct timespec mtime;
    const char *copied; /* ETag of the copy; NULL: not known to be made */
};

struct rename_plan {
    bool tree;                      /* `from` and `to` end with '/'; else they are the keys of one object */
    const char *from, *to;
    const char *replaced;           /* ETag of what stood at `to` itself; NULL: nothing */
    const struct meta_fields *meta; /* that the copy of a file gets; NULL: its own goes along */
    bool keep_times;                /* of a tree: copies get the times of what they are made of, where they store none */
    struct rename_item *items;
    size_t n;
    /* Of one that was read: */
    struct timespec when;           /* it was begun */
    bool undo;
    enum err_code failed;           /* of the last attempt to finish it; ERR_OK: none. ERR_CONFLICT: a person has to decide */
    const char *text;
    unsigned attempts;
};

/* Records a rename in `dir`. `durable`: it survives a power loss when this returns; otherwise kill -9, and it says nothing after the next
 * boot, unless an attempt to finish it failed. Free the note with
 * rename_note_end() or rename_note_leave(). ERR_NOSPC, ERR_IO, ERR_NOMEM, ERR_INVAL. */
enum err_code renames_begin(const char *dir, const struct rename_plan *plan, bool durable, struct rename_note **out, struct err *e) MUST_CHECK;

/* Object number `item` (from 0) has been copied. What cannot be written is found out again by who resumes. */
void rename_note_copied(struct rename_note *n, size_t item, const char *etag);
/* The program was told a failure: copies are to go. Durable. */
enum err_code rename_note_undo(struct rename_note *n, struct err *e) MUST_CHECK;
/* An attempt to finish it failed. Durable. */
void rename_note_failed(struct rename_note *n, const struct err *why, unsigned attempts);
/* Of its file, borrowed. */
const char *rename_note_path(const struct rename_note *n);
/* The same, taken out of the note, for who leaves it next: the caller's. */
char *rename_note_take_path(struct rename_note *n);
/* Nothing is left to do: the record goes, a durable one for good: that blocks on the disk. Frees the note; NULL is fine. */
void rename_note_end(struct rename_note *n);
/* Somebody else has to go on. Frees the note; NULL is fine. */
void rename_note_leave(struct rename_note *n);

/* Takes a record that nobody works on: the caller does from now on, with *plan, which is freed with rename_plan_free(). ERR_BUSY: somebody
 * does; ERR_NOT_FOUND: it is gone; ERR_PROTO, ERR_UNSUPPORTED: it cannot be read; ERR_IO, ERR_NOMEM. */
enum err_code renames_take(const char *path, struct rename_note **out, struct rename_plan **plan, struct err *e) MUST_CHECK;
void rename_plan_free(struct rename_plan *plan);
CLEANUP_DEFINE(struct rename_plan, rename_plan_free)

/* Calls fn with the path of each record in `dir`; `readable` false: of one that was moved aside. ERR_IO, ERR_NOMEM. */
enum err_code renames_each(const char *dir, void (*fn)(void *arg, const char *path, bool readable), void *arg, struct err *e) MUST_CHECK;
/* Reads one without taking it; `busy`: somebody works on it. NULL: it is gone or cannot be read. */
struct rename_plan *renames_read(const char *path, bool *busy, struct err *e);
/* Moves one that cannot be read aside, with a line in the log. */
void renames_set_aside(const char *path, const struct err *why);
/* Removes what a killed writer has left half written. Only where no mount is alive. */
void renames_tidy(const char *dir);

#endif
