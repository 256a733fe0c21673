/* What becomes of a chunk that was put: a row with its bytes, or a place in a sparse file. Runs on the writer. */
#include "cache/cache_internal.h"
#include "util/digest.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static uint64_t rounded(uint64_t len)
{
    return (len + 4095) / 4096 * 4096;
}

/* ---- The transaction */

/* MD5, where the ETag has its form and is it: then an object of that ETag and size elsewhere has these bytes. */
static bool etag_md5(const struct cache_entry *n, const void *p, size_t len, uint8_t md5[DIGEST_MAX])
{
    uint8_t told[16];
    return strlen(n->etag) == 32 && hex_decode(n->etag, told, sizeof(told)) &&
           digest_once(DIGEST_MD5, p, len, md5, NULL) == ERR_OK && memcmp(md5, told, sizeof(told)) == 0;
}

static enum err_code known_hash(struct cache *c, const uint8_t *sum, int64_t *id, struct err *e)
{
    bool row = false;
    struct db_stmt *s = db_use(c->db, SQL_KNOWN_HASH);
    db_bind_blob(s, 1, sum, CACHE_SHA512);
    enum err_code code = db_step(c->db, s, &row, e);
    *id = !code && row ? db_int(s, 0) : 0;
    db_reset(s);
    return code;
}

static enum err_code plan_inline(struct cache *c, struct cache_block *b, const uint8_t *sum, struct err *e)
{
    struct cache_entry *n = b->entry;
    uint8_t md5[DIGEST_MAX];
    int64_t id;
    enum err_code code = known_hash(c, sum, &id, e);
    if (!code && id == 0) {
        struct db_stmt *s = db_use(c->db, SQL_ADD_INLINE);
        db_bind_blob(s, 1, sum, CACHE_SHA512);
        db_bind_int(s, 2, b->len);
        db_bind_blob(s, 3, etag_md5(n, b->p, b->len, md5) ? md5 : NULL, 16);
        db_bind_blob(s, 4, b->p, b->len);
        code = db_step(c->db, s, NULL, e);
        id = db_last_id(c->db);
    }
    if (!code)
        code = index_put_version(c, n, id, e);
    n->planned = id;
    n->planned_inline = true;
    return code;
}

static enum err_code add_part(struct cache *c, struct cache_entry *n, struct err *e)
{
    struct db_stmt *s = db_use(c->db, SQL_ADD_CONTENT);
    db_bind_int(s, 1, (int64_t)n->size);
    enum err_code code = db_step(c->db, s, NULL, e);
    n->planned = db_last_id(c->db);
    return code;
}

static enum err_code plan_part(struct cache *c, struct cache_entry *n, struct err *e)
{
    enum err_code code = add_part(c, n, e);
    return code ? code : index_put_version(c, n, n->planned, e);
}

static uint64_t held_bytes(const struct cache_entry *n)
{
    bool last = n->n_chunks > 0 && bit_get(n->held, n->n_chunks - 1);
    return (n->n_held - last) * CACHE_CHUNK + (last ? rounded(chunk_len(n, n->n_chunks - 1)) : 0);
}

/* A WHOLE that is damaged becomes a PART of the chunks that are not, which are copied if there is room: its own file is never
 * written. */
static enum err_code plan_salvage(struct cache *c, struct cache_entry *n, struct err *e)
{
    enum err_code code = space_fits(c, held_bytes(n) + CACHE_CHUNK, &n->planned_copy, e);
    if (!code)
        code = add_part(c, n, e);
    if (!code)
        code = index_repoint(c, n->content, n->planned, e);
    if (!code)
        code = index_put_version(c, n, n->planned, e);
    if (!code)
        code = content_gone(c, n->content, e);
    if (!code && n->planned_copy)
        code = index_do(c, SQL_RESERVE, n->planned, (int64_t)held_bytes(n), e);
    return code;
}

/* What is held and not checked may be bad: then somebody found it so, and fetched it, while it was copied (salvage). */
static bool is_sure_locked(const struct cache_entry *n, uint64_t chunk)
{
    return bit_get(n->held, chunk) && bit_get(n->checked, chunk);
}

