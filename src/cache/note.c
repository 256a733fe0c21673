/* Notes: what is known of versions beside their bytes. One a key. */
#include "cache/cache_internal.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define SHARE 8    /* of the cache's size, at most */
#define STALE 1024 /* transactions since it was used: then a use is worth a change of its row */

struct note_job {
    struct job job;
    int64_t origin, modified;
    char *key, *etag; /* etag NULL: only a use of what is there */
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
        db_bind_int(s, 1, p->origin);
        db_bind_text(s, 2, p->key);
        return db_step(c->db, s, NULL, e);
    }
    const struct cache_version v = {.key = p->key, .etag = p->etag, .size = p->size};
    index_bind_name(s, p->origin, p->key, p->etag, p->size);
    db_bind_int(s, 5, p->modified);
    db_bind_int(s, 6, guard_of(p->origin, &v, p->modified, p->body, p->len));
    db_bind_blob(s, 7, p->body, p->len);
    enum err_code code = db_step(c->db, s, NULL, e);
    return code ? code : trim(c, e);
}

static void note_after(struct cache *c, struct job *j, bool committed)
{
    struct note_job *p = (struct note_job *)j;
    free(p->key);
    free(p->etag);
    free(p);
}

static struct note_job *job_new(int64_t origin, const char *key, size_t len)
{
    struct note_job *j = calloc(1, sizeof(*j) + len);
    if (!j)
        return NULL;
    *j = (struct note_job){.job = {.in = note_in, .after = note_after}, .origin = origin, .len = len, .key = str_printf("%s", key)};
    return j;
}

void cache_note_put(struct cache *c, const struct cache_version *v, int64_t modified, const void *p, size_t len)
{
    struct note_job *j = c && len > 0 && len <= CACHE_NOTE_MAX ? job_new(origin_id(v->origin), v->key, len) : NULL;
    if (!j)
        return;
    j->etag = str_printf("%s", v->etag);
    j->size = v->size;
    j->modified = modified;
    memcpy(j->body, p, len);
    if (j->key && j->etag)
        (void)job_post(c, &j->job);
    else
        note_after(c, &j->job, false);
}

static void touch(struct cache *c, int64_t origin, const char *key)
{
    struct note_job *j = job_new(origin, key, 0);
    if (j && j->key)
        (void)job_post(c, &j->job);
    else if (j)
        note_after(c, &j->job, false);
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

struct note_name {
    const char *origin, *key;
};

static void bind_note_name(struct db_stmt *s, const void *arg)
{
    const struct note_name *n = arg;
    db_bind_int(s, 1, origin_id(n->origin));
    db_bind_text(s, 2, n->key);
}

bool cache_note_has(struct cache *c, const char *origin, const char *key)
{
    return index_has(c, SQL_HAS_NOTE, bind_note_name, &(struct note_name){origin, key});
}
