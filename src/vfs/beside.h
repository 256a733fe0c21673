/*
 * The disk cache beside the store: what it holds is not asked for, what is fetched or stored from here goes to it, and whole files
 * of it may serve open files in place of vfs_read(). Private to src/vfs.
 */
#ifndef VFS_BESIDE_H
#define VFS_BESIDE_H

#include "cache/cache.h"
#include "vfs/tree.h"

/* Of v->cfg.cache, connected to v->contents and v->backing. NULL without memory. */
struct beside *beside_new(struct vfs *v, struct err *e);

/* What is only in the kernel's pages yet is brought to the cache whoever reads, for at most `wait_ms`. Without locks. */
void beside_settle(struct beside *b, unsigned wait_ms);

struct refill_stats;
void beside_stats(struct beside *b, struct refill_stats *out); /* zero of NULL */

/* Nothing is taken from the kernel any more. Before contents_free(), and before the vfs loses its notifications. */
void beside_end(struct beside *b);

/* After contents_free(). NULL is fine. The cache still finishes what it was given. */
void beside_free(struct beside *b);

/* The frozen state of `stage`, of version->size bytes with that SHA-512, or where it is NULL that CRC-64/NVME, was stored under the
 * key: the cache gets a copy in the background, unless the staging file's disk is so full that its room is wanted. Where it is written
 * to meanwhile the cache notices and drops it. Waits for the local disk only. */
void beside_stored(struct vfs *v, const char *key, const struct store_version *version, struct stage *stage,
                   const uint8_t *sha512, uint64_t crc64nvme);

/* Somebody writes: what the cache does in the background keeps out of the way. `b` NULL is fine. Any lock below LOCK_LEAF. */
void beside_writing(struct beside *b);

/* What is noted of versions beside their bytes: cache_note_*() of cache/cache.h, by the store's keys. */
void beside_note(struct beside *b, const char *key, const struct store_version *version, int64_t modified, const void *p, size_t len,
                 unsigned hold_ms);
void *beside_noted(struct beside *b, const char *key, const struct store_version *version, int64_t *modified, size_t *len);
bool beside_has_note(struct beside *b, const char *key);

/* Listings of directories by the store's keys, beyond the mount: cache/listings.h. `taken_ms`: when the first request for it began. */
void beside_listed(struct beside *b, const char *key, uint64_t taken_ms, uint8_t hint, const void *p, size_t len);
void beside_listing_hint(struct beside *b, const char *key, uint64_t taken_ms, uint8_t hint);
void *beside_listing(struct beside *b, const char *key, uint64_t max_age_ms, uint64_t *taken_ms, uint8_t *hint, size_t *len);
void beside_listing_bad(struct beside *b, const char *key, const char *why);

/* The cache's entry of a version, with a reference; NULL: none. Touches no disk. */
struct cache_entry *beside_entry(struct beside *b, const char *key, const struct store_version *version);
/* The bytes of a version that came from the store by another way than its content: at most CONTENT_BLOCK, all of them. Copies; never
 * blocks; `b` NULL is fine. */
void beside_give(struct beside *b, const char *key, const struct store_version *version, const void *p);
/* Whether it begins with bytes that are held. Blocks on the disk; false of NULL. */
bool beside_holds(struct beside *b, const char *key, const struct store_version *version);
/* cache_has_size() of cache/cache.h. */
bool beside_has_size(struct beside *b, uint64_t size);

#endif
