/*
 * The memory of whole blocks: frames of one size in one range of addresses. The first touch of memory costs more than the
 * copy into it, so frames that were given back are handed out again, the last one first: a working set that stays small
 * stays in the processor's caches, too. A free frame is WARM (memory is behind it) or COLD (none is: never touched, or given
 * back to the system). Frames are taken WARM first.
 *
 * What nobody needed for a whole period between two arena_rest() becomes COLD. Huge pages are asked for where the arena is
 * large enough that one more does not matter.
 *
 * No lock of its own: its owner's guards everything but arena_rest_free().
 */
#ifndef VFS_ARENA_H
#define VFS_ARENA_H

#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

/* Address space for `n` frames of `frame` bytes (a multiple of 4 KiB), without memory. NULL without. */
struct arena *arena_new(size_t n, size_t frame);

/* Every frame must have been given back. NULL is fine. */
void arena_free(struct arena *a);
CLEANUP_DEFINE(struct arena, arena_free)

/* A frame with any content; NULL when all are taken. */
void *arena_take(struct arena *a);
void arena_give(struct arena *a, void *frame);

/* Free frames that are WARM, in bytes. */
uint64_t arena_warm(const struct arena *a);

/* Makes one free frame COLD at once; false if none is WARM. */
bool arena_shrink(struct arena *a);

/* Frames that were WARM and free ever since the last call, the coldest first: taken out for arena_rest_free(). NULL: none.
 * Begins the next period. */
struct arena_rest *arena_rest(struct arena *a);

/* Gives their memory back to the system; needs no lock. */
void arena_rest_free(const struct arena *a, struct arena_rest *r);

/* Takes them in again, and frees `r`. */
void arena_rest_end(struct arena *a, struct arena_rest *r);

#endif
