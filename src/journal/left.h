/*
 * Staging files that are nobody's any more: what could not be uploaded (journal/stage.h, stage_abandon()), and what a mount was
 * killed over. Local files only; any thread, no lock needed.
 */
#ifndef JOURNAL_LEFT_H
#define JOURNAL_LEFT_H

#include "awsfs/err.h"
#include "journal/stage.h"

#include <stdbool.h>

#define LEFT_INFO ".info" /* ends the name of a description */

/* Bytes that are not in the file: they are those of the version that it changes. */
struct left_range {
    uint64_t offset, length;
};

enum left_use { LEFT_BY_ALL, LEFT_IN_USE /* a process has it open */, LEFT_NOT_KNOWN };

struct left_file {
    const char *path;         /* the staging file's */
    struct stage_about about; /* as it was left; key and reason are "" where the description is not readable */
    const char *time;         /* when it was left, or "" */
    enum left_use use;        /* of one without a description */
    uint64_t size;            /* bytes of the file */
    const struct left_range *unfetched; /* zeros in the file; more than fit into a description are told as one */
    size_t n_unfetched;
};

/* Calls fn for each staging file in `dir` that was abandoned, by this mount or an earlier one, and is still there; in no order. */
void left_each(const char *dir, void (*fn)(void *arg, const struct left_file *file), void *arg);

/* Calls fn for each staging file in `dir` that has bytes and no description: it is in use, or its mount was killed and it is not known
 * what it was. */
void left_each_nameless(const char *dir, void (*fn)(void *arg, const struct left_file *file), void *arg);

/* Puts a description beside a file of `size` bytes that was moved aside: the key of the object that they were to be, and why they are
 * not. Durable when it returns. ERR_NOSPC, ERR_IO, ERR_NOMEM. */
enum err_code left_describe(const char *path, const char *key, uint64_t size, const char *reason, struct err *e) MUST_CHECK;

/* Calls fn for the file `name` in `dir`, whatever its name, if it has a description. Returns whether it did. */
bool left_one(const char *dir, const char *name, void (*fn)(void *arg, const struct left_file *file), void *arg);

/* Removes those without a byte and logs what left_each_nameless() tells of. Call before the first stage_new() there, with the directory to oneself. Returns how
 * many. */
size_t left_report(const char *dir);

/* "new", "version", "any", "unknown": as it is written in a description. */
const char *left_origin_name(enum stage_origin origin);

/* Removes one with its description. ERR_IO, ERR_NOMEM. */
enum err_code left_remove(const char *path, struct err *e) MUST_CHECK;

#endif
