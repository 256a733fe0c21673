/* What an administrator does with a cache, also while others have it mounted. Every call blocks on the disk; for none a cache may
 * be NULL. `prefix`: of keys as the cache has them ("bucket/dir"), a whole component at its end unless it ends with '/'; "" is
 * everything. ERR_BUSY: another process holds the database. */
#ifndef CACHE_ADMIN_H
#define CACHE_ADMIN_H

#include "cache/cache.h"

struct cache_row {
    struct cache_version version; /* borrowed */
    uint64_t disk;                /* bytes it takes; shared with whatever has the same bytes */
    int64_t content;              /* the same number: the same bytes */
    bool whole, pinned;
};

/* Calls fn() for each version, ordered by origin and key, without holding anything: what changes meanwhile may show or not. fn()
 * returns false to end it. */
enum err_code cache_each(struct cache *c, const char *prefix, bool (*fn)(void *arg, const struct cache_row *row), void *arg,
                         struct err *e) MUST_CHECK;

/* Checks every byte that is held of the version, whatever is remembered of earlier checks. `*bytes` is what was good, `*bad` the
 * chunks that were not: these are not held any more. seen(arg, n), which may be NULL: `n` bytes more were looked at. */
void cache_verify(struct cache *c, const struct cache_version *v, void (*seen)(void *arg, uint64_t n), void *arg, uint64_t *bytes,
                  uint64_t *bad);

enum cache_action {
    CACHE_PIN,   /* not to be evicted for want of room */
    CACHE_UNPIN,
    CACHE_EVICT, /* what is not pinned goes, what is open as soon as it is closed */
    CACHE_CLEAR, /* so does what is pinned */
};

struct cache_applied {
    uint64_t versions; /* below the prefix */
    uint64_t changed;  /* contents that it changed */
    uint64_t kept;     /* contents that it did not: pinned (or not) already; not evicted, because pinned */
};

/* Does it to the contents of all versions below the prefix. */
enum err_code cache_apply(struct cache *c, const char *prefix, enum cache_action action, struct cache_applied *out,
                          struct err *e) MUST_CHECK;

#endif
