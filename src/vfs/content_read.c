/* Reads: answered at once from what is held, or parked until their blocks are there. */
#include "vfs/content_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- Answers */

/* The bytes of a read, which lie in `n` adjacent blocks. */
static int gather(struct iovec *iov, struct block *const *blocks, unsigned n, uint64_t offset, size_t len)
{
    size_t skip = (size_t)(offset % CONTENT_BLOCK);
    for (unsigned i = 0; i < n; i++, skip = 0) {
        size_t have = blocks[i]->len - skip;
        iov[i] = (struct iovec){blocks[i]->data + skip, have < len ? have : len};
        len -= iov[i].iov_len;
    }
    assert(len == 0);
    return (int)n;
}

static void answer_one(struct parked *p, enum err_code code, const struct err *e)
{
    cancel_hook_remove(p->cancel, &p->hook);
    struct content_read *r = p->r;
    if (code) {
        r->done(r, code, NULL, 0, 0, e);
        return;
    }
    struct iovec iov[READ_BLOCKS];
    struct block *blocks[READ_BLOCKS];
    for (unsigned i = 0; i < p->n; i++)
        blocks[i] = p->slots[i].b;
    r->done(r, ERR_OK, iov, gather(iov, blocks, p->n, p->offset, p->len), p->len, NULL);
}

/* A sequential reader needs a block no more once it has read its end. */
static bool passes_end(const struct block *b, uint64_t offset, size_t len)
{
    return offset + len >= b->index * CONTENT_BLOCK + b->len;
}

static void parked_free(struct parked *p)
{
    struct contents *cs = p->c->cs;
    lock_take(&cs->lock);
    for (unsigned i = 0; i < p->n; i++)
        if (p->slots[i].pinned)
            block_unpin_locked(p->slots[i].b, p->passes && passes_end(p->slots[i].b, p->offset, p->len));
    content_put_locked(p->c);
    cs->stats.parked--;
    lock_drop(&cs->lock);
    cancel_unref(p->cancel);
    free(p);
}

void parked_answer(struct list *taken, enum err_code code, const struct err *e)
{
    for (struct list *l; (l = list_take(taken)) != NULL;) {
        struct parked *p = CONTAINER_OF(l, struct parked, link);
        struct contents *cs = p->c->cs;
        answer_one(p, code, e);
        parked_free(p);
        parked_kick(cs);
        contents_leave(cs);
    }
}

/* From here on it is the caller's to answer. */
static void take_locked(struct parked *p, struct list *to)
{
    assert(p->state != PARKED_TAKEN);
    if (p->state == PARKED_QUEUED)
        list_del(&p->link);
    for (unsigned i = 0; i < p->n; i++)
        list_del(&p->slots[i].wait);
    p->state = PARKED_TAKEN;
    list_add_before(to, &p->link);
    contents_enter_locked(p->c->cs);
}

void parked_block_held_locked(struct block *b, struct list *ready)
{
    for (struct list *l; (l = list_take(&b->waits)) != NULL;) {
        struct slot *s = CONTAINER_OF(l, struct slot, wait);
        block_pin_locked(b);
        s->pinned = true;
        if (--s->p->waiting == 0)
            take_locked(s->p, ready);
    }
}

void parked_block_failed_locked(struct block *b, struct list *failed)
{
    while (!list_empty(&b->waits))
        take_locked(CONTAINER_OF(b->waits.next, struct slot, wait)->p, failed);
}

/* The hook: any thread, no lock. */
static void on_cancel(void *arg)
{
    struct parked *p = arg;
    struct contents *cs = p->c->cs;
    lock_take(&cs->lock);
    p->fired = true;
    bool mine = p->state == PARKED_QUEUED || p->state == PARKED_WAITING;
    struct list none;
    list_init(&none);
    if (mine)
        take_locked(p, &none);
    lock_drop(&cs->lock);
    if (!mine)
        return;
    struct err e = ERR_INIT;
    enum err_code code = err_set(&e, ERR_CANCELED, "the read was interrupted");
    p->r->done(p->r, code, NULL, 0, 0, &e);
    parked_free(p);
    parked_kick(cs);
    contents_leave(cs);
}

/* ---- Admission */

static uint64_t first_block(uint64_t offset)
{
    return offset / CONTENT_BLOCK;
}

static unsigned block_count(uint64_t offset, size_t len)
{
    return (unsigned)((offset + len - 1) / CONTENT_BLOCK - first_block(offset) + 1);
}

