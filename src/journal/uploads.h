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
#include <stdint.h>
#include <time.h>

struct uploads;

/* `dir` is an existing directory of this mount's own. Thread-safe. */
struct uploads *uploads_open(const char *dir, struct err *e);
void uploads_free(struct uploads *u);
CLEANUP_DEFINE(struct uploads, uploads_free)

/* Keeps room for records beside the directory (DIR.room), for when the disk is full: what fills it could not be sent else, and nothing
 * would make room. Best effort. The first time before other threads use it; later on it sets aside again what was taken. */
void uploads_set_aside(struct uploads *u);
/* Gives a little of it up for others who must go on. False: there is none. */
bool uploads_give_room(struct uploads *u);

#define UPLOADS_INTENT_SIZE 40 /* bytes, with the NUL */

/* Before the store is asked for an upload of the key: should no answer come, who asked can still be told. Durable when it returns; its
 * name is put into `intent`. */
enum err_code uploads_intend(struct uploads *u, const char *key, char intent[UPLOADS_INTENT_SIZE], struct err *e) MUST_CHECK;
/* The answer has come: the store has no upload that is not recorded by its id. */
void uploads_answered(struct uploads *u, const char *intent);

/* Durable (fsync of file and directory) when it returns. */
enum err_code uploads_add(struct uploads *u, const char *key, const char *upload_id, struct err *e) MUST_CHECK;
/* After finish or abort. */
void uploads_remove(struct uploads *u, const char *upload_id);

/* There are bytes that are only in this upload: from now on nobody aborts it by himself. Its record is still among uploads_each().
 * Durable when it returns; a second time changes nothing. */
void uploads_keep(struct uploads *u, const char *upload_id);

/* Whether an upload of that id is recorded. */
bool uploads_has(struct uploads *u, const char *upload_id);

/* Calls fn once for each upload that was recorded before uploads_open(), and then, with `upload_id` NULL, for each intent from before
 * that had no answer; `since` is when it was recorded, seconds of the wall clock. A record for which it returns true is removed,
 * the others are told of again after the next uploads_open(). Unreadable records are moved aside (`.bad`) and logged. An error is
 * the first one; it does not keep the rest from being told. */
typedef bool (*uploads_left_fn)(void *arg, const char *key, const char *upload_id, int64_t since);
enum err_code uploads_each_left(struct uploads *u, uploads_left_fn fn, void *arg, struct err *e) MUST_CHECK;

/* A record as it is on the disk. */
struct upload_note {
    const char *path;           /* of the record */
    const char *key;            /* "" where it is not readable */
    const char *upload_id;      /* "" of an intent */
    bool kept;                  /* by uploads_keep() */
    struct timespec since;      /* when it was recorded */
};

/* Calls fn for each record in `dir`, also those that were moved aside; changes nothing. For who is not the mount: of one that is alive
 * they are in use. Local files only. */
void uploads_each(const char *dir, void (*fn)(void *arg, const struct upload_note *note), void *arg);

#endif
