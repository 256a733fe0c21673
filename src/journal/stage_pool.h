/*
 * Where staging files come from: those that are done with are emptied and used again, because a file system takes longer to make and to
 * remove a file than all of a small file's bytes. A file that others may know (a second name, a descriptor) is not used again.
 *
 * Thread-safe; LOCK_LEAF, held for moments. Blocks on the local disk.
 */
#ifndef JOURNAL_STAGE_POOL_H
#define JOURNAL_STAGE_POOL_H

#include "awsfs/err.h"
#include "journal/stage_bytes.h"
#include "util/cleanup.h"

struct stage_pool;

/* In the directory `dir`, which must exist. ERR_NOMEM. */
struct stage_pool *stage_pool_new(const char *dir, struct err *e);

/* Removes the files that are not in use. After the last stage_free(). NULL is fine. */
void stage_pool_free(struct stage_pool *p);
CLEANUP_DEFINE(struct stage_pool, stage_pool_free)

/* The directory, constant. */
const char *stage_pool_dir(const struct stage_pool *p);

/* An empty file; its path is put into *path (malloc'd). ERR_NOSPC, ERR_IO, ERR_NOMEM. */
enum err_code stage_pool_take(struct stage_pool *p, struct stage_bytes *b, char **path, struct err *e) MUST_CHECK;

/* Empties it and keeps it for the next, or removes it. Takes both. */
void stage_pool_give(struct stage_pool *p, struct stage_bytes *b, char *path);

#endif
