/* Contents that the disk cache holds whole, as files. */
#include "cache/cache.h"
#include "vfs/backing.h"

/* The entry keeps the content from its eviction, and the descriptor open. */
static int file_of(void *arg, const char *key, const struct store_version *version, void **keep)
{
    const struct vfs *v = arg;
    const struct cache_version wanted = {.origin = v->origin, .key = key, .etag = version->etag, .size = version->size};
    CLEANUP(cache_entry_unref) struct cache_entry *n = cache_entry_get(v->cfg.cache, &wanted);
    int fd = cache_entry_fd(n);
    if (fd >= 0)
        *keep = TAKE(n);
    return fd;
}

static void let_go(void *arg, void *keep)
{
    cache_entry_unref(keep);
}

void backing_from_cache(struct vfs *v)
{
    const struct backing_source source = {file_of, let_go, v};
    backing_from(v, &source);
}
