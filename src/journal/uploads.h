/*
 * The record of multipart uploads: each is on disk before its first part, so that a mount that died leaves none behind: the
 * next one aborts them. Only ids recorded here are ever aborted.
 */
#ifndef JOURNAL_UPLOADS_H
#define JOURNAL_UPLOADS_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

struct uploads;

/* `dir` is an existing directory of this mount's own. Thread-safe. */
struct uploads *uploads_open(const char *dir, struct err *e);
void uploads_free(struct uploads *u);
CLEANUP_DEFINE(struct uploads, uploads_free)

/* Durable (fsync of file and directory) when it returns. */
enum err_code uploads_add(struct uploads *u, const char *key, const char *upload_id, struct err *e) MUST_CHECK;
/* After finish or abort. */
void uploads_remove(struct uploads *u, const char *upload_id);

/* Calls fn once for each upload that was recorded before uploads_open(); a record for which it returns true is removed, the
 * others are told of again after the next uploads_open(). Unreadable records are moved aside (`.bad`) and logged. An error is
 * the first one; it does not keep the rest from being told. */
enum err_code uploads_each_left(struct uploads *u, bool (*fn)(void *arg, const char *key, const char *upload_id), void *arg,
                                struct err *e) MUST_CHECK;

/* A record as it is on the disk. */
struct upload_note {
    const char *path;           /* of the record */
    const char *key, *upload_id; /* "" where it is not readable */
    struct timespec since;      /* when it was recorded */
};

/* Calls fn for each record in `dir`, also those that were moved aside; changes nothing. For who is not the mount: of one that is alive
 * they are in use. Local files only. */
void uploads_each(const char *dir, void (*fn)(void *arg, const struct upload_note *note), void *arg);

#endif