/* Pins what is held; returns the bytes of memory that the rest needs. `*whole` is what all of it takes beside what is
 * held for good. */
static uint64_t pin_held_locked(struct parked *p, uint64_t *whole)
{
    uint64_t need = 0;
    *whole = 0;
    for (unsigned i = 0; i < p->n; i++) {
        uint64_t index = first_block(p->offset) + i;
        struct block *b = p->slots[i].b = block_find_locked(p->c, index);
        if (!b) {
            need += block_cost(p->c, index);
        } else if (b->held) {
            *whole += p->c->pinned ? 0 : b->size;
            block_pin_locked(b);
            p->slots[i].pinned = true;
        } else {
            *whole += b->size;
        }
    }
    *whole += need;
    return need;
}

static void unpin_locked(struct parked *p)
{
    for (unsigned i = 0; i < p->n; i++) {
        if (p->slots[i].pinned)
            block_unpin_locked(p->slots[i].b, false);
        p->slots[i].pinned = false;
    }
}

/* There is room for all of them. */
static bool fetch_missing_locked(struct parked *p, struct batch *t)
{
    for (unsigned i = 0; i < p->n; i++) {
        struct slot *s = &p->slots[i];
        uint64_t index = first_block(p->offset) + i;
        if (!s->b) {
            if (!batch_add_locked(t, index))
                return false;
            s->b = t->open->blocks[t->open->n - 1];
        }
        if (!s->pinned) {
            list_add_before(&s->b->waits, &s->wait);
            p->waiting++;
        }
    }
    return true;
}

/*
 * ERR_AGAIN: it must wait for memory, and holds nothing. Any other failure is its answer. ERR_OK: it waits for blocks,
 * or, with `waiting` 0, can be answered.
 */
static enum err_code admit_locked(struct parked *p, bool its_turn, struct batch *t)
{
    struct contents *cs = p->c->cs;
    lock_assert_held(&cs->lock);
    uint64_t whole, need = pin_held_locked(p, &whole);
    bool room = need == 0 || ((its_turn || list_empty(&cs->queue)) && memory_room_locked(cs, need, ROOM_DEMAND));
    if (!room) {
        unpin_locked(p);
        return memory_hopeless_locked(cs, whole) ? ERR_NOMEM : ERR_AGAIN;
    }
    if (fetch_missing_locked(p, t))
        return ERR_OK;
    return ERR_NOMEM;
}

/* Parks the read, or takes it for one of the lists. */
static void settle_locked(struct parked *p, enum err_code code, struct list *ready, struct list *failed)
{
    if (code && code != ERR_AGAIN) {
        take_locked(p, failed);
    } else if (code == ERR_AGAIN && p->state != PARKED_QUEUED) {
        p->state = PARKED_QUEUED;
        list_add_before(&p->c->cs->queue, &p->link);
    } else if (code == ERR_OK) {
        if (p->state == PARKED_QUEUED)
            list_del(&p->link);
        p->state = PARKED_WAITING;
        if (p->waiting == 0)
            take_locked(p, ready);
    }
}

static void answer_no_memory(struct list *failed)
{
    struct err e = ERR_INIT;
    enum err_code code = err_set(&e, ERR_NOMEM, "no memory for a read");
    parked_answer(failed, code, &e);
}

static bool admit_some(struct contents *cs)
{
    struct list ready, failed, starts;
    list_init(&ready);
    list_init(&failed);
    list_init(&starts);
    lock_take(&cs->lock);
    while (!list_empty(&cs->queue)) {
        struct parked *p = CONTAINER_OF(cs->queue.next, struct parked, link);
        struct batch t = {.c = p->c, .starts = &starts, .max = DEMAND_BLOCKS, .urgent = true};
        enum err_code code = admit_locked(p, true, &t);
        if (code == ERR_AGAIN)
            break;
        settle_locked(p, code, &ready, &failed);
    }
    bool again = cs->kick_again;
    cs->kick_again = false;
    bool any = !list_empty(&ready) || !list_empty(&failed) || !list_empty(&starts);
    if (!again && !any)
        cs->kicking = false;
    lock_drop(&cs->lock);
    parked_answer(&ready, ERR_OK, NULL);
    answer_no_memory(&failed);
    fetches_start(&starts);
    return again || any;
}

/* One thread at a time, which goes on for those that come meanwhile: what it starts may end at once and come here
 * again. */
