/* What the index knows of a version: found when its entry is first used, and when bytes turn out to be those of another. */
#include "cache/cache_internal.h"
#include "util/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct found {
    int64_t id;
    enum content_state state;
    uint8_t hash[CACHE_SHA512];
    bool has_hash, has_seen;
    struct stamp seen;
};

static bool take_row(const struct cache_entry *n, struct db_stmt *s, struct found *f)
{
    size_t len;
    memset(f, 0, sizeof(*f));
    f->id = db_int(s, 0);
    f->state = (enum content_state)db_int(s, 1);
    const void *hash = db_blob(s, 3, &len);
    f->has_hash = len == CACHE_SHA512;
    if (f->has_hash)
        memcpy(f->hash, hash, CACHE_SHA512);
    const void *seen = db_blob(s, 4, &len);
    f->has_seen = len == sizeof(f->seen);
    if (f->has_seen)
        memcpy(&f->seen, seen, sizeof(f->seen));
    return (uint64_t)db_int(s, 2) == n->size && f->state <= CONTENT_WHOLE && (f->state == CONTENT_PART || f->has_hash);
}

static enum err_code find(struct cache_entry *n, struct db *d, struct found *f, bool *linked, struct err *e)
{
    uint8_t md5[16];
    bool row = false;
    struct db_stmt *s = db_use(d, SQL_FIND_VERSION);
    index_bind_name(s, n->origin, n->key, n->etag, n->size);
    enum err_code code = db_step(d, s, &row, e);
    *linked = !code && row && take_row(n, s, f) &&
              db_int(s, 6) == index_guard(n->origin, n->key, n->etag, n->size, f->id);
    db_reset(s);
    if (code || *linked || strlen(n->etag) != 32 || !hex_decode(n->etag, md5, sizeof(md5)))
        return code ? code : *linked ? ERR_OK : ERR_NO_ATTR;
    s = db_use(d, SQL_FIND_MD5);
    db_bind_blob(s, 1, md5, sizeof(md5));
    db_bind_int(s, 2, (int64_t)n->size);
    code = db_step(d, s, &row, e);
    bool usable = !code && row && take_row(n, s, f);
    db_reset(s);
    return code ? code : usable ? ERR_OK : ERR_NO_ATTR;
}

static void hold_all_locked(struct cache_entry *n)
{
    for (uint64_t i = 0; i < n->n_chunks; i++)
        bit_put(n->held, i, true);
    n->n_held = n->n_chunks;
}

/* The file of a content. One that a killed process did not get to rename is under its old name. */
static int open_file(struct cache_entry *n, const struct found *f)
{
    char part[PATH_LEN], whole[PATH_LEN];
    path_part(n->cache, f->id, part);
    if (f->state == CONTENT_PART)
        return file_open_shared(n->cache, part, true);
    path_whole(f->hash, whole);
    int fd = file_open_shared(n->cache, whole, false);
    int why = errno;
    if (fd < 0 && why == ENOENT)
        return file_open_shared(n->cache, part, false);
    errno = why;
    return fd;
}

static void load_part_locked(struct cache_entry *n, uint64_t file_size)
{
    for (uint64_t i = 0; i < n->n_chunks; i++) {
        struct group *g = entry_group_locked(n, i);
        uint64_t end = i * CACHE_CHUNK + chunk_len(n, i);
        if (g && (g->mask >> (i % GROUP_CHUNKS) & 1) && end <= file_size && bit_put(n->held, i, true))
            n->n_held++;
    }
}

/* The row of a WHOLE whose file is not what it should be goes. */
static void lost_locked(struct cache_entry *n, const struct found *f)
{
    bool missing = n->fd < 0;
    if (f->state == CONTENT_WHOLE && (!missing || errno == ENOENT || errno == ELOOP)) {
        cache_count(n->cache, &n->cache->stats.bad, 1);
        LOG_WARN("cache", "%s: its file in the cache %s, it is fetched again", n->key,
                 missing ? "is missing" : "is not of the right size");
        entry_bad_content(n->cache, f->id);
    }
    entry_forget_locked(n);
}

void entry_take_over_locked(struct cache_entry *n)
{
    struct stamp now;
    lock_assert_held(&n->lock);
    if (n->state != CONTENT_PART || n->writer || !file_lock_writer(n->fd) || !stamp_take(n->cache, n->fd, &now))
        return;
    n->writer = true;
    for (uint64_t i = 0; i < words_of(n); i++) {
        free(n->groups[i]);
        n->groups[i] = NULL;
        n->held[i] = n->checked[i] = 0;
    }
    n->n_held = n->n_checked = 0;
    n->seen = now;
    load_part_locked(n, now.size);
}

