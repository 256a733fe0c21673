/*
 * What is known of each byte of a staging file: a sorted array of extents that covers [0, size) without gaps,
 * neighbours of one kind merged. Not thread-safe; knows no file.
 */
#ifndef JOURNAL_STAGE_MAP_H
#define JOURNAL_STAGE_MAP_H

#include "awsfs/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum map_kind {
    MAP_HELD, /* in the main file */
    MAP_OVER, /* in the overlay */
    MAP_BASE, /* in the version that the stage started from */
    MAP_HOLE, /* zeros */
    MAP_SENT, /* only in parts of an upload that is under way */
    MAP_LOST, /* the disk did not take them */
    MAP_KINDS,
};

struct map_extent {
    uint64_t start; /* up to the start of the next, of the last up to the size */
    enum map_kind kind;
};

struct stage_map {
    struct map_extent *extents;
    size_t n, cap;
    uint64_t size;
    uint64_t bytes[MAP_KINDS]; /* of each kind */
};

/* Makes sure that the next `changes` changes need no memory. ERR_NOMEM. */
enum err_code stage_map_reserve(struct stage_map *m, size_t changes, struct err *e) MUST_CHECK;

/* Takes over `from`'s state; one change more is reserved. ERR_NOMEM leaves `m` as it was. */
enum err_code stage_map_copy(struct stage_map *m, const struct stage_map *from, struct err *e) MUST_CHECK;

void stage_map_release(struct stage_map *m);

/* What is at `offset`, and for how many bytes. Beyond the size: MAP_KINDS and 0. */
enum map_kind stage_map_at(const struct stage_map *m, uint64_t offset, uint64_t *len);

/* Makes `len` > 0 bytes at `offset` be of that kind; grows the size where they lie beyond it, with a hole before them.
 * Needs one reserved change; `offset` + `len` must not overflow. */
void stage_map_set(struct stage_map *m, uint64_t offset, uint64_t len, enum map_kind kind);

/* Growing adds a hole. Needs one reserved change. */
void stage_map_resize(struct stage_map *m, uint64_t size);

#endif
