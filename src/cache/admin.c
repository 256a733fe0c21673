#include "cache/admin.h"

#include "cache/cache_internal.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define PAGE    256
#define WAIT_MS 60000

/* ---- Listing */

struct line {
    char *origin, *key, *etag;
    int64_t origin_id;
    struct cache_row row;
};

static void free_lines(struct line *lines, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        free(lines[i].origin);
        free(lines[i].key);
        free(lines[i].etag);
    }
}

static bool take_line(struct db_stmt *s, struct line *l)
{
    *l = (struct line){.origin_id = db_int(s, 0)};
    l->key = str_printf("%s", db_text(s, 1) ? db_text(s, 1) : "");
    l->etag = str_printf("%s", db_text(s, 2) ? db_text(s, 2) : "");
    l->row.version.size = (uint64_t)db_int(s, 3);
    l->row.content = db_int(s, 4);
    l->row.whole = db_int(s, 5) != CONTENT_PART;
    l->row.disk = (uint64_t)db_int(s, 6);
    l->row.pinned = db_int(s, 7) != 0;
    l->origin = str_printf("%s", db_text(s, 8) ? db_text(s, 8) : "");
    l->row.version.origin = l->origin;
    l->row.version.key = l->key;
    l->row.version.etag = l->etag;
    return l->key && l->etag && l->origin;
}

/* Up to PAGE lines behind `after` (NULL: from the beginning). */
static enum err_code read_page(struct cache *c, const struct line *after, struct line *out, unsigned *n, struct err *e)
{
    unsigned generation;
    struct db *d = reader_take(c, &generation);
    *n = 0;
    if (!d)
        return err_set(e, ERR_BUSY, "the cache's database cannot be read now");
    struct db_stmt *s = db_use(d, SQL_PAGE);
    index_bind_name(s, after ? after->origin_id : INT64_MIN, after ? after->key : "", after ? after->etag : "",
                    after ? after->row.version.size : 0);
    db_bind_int(s, 5, PAGE);
    enum err_code code = ERR_OK;
    for (bool row = true; *n < PAGE;) {
        code = db_step(d, s, &row, e);
        if (code || !row)
            break;
        if (!take_line(s, &out[(*n)++]))
            code = err_set(e, ERR_NOMEM, "no memory for a key");
        if (code)
            break;
    }
    db_reset(s);
    reader_give(c, d, generation);
    return code;
}

static bool matches(const char *key, const char *prefix)
{
    size_t len = strlen(prefix);
    if (strncmp(key, prefix, len) != 0)
        return false;
    return len == 0 || prefix[len - 1] == '/' || key[len] == '\0' || key[len] == '/';
}

enum err_code cache_each(struct cache *c, const char *prefix, bool (*fn)(void *arg, const struct cache_row *row), void *arg,
                         struct err *e)
{
    struct line *lines = calloc(PAGE + 1, sizeof(*lines)), *last = NULL;
    if (!lines)
        return err_set(e, ERR_NOMEM, "no memory for a list");
    enum err_code code = ERR_OK;
    unsigned n = PAGE;
    for (bool more = true; !code && more && n == PAGE;) {
        code = read_page(c, last, lines, &n, e);
        for (unsigned i = 0; !code && more && i < n; i++)
            if (matches(lines[i].key, prefix))
                more = fn(arg, &lines[i].row);
        if (last)
            free_lines(last, 1);
        last = NULL;
        if (n > 0) {
            lines[PAGE] = lines[n - 1];
            last = &lines[PAGE];
            free_lines(lines, n - 1);
        }
    }
    if (last)
        free_lines(last, 1);
    free(lines);
    return code;
}

/* ---- Checking */

void cache_verify(struct cache *c, const struct cache_version *v, void (*seen)(void *arg, uint64_t n), void *arg, uint64_t *bytes,
                  uint64_t *bad)
{
    CLEANUP(cache_entry_unref) struct cache_entry *n = cache_entry_get(c, v);
    CLEANUP(free) char *buf = malloc(CACHE_CHUNK);
    size_t size = n ? (n->n_chunks + 63) / 64 * sizeof(uint64_t) : 0;
    CLEANUP(free) uint64_t *held = calloc(1, size + 1); /* before: the idler may be the one that finds what is bad */
    *bytes = *bad = 0;
    if (!n || !buf || !held)
        return;
    lock_take(&n->lock);
    entry_look_locked(n);
    if (n->held)
        memcpy(held, n->held, size);
    if (n->checked)
        memset(n->checked, 0, size);
    n->n_checked = 0;
    lock_drop(&n->lock);
    for (uint64_t i = 0; i < n->n_chunks; i++) {
        if (!bit_get(held, i))
            continue;
        bool good = entry_chunk(n, i, buf);
        *bytes += good ? chunk_len(n, i) : 0;
        *bad += !good;
        if (seen)
            seen(arg, chunk_len(n, i));
    }
}

