/*
 * A hash map from byte strings to pointers, keyed SipHash so that names chosen by others cannot degrade it. The map does not
 * own its values, and borrows the key bytes from the value's own storage: they must live and stay unchanged while the entry
 * does. 16 bytes a slot, at most 7/8 full. Not thread-safe.
 */
#ifndef UTIL_MAP_H
#define UTIL_MAP_H

#include "awsfs/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map;

struct map_key {
    const void *p;
    size_t len;
};

/* `key_of` tells the key of a stored value. NULL without memory. */
struct map *map_new(struct map_key (*key_of)(const void *value));

/* The values stay the caller's. NULL is fine. */
void map_free(struct map *m);

/* NULL when absent. */
void *map_get(const struct map *m, const void *key, size_t key_len);

/* Adds; the key must not be there (asserted). ERR_NOMEM leaves the map as it was. */
enum err_code map_put(struct map *m, void *value, struct err *e) MUST_CHECK;

/* Removes and returns the value, or NULL. */
void *map_remove(struct map *m, const void *key, size_t key_len);

size_t map_size(const struct map *m);

/* Walks all values in no particular order: start with *cursor = 0; NULL at the end. The value just returned may be removed
 * during the walk, nothing may be added. */
void *map_next(const struct map *m, size_t *cursor);

#endif
