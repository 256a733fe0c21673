/*
 * Notes: what is known of versions beside their bytes. One a key.
 *
 * One that may be overtaken is held back: while a newer one of its key may come it is in no database, so that no kill can leave the older
 * one of two.
 */
#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define SHARE 8    /* of the cache's size, at most */
#define STALE 1024 /* transactions since it was used: then a use is worth a change of its row */
#define HELD  4096 /* at most */

/* The origin, and the key as a string. */
struct note_name {
    int64_t origin;
    char key[];
};

struct note_job {
    struct job job;
    TAILQ_ENTRY(note_job) link; /* held back */
    uint64_t due_ms;
    struct note_name *name;
    int64_t modified;
    char *etag; /* NULL: only a use of what is there */
    uint64_t size;
    size_t len;
    char body[];
};

static int64_t guard_of(int64_t origin, const struct cache_version *v, int64_t modified, const void *p, size_t len)
{
    uint32_t crc = (uint32_t)index_guard(origin, v->key, v->etag, v->size, modified);
    return crc32c(crc, p, len);
}

static enum err_code trim(struct cache *c, struct err *e)
{
    for (;;) {
        bool row = false;
        struct db_stmt *s = db_use(c->db, SQL_SPACE);
        enum err_code code = db_step(c->db, s, &row, e);
        bool many = !code && row && db_int(s, 4) > (int64_t)(c->config.size / SHARE);
        db_reset(s);
        if (!many)
            return code;
        code = db_step(c->db, db_use(c->db, SQL_TRIM_NOTES), NULL, e);
        if (code || db_changes(c->db) == 0)
            return code;
    }
}

static enum err_code note_in(struct cache *c, struct job *j, struct err *e)
{
    const struct note_job *p = (struct note_job *)j;
    struct db_stmt *s = db_use(c->db, p->etag ? SQL_PUT_NOTE : SQL_TOUCH_NOTE);
    if (!p->etag) {
        db_bind_int(s, 1, p->name->origin);
        db_bind_text(s, 2, p->name->key);
        return db_step(c->db, s, NULL, e);
    }
    const struct cache_version v = {.key = p->name->key, .etag = p->etag, .size = p->size};
    index_bind_name(s, p->name->origin, p->name->key, p->etag, p->size);
    db_bind_int(s, 5, p->modified);
    db_bind_int(s, 6, guard_of(p->name->origin, &v, p->modified, p->body, p->len));
    db_bind_blob(s, 7, p->body, p->len);
    enum err_code code = db_step(c->db, s, NULL, e);
    return code ? code : trim(c, e);
}

static void note_after(struct cache *c, struct job *j, bool committed)
{
    struct note_job *p = (struct note_job *)j;
    free(p->name);
    free(p->etag);
    free(p);
}

static struct note_job *job_new(int64_t origin, const char *key, const char *etag, size_t len)
{
    struct note_job *j = calloc(1, sizeof(*j) + len);
    size_t key_size = strlen(key) + 1;
    if (!j)
        return NULL;
    *j = (struct note_job){.job = {.in = note_in, .after = note_after}, .len = len, .name = malloc(sizeof(*j->name) + key_size)};
    j->etag = etag ? strdup(etag) : NULL;
    if (!j->name || (etag && !j->etag)) {
        note_after(NULL, &j->job, false);
        return NULL;
    }
    j->name->origin = origin;
    memcpy(j->name->key, key, key_size);
    return j;
}

/* ---- Held back */

static struct map_key name_of(const void *value)
{
    const struct note_job *j = value;
    return (struct map_key){j->name, sizeof(*j->name) + strlen(j->name->key)};
}

static void unhold_locked(struct cache *c, struct note_job *j)
{
    struct map_key name = name_of(j);
    (void)map_remove(c->held_names, name.p, name.len);
    TAILQ_REMOVE(&c->held, j, link);
}