static enum err_code plan_one(struct cache *c, struct cache_block *b, const uint8_t *sum, bool *out, struct err *e)
{
    struct cache_entry *n = b->entry;
    LOCK_SCOPE(&n->lock);
    *out = false;
    if (n->state == CONTENT_NONE && !n->planned && n->origin != ORIGIN_STRAY)
        n->looked = false; /* another process may have begun it since */
    if (!n->planned)
        entry_look_locked(n);
    entry_take_over_locked(n);
    if (b->index >= n->n_chunks || b->len != chunk_len(n, b->index) || (n->planned && n->planned_inline))
        return ERR_OK;
    enum err_code code = ERR_OK;
    if (n->state == CONTENT_NONE && !n->planned)
        code = n->size <= SMALL_MAX ? plan_inline(c, b, sum, e) : plan_part(c, n, e);
    else if (n->state == CONTENT_WHOLE && n->damaged && !n->planned)
        code = plan_salvage(c, n, e);
    else if (!n->planned && (n->state != CONTENT_PART || !n->writer || is_sure_locked(n, b->index)))
        return ERR_OK;
    *out = !code;
    if (code || n->planned_inline)
        return code;
    return index_do(c, SQL_RESERVE, n->planned ? n->planned : n->content, (int64_t)rounded(b->len), e);
}

enum err_code admit_plan(struct cache *c, struct cache_block **blocks, unsigned n, uint8_t (*sums)[CACHE_SHA512], bool *out,
                         struct err *e)
{
    uint64_t bytes = 0;
    bool fits = true;
    for (unsigned i = 0; i < n; i++) {
        LOCK_SCOPE(&blocks[i]->entry->lock);
        blocks[i]->entry->planned = 0;
        blocks[i]->entry->planned_inline = false;
        out[i] = false;
        bytes += rounded(blocks[i]->len);
    }
    enum err_code code = space_fits(c, bytes, &fits, e);
    for (unsigned i = 0; !code && fits && i < n; i++)
        code = plan_one(c, blocks[i], sums[i], &out[i], e);
    return code;
}

/* ---- The bytes */

