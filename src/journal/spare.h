/*
 * Room set aside on a disk that may become full: what has to be recorded before anything can be sent, and so before anything makes
 * room, must not wait for room itself. It is a file without bytes whose blocks are given up piece by piece, and it outlives the process.
 * Where the filesystem cannot set room aside there is none.
 *
 * Thread-safe. Blocks on the local disk.
 */
#ifndef JOURNAL_SPARE_H
#define JOURNAL_SPARE_H

#include "util/cleanup.h"

#include <stdbool.h>

struct spare;

/* Sets room aside in this file, as far as there is any. NULL without memory, or where it cannot be made. */
struct spare *spare_open(const char *path);

/* The file stays. NULL is fine. */
void spare_free(struct spare *s);
CLEANUP_DEFINE(struct spare, spare_free)

/* Gives up enough for a small file. False where nothing is left; NULL has nothing. */
bool spare_give(struct spare *s);

/* Sets aside again what was given up, as far as there is room. NULL is fine. */
void spare_refill(struct spare *s);

#endif
