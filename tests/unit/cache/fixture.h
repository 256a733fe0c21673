/* A cache in a directory of the test's own, and objects whose bytes follow from a number. */
#ifndef TEST_CACHE_FIXTURE_H
#define TEST_CACHE_FIXTURE_H

#include "cache/cache.h"

#include <stddef.h>
#include <stdint.h>

extern char cache_dir[64];

/* cmocka's setup and teardown of one test: an empty directory, no cache open in it; removed. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

struct cache *open_cache(uint64_t size);
/* With all of the version in it, of seed 1. */
struct cache *open_filled(uint64_t size, const struct cache_version *v);
/* With nothing pending. */
void settle(struct cache *c);
void close_cache(struct cache *c); /* settled */

/* The version `etag` of `key`. */
struct cache_version version_of(const char *key, const char *etag, uint64_t size);

/* The bytes of object `seed` from `offset` on. */
void make_bytes(unsigned seed, uint64_t offset, void *p, size_t len);

/* Puts all chunks of the object in this order: forwards, or every second and then the others. Waits until they were taken,
 * but not for a cache in trouble. */
void fill(struct cache *c, const struct cache_version *v, unsigned seed);
void fill_chunks(struct cache *c, const struct cache_version *v, unsigned seed, uint64_t from, uint64_t to);

/* Whether all of it is held, and right; wrong bytes end the test. */
bool holds(struct cache *c, const struct cache_version *v, unsigned seed);
/* The chunks that are held, each right. */
uint64_t held_chunks(struct cache *c, const struct cache_version *v, unsigned seed);

struct cache_stats stats_of(struct cache *c);

/* The path of the only file below content/ or part/; "" if there is none. */
void find_file(const char *below, char path[512]);
unsigned count_files(const char *below);
/* Bytes on the disk of all files of the directory. */
uint64_t disk_usage(void);

/* Adds one to the byte at `offset`. */
void spoil(const char *path, uint64_t offset);
/* Runs SQL in the index by a connection of its own; returns the first number. */
int64_t sql(const char *text);
/* Statements without results. */
void sql_all(const char *text);

#endif
