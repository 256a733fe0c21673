/* Stats and gets of what may be unsent: from its body, or from what it is a copy of. */
#include "util/str.h"
#include "writeback/inside.h"

#include <string.h>

#define CHUNK (256u << 10)
#define TRIES 4 /* what is asked for may be sent in between, and then lies elsewhere */

/* Where a version's bytes are. */
struct where {
    bool gone;          /* nothing is there */
    struct body *body;  /* here; else in the inner store: */
    char *key, *etag;   /* `etag` NULL: whatever there is */
    bool told;          /* the version is another one than the inner store would tell */
    struct store_version version;
    struct store_meta *meta; /* NULL: the inner store's */
    bool superseded;    /* the version asked for is not the one that is there */
    bool has_mtime;     /* told where the inner store's metadata have none */
    struct timespec mtime;
};

static void where_release(struct where *p)
{
    body_unref(p->body);
    free(p->key);
    free(p->etag);
    store_meta_unref(p->meta);
    *p = (struct where){0};
}

/* The operation that made the version; `etag` NULL: the last one. */
static const struct op *maker(const struct writeback *w, const char *key, const char *etag, uint64_t before)
{
    const struct node *n = node_find(w, key);
    const struct op *o = n ? node_last(n) : NULL;
    for (; o; o = TAILQ_PREV(o, ops, link))
        if (o->number < before && (!etag || (o->etag && strcmp(o->etag, etag) == 0)))
            return o;
    return NULL;
}

/* As it will be told when the bytes are sent: their digest, none of other bytes, and the time that a copy adds. */
static enum err_code put_meta(const struct op *o, struct where *out, struct err *e)
{
    char hex[129];
    struct store_meta *m = store_meta_copy(out->meta);
    if (!m)
        return err_set(e, ERR_NOMEM, "out of memory");
    store_meta_unref(out->meta);
    out->meta = m;
    if (out->has_mtime && !(m->has & STORE_HAS_MTIME)) {
        m->mtime = out->mtime;
        m->has |= STORE_HAS_MTIME;
    }
    store_meta_drop_sums(m);
    if (!o->sha512)
        return ERR_OK;
    hex_encode(o->sha512, 64, hex);
    return store_meta_set_prop(m, "sha512", hex, 128, e);
}

