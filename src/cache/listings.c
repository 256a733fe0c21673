/* Listings: one a directory and view. A row says in whole what it is of, by its checksum: a damaged one is dropped, and the log says so. */
#include "cache/listings.h"

#include "cache/cache_internal.h"
#include "cache/changes.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define SHARE     32           /* of the cache's size, at most, */
#define ALL_MAX   (64u << 20)  /* and so many bytes: what one mount lists in a few minutes */
#define QUEUE_MAX (4ull << 20) /* that wait to be written: one transaction takes half of the log's room at most */
#define SKEW_MS   1000         /* by which the two clocks may differ, and a thousandth part of the age */

struct listing_job {
    struct job job;
    int64_t origin, view, taken, wall;
    char *key;
    uint8_t hint;
    size_t len;
    char body[];
};

static int64_t wall_ms(void)
{
    struct timespec now = clock_now();
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t guard_of(int64_t origin, int64_t view, const char *key, int64_t taken, int64_t wall, const void *p, size_t len)
{
    const int64_t numbers[4] = {origin, view, taken, wall};
    uint32_t crc = crc32c(0, numbers, sizeof(numbers));
    crc = crc32c(crc, key, strlen(key) + 1);
    return crc32c(crc, p, len);
}

/* The hint with a checksum of its own, since it may come later. */
static int64_t sealed_hint(int64_t origin, int64_t view, const char *key, int64_t taken, uint8_t hint)
{
    return (int64_t)((uint64_t)guard_of(origin, view, key, taken, 0, &hint, 1) << 8 | hint);
}

/* ---- What was changed */

static enum err_code drop_all_in(struct cache *c, struct job *j, struct err *e)
{
    struct db_stmt *s = db_use(c->db, SQL_DROP_LISTINGS);
    db_bind_text(s, 1, "");
    return db_step(c->db, s, NULL, e);
}

static void drop_all_after(struct cache *c, struct job *j, bool committed)
{
    lock_take(&c->lock);
    c->dropping = false;
    lock_drop(&c->lock);
    free(j);
}

/* A change that cannot be noted: whatever was listed goes, as soon as the writer comes to it. */
static void drop_all(struct cache *c)
{
    lock_take(&c->lock);
    bool first = !c->dropping;
    c->dropping = true;
    lock_drop(&c->lock);
    struct job *j = first ? calloc(1, sizeof(*j)) : NULL;
    if (!j)
        return;
    *j = (struct job){.in = drop_all_in, .after = drop_all_after};
    (void)job_post(c, j);
}

static void note_change(struct cache *c, const char *origin, const char *key,
                        bool (*note)(struct changes *t, int64_t origin, const char *key))
{
    if (c && !(c->changes && note(c->changes, origin_id(origin), key)))
        drop_all(c);
}

void cache_change_begin(struct cache *c, const char *origin, const char *key)
{
    note_change(c, origin, key, changes_begin);
}

void cache_change_end(struct cache *c, const char *origin, const char *key)
{
    note_change(c, origin, key, changes_end);
}

/* ---- Writing */

static enum err_code trim(struct cache *c, struct err *e)
{
    uint64_t most = c->config.size / SHARE < ALL_MAX ? c->config.size / SHARE : ALL_MAX;
    for (;;) {
        bool row = false;
        struct db_stmt *s = db_use(c->db, SQL_SPACE);
        enum err_code code = db_step(c->db, s, &row, e);
        bool many = !code && row && db_int(s, 5) > (int64_t)most;
        db_reset(s);
        if (!many)
            return code;
        code = db_step(c->db, db_use(c->db, SQL_TRIM_LISTINGS), NULL, e);
        if (code || db_changes(c->db) == 0)
            return code;
    }
}

/* Those of another boot are of no use to anybody. */
static enum err_code tidy(struct cache *c, struct err *e)
{
    if (c->listings_tidied)
        return ERR_OK;
    struct db_stmt *s = db_use(c->db, SQL_OTHER_LISTINGS);
    db_bind_blob(s, 1, c->boot, sizeof(c->boot));
    enum err_code code = db_step(c->db, s, NULL, e);
    c->listings_tidied = !code;
    return code;
}

static void bind_name(struct db_stmt *s, int64_t origin, int64_t view, const char *key)
{
    db_bind_int(s, 1, origin);
    db_bind_int(s, 2, view);
    db_bind_text(s, 3, key);
}

static enum err_code put_in(struct cache *c, struct job *j, struct err *e)
{
    const struct listing_job *p = (struct listing_job *)j;
    bool fits = false;
    unsigned slot = changes_slot(p->origin, p->key, strlen(p->key));
    if (changes_since(c->changes, slot, (uint64_t)p->taken))
        return ERR_OK;
    enum err_code code = tidy(c, e);
    if (!code)
        code = space_fits(c, p->len + strlen(p->key), &fits, e);
    if (code || !fits)
        return code;
    struct db_stmt *s = db_use(c->db, SQL_PUT_LISTING);
    bind_name(s, p->origin, p->view, p->key);
    db_bind_blob(s, 4, c->boot, sizeof(c->boot));
    db_bind_int(s, 5, p->taken);
    db_bind_int(s, 6, p->wall);
    db_bind_int(s, 7, guard_of(p->origin, p->view, p->key, p->taken, p->wall, p->body, p->len));
    db_bind_int(s, 8, sealed_hint(p->origin, p->view, p->key, p->taken, p->hint));
    db_bind_blob(s, 9, p->body, p->len);
    db_bind_int(s, 10, (int64_t)clock_mono_ms());
    code = db_step(c->db, s, NULL, e);
    return code ? code : trim(c, e);
}

static void put_after(struct cache *c, struct job *j, bool committed)
{
    struct listing_job *p = (struct listing_job *)j;
    lock_take(&c->lock);
    c->listing_bytes -= p->len;
    lock_drop(&c->lock);
    free(p->key);
    free(p);
}

static bool has_room(struct cache *c, size_t len)
{
    LOCK_SCOPE(&c->lock);
    bool room = c->listing_bytes + len <= QUEUE_MAX && !cache_in_trouble_locked(c);
    c->listing_bytes += room ? len : 0;
    return room;
}

void cache_listing_put(struct cache *c, const struct cache_dir *d, uint64_t taken_ms, bool untouched, uint8_t hint, const void *p,
                       size_t len)
{
    if (!c || !c->changes || len == 0 || len > CACHE_LISTING_MAX)
        return;
    int64_t origin = origin_id(d->origin), age = (int64_t)(clock_mono_ms() - taken_ms);
    if ((untouched && changes_ours(c->changes, changes_slot(origin, d->key, strlen(d->key)))) || !has_room(c, len))
        return;
    struct listing_job *j = calloc(1, sizeof(*j) + len);
    char *key = j ? str_printf("%s", d->key) : NULL;
    if (!key) {
        free(j);
        lock_take(&c->lock);
        c->listing_bytes -= len;
        lock_drop(&c->lock);
        return;
    }
    *j = (struct listing_job){.job = {.in = put_in, .after = put_after}, .origin = origin, .view = origin_id(d->view), .key = key,
                              .taken = (int64_t)taken_ms, .wall = wall_ms() - age, .hint = hint, .len = len};
    memcpy(j->body, p, len);
    (void)job_post(c, &j->job);
}

static enum err_code hint_in(struct cache *c, struct job *j, struct err *e)
{
    const struct listing_job *p = (struct listing_job *)j;
    struct db_stmt *s = db_use(c->db, SQL_HINT_LISTING);
    bind_name(s, p->origin, p->view, p->key);
    db_bind_int(s, 4, p->taken);
    db_bind_int(s, 5, sealed_hint(p->origin, p->view, p->key, p->taken, p->hint));
    return db_step(c->db, s, NULL, e);
}

/* A job about a listing that has no bytes of it. */
static void post(struct cache *c, const struct cache_dir *d, enum err_code (*in)(struct cache *, struct job *, struct err *),
                 uint64_t taken_ms, uint8_t hint)
{
    struct listing_job *j = calloc(1, sizeof(*j));
    if (!j)
        return;
    *j = (struct listing_job){.job = {.in = in, .after = put_after}, .origin = origin_id(d->origin), .view = origin_id(d->view),
                              .taken = (int64_t)taken_ms, .hint = hint, .key = str_printf("%s", d->key)};
    if (j->key)
        (void)job_post(c, &j->job);
    else
        put_after(c, &j->job, false);
}

void cache_listing_hint(struct cache *c, const struct cache_dir *d, uint64_t taken_ms, uint8_t hint)
{
    if (c && c->changes)
        post(c, d, hint_in, taken_ms, hint);
}

/* ---- Reading */

/* Since when a row is of use at all; false: it is not. */
static bool is_current(const struct cache *c, struct db_stmt *s, uint64_t max_age_ms)
{
    size_t len;
    const void *boot = db_blob(s, 0, &len);
    static const uint8_t none[16];
    if (len != sizeof(c->boot) || memcmp(boot, c->boot, len) != 0 || memcmp(boot, none, len) == 0)
        return false;
    int64_t age = (int64_t)clock_mono_ms() - db_int(s, 1), by_wall = wall_ms() - db_int(s, 2);
    int64_t skew = by_wall > age ? by_wall - age : age - by_wall;
    return db_int(s, 1) > 0 && age >= 0 && (uint64_t)age < max_age_ms && skew <= SKEW_MS + age / 1000;
}

struct reading {
    struct cache *cache;
    const struct cache_dir *dir;
    int64_t origin, view;
    uint64_t max_age_ms;
    uint64_t *taken_ms;
    uint8_t *hint;
    size_t *len;
    bool bad;
};

static void *take_row(struct reading *r, struct db_stmt *s)
{
    size_t len;
    const void *p = db_blob(s, 5, &len);
    int64_t taken = db_int(s, 1), wall = db_int(s, 2), hint = db_int(s, 4);
    r->bad = !p || len > CACHE_LISTING_MAX || db_int(s, 3) != guard_of(r->origin, r->view, r->dir->key, taken, wall, p, len);
    void *copy = r->bad ? NULL : malloc(len);
    if (!copy)
        return NULL;
    bool sound = hint == sealed_hint(r->origin, r->view, r->dir->key, taken, (uint8_t)hint);
    *r->taken_ms = (uint64_t)taken;
    *r->hint = sound ? (uint8_t)hint : 0;
    *r->len = len;
    return memcpy(copy, p, len);
}

static void *read_row(struct reading *r)
{
    struct cache *c = r->cache;
    unsigned generation, slot = changes_slot(r->origin, r->dir->key, strlen(r->dir->key));
    struct db *d = reader_take(c, &generation);
    if (!d)
        return NULL;
    struct err e = ERR_INIT;
    bool row = false;
    struct db_stmt *s = db_use(d, SQL_GET_LISTING);
    bind_name(s, r->origin, r->view, r->dir->key);
    enum err_code code = db_step(d, s, &row, &e);
    bool good = !code && row && is_current(c, s, r->max_age_ms) && !changes_since(c->changes, slot, (uint64_t)db_int(s, 1));
    void *copy = good ? take_row(r, s) : NULL;
    db_reset(s);
    reader_give(c, d, generation);
    if (code)
        index_failed(c, code, &e);
    return copy;
}

void *cache_listing_get(struct cache *c, const struct cache_dir *d, uint64_t max_age_ms, uint64_t *taken_ms, uint8_t *hint,
                        size_t *len)
{
    if (!c || !c->changes)
        return NULL;
    struct reading r = {.cache = c, .dir = d, .origin = origin_id(d->origin), .view = origin_id(d->view), .max_age_ms = max_age_ms,
                        .taken_ms = taken_ms, .hint = hint, .len = len};
    if (changes_ours(c->changes, changes_slot(r.origin, d->key, strlen(d->key))))
        return NULL;
    void *p = read_row(&r);
    if (r.bad)
        cache_listing_bad(c, d, "its checksum is wrong");
    return p;
}

static enum err_code drop_in(struct cache *c, struct job *j, struct err *e)
{
    const struct listing_job *p = (struct listing_job *)j;
    struct db_stmt *s = db_use(c->db, SQL_DROP_LISTING);
    bind_name(s, p->origin, p->view, p->key);
    return db_step(c->db, s, NULL, e);
}

void cache_listing_bad(struct cache *c, const struct cache_dir *d, const char *why)
{
    if (!c)
        return;
    LOG_WARN("cache", "%s/index.db: the listing of \"%s\" is dropped: %s", c->dir, d->key, why);
    post(c, d, drop_in, 0, 0);
}
