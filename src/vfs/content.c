#include "vfs/content.h"

#include "store/meta.h"
#include "vfs/content_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- All of a mount */

struct contents *contents_new(struct store *store, uint64_t memory, bool secret, struct err *e)
{
    struct contents *cs = calloc(1, sizeof(*cs));
    if (!cs) {
        (void)err_set(e, ERR_NOMEM, "no memory for contents");
        return NULL;
    }
    cs->store = store;
    cs->limit = memory;
    cs->secret = secret;
    list_init(&cs->queue);
    list_init(&cs->fetches);
    lock_init(&cs->lock, "contents", LOCK_VFS_CONTENT);
    cond_init(&cs->idle);
    if (memory_init(cs, e) || !(cs->pool = pool_new("contents", 1, e))) {
        contents_free(cs);
        return NULL;
    }
    return cs;
}

void contents_free(struct contents *cs)
{
    if (!cs)
        return;
    fetches_cancel(cs, NULL);
    lock_take(&cs->lock);
    struct timers *timers = TAKE(cs->timers); /* nothing is armed any more */
    while (cs->busy > 0)
        (void)cond_wait(&cs->idle, &cs->lock, UINT64_MAX);
    assert(cs->n_contents == 0);
    lock_drop(&cs->lock);
    if (timers)
        (void)timer_disarm(timers, &cs->rest_timer);
    pool_free(cs->pool);
    memory_release(cs);
    cond_release(&cs->idle);
    lock_release(&cs->lock);
    free(cs);
}

void contents_enter_locked(struct contents *cs)
{
    lock_assert_held(&cs->lock);
    cs->busy++;
}

void contents_leave(struct contents *cs)
{
    LOCK_SCOPE(&cs->lock);
    if (--cs->busy == 0)
        cond_broadcast(&cs->idle);
}

void contents_stats(struct contents *cs, struct content_stats *out)
{
    LOCK_SCOPE(&cs->lock);
    *out = cs->stats;
    out->memory_used = cs->used;
    out->memory_idle = memory_idle_locked(cs);
}

static void kick_task(void *arg)
{
    parked_kick(arg);
    contents_leave(arg);
}

void contents_kick_later_locked(struct contents *cs)
{
    lock_assert_held(&cs->lock);
    if (list_empty(&cs->queue) || pool_submit(cs->pool, kick_task, cs, NULL))
        return;
    contents_enter_locked(cs); /* the task cannot end before the lock is dropped */
}

/* ---- One version */

static void place_free(struct place *p)
{
    if (!p)
        return;
    if (p->known)
        p->side->close(p->known);
    free(p->key);
    free(p->etag);
    free(p);
}

static struct place *place_new(const struct contents *cs, const char *key, const char *etag, uint64_t size, struct err *e)
{
    struct place *p = calloc(1, sizeof(*p));
    if (!p || !(p->key = strdup(key)) || !(p->etag = strdup(etag))) {
        (void)err_set(e, ERR_NOMEM, "no memory for a content");
        place_free(p);
        return NULL;
    }
    p->refs = 1;
    p->side = &cs->side;
    if (cs->side.open) {
        struct store_version version = {.size = size};
        (void)snprintf(version.etag, sizeof(version.etag), "%s", etag);
        p->known = cs->side.open(cs->side.arg, key, &version);
    }
    return p;
}

void place_unref_locked(struct place *p)
{
    if (--p->refs == 0)
        place_free(p);
}

struct content *content_new(struct contents *cs, const char *key, const struct store_version *version, struct err *e)
{
    struct content *c = calloc(1, sizeof(*c));
    if (!c) {
        (void)err_set(e, ERR_NOMEM, "no memory for a content");
        return NULL;
    }
    c->place = place_new(cs, key, version->etag, version->size, e);
    if (!c->place) {
        free(c);
        return NULL;
    }
    c->cs = cs;
    c->size = version->size;
    c->refs = 1;
    list_init(&c->blocks);
    LOCK_SCOPE(&cs->lock);
    c->id = ++cs->next_id;
    cs->n_contents++;
    return c;
}