/* What is newly known of the key takes its place; `hold_ms` 0: at once. False: it is still the caller's. */
static bool hold(struct cache *c, struct note_job *j, unsigned hold_ms)
{
    struct err e = ERR_INIT;
    struct map_key name = name_of(j);
    LOCK_SCOPE(&c->lock);
    struct note_job *older = map_get(c->held_names, name.p, name.len);
    if (older) {
        unhold_locked(c, older);
        note_after(c, &older->job, false);
    }
    if (!hold_ms || c->stop || map_size(c->held_names) >= HELD || map_put(c->held_names, j, &e))
        return false;
    j->due_ms = clock_mono_ms() + hold_ms;
    TAILQ_INSERT_TAIL(&c->held, j, link);
    return true;
}

void notes_due_locked(struct cache *c, bool all)
{
    lock_assert_held(&c->lock);
    uint64_t now = clock_mono_ms();
    struct note_job *j;
    while ((j = TAILQ_FIRST(&c->held)) != NULL && (all || j->due_ms <= now)) {
        unhold_locked(c, j);
        (void)job_post_locked(c, &j->job);
    }
}

uint64_t notes_next_locked(const struct cache *c, uint64_t until_ms)
{
    lock_assert_held(&c->lock);
    const struct note_job *j = TAILQ_FIRST(&c->held);
    return j && j->due_ms < until_ms ? j->due_ms : until_ms;
}

void notes_drop(struct cache *c)
{
    struct note_job *j;
    while ((j = TAILQ_FIRST(&c->held)) != NULL) {
        TAILQ_REMOVE(&c->held, j, link);
        note_after(c, &j->job, false);
    }
    map_free(TAKE(c->held_names));
}

void notes_init(struct cache *c)
{
    TAILQ_INIT(&c->held);
    c->held_names = map_new(name_of);
}

/* ---- Put and get */

void cache_note_put(struct cache *c, const struct cache_version *v, int64_t modified, const void *p, size_t len, unsigned hold_ms)
{
    struct note_job *j = c && len > 0 && len <= CACHE_NOTE_MAX ? job_new(origin_id(v->origin), v->key, v->etag, len) : NULL;
    if (!j)
        return;
    j->size = v->size;
    j->modified = modified;
    memcpy(j->body, p, len);
    bool held = hold(c, j, hold_ms);
    if (!held && !hold_ms)
        (void)job_post(c, &j->job);
    else if (!held)
        note_after(c, &j->job, false);
}

static void touch(struct cache *c, int64_t origin, const char *key)
{
    struct note_job *j = job_new(origin, key, NULL, 0);
    if (j)
        (void)job_post(c, &j->job);
}

/* The current row, if it is what was put. */
static void *take_row(struct db_stmt *s, int64_t origin, const struct cache_version *v, int64_t *modified, size_t *len)
{
    int64_t when = db_int(s, 0), guard = db_int(s, 1);
    size_t n;
    const void *p = db_blob(s, 2, &n);
    char *copy = p && n <= CACHE_NOTE_MAX && guard == guard_of(origin, v, when, p, n) ? malloc(n) : NULL;
    if (!copy)
        return NULL;
    memcpy(copy, p, n);
    *modified = when;
    *len = n;
    return copy;
}

void *cache_note_get(struct cache *c, const struct cache_version *v, int64_t *modified, size_t *len)
{
    unsigned generation;
    struct db *d = c ? reader_take(c, &generation) : NULL;
    if (!d)
        return NULL;
    struct err e = ERR_INIT;
    bool row = false;
    int64_t origin = origin_id(v->origin);
    struct db_stmt *s = db_use(d, SQL_GET_NOTE);
    index_bind_name(s, origin, v->key, v->etag, v->size);
    enum err_code code = db_step(d, s, &row, &e);
    void *copy = !code && row ? take_row(s, origin, v, modified, len) : NULL;
    bool stale = copy && db_int(s, 3) > STALE;
    db_reset(s);
    reader_give(c, d, generation);
    if (code)
        index_failed(c, code, &e);
    if (stale)
        touch(c, origin, v->key);
    return copy;
}

struct about {
    const char *origin, *key;
};

static void bind_about(struct db_stmt *s, const void *arg)
{
    const struct about *n = arg;
    db_bind_int(s, 1, origin_id(n->origin));
    db_bind_text(s, 2, n->key);
}

bool cache_note_has(struct cache *c, const char *origin, const char *key)
{
    return index_has(c, SQL_HAS_NOTE, bind_about, &(struct about){origin, key});
}