/* ---- Changing */

struct apply_job {
    struct job job;
    enum cache_action action;
    const char *prefix;
    int64_t *ids; /* of contents: as often as they have a version below the prefix, then once each */
    uint64_t n, cap, versions, changed;
    struct lock lock;
    struct cond ended;
    bool done, committed, short_of_memory;
};

static bool collect(void *arg, const struct cache_row *row)
{
    struct apply_job *a = arg;
    if (a->n == a->cap) {
        uint64_t cap = a->cap ? a->cap * 2 : 64;
        int64_t *ids = realloc(a->ids, cap * sizeof(*ids));
        if (!ids) {
            a->short_of_memory = true;
            return false;
        }
        a->ids = ids;
        a->cap = cap;
    }
    a->ids[a->n++] = row->content;
    return true;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void once_each(struct apply_job *a)
{
    a->versions = a->n;
    a->n = 0;
    if (a->versions > 0)
        qsort(a->ids, a->versions, sizeof(*a->ids), by_number);
    for (uint64_t i = 0; i < a->versions; i++)
        if (i == 0 || a->ids[i] != a->ids[i - 1])
            a->ids[a->n++] = a->ids[i];
}

static enum err_code apply_one(struct cache *c, enum cache_action action, int64_t id, uint64_t *changed, struct err *e)
{
    bool row = false;
    if (action == CACHE_PIN || action == CACHE_UNPIN) {
        enum err_code code = index_do(c, SQL_PIN, id, action == CACHE_PIN, e);
        *changed += code ? 0 : db_changes(c->db);
        return code;
    }
    struct db_stmt *s = db_use(c->db, SQL_MAY_GO);
    db_bind_int(s, 1, id);
    db_bind_int(s, 2, action == CACHE_CLEAR);
    enum err_code code = db_step(c->db, s, &row, e);
    db_reset(s);
    if (code || !row)
        return code;
    *changed += 1;
    return content_gone(c, id, e);
}

static enum err_code apply_in(struct cache *c, struct job *j, struct err *e)
{
    struct apply_job *a = (struct apply_job *)j;
    enum err_code code = ERR_OK;
    a->changed = 0;
    for (uint64_t i = 0; !code && i < a->n; i++)
        code = apply_one(c, a->action, a->ids[i], &a->changed, e);
    if (code || a->action == CACHE_PIN || a->action == CACHE_UNPIN)
        return code;
    struct db_stmt *s = db_use(c->db, SQL_DROP_NOTES);
    db_bind_text(s, 1, a->prefix);
    code = db_step(c->db, s, NULL, e);
    if (code)
        return code;
    s = db_use(c->db, SQL_DROP_LISTINGS);
    db_bind_text(s, 1, a->prefix);
    return db_step(c->db, s, NULL, e);
}

static void apply_after(struct cache *c, struct job *j, bool committed)
{
    struct apply_job *a = (struct apply_job *)j;
    lock_take(&c->lock);
    c->reap_due = true;
    lock_drop(&c->lock);
    LOCK_SCOPE(&a->lock);
    a->done = true;
    a->committed = committed;
    cond_signal(&a->ended);
}

enum err_code cache_apply(struct cache *c, const char *prefix, enum cache_action action, struct cache_applied *out, struct err *e)
{
    struct apply_job a = {.job = {.in = apply_in, .after = apply_after}, .action = action, .prefix = prefix};
    lock_init(&a.lock, "cache command", LOCK_LEAF);
    cond_init(&a.ended);
    enum err_code code = cache_each(c, prefix, collect, &a, e);
    if (!code && a.short_of_memory)
        code = err_set(e, ERR_NOMEM, "no memory for a list");
    if (!code) {
        once_each(&a);
        (void)job_post(c, &a.job);
        lock_take(&a.lock);
        while (!a.done)
            (void)cond_wait(&a.ended, &a.lock, UINT64_MAX);
        lock_drop(&a.lock);
        if (!a.committed)
            code = err_set(e, ERR_BUSY, "the cache's database cannot be changed now");
    }
    (void)cache_drain(c, WAIT_MS);
    cond_release(&a.ended);
    lock_release(&a.lock);
    free(a.ids);
    if (!code)
        *out = (struct cache_applied){.versions = a.versions, .changed = a.changed, .kept = a.n - a.changed};
    return code;
}
