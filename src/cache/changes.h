/*
 * When something was last changed below directories, by processes that have the cache open: a table a process. Private to src/cache.
 *
 * A table is a file changes/N of a header and CHANGES_SLOTS times in milliseconds since the boot; a directory has the slot that its
 * name's hash says, so others may share it, which costs listings and nothing else. Only the process that holds an exclusive flock on
 * the file writes to it; one that finds no free file makes the next. The table of a process that is gone keeps what it has, and
 * goes on as that of the next one. Written and read by system calls, so that a file which was made shorter is no signal.
 */
#ifndef CACHE_CHANGES_H
#define CACHE_CHANGES_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHANGES_SLOTS 16384u

struct changes;

/* `dirfd`: of the cache, borrowed, outlives it. `boot`: tables of another one tell nothing. */
enum err_code changes_open(int dirfd, const uint8_t boot[16], struct changes **out, struct err *e) MUST_CHECK;
void changes_close(struct changes *t);
CLEANUP_DEFINE(struct changes, changes_close)

/* The directory of that key (`len` bytes of it), in that origin. */
unsigned changes_slot(int64_t origin, const char *key, size_t len);

/* A change of that key, or below it where it ends with '/': for each of its directories. Any thread; as many may be under way as begin.
 * Writes to the page cache. False: it could not be noted. */
bool changes_begin(struct changes *t, int64_t origin, const char *key);
bool changes_end(struct changes *t, int64_t origin, const char *key);

/* Whether something was changed at or after that time, is being changed, or may have been, by any process. Reads files. */
bool changes_since(struct changes *t, unsigned slot, uint64_t ms);
/* Whether this process has changed anything. */
bool changes_ours(struct changes *t, unsigned slot);

/* Bytes of all tables on the disk. */
uint64_t changes_bytes(int dirfd);

#endif
