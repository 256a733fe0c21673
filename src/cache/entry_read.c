/* Reading what is held, and checking it (R3 of the design). */
#include "cache/cache_internal.h"
#include "util/digest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- What is bad */

struct bad_job {
    struct job job;
    int64_t content;
};

static enum err_code bad_in(struct cache *c, struct job *j, struct err *e)
{
    return content_gone(c, ((struct bad_job *)j)->content, e);
}

static void bad_after(struct cache *c, struct job *j, bool committed)
{
    lock_take(&c->lock);
    c->reap_due = true;
    lock_drop(&c->lock);
    free(j);
}

void entry_bad_content(struct cache *c, int64_t id)
{
    struct bad_job *b = calloc(1, sizeof(*b));
    if (!b)
        return;
    *b = (struct bad_job){.job = {.in = bad_in, .after = bad_after}, .content = id};
    (void)job_post(c, &b->job);
}

struct bad_chunk_job {
    struct job job;
    struct cache_entry *entry;
    int64_t content;
    uint64_t chunk;
};

/* What was remembered of a WHOLE is not believed again: the next one to open it checks it all. Of a PART, which another process may
 * be writing, the chunk's sum is forgotten and no other. */
static enum err_code bad_chunk_in(struct cache *c, struct job *j, struct err *e)
{
    const struct bad_chunk_job *b = (struct bad_chunk_job *)j;
    struct db_stmt *s = db_use(c->db, SQL_STAMP);
    db_bind_int(s, 1, b->content);
    enum err_code code = db_step(c->db, s, NULL, e);
    if (code)
        return code;
    s = db_use(c->db, SQL_FORGET_CHUNK);
    db_bind_int(s, 1, b->content);
    db_bind_int(s, 2, (int64_t)(b->chunk / GROUP_CHUNKS));
    db_bind_int(s, 3, (int64_t)(1ull << (b->chunk % GROUP_CHUNKS)));
    return db_step(c->db, s, NULL, e);
}

/* The writer's list is its own: so it puts the entry there itself. */
static void bad_chunk_after(struct cache *c, struct job *j, bool committed)
{
    struct bad_chunk_job *b = (struct bad_chunk_job *)j;
    lock_take(&b->entry->lock);
    struct group *g = b->entry->content == b->content && b->entry->groups ? b->entry->groups[b->chunk / GROUP_CHUNKS] : NULL;
    if (g && b->entry->state == CONTENT_PART && b->entry->writer) {
        g->dirty = true;
        entry_dirty_locked(b->entry);
    }
    lock_drop(&b->entry->lock);
    cache_entry_unref(b->entry);
    free(b);
}

static void post_bad_chunk_locked(struct cache_entry *n, uint64_t chunk)
{
    struct bad_chunk_job *b = calloc(1, sizeof(*b));
    if (!b)
        return;
    *b = (struct bad_chunk_job){.job = {.in = bad_chunk_in, .after = bad_chunk_after}, .content = n->content, .chunk = chunk};
    b->entry = cache_entry_ref(n);
    (void)job_post(n->cache, &b->job);
}

/* Others may have the file open and remember it as checked, here under another key, in another process: with a ctime that is not
 * the one they know they look at it again, and the next open of it is no passthrough. */
static void warn_others(const struct cache_entry *n)
{
    if (n->state == CONTENT_WHOLE && fchmod(n->fd, 0600) != 0)
        LOG_DEBUG("cache", "%s: a damaged file stays as it was for others who have it open", n->key);
}

static void bad_chunk_locked(struct cache_entry *n, uint64_t chunk)
{
    struct cache *c = n->cache;
    cache_count(c, &c->stats.bad, 1);
    if (!n->told)
        LOG_WARN("cache", "%s: bytes from %llu on are not what was stored in the cache, they are fetched again", n->key,
             (unsigned long long)chunk * CACHE_CHUNK);
    n->told = true;
    if (n->state == CONTENT_INLINE) {
        entry_bad_content(c, n->content);
        entry_forget_locked(n);
        return;
    }
    n->damaged |= n->state == CONTENT_WHOLE;
    whole_drop_locked(n);
    warn_others(n);
    if (bit_put(n->held, chunk, false))
        n->n_held--;
    if (bit_put(n->checked, chunk, false))
        n->n_checked--;
    struct group *g = n->groups[chunk / GROUP_CHUNKS];
    if (g && n->state == CONTENT_PART)
        g->mask &= ~(1ull << (chunk % GROUP_CHUNKS));
    post_bad_chunk_locked(n, chunk);
}

void entry_watch_locked(struct cache_entry *n)
{
    struct stamp now;
    lock_assert_held(&n->lock);
    if (n->fd < 0 || (stamp_take(n->cache, n->fd, &now) && stamp_same(&now, &n->seen)))
        return;
    memset(n->checked, 0, (n->n_chunks + 63) / 64 * sizeof(uint64_t));
    n->n_checked = 0;
    n->seen = now;
}

/* ---- One chunk */

static bool small_locked(struct cache_entry *n, void *buf)
{
    unsigned generation;
    struct err e = ERR_INIT;
    size_t len = 0, hash_len = 0;
    uint8_t sum[DIGEST_MAX];
    bool row = false, copied = false, good = false;
    struct db *d = reader_take(n->cache, &generation);
    if (!d)
        return false;
    struct db_stmt *s = db_use(d, SQL_BODY);
    db_bind_int(s, 1, n->content);
    enum err_code code = db_step(d, s, &row, &e);
    if (!code && row) {
        const void *p = db_blob(s, 0, &len), *hash = db_blob(s, 1, &hash_len);
        copied = true;
        if (p && len == n->size && hash_len == CACHE_SHA512) {
            memcpy(buf, p, len);
            good = digest_once(DIGEST_SHA512, buf, len, sum, NULL) == ERR_OK && memcmp(sum, hash, CACHE_SHA512) == 0 &&
                   memcmp(sum, n->hash, CACHE_SHA512) == 0;
        }
    }
    db_reset(s);
    reader_give(n->cache, d, generation);
    if (code)
        index_failed(n->cache, code, &e);
    if (good)
        cache_count(n->cache, &n->cache->stats.verified_bytes, len);
    else if (copied)
        bad_chunk_locked(n, 0);
    else
        entry_forget_locked(n); /* evicted by somebody */
    return good;
}

