/*
 * Renames that are several requests, on a store and their record (journal/renames.h) alone: one copy of them, and what is left of one that
 * was cut off. Also for who has no vfs. Private to src/vfs but for move_resume().
 *
 * What is copied is known by its version: the ETag that the record has of the copy, else that of the source, else the bytes. Only a source that
 * is the same as what stands under the new name is removed, on the condition that it still is, so that nothing is ever lost.
 */
#ifndef VFS_MOVE_H
#define VFS_MOVE_H

#include "awsfs/store.h"
#include "journal/renames.h"
#include "util/cleanup.h"

struct pool;

struct move {
    struct store *store;
    struct pool *pool;
    struct cancel *cancel;               /* may be NULL */
    const struct store_uploads *uploads; /* told of those that copies make; NULL: see store_copy() */
};

/* Carries out what is left of a rename, or with plan->undo takes back what was done of it. ERR_OK: nothing is left to do, the caller ends
 * the record. ERR_CONFLICT: all was done but for objects that others have changed, removed or put in its way: a person has to look;
 * the message names one. Another error: it may be tried again. Blocks on the network; no lock may be held. */
enum err_code move_resume(const struct move *m, struct rename_note *note, const struct rename_plan *plan, struct err *e) MUST_CHECK;

/* The new key of one below plan->from, malloc'd; NULL without memory. */
char *move_target(const struct rename_plan *plan, const char *key);

/* One copy; a directory's marker is put anew with what it carries, since not every server copies them. Errors of store_copy(). */
enum err_code move_copy(struct store *store, const struct store_copy *copy, const struct store_call *call, struct store_version *out,
                        struct err *e) MUST_CHECK;

/* Whether two versions have the same bytes: fetches both unless their ETags or sizes tell. */
enum err_code move_same(const struct move *m, const char *a_key, const struct store_version *a, const char *b_key,
                        const struct store_version *b, bool *same, struct err *e) MUST_CHECK;

#endif