void parked_kick(struct contents *cs)
{
    lock_take(&cs->lock);
    bool go = !cs->kicking && !list_empty(&cs->queue);
    if (go)
        cs->kicking = true;
    else if (cs->kicking)
        cs->kick_again = true;
    lock_drop(&cs->lock);
    while (go)
        go = admit_some(cs);
}

/* ---- Reads */

static struct parked *parked_new(struct content *c, uint64_t offset, size_t len, struct cancel *cancel,
                                 struct content_read *r)
{
    unsigned n = block_count(offset, len);
    struct parked *p = calloc(1, sizeof(*p) + n * sizeof(p->slots[0]));
    if (!p)
        return NULL;
    p->r = r;
    p->offset = offset;
    p->len = len;
    p->cancel = cancel_ref(cancel);
    p->n = n;
    list_init(&p->link);
    for (unsigned i = 0; i < n; i++) {
        list_init(&p->slots[i].wait);
        p->slots[i].p = p;
    }
    p->c = content_ref(c);
    return p;
}

/* True if everything is held: then it was answered. */
static bool answer_held(struct content *c, uint64_t offset, size_t len, struct readahead *ra, struct content_read *r)
{
    struct contents *cs = c->cs;
    struct block *blocks[READ_BLOCKS];
    unsigned n = block_count(offset, len), i = 0;
    lock_take(&cs->lock);
    while (i < n && (blocks[i] = block_find_locked(c, first_block(offset) + i)) != NULL && blocks[i]->held)
        i++;
    if (i < n) {
        lock_drop(&cs->lock);
        return false;
    }
    for (i = 0; i < n; i++)
        block_pin_locked(blocks[i]);
    struct list starts;
    list_init(&starts);
    struct readahead_plan plan = ahead_move_locked(c, ra, offset, len, false);
    bool passes = plan.stream != NULL;
    ahead_start_locked(c, &plan, offset, len, NULL, &starts);
    cs->stats.hits++;
    contents_enter_locked(cs);
    c->holds++;
    lock_drop(&cs->lock);

    struct iovec iov[READ_BLOCKS];
    r->done(r, ERR_OK, iov, gather(iov, blocks, n, offset, len), len, NULL);
    lock_take(&cs->lock);
    for (i = 0; i < n; i++)
        block_unpin_locked(blocks[i], passes && passes_end(blocks[i], offset, len));
    content_release_locked(c);
    lock_drop(&cs->lock);
    fetches_start(&starts);
    parked_kick(cs);
    contents_leave(cs);
    return true;
}

static void park(struct parked *p, struct readahead *ra)
{
    struct content *c = p->c;
    struct contents *cs = c->cs;
    struct list ready, failed, canceled, starts;
    list_init(&ready);
    list_init(&failed);
    list_init(&canceled);
    list_init(&starts);
    lock_take(&cs->lock);
    contents_enter_locked(cs);
    cs->stats.misses++;
    cs->stats.parked++;
    struct readahead_plan plan = ahead_move_locked(c, ra, p->offset, p->len, true);
    p->passes = plan.stream != NULL;
    struct batch t = {.c = c, .starts = &starts, .max = DEMAND_BLOCKS, .urgent = true};
    if (p->fired) {
        take_locked(p, &canceled);
    } else {
        enum err_code code = admit_locked(p, false, &t);
        settle_locked(p, code, &ready, &failed);
        if (!code)
            ahead_start_locked(c, &plan, p->offset, p->len, &t, &starts);
    }
    lock_drop(&cs->lock); /* from here on the read may be answered by others */
    struct err e = ERR_INIT;
    if (!list_empty(&canceled))
        parked_answer(&canceled, err_set(&e, ERR_CANCELED, "the read was interrupted"), &e);
    answer_no_memory(&failed);
    parked_answer(&ready, ERR_OK, NULL);
    fetches_start(&starts);
    contents_leave(cs);
}

void content_read(struct content *c, uint64_t offset, size_t len, struct readahead *ra, struct cancel *cancel,
                  struct content_read *r)
{
    assert(len > 0 && len <= READ_MAX && offset <= c->size && len <= c->size - offset);
    if (answer_held(c, offset, len, ra, r))
        return;
    struct parked *p = parked_new(c, offset, len, cancel, r);
    if (!p) {
        struct err e = ERR_INIT;
        enum err_code code = err_set(&e, ERR_NOMEM, "no memory for a read");
        r->done(r, code, NULL, 0, 0, &e);
        return;
    }
    cancel_hook_add(cancel, &p->hook, on_cancel, p);
    park(p, ra);
}
