/*
 * Names as one page of a listing brought them, packed: some 30 bytes and the name for each, in one allocation. A name's place is
 * that of the name with a '/' behind it, whatever it is of: so an object "a" stands where a directory "a/" would, behind "a-b", and
 * once a listing has come to a place, it is decided what stands there. What is not to be used any more is marked as taken: an
 * inode, or nothing, stands in its stead. Immutable but for that. Not thread-safe. Private to src/vfs.
 */
#ifndef VFS_CHUNK_H
#define VFS_CHUNK_H

#include "awsfs/store.h"

#define CHUNK_NAME_MAX 255

struct chunk;

struct chunk_name {
    const char *name;
    size_t len;                          /* at most CHUNK_NAME_MAX, at least 1 */
    const struct store_version *version; /* NULL: a directory */
};

/* Packs n > 0 names, in the order of their places, no two the same; nothing is borrowed. `seq` and `start_ms` are of the request
 * that brought them. NULL without memory. */
struct chunk *chunk_new(const struct chunk_name *names, size_t n, uint64_t seq, uint64_t start_ms);
void chunk_free(struct chunk *c);

size_t chunk_size(const struct chunk *c);
uint64_t chunk_seq(const struct chunk *c);
uint64_t chunk_start_ms(const struct chunk *c);
/* What it takes of memory, in bytes. */
size_t chunk_bytes(const struct chunk *c);

/* Of the name number k. The name gets a NUL behind it; its length is returned. */
size_t chunk_name(const struct chunk *c, size_t k, char out[CHUNK_NAME_MAX + 1]);
bool chunk_is_dir(const struct chunk *c, size_t k);
/* Not of a directory. */
void chunk_version(const struct chunk *c, size_t k, struct store_version *out);
bool chunk_is_taken(const struct chunk *c, size_t k);
void chunk_take(struct chunk *c, size_t k);

/* <0, 0, >0 as the place of number k is before, at or behind that of the name. */
int chunk_compare(const struct chunk *c, size_t k, const char *name, size_t len);
/* The same for two names without '/'. */
int place_compare(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