static void open_found_locked(struct cache_entry *n, const struct found *f)
{
    struct stamp now;
    n->content = f->id;
    if (!entry_shape_locked(n))
        return;
    n->state = f->state;
    memcpy(n->hash, f->hash, CACHE_SHA512);
    n->hash_known = f->has_hash;
    if (f->state == CONTENT_INLINE) {
        hold_all_locked(n);
        return;
    }
    n->fd = open_file(n, f);
    bool usable = n->fd >= 0 && stamp_take(n->cache, n->fd, &now) && (f->state == CONTENT_PART || now.size == n->size);
    if (!usable) {
        lost_locked(n, f);
        return;
    }
    if (f->state == CONTENT_PART) {
        n->writer = file_lock_writer(n->fd);
        load_part_locked(n, now.size);
    } else {
        hold_all_locked(n);
    }
    n->seen = now;
    if (f->has_seen && stamp_same(&f->seen, &now)) {
        memcpy(n->checked, n->held, words_of(n) * sizeof(uint64_t));
        n->n_checked = n->n_held;
    }
    entry_idle_locked(n);
}

/* ---- Jobs that a lookup leaves to the writer */

struct touch_job {
    struct job job;
    struct cache_entry *entry;
    int64_t content;
    bool link;
};

static enum err_code touch_in(struct cache *c, struct job *j, struct err *e)
{
    struct touch_job *t = (struct touch_job *)j;
    enum err_code code = index_do(c, SQL_TOUCH, t->content, 0, e);
    if (!code && t->link && db_changes(c->db) > 0)
        code = index_put_version(c, t->entry, t->content, e);
    return code;
}

static void touch_after(struct cache *c, struct job *j, bool committed)
{
    struct touch_job *t = (struct touch_job *)j;
    cache_entry_unref(t->entry);
    free(t);
}

static void touch(struct cache_entry *n, bool link)
{
    struct touch_job *t = calloc(1, sizeof(*t));
    if (!t)
        return;
    *t = (struct touch_job){.job = {.in = touch_in, .after = touch_after}, .content = n->content, .link = link};
    t->entry = cache_entry_ref(n);
    (void)job_post(n->cache, &t->job);
}

/* Asks `ask` of the index, and opens what it tells. */
static void look_locked(struct cache_entry *n, enum err_code (*ask)(struct cache_entry *, struct db *, struct found *, bool *,
                                                                    struct err *))
{
    struct found f;
    struct err e = ERR_INIT;
    unsigned generation;
    bool linked = false;
    struct db *d = reader_take(n->cache, &generation);
    if (!d)
        return;
    enum err_code code = ask(n, d, &f, &linked, &e);
    reader_give(n->cache, d, generation);
    n->generation = generation;
    n->looked = true;
    if (code && code != ERR_NO_ATTR)
        index_failed(n->cache, code, &e);
    if (code)
        return;
    open_found_locked(n, &f);
    if (n->state != CONTENT_NONE) {
        touch(n, !linked);
        if (!linked)
            cache_count(n->cache, &n->cache->stats.deduplicated, 1);
    }
}

static unsigned generation_now(struct cache *c)
{
    LOCK_SCOPE(&c->index_lock);
    return c->generation;
}

void entry_look_locked(struct cache_entry *n)
{
    lock_assert_held(&n->lock);
    if (n->looked && n->generation == generation_now(n->cache))
        return;
    entry_forget_locked(n);
    look_locked(n, find);
}

/* ---- One version has the bytes of another */

struct same_job {
    struct job job;
    struct cache_entry *to, *from;
};

static enum err_code same_in(struct cache *c, struct job *j, struct err *e)
{
    struct same_job *s = (struct same_job *)j;
    lock_take(&s->from->lock);
    entry_look_locked(s->from);
    int64_t content = s->from->state == CONTENT_NONE ? 0 : s->from->content;
    lock_drop(&s->from->lock);
    return content ? index_put_version(c, s->to, content, e) : ERR_OK;
}

static void same_after(struct cache *c, struct job *j, bool committed)
{
    struct same_job *s = (struct same_job *)j;
    lock_take(&s->to->lock);
    if (committed && s->to->state == CONTENT_NONE)
        s->to->looked = false;
    lock_drop(&s->to->lock);
    cache_entry_unref(s->to);
    cache_entry_unref(s->from);
    free(s);
}

void cache_entry_same(struct cache_entry *to, struct cache_entry *from)
{
    struct same_job *s = to && from && to != from && to->size == from->size ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return;
    *s = (struct same_job){.job = {.in = same_in, .after = same_after}};
    s->to = cache_entry_ref(to);
    s->from = cache_entry_ref(from);
    (void)job_post(to->cache, &s->job);
}

static enum err_code find_hash(struct cache_entry *n, struct db *d, struct found *f, bool *linked, struct err *e)
{
    bool row = false;
    struct db_stmt *s = db_use(d, SQL_FIND_HASH);
    db_bind_blob(s, 1, n->hash, CACHE_SHA512);
    db_bind_int(s, 2, (int64_t)n->size);
    enum err_code code = db_step(d, s, &row, e);
    bool usable = !code && row && take_row(n, s, f);
    db_reset(s);
    return code ? code : usable ? ERR_OK : ERR_NO_ATTR;
}

void cache_entry_hint(struct cache_entry *n, const uint8_t sha512[CACHE_SHA512])
{
    if (!n)
        return;
    LOCK_SCOPE(&n->lock);
    entry_look_locked(n);
    if (n->state != CONTENT_NONE || n->planned)
        return;
    memcpy(n->hash, sha512, CACHE_SHA512);
    look_locked(n, find_hash);
}
