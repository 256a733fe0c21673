/*
 * One request for adjacent blocks. Its bytes come in order; each block is handed to its readers as soon as it is
 * complete. A request may end inside store_get(), on the caller's thread.
 */
#include "store/meta.h"
#include "vfs/content_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct fetch *fetch_new_locked(struct content *c, bool urgent)
{
    struct fetch *f = calloc(1, sizeof(*f));
    if (!f || !(f->cancel = cancel_new())) {
        free(f);
        return NULL;
    }
    f->c = c;
    f->urgent = urgent;
    f->place = c->place;
    f->place->refs++;
    c->holds++;
    list_add_before(&c->cs->fetches, &f->link);
    contents_enter_locked(c->cs);
    return f;
}

bool batch_add_locked(struct batch *t, uint64_t index)
{
    struct fetch *f = t->open;
    if (!f || f->n == t->max || f->n == FETCH_BLOCKS || f->blocks[f->n - 1]->index + 1 != index)
        f = NULL;
    struct block *b = block_new_locked(t->c, index);
    if (!b)
        return false;
    if (!f) {
        f = fetch_new_locked(t->c, t->urgent);
        if (!f) {
            block_free_locked(b);
            return false;
        }
        t->open = f;
        list_add_before(t->starts, &f->start);
    }
    f->blocks[f->n++] = b;
    return true;
}

/* The block is complete: true while more is wanted. */
static bool block_done(struct fetch *f)
{
    struct contents *cs = f->c->cs;
    struct list ready;
    list_init(&ready);
    lock_take(&cs->lock);
    struct block *b = f->blocks[f->at++];
    f->filled = 0;
    cs->stats.fetched_bytes += b->len;
    bool wanted = f->c->refs > 0;
    block_hold_locked(b);
    parked_block_held_locked(b, &ready);
    if (!wanted)
        block_free_locked(b);
    lock_drop(&cs->lock);
    parked_answer(&ready, ERR_OK, NULL);
    return wanted;
}

static bool on_data(void *arg, const void *p, size_t len)
{
    struct fetch *f = arg;
    const char *from = p;
    while (len > 0) {
        if (f->at == f->n) {
            f->too_much = true;
            return false;
        }
        struct block *b = f->blocks[f->at];
        size_t n = b->len - f->filled < len ? b->len - f->filled : len;
        memcpy(b->data + f->filled, from, n);
        f->filled += (uint32_t)n;
        from += n;
        len -= n;
        if (f->filled == b->len && !block_done(f))
            return false;
    }
    return true;
}

/* After a relocation the rest is asked for where the content is now. */
static bool may_retry_locked(struct fetch *f, enum err_code code)
{
    struct content *c = f->c;
    if ((code != ERR_CONFLICT && code != ERR_NOT_FOUND) || f->place == c->place || c->refs == 0 || f->at == f->n)
        return false;
    place_unref_locked(f->place);
    f->place = c->place;
    f->place->refs++;
    f->filled = 0;
    return true;
}

/* A version that is not there any more is no absence of the file. */
static enum err_code judge(const struct fetch *f, enum err_code code, struct err *e)
{
    const char *key = f->place->key;
    if (f->too_much)
        return err_set(e, ERR_PROTO, "%s: more bytes than asked for", key);
    if (code == ERR_OK && f->at < f->n)
        return err_set(e, ERR_PROTO, "%s: fewer bytes than asked for", key);
    if (code == ERR_NOT_FOUND || code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "%s: the version being read is gone", key);
    return code;
}

static void fetch_free_locked(struct fetch *f)
{
    list_del(&f->link);
    place_unref_locked(f->place);
    content_release_locked(f->c);
    cancel_unref(f->cancel);
    free(f);
}

static void fetch_end(struct fetch *f, enum err_code code, const struct store_object *object, struct err *e)
{
    struct contents *cs = f->c->cs;
    struct list failed;
    list_init(&failed);
    lock_take(&cs->lock);
    code = judge(f, code, e);
    cs->stats.fetched_bytes += f->filled;
    if (!code && object && object->meta) {
        store_meta_unref(f->c->meta);
        f->c->meta = store_meta_ref(object->meta);
    }
    for (; f->at < f->n; f->at++) {
        parked_block_failed_locked(f->blocks[f->at], &failed);
        block_free_locked(f->blocks[f->at]);
    }
    fetch_free_locked(f);
    lock_drop(&cs->lock);
    parked_answer(&failed, code, e);
    parked_kick(cs);
    contents_leave(cs);
}

static void fetch_run(struct fetch *f);

static void on_done(void *arg, enum err_code code, const struct store_object *object, const struct err *e)
{
    struct fetch *f = arg;
    struct contents *cs = f->c->cs;
    struct err why = ERR_INIT;
    if (code && err_copy(&why, e) != code)
        (void)err_set(&why, code, "%s", f->place->key);
    lock_take(&cs->lock);
    bool again = may_retry_locked(f, code);
    lock_drop(&cs->lock);
    if (again)
        fetch_run(f);
    else
        fetch_end(f, code, object, &why);
}

static void fetch_run(struct fetch *f)
{
    struct contents *cs = f->c->cs;
    lock_take(&cs->lock);
    cs->stats.requests++;
    lock_drop(&cs->lock);
    const struct block *first = f->blocks[f->at], *last = f->blocks[f->n - 1];
    uint64_t offset = first->index * CONTENT_BLOCK;
    struct store_get g = {
        .key = f->place->key,
        .etag = f->place->etag,
        .offset = offset,
        .length = last->index * CONTENT_BLOCK + last->len - offset,
        .whole = offset == 0 && last->index * CONTENT_BLOCK + last->len == f->c->size,
        .call = {.cancel = f->cancel, .urgent = f->urgent},
        .data = on_data,
        .done = on_done,
        .arg = f,
    };
    struct err e = ERR_INIT;
    enum err_code code = store_get(cs->store, &g, &e);
    if (code)
        fetch_end(f, code, NULL, &e);
}

void fetches_start(struct list *starts)
{
    for (struct list *l; (l = list_take(starts)) != NULL;)
        fetch_run(CONTAINER_OF(l, struct fetch, start));
}

/* The token of a request that was not canceled yet, with a reference. */
static struct cancel *next_token(struct contents *cs, const struct content *c)
{
    LOCK_SCOPE(&cs->lock);
    for (struct list *l = cs->fetches.next; l != &cs->fetches; l = l->next) {
        struct fetch *f = CONTAINER_OF(l, struct fetch, link);
        if (!f->canceled && (!c || f->c == c)) {
            f->canceled = true;
            return cancel_ref(f->cancel);
        }
    }
    return NULL;
}

void fetches_cancel(struct contents *cs, const struct content *c)
{
    for (struct cancel *token; (token = next_token(cs, c)) != NULL;) {
        cancel_fire(token);
        cancel_unref(token);
    }
}
