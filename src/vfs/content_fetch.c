/*
 * One request for adjacent blocks. Its bytes come in order; each block is handed to its readers as soon as it is
 * complete. A request may end inside store_get(), on the caller's thread.
 */
#include "store/meta.h"
#include "util/clock.h"
#include "util/digest.h"
#include "vfs/content_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* With so little else under way a request's first byte tells the latency of the link. */
#define ALONE_BYTES (2u * 1024 * 1024)

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

/* ---- The side */

void contents_beside(struct contents *cs, const struct content_side *side)
{
    cs->side = *side;
}

void content_block_release(struct content_block *kept)
{
    struct block *b = (struct block *)kept;
    struct content *c = b->c;
    struct contents *cs = c->cs;
    lock_take(&cs->lock);
    cs->kept -= b->size;
    block_unpin_locked(b, b->spent);
    content_release_locked(c);
    contents_kick_later_locked(cs);
    lock_drop(&cs->lock);
    contents_leave(cs);
}

/* What the side is told of a block that it does not keep. */
struct passing {
    uint64_t reader, offset;
    uint32_t crc, len;
};

static bool passes(const struct place *p, uint64_t reader)
{
    return p->side->lets_pass && p->side->lets_pass(p->side->arg, p->known, reader);
}

/* Takes what a block needs that the side may keep. */
static bool keep_locked(const struct fetch *f, struct block *b)
{
    struct contents *cs = f->c->cs;
    if (!block_keep_locked(b))
        return false;
    f->c->holds++;
    contents_enter_locked(cs);
    return true;
}

static bool offer(const struct fetch *f, struct block *b)
{
    const struct place *p = f->place;
    bool taken = p->side->keep(p->known, b->index * CONTENT_BLOCK, b->data, b->len, (struct content_block *)b);
    if (!taken)
        content_block_release((struct content_block *)b);
    return taken;
}

/* The side was to have the block, which may be gone by now, and has not taken it. */
static void pass_by(const struct fetch *f, const struct passing *b)
{
    struct contents *cs = f->c->cs;
    const struct place *p = f->place;
    if (p->side->passed && p->side->passed(p->side->arg, p->known, b->reader, b->offset, b->crc))
        return;
    LOCK_SCOPE(&cs->lock);
    cs->stats.unkept += b->len;
}

/* ---- Bytes that come */

/* The block is complete: true while more is wanted. */
static bool block_done(struct fetch *f)
{
    struct contents *cs = f->c->cs;
    struct list ready;
    list_init(&ready);
    struct block *b = f->blocks[f->at++];
    bool for_side = f->place->known && !f->beside;
    struct passing passing = {.offset = b->index * CONTENT_BLOCK, .len = b->len, .crc = f->crc};
    lock_take(&cs->lock);
    f->filled = f->crc = 0;
    *(f->beside ? &cs->stats.beside_bytes : &cs->stats.fetched_bytes) += b->len;
    bool wanted = f->c->refs > 0;
    passing.reader = f->c->reader;
    block_hold_locked(b);
    bool kept = for_side && wanted && !passes(f->place, passing.reader) && keep_locked(f, b);
    parked_block_held_locked(b, &ready);
    if (!wanted)
        block_free_locked(b);
    lock_drop(&cs->lock);
    parked_answer(&ready, ERR_OK, NULL);
    if (for_side && wanted && !(kept && offer(f, b)))
        pass_by(f, &passing);
    return wanted;
}

static bool on_data(void *arg, const void *p, size_t len)
{
    struct fetch *f = arg;
    const char *from = p;
    bool sums = f->place->known && !f->beside && f->place->side->sums;
    if (f->first_us == 0)
        f->first_us = clock_mono_us();
    else
        f->got += len;
    while (len > 0) {
        if (f->at == f->n) {
            f->too_much = true;
            return false;
        }
        struct block *b = f->blocks[f->at];
        size_t n = b->len - f->filled < len ? b->len - f->filled : len;
        memcpy(b->data + f->filled, from, n);
        if (sums) /* while they are near the processor */
            f->crc = crc32c(f->crc, from, n);
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
    if (f->beside && code != ERR_OK && !f->canceled && c->refs > 0 && f->at < f->n) {
        f->side_fails = true;
        f->filled = f->crc = 0;
        return true;
    }
    if ((code != ERR_CONFLICT && code != ERR_NOT_FOUND) || f->place == c->place || c->refs == 0 || f->at == f->n)
        return false;
    place_unref_locked(f->place);
    f->place = c->place;
    f->place->refs++;
    f->filled = f->crc = 0;
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
    uint64_t now_us = clock_mono_us();
    lock_take(&cs->lock);
    code = judge(f, code, e);
    if (!code && !f->beside)
        link_note(&cs->link, f->alone, f->first_us - f->started_us, now_us - f->first_us, f->got);
    *(f->beside ? &cs->stats.beside_bytes : &cs->stats.fetched_bytes) += f->filled;
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

/* The blocks from number `k` on get a request of their own. */
static struct fetch *split_locked(struct fetch *f, unsigned k)
{
    struct fetch *rest = fetch_new_locked(f->c, f->urgent);
    if (!rest)
        return NULL;
    rest->n = f->n - k;
    memcpy(rest->blocks, f->blocks + k, rest->n * sizeof(rest->blocks[0]));
    f->n = k;
    return rest;
}

static uint64_t length_of(const struct fetch *f, unsigned to)
{
    const struct block *last = f->blocks[to - 1];
    return last->index * CONTENT_BLOCK + last->len - f->blocks[f->at]->index * CONTENT_BLOCK;
}

/* What of the request the side has, or has not: returns the rest of it, or NULL. */
static struct fetch *divide(struct fetch *f)
{
    struct contents *cs = f->c->cs;
    f->beside = false;
    if (!f->place->known || f->side_fails)
        return NULL;
    uint64_t run = cs->side.run(f->place->known, f->blocks[f->at]->index * CONTENT_BLOCK, length_of(f, f->n), &f->beside);
    unsigned k = f->at + 1;
    while (k < f->n && length_of(f, k + 1) <= run)
        k++;
    if (k == f->n)
        return NULL;
    LOCK_SCOPE(&cs->lock);
    struct fetch *rest = split_locked(f, k);
    if (!rest)
        f->beside = false; /* without memory the store gives all of it */
    return rest;
}

static enum err_code get(struct fetch *f, const struct store_get *g, struct err *e)
{
    struct contents *cs = f->c->cs;
    if (f->beside)
        return f->place->side->get(f->place->known, g, e);
    f->started_us = clock_mono_us();
    f->first_us = f->got = 0;
    lock_take(&cs->lock);
    cs->stats.requests++;
    f->alone = cs->fetching <= g->length + ALONE_BYTES;
    lock_drop(&cs->lock);
    return store_get(cs->store, g, e);
}

/* `f` may be gone when this returns. */
static void run_one(struct fetch *f)
{
    uint64_t offset = f->blocks[f->at]->index * CONTENT_BLOCK, length = length_of(f, f->n);
    struct store_get g = {
        .key = f->place->key,
        .etag = f->place->etag,
        .offset = offset,
        .length = length,
        .whole = offset == 0 && length == f->c->size,
        .call = {.cancel = f->cancel, .urgent = f->urgent},
        .data = on_data,
        .done = on_done,
        .arg = f,
    };
    struct err e = ERR_INIT;
    enum err_code code = get(f, &g, &e);
    if (code)
        on_done(f, code, NULL, &e);
}

static void fetch_run(struct fetch *f)
{
    for (struct fetch *rest; f; f = rest) {
        rest = divide(f);
        run_one(f);
    }
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
