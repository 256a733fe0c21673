/*
 * Listings of directories that outlive the process: what one request, or several, told of all names of a directory, for whoever opens
 * that directory next, in this process or another one.
 *
 * What a listing is used for must know of every change made from this machine. So each process that has the cache open notes, in
 * a table of its own (changes.c), when something was last changed below a directory, before the change is made and after it; a listing
 * counts only while its first request began after the last change that any table has. A process that is killed while it changes
 * something leaves that noted as under way. The tables are plain files that are written and never synced: a listing of another boot
 * does not count, nor one whose age the two clocks do not agree on.
 *
 * Nothing here fails the caller; a NULL cache keeps nothing.
 */
#ifndef CACHE_LISTINGS_H
#define CACHE_LISTINGS_H

#include "cache/cache.h"

/* Bytes of one listing: some 50,000 names. A larger directory is listed by many requests side by side, and one row of the index
 * should not take longer to write than those. */
#define CACHE_LISTING_MAX (2u << 20)

struct cache_dir {
    const char *origin; /* as in struct cache_version */
    const char *key;    /* of the directory, with a '/' behind it unless it is empty */
    const char *view;   /* whatever else what is listed may depend on: who asks */
};

/* Notes that what is under the key is about to be changed, or was, or may have been: nothing that was listed before the end counts of the
 * directory it is in, of those above that, and of the key itself if it is a directory's. Each begin has its end. Never waits but for a
 * write into the page cache; under no lock above LOCK_CACHE_CHANGES. */
void cache_change_begin(struct cache *c, const char *origin, const char *key);
void cache_change_end(struct cache *c, const char *origin, const char *key);

/* Keeps a listing whose first request began at `taken_ms` (clock_mono_ms()): up to CACHE_LISTING_MAX bytes, in place of an older one;
 * `hint` (0 to 255; 0: none) goes with it.
 * `untouched`: only where this process has changed nothing in the directory. Copies; never blocks; dropped where too much waits to be
 * written. All listings together take at most a thirty-second part of the cache, and 64 MiB: the oldest go. */
void cache_listing_put(struct cache *c, const struct cache_dir *d, uint64_t taken_ms, bool untouched, uint8_t hint, const void *p,
                       size_t len);
/* Another hint for the listing of that time, if it is kept. Never blocks. */
void cache_listing_hint(struct cache *c, const struct cache_dir *d, uint64_t taken_ms, uint8_t hint);

/* malloc'd; NULL if there is none of at most that age, if something was changed in the directory since, or by this process at any time.
 * Blocks on the disk. */
void *cache_listing_get(struct cache *c, const struct cache_dir *d, uint64_t max_age_ms, uint64_t *taken_ms, uint8_t *hint,
                        size_t *len);

/* What was got makes no sense: it goes, and the log says so. Never blocks. */
void cache_listing_bad(struct cache *c, const struct cache_dir *d, const char *why);

#endif