/* What reading one chunk of a file needs, taken under the lock. */
struct look {
    int fd;
    bool checked;
    uint8_t sum[CACHE_SHA512];
    struct stamp seen;
};

static bool look_at_locked(struct cache_entry *n, uint64_t chunk, struct look *l)
{
    if (!bit_get(n->held, chunk))
        return false;
    entry_watch_locked(n);
    l->fd = n->fd;
    l->checked = bit_get(n->checked, chunk);
    l->seen = n->seen;
    if (l->checked)
        return true;
    struct group *g = entry_group_locked(n, chunk);
    if (g && (g->mask >> (chunk % GROUP_CHUNKS) & 1)) {
        memcpy(l->sum, g->sums[chunk % GROUP_CHUNKS], CACHE_SHA512);
        return true;
    }
    bad_chunk_locked(n, chunk);
    return false;
}

/* The descriptor stays: whoever reads has a reference, and a descriptor is closed with the entry only. */
bool entry_chunk(struct cache_entry *n, uint64_t chunk, void *buf)
{
    struct look l;
    uint8_t sum[DIGEST_MAX];
    uint32_t len = chunk_len(n, chunk);
    lock_take(&n->lock);
    if (n->state == CONTENT_INLINE) {
        bool good = small_locked(n, buf);
        lock_drop(&n->lock);
        return good;
    }
    bool held = look_at_locked(n, chunk, &l);
    int64_t content = n->content;
    lock_drop(&n->lock);
    if (!held)
        return false;
    bool good = read_full(l.fd, buf, len, chunk * CACHE_CHUNK);
    if (good && !l.checked)
        good = digest_once(DIGEST_SHA512, buf, len, sum, NULL) == ERR_OK && memcmp(sum, l.sum, CACHE_SHA512) == 0;
    lock_take(&n->lock);
    if (!good && n->content == content && bit_get(n->held, chunk))
        bad_chunk_locked(n, chunk);
    if (good && !l.checked && n->content == content && stamp_same(&l.seen, &n->seen) && bit_get(n->held, chunk) &&
        bit_put(n->checked, chunk, true))
        n->n_checked++;
    if (good && !l.checked)
        cache_count(n->cache, &n->cache->stats.verified_bytes, len);
    lock_drop(&n->lock);
    return good;
}

/* ---- For the callers */

uint64_t cache_held(struct cache_entry *n, uint64_t offset, uint64_t len)
{
    if (!n || offset >= n->size)
        return 0;
    if (len > n->size - offset)
        len = n->size - offset;
    LOCK_SCOPE(&n->lock);
    entry_look_locked(n);
    uint64_t at = offset;
    while (at < offset + len && bit_get(n->held, at / CACHE_CHUNK))
        at = (at / CACHE_CHUNK + 1) * CACHE_CHUNK;
    return at < offset ? 0 : at - offset < len ? at - offset : len;
}

/* A piece of one chunk, which is read as a whole where it is not checked yet. */
static bool read_piece(struct cache_entry *n, uint64_t offset, void *buf, size_t len)
{
    uint64_t chunk = offset / CACHE_CHUNK, start = offset % CACHE_CHUNK;
    uint32_t whole = chunk_len(n, chunk);
    if (start == 0 && len == whole)
        return entry_chunk(n, chunk, buf);
    lock_take(&n->lock);
    bool checked = n->state != CONTENT_INLINE && bit_get(n->held, chunk);
    if (checked)
        entry_watch_locked(n);
    checked = checked && bit_get(n->checked, chunk);
    int fd = n->fd;
    lock_drop(&n->lock);
    if (checked && read_full(fd, buf, len, offset))
        return true;
    CLEANUP(free) char *tmp = malloc(whole);
    if (!tmp || !entry_chunk(n, chunk, tmp))
        return false;
    memcpy(buf, tmp + start, len);
    return true;
}

bool cache_read(struct cache_entry *n, uint64_t offset, void *buf, size_t len)
{
    if (!n || offset >= n->size || len > n->size - offset)
        return false;
    struct cache *c = n->cache;
    pace_reading(&c->pace);
    lock_take(&n->lock);
    entry_look_locked(n);
    lock_drop(&n->lock);
    for (size_t done = 0; done < len;) {
        uint64_t at = offset + done, left = CACHE_CHUNK - at % CACHE_CHUNK;
        size_t piece = len - done < left ? len - done : (size_t)left;
        if (!read_piece(n, at, (char *)buf + done, piece)) {
            cache_count(c, &c->stats.misses, 1);
            return false;
        }
        done += piece;
    }
    cache_count(c, &c->stats.hits, 1);
    cache_count(c, &c->stats.hit_bytes, len);
    return true;
}

int cache_entry_fd(struct cache_entry *n)
{
    if (!n)
        return -1;
    LOCK_SCOPE(&n->lock);
    entry_look_locked(n);
    if (n->state != CONTENT_WHOLE || n->damaged)
        return -1;
    entry_watch_locked(n);
    if (n->n_checked == n->n_chunks)
        return n->fd;
    entry_idle_locked(n);
    return -1;
}