struct content *content_ref(struct content *c)
{
    LOCK_SCOPE(&c->cs->lock);
    c->refs++;
    return c;
}

static void free_if_gone_locked(struct content *c)
{
    if (c->refs > 0 || c->holds > 0)
        return;
    assert(list_empty(&c->blocks));
    c->cs->n_contents--;
    store_meta_unref(c->meta);
    place_unref_locked(c->place);
    free(c);
}

void content_release_locked(struct content *c)
{
    c->holds--;
    free_if_gone_locked(c);
}

static void cancel_task(void *arg)
{
    struct content *c = arg;
    struct contents *cs = c->cs;
    fetches_cancel(cs, c);
    lock_take(&cs->lock);
    content_release_locked(c);
    lock_drop(&cs->lock);
    contents_leave(cs);
}

/* Nobody reads it any more. Blocks that a reply copies from, or a request fills, go when these end. */
static void abandon_locked(struct content *c)
{
    bool fetching = false;
    for (struct list *l = c->blocks.next, *next; l != &c->blocks; l = next) {
        struct block *b = CONTAINER_OF(l, struct block, of_content);
        next = l->next;
        fetching = fetching || !b->held;
        if (b->held && b->pins == 0)
            block_free_locked(b);
    }
    if (!fetching)
        return;
    if (pool_submit(c->cs->pool, cancel_task, c, NULL))
        return;
    c->holds++; /* the task cannot end before the lock is dropped */
    contents_enter_locked(c->cs);
}

void content_put_locked(struct content *c)
{
    lock_assert_held(&c->cs->lock);
    assert(c->refs > 0);
    if (--c->refs > 0)
        return;
    struct contents *cs = c->cs;
    abandon_locked(c);
    free_if_gone_locked(c);
    contents_kick_later_locked(cs);
}

void content_unref(struct content *c)
{
    if (!c)
        return;
    LOCK_SCOPE(&c->cs->lock);
    content_put_locked(c);
}

struct store_meta *content_meta(struct content *c)
{
    LOCK_SCOPE(&c->cs->lock);
    return store_meta_ref(c->meta);
}

uint64_t content_size(const struct content *c)
{
    return c->size;
}

void content_set_reader(struct content *c, uint64_t reader)
{
    LOCK_SCOPE(&c->cs->lock);
    c->reader = reader;
}

enum err_code content_relocate(struct content *c, const char *key, const char *etag, struct err *e)
{
    struct place *p = place_new(c->cs, key, etag, c->size, e);
    if (!p)
        return ERR_NOMEM;
    LOCK_SCOPE(&c->cs->lock);
    if (p->known && c->place->known)
        p->side->same(p->side->arg, p->known, c->place->known);
    place_unref_locked(c->place);
    c->place = p;
    return ERR_OK;
}

static enum err_code fill_block_locked(struct content *c, uint64_t index, const char *p, struct err *e)
{
    struct block *b = block_find_locked(c, index);
    if (b)
        return ERR_OK;
    if (memory_room_locked(c->cs, block_cost(c, index), ROOM_FILL))
        b = block_new_locked(c, index);
    if (!b)
        return err_set(e, ERR_NOMEM, "no memory for a content that was told");
    memcpy(b->data, p + index * CONTENT_BLOCK, b->len);
    block_hold_locked(b);
    return ERR_OK;
}

enum err_code content_fill(struct content *c, const void *p, size_t len, bool pin, struct err *e)
{
    if (len != c->size)
        return err_set(e, ERR_INVAL, "a content of %llu bytes was told as %zu", (unsigned long long)c->size, len);
    LOCK_SCOPE(&c->cs->lock);
    if (pin)
        blocks_pin_locked(c);
    for (uint64_t index = 0; index * CONTENT_BLOCK < len; index++) {
        enum err_code code = fill_block_locked(c, index, p, e);
        if (code)
            return code;
    }
    contents_kick_later_locked(c->cs);
    return ERR_OK;
}
