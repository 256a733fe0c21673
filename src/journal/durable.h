/* Small files that are there as a whole or not at all, also after a power loss. */
#ifndef JOURNAL_DURABLE_H
#define JOURNAL_DURABLE_H

#include "awsfs/err.h"

#include <stddef.h>

/* Ends the name of a file that is still being written: one found later is rubbish. */
#define DURABLE_SUFFIX ".tmp"

/* Puts `len` bytes as the file `path` (0600), replacing one that is there; file and directory are synced. `path` must
 * have a
 * '/'. Blocks on the disk: no lock may be held. ERR_NOSPC, ERR_IO, ERR_NOMEM. */
enum err_code durable_put(const char *path, const void *p, size_t len, struct err *e) MUST_CHECK;

/* Syncs the directory that `path` is in. */
enum err_code durable_sync_parent(const char *path, struct err *e) MUST_CHECK;

/* A local failure by errno: ERR_NOSPC, ERR_NOMEM, ERR_TOO_BIG or ERR_IO; never one of the store's words. */
enum err_code durable_failed(struct err *e, int errnum, const char *what, const char *path);

#endif