static void copy_chunk(int from, int to, uint64_t at, size_t len, bool *ok)
{
    off_t in = (off_t)at, out = (off_t)at;
    while (*ok && len > 0) {
        ssize_t n = copy_file_range(from, &in, to, &out, len, 0);
        *ok = n > 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* The chunks that were good, into the new file. */
static void salvage_chunks_locked(struct cache_entry *n, struct cache_entry *old)
{
    for (uint64_t i = 0; i < n->n_chunks; i++) {
        struct group *g = bit_get(old->held, i) ? old->groups[i / GROUP_CHUNKS] : NULL;
        bool ok = g && (g->mask >> (i % GROUP_CHUNKS) & 1);
        copy_chunk(old->fd, n->fd, i * CACHE_CHUNK, chunk_len(n, i), &ok);
        struct group *to = ok ? entry_group_locked(n, i) : NULL;
        if (!to)
            continue;
        memcpy(to->sums[i % GROUP_CHUNKS], g->sums[i % GROUP_CHUNKS], CACHE_SHA512);
        to->mask |= 1ull << (i % GROUP_CHUNKS);
        to->dirty = true;
        n->n_held += bit_put(n->held, i, true);
    }
}

static void free_groups(struct cache_entry *n, uint64_t n_chunks)
{
    for (uint64_t i = 0; n->groups && i < (n_chunks + GROUP_CHUNKS - 1) / GROUP_CHUNKS; i++)
        free(n->groups[i]);
    free(n->groups);
    free(n->held);
}

static void open_part_locked(struct cache *c, struct cache_entry *n)
{
    char path[PATH_LEN];
    path_part(c, n->planned, path);
    n->content = n->planned;
    n->fd = file_create(c, path);
    /* The row is new, so what has its name is of a row that a loss of power has taken back. */
    if (n->fd < 0 && errno == EEXIST && unlinkat(c->dirfd, path, 0) == 0)
        n->fd = file_create(c, path);
    if (n->fd >= 0 && entry_shape_locked(n)) {
        n->state = CONTENT_PART;
        n->writer = file_lock_writer(n->fd);
        return;
    }
    struct err e = ERR_INIT;
    (void)err_sys(&e, errno, "%s/%s", c->dir, path);
    cache_trouble(c, &e);
    entry_forget_locked(n);
}

static void begin_part_locked(struct cache *c, struct cache_entry *n)
{
    struct cache_entry old = {.fd = n->fd};
    bool salvage = n->state == CONTENT_WHOLE && n->damaged && n->planned_copy;
    for (uint64_t i = 0; salvage && i < n->n_chunks; i += GROUP_CHUNKS)
        (void)entry_group_locked(n, i);
    if (salvage) {
        old.held = TAKE(n->held);
        old.groups = TAKE(n->groups);
    }
    entry_forget_locked(n);
    open_part_locked(c, n);
    if (salvage && n->state == CONTENT_PART)
        salvage_chunks_locked(n, &old);
    if (n->state == CONTENT_PART) {
        (void)stamp_take(c, n->fd, &n->seen);
        entry_dirty_locked(n);
    }
    free_groups(&old, n->n_chunks);
}

void entry_dirty_locked(struct cache_entry *n)
{
    lock_assert_held(&n->lock);
    if (n->in_dirty)
        return;
    n->in_dirty = true;
    n->next_dirty = n->cache->dirty;
    n->cache->dirty = cache_entry_ref(n);
}

static void written_locked(struct cache_entry *n, const struct cache_block *b, const uint8_t *sum)
{
    struct group *g = entry_group_locked(n, b->index);
    if (!g)
        return;
    memcpy(g->sums[b->index % GROUP_CHUNKS], sum, CACHE_SHA512);
    g->mask |= 1ull << (b->index % GROUP_CHUNKS);
    g->dirty = true;
    n->n_held += bit_put(n->held, b->index, true);
    n->n_checked += bit_put(n->checked, b->index, true);
    cache_count(n->cache, &n->cache->stats.filled_bytes, b->len);
}

/* Adjacent chunks, of which none is held, or none surely. */
static void write_run_locked(struct cache *c, struct cache_block **b, uint8_t (*sums)[CACHE_SHA512], unsigned count)
{
    struct cache_entry *n = b[0]->entry;
    struct err e = ERR_INIT;
    if (n->state != CONTENT_PART || !n->writer)
        return;
    entry_watch_locked(n);
    if (direct_write(n, b, count, &e) != ERR_OK) {
        for (unsigned k = 0; k < count; k++)
            cache_count(c, &c->stats.dropped_bytes, b[k]->len);
        cache_trouble(c, &e);
        return;
    }
    (void)stamp_take(c, n->fd, &n->seen);
    for (unsigned k = 0; k < count; k++)
        written_locked(n, b[k], sums[k]);
    entry_dirty_locked(n);
}

/* How many of them can be written at once. */
static unsigned run_of(const struct cache_entry *n, struct cache_block *const *b, const bool *plan, unsigned count)
{
    unsigned k = 0;
    while (k < count && plan[k] && b[k]->entry == n && b[k]->index == b[0]->index + k && !is_sure_locked(n, b[k]->index))
        k++;
    return k;
}

static void begin_inline_locked(struct cache_entry *n, const uint8_t *sum, uint32_t len)
{
    n->content = n->planned;
    if (!entry_shape_locked(n))
        return;
    n->state = CONTENT_INLINE;
    memcpy(n->hash, sum, CACHE_SHA512);
    n->hash_known = true;
    n->n_held += bit_put(n->held, 0, true);
    cache_count(n->cache, &n->cache->stats.filled_bytes, len);
}

void admit_write(struct cache *c, struct cache_block **blocks, unsigned n, uint8_t (*sums)[CACHE_SHA512], const bool *plan,
                 bool committed)
{
    for (unsigned i = 0, run; i < n; i += run) {
        struct cache_entry *entry = blocks[i]->entry;
        run = 1;
        LOCK_SCOPE(&entry->lock);
        if (!committed || !plan[i]) {
            bool here = bit_get(entry->held, blocks[i]->index);
            if (!here)
                cache_count(c, &c->stats.dropped_bytes, blocks[i]->len);
            continue;
        }
        if (entry->planned && entry->planned_inline)
            begin_inline_locked(entry, sums[i], blocks[i]->len);
        else if (entry->planned)
            begin_part_locked(c, entry);
        bool small = entry->planned_inline;
        entry->planned = 0;
        entry->planned_inline = false;
        unsigned adjacent = small ? 0 : run_of(entry, blocks + i, plan + i, n - i);
        if (adjacent > 0)
            write_run_locked(c, blocks + i, sums + i, run = adjacent);
    }
    for (unsigned i = 0; i < n; i++) {
        LOCK_SCOPE(&blocks[i]->entry->lock);
        blocks[i]->entry->planned = 0;
        blocks[i]->entry->planned_inline = false;
    }
}

/* ---- Recording what was written */

static enum err_code put_group(struct cache *c, const struct cache_entry *n, uint64_t i, struct err *e)
{
    const struct group *g = n->groups[i];
    unsigned top = g->mask ? 64 - (unsigned)__builtin_clzll(g->mask) : 0;
    struct db_stmt *s = db_use(c->db, SQL_PUT_GROUP);
    db_bind_int(s, 1, n->content);
    db_bind_int(s, 2, (int64_t)i);
    db_bind_int(s, 3, (int64_t)g->mask);
    db_bind_blob(s, 4, g->sums, (size_t)top * CACHE_SHA512);
    return db_step(c->db, s, NULL, e);
}

/* What its file takes: more than what is held where a killed process did not record what it wrote, and where chunks were found bad. */
static uint64_t disk_bytes(const struct cache_entry *n)
{
    struct stat st;
    uint64_t held = held_bytes(n), all = rounded(n->size);
    uint64_t disk = fstat(n->fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : all;
    disk = disk > held ? disk : held;
    return disk < all ? disk : all;
}

static enum err_code record_one_locked(struct cache *c, struct cache_entry *n, struct err *e)
{
    if (n->state != CONTENT_PART || !n->writer)
        return ERR_OK;
    entry_watch_locked(n);
    bool all = n->n_checked == n->n_held;
    struct db_stmt *s = db_use(c->db, SQL_RECORD);
    db_bind_int(s, 1, n->content);
    db_bind_int(s, 2, (int64_t)disk_bytes(n));
    db_bind_blob(s, 3, all ? &n->seen : NULL, sizeof(n->seen));
    enum err_code code = db_step(c->db, s, NULL, e);
    if (code)
        return code;
    if (db_changes(c->db) == 0) { /* its row went before it had a file: nobody else knows the file */
        char path[PATH_LEN];
        path_part(c, n->content, path);
        unlinkat(c->dirfd, path, 0);
        entry_forget_locked(n);
        return ERR_OK;
    }
    for (uint64_t i = 0; !code && i < (n->n_chunks + GROUP_CHUNKS - 1) / GROUP_CHUNKS; i++)
        if (n->groups[i] && n->groups[i]->dirty)
            code = put_group(c, n, i, e);
    return code;
}

enum err_code record_in(struct cache *c, struct err *e)
{
    enum err_code code = ERR_OK;
    for (struct cache_entry *n = c->dirty; !code && n; n = n->next_dirty) {
        LOCK_SCOPE(&n->lock);
        code = record_one_locked(c, n, e);
    }
    return code;
}

void record_after(struct cache *c, bool committed)
{
    if (!committed && c->db)
        return; /* later */
    struct cache_entry *n = TAKE(c->dirty);
    for (struct cache_entry *next; n; n = next) {
        next = n->next_dirty;
        lock_take(&n->lock);
        n->in_dirty = false;
        for (uint64_t i = 0; n->groups && i < (n->n_chunks + GROUP_CHUNKS - 1) / GROUP_CHUNKS; i++)
            if (n->groups[i])
                n->groups[i]->dirty = false;
        entry_idle_locked(n);
        lock_drop(&n->lock);
        cache_entry_unref(n);
    }
}