static enum err_code locate_locked(struct writeback *w, const char *key, const char *etag, struct where *out, struct err *e)
{
    lock_assert_held(&w->lock);
    uint64_t before = UINT64_MAX;
    const struct op *o;
    const struct node *n = node_find(w, key);
    out->superseded = n && node_last(n) && node_last(n)->kind != OP_REMOVE;
    while ((o = maker(w, key, etag, before)) != NULL) {
        if (o->kind == OP_REMOVE) {
            out->gone = true;
            return ERR_OK;
        }
        if (!out->told)
            op_version(o, &out->version);
        out->told = true;
        if (!out->meta && o->meta)
            out->meta = store_meta_ref(o->meta);
        if (!out->meta && o->has_mtime && !out->has_mtime) {
            out->has_mtime = true;
            out->mtime = o->mtime;
        }
        out->superseded = false;
        if (o->kind == OP_PUT) {
            out->body = body_ref(o->body);
            return put_meta(o, out, e);
        }
        key = o->from->key;
        etag = o->from_etag;
        before = o->number;
    }
    out->key = strdup(key);
    out->etag = etag ? strdup(alias_real(w, key, etag)) : NULL;
    return out->key && (out->etag || !etag) ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code locate(struct writeback *w, const char *key, const char *etag, struct where *out, struct err *e)
{
    LOCK_SCOPE(&w->lock);
    return locate_locked(w, key, etag, out, e);
}

/* ---- Stat */

static void translate(struct writeback *w, const char *key, struct store_version *v)
{
    LOCK_SCOPE(&w->lock);
    const char *told = alias_told(w, key, v->etag);
    if (told != v->etag) {
        size_t len = strnlen(told, sizeof(v->etag) - 1);
        memmove(v->etag, told, len);
        v->etag[len] = 0;
    }
}

static enum err_code add_mtime(const struct where *at, struct store_object *out, struct err *e)
{
    struct store_meta *m = store_meta_copy(out->meta);
    if (!m) {
        store_object_release(out);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    m->mtime = at->mtime;
    m->has |= STORE_HAS_MTIME;
    store_meta_unref(out->meta);
    out->meta = m;
    return ERR_OK;
}

/* ERR_CONFLICT: what was to be asked for is not there any more. */
static enum err_code stat_at(struct writeback *w, const struct where *at, const char *key, const struct store_call *call,
                             struct store_object *out, struct err *e)
{
    if (at->gone)
        return err_set(e, ERR_NOT_FOUND, "\"%s\" was removed", key);
    if (at->body || (at->told && at->meta)) {
        struct store_meta *meta = at->meta ? store_meta_ref(at->meta) : store_meta_new();
        if (!meta)
            return err_set(e, ERR_NOMEM, "out of memory");
        *out = (struct store_object){.version = at->version, .meta = meta};
        return ERR_OK;
    }
    enum err_code code = store_stat(w->inner, at->key, call, out, e);
    if (!at->told) {
        if (!code)
            translate(w, key, &out->version);
        return code;
    }
    if (!code && strcmp(out->version.etag, at->etag) != 0) {
        store_object_release(out);
        code = ERR_NOT_FOUND;
    }
    if (code == ERR_NOT_FOUND)
        return err_set(e, ERR_CONFLICT, "\"%s\" is a copy of what is not there any more", key);
    if (code)
        return code;
    out->version = at->version;
    return at->has_mtime && !(out->meta && (out->meta->has & STORE_HAS_MTIME)) ? add_mtime(at, out, e) : ERR_OK;
}

enum err_code wb_stat(void *impl, const char *key, const struct store_call *call, struct store_object *out, struct err *e)
{
    struct writeback *w = impl;
    enum err_code code = ERR_CONFLICT;
    for (int tries = 0; code == ERR_CONFLICT && tries < TRIES; tries++) {
        CLEANUP_RELEASE(where_release) struct where at = {0};
        code = locate(w, key, NULL, &at, e);
        if (!code)
            code = stat_at(w, &at, key, call, out, e);
    }
    return code == ERR_CONFLICT ? err_set(e, ERR_IO, "\"%s\" is a copy of what others have changed", key) : code;
}

/* ---- Get */

/* One that is answered by the inner store under another name. */
struct fetch {
    struct writeback *w;
    struct store_get get; /* as it was asked for; the strings are ours */
    struct where at;
    bool began;           /* bytes were delivered */
    int tries;
};

static void fetch_free(struct fetch *f)
{
    if (!f)
        return;
    where_release(&f->at);
    cancel_unref(f->get.call.cancel);
    free((char *)f->get.key);
    free((char *)f->get.etag);
    free(f);
}
CLEANUP_DEFINE(struct fetch, fetch_free)

static enum err_code start(struct fetch *f, struct err *e);

static bool on_data(void *arg, const void *p, size_t len)
{
    struct fetch *f = arg;
    f->began = true;
    return f->get.data(f->get.arg, p, len);
}

static void finish(struct fetch *f, enum err_code code, const struct store_object *object, const struct err *e)
{
    struct store_object told = {0};
    struct err err = ERR_INIT;
    if (code == ERR_NOT_FOUND && f->at.superseded) {
        code = err_set(&err, ERR_CONFLICT, "\"%s\" is another version now", f->get.key);
        e = &err;
    }
    if (object) {
        told = *object;
        if (f->at.told)
            told.version = f->at.version;
        else
            translate(f->w, f->get.key, &told.version);
        if (f->at.meta)
            told.meta = f->at.meta;
    }
    f->get.done(f->get.arg, code, object ? &told : NULL, e);
    fetch_free(f);
}

static void on_done(void *arg, enum err_code code, const struct store_object *object, const struct err *e)
{
    struct fetch *f = arg;
    bool moved = (code == ERR_NOT_FOUND || code == ERR_CONFLICT) && !f->began && f->at.told && ++f->tries < TRIES;
    struct err err = ERR_INIT;
    if (!moved)
        finish(f, code, object, e);
    else if (start(f, &err))
        finish(f, err.code, NULL, &err);
}

/* The end is told before this returns. */
static enum err_code read_body(struct fetch *f, struct err *e)
{
    const struct store_get *g = &f->get;
    const struct body *b = f->at.body;
    struct err err = ERR_INIT;
    enum err_code code = ERR_OK;
    if (g->offset >= b->size || g->length > b->size - g->offset || (g->whole && g->length != b->size)) {
        code = err_set(&err, ERR_PROTO, "\"%s\" has %llu bytes", g->key, (unsigned long long)b->size);
        finish(f, code, NULL, &err);
        return ERR_OK;
    }
    CLEANUP(free) char *buf = malloc(CHUNK);
    if (!buf)
        return err_set(e, ERR_NOMEM, "out of memory");
    CLEANUP(close) int fd = body_open(b, e);
    if (fd == -2)
        return ERR_IO;
    for (uint64_t at = 0; !code && at < g->length;) {
        size_t want = g->length - at < CHUNK ? (size_t)(g->length - at) : CHUNK;
        ssize_t n = body_read(b, fd, g->offset + at, buf, want);
        if (n <= 0)
            code = err_set(&err, ERR_IO, "\"%s\": the journal's copy of its bytes cannot be read", g->key);
        else if ((g->call.cancel && cancel_fired(g->call.cancel)) || !g->data(g->arg, buf, (size_t)n))
            code = err_set(&err, ERR_CANCELED, "not wanted any more");
        at += n > 0 ? (uint64_t)n : 0;
    }
    const struct store_object object = {.version = f->at.version, .meta = f->at.meta};
    finish(f, code, code ? NULL : &object, &err);
    return ERR_OK;
}

/* On an error nothing was started, and `f` is still the caller's. */
static enum err_code start(struct fetch *f, struct err *e)
{
    where_release(&f->at);
    enum err_code code = locate(f->w, f->get.key, f->get.etag, &f->at, e);
    if (code)
        return code;
    if (f->at.gone)
        return err_set(e, ERR_NOT_FOUND, "\"%s\" was removed", f->get.key);
    if (f->at.body)
        return read_body(f, e);
    struct store_get inner = f->get;
    inner.key = f->at.key;
    inner.etag = f->at.etag;
    inner.data = on_data;
    inner.done = on_done;
    inner.arg = f;
    return store_get(f->w->inner, &inner, e);
}

static enum err_code fetch_new(struct writeback *w, const struct store_get *g, struct fetch **out, struct err *e)
{
    CLEANUP(fetch_free) struct fetch *f = calloc(1, sizeof(*f));
    if (!f)
        return err_set(e, ERR_NOMEM, "out of memory");
    f->w = w;
    f->get = *g;
    f->get.call.cancel = g->call.cancel ? cancel_ref(g->call.cancel) : NULL;
    f->get.key = strdup(g->key);
    f->get.etag = g->etag ? strdup(g->etag) : NULL;
    if (!f->get.key || (g->etag && !f->get.etag))
        return err_set(e, ERR_NOMEM, "out of memory");
    *out = TAKE(f);
    return ERR_OK;
}

enum err_code wb_get(void *impl, const struct store_get *g, struct err *e)
{
    struct writeback *w = impl;
    lock_take(&w->lock);
    bool plain = !node_find(w, g->key) && (g->etag ? alias_real(w, g->key, g->etag) == g->etag : !map_size(w->aliases));
    lock_drop(&w->lock);
    if (plain)
        return store_get(w->inner, g, e);
    struct fetch *f = NULL;
    enum err_code code = fetch_new(w, g, &f, e);
    if (!code && (code = start(f, e)))
        fetch_free(f);
    return code;
}
