/* Entries: what is known of one version while somebody uses it. */
#include "cache/cache_internal.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int64_t origin_id(const char *name)
{
    uint8_t sum[DIGEST_MAX];
    int64_t id = 0;
    if (digest_once(DIGEST_SHA512, name, strlen(name), sum, NULL) == ERR_OK)
        memcpy(&id, sum, sizeof(id));
    return id;
}

static void entry_free(struct cache_entry *n)
{
    if (!n)
        return;
    lock_take(&n->lock);
    entry_forget_locked(n);
    lock_drop(&n->lock);
    for (unsigned i = 0; i < n->n_old; i++)
        close(n->old_fds[i]);
    if (n->n_old > 0) {
        LOCK_SCOPE(&n->cache->lock);
        n->cache->reap_due = true;
        cond_signal(&n->cache->work);
    }
    lock_release(&n->lock);
    free(n->old_fds);
    free(n->id);
    free(n->origin_name);
    free(n->key);
    free(n->etag);
    free(n);
}
CLEANUP_DEFINE(struct cache_entry, entry_free)

static struct cache_entry *entry_new(struct cache *c, const struct cache_version *v)
{
    CLEANUP(entry_free) struct cache_entry *n = calloc(1, sizeof(*n));
    if (!n)
        return NULL;
    lock_init(&n->lock, "cache entry", LOCK_CACHE_ENTRY);
    n->cache = c;
    n->fd = n->direct_fd = -1;
    n->state = CONTENT_NONE;
    n->size = v->size;
    n->n_chunks = (v->size + CACHE_CHUNK - 1) / CACHE_CHUNK;
    n->refs = 1;
    n->origin = origin_id(v->origin);
    n->origin_name = str_printf("%s", v->origin);
    n->key = str_printf("%s", v->key);
    n->etag = str_printf("%s", v->etag);
    n->id = str_printf("%s\n%llu\n%s\n%s", v->origin, (unsigned long long)v->size, v->etag, v->key);
    if (!n->origin_name || !n->key || !n->etag || !n->id)
        return NULL;
    n->id_len = strlen(n->id);
    return TAKE(n);
}

struct cache_entry *cache_entry_get(struct cache *c, const struct cache_version *v)
{
    if (!c || v->size == 0)
        return NULL;
    CLEANUP(entry_free) struct cache_entry *fresh = entry_new(c, v);
    if (!fresh)
        return NULL;
    lock_take(&c->lock);
    struct cache_entry *n = map_get(c->entries, fresh->id, fresh->id_len);
    if (n)
        n->refs++;
    else if (map_put(c->entries, fresh, NULL) == ERR_OK)
        n = TAKE(fresh);
    lock_drop(&c->lock);
    return n;
}

struct cache_entry *cache_entry_ref(struct cache_entry *n)
{
    if (n) {
        LOCK_SCOPE(&n->cache->lock);
        n->refs++;
    }
    return n;
}

void cache_entry_unref(struct cache_entry *n)
{
    if (!n)
        return;
    struct cache *c = n->cache;
    lock_take(&c->lock);
    bool last = --n->refs == 0;
    if (last)
        map_remove(c->entries, n->id, n->id_len);
    lock_drop(&c->lock);
    if (last)
        entry_free(n);
}

/* ---- Chunks */

uint32_t chunk_len(const struct cache_entry *n, uint64_t chunk)
{
    uint64_t left = n->size - chunk * CACHE_CHUNK;
    return left < CACHE_CHUNK ? (uint32_t)left : CACHE_CHUNK;
}

bool bit_put(uint64_t *bits, uint64_t i, bool v)
{
    if (bit_get(bits, i) == v)
        return false;
    bits[i / 64] ^= 1ull << (i % 64);
    return true;
}

bool entry_shape_locked(struct cache_entry *n)
{
    lock_assert_held(&n->lock);
    uint64_t words = words_of(n);
    if (!n->held)
        n->held = calloc(words, sizeof(uint64_t));
    if (!n->checked)
        n->checked = calloc(words, sizeof(uint64_t));
    if (!n->groups)
        n->groups = calloc(words, sizeof(struct group *));
    return n->held && n->checked && n->groups;
}

static void take_group(struct group *g, struct db_stmt *s)
{
    size_t len;
    uint64_t mask = (uint64_t)db_int(s, 0);
    const void *sums = db_blob(s, 1, &len);
    if (len > sizeof(g->sums) || len % CACHE_SHA512 != 0)
        return;
    if (sums)
        memcpy(g->sums, sums, len);
    size_t known = len / CACHE_SHA512;
    g->mask = known == GROUP_CHUNKS ? mask : mask & ((1ull << known) - 1);
}

/* NULL without memory; one without sums where the index has none. */
struct group *entry_group_locked(struct cache_entry *n, uint64_t chunk)
{
    lock_assert_held(&n->lock);
    uint64_t i = chunk / GROUP_CHUNKS;
    if (n->groups[i])
        return n->groups[i];
    struct group *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    unsigned generation;
    struct db *d = n->state == CONTENT_NONE ? NULL : reader_take(n->cache, &generation);
    if (d) {
        struct err e = ERR_INIT;
        bool row = false;
        struct db_stmt *s = db_use(d, SQL_GROUP);
        db_bind_int(s, 1, n->content);
        db_bind_int(s, 2, (int64_t)i);
        enum err_code code = db_step(d, s, &row, &e);
        if (code)
            index_failed(n->cache, code, &e);
        else if (row)
            take_group(g, s);
        db_reset(s);
        reader_give(n->cache, d, generation);
    }
    return n->groups[i] = g;
}

void entry_forget_locked(struct cache_entry *n)
{
    lock_assert_held(&n->lock);
    uint64_t words = words_of(n);
    for (uint64_t i = 0; n->groups && i < words; i++)
        free(n->groups[i]);
    free(n->groups);
    free(n->held);
    free(n->checked);
    n->groups = NULL;
    n->held = n->checked = NULL;
    n->n_held = n->n_checked = 0;
    /* Somebody may be reading from it, or have lent it to the kernel. */
    int *old = n->fd >= 0 ? realloc(n->old_fds, (n->n_old + 1) * sizeof(int)) : NULL;
    if (old) {
        n->old_fds = old;
        n->old_fds[n->n_old++] = n->fd;
    }
    n->fd = -1;
    direct_close_locked(n);
    whole_drop_locked(n);
    n->state = CONTENT_NONE;
    n->content = 0;
    n->writer = n->damaged = n->hash_known = n->promoting = false;
}
