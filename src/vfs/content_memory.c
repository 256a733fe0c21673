/*
 * Blocks: their memory, the table that finds them, and eviction. Buffers come in sizes of whole 4 KiB and are recycled
 * by size, because the first touch of fresh memory costs more than the copy into it. Secret memory wipes and recycles
 * by itself.
 *
 * What was fetched ahead and not yet read is kept apart: read-ahead never evicts it, except when nobody came for it in
 * time.
 */
#include "util/clock.h"
#include "util/secret.h"
#include "vfs/content_internal.h"

#include <assert.h>
#include <stdlib.h>

#define UNREAD_MS 10000
#define TABLE_MIN 64
#define TABLE_MAX (1u << 20)
#define TABLE_PER 16384 /* bytes of memory for each place in the table */

enum err_code memory_init(struct contents *cs, struct err *e)
{
    size_t size = TABLE_MIN;
    while (size < TABLE_MAX && size < cs->limit / TABLE_PER)
        size *= 2;
    cs->table = calloc(size, sizeof(struct block *));
    if (!cs->table)
        return err_set(e, ERR_NOMEM, "no memory for the table of blocks");
    cs->table_mask = size - 1;
    list_init(&cs->lru_read);
    list_init(&cs->lru_unread);
    return ERR_OK;
}

/* ---- Buffers */

static void pool_drop_locked(struct contents *cs, size_t class)
{
    void *p = cs->pools[class];
    cs->pools[class] = *(void **)p;
    cs->pooled -= (class + 1) * BLOCK_GRAIN;
    free(p);
}

void memory_release(struct contents *cs)
{
    for (size_t class = 0; class < BLOCK_CLASSES; class ++)
        while (cs->pools[class])
            pool_drop_locked(cs, class);
    assert(cs->used == 0 && cs->pooled == 0);
    free(cs->table);
}

/* Large ones first: fewer calls. */
static void pools_shrink_locked(struct contents *cs, uint64_t need)
{
    for (size_t class = BLOCK_CLASSES; class -- > 0;)
        while (cs->pools[class] && cs->used + cs->pooled + need > cs->limit)
            pool_drop_locked(cs, class);
}

static char *buffer_new_locked(struct contents *cs, uint32_t size)
{
    if (cs->secret)
        return secret_alloc(size);
    size_t class = size / BLOCK_GRAIN - 1;
    void *p = cs->pools[class];
    if (p) {
        cs->pools[class] = *(void **)p;
        cs->pooled -= size;
        return p;
    }
    pools_shrink_locked(cs, size);
    return malloc(size);
}

static void buffer_free_locked(struct contents *cs, void *p, uint32_t size)
{
    if (cs->secret) {
        secret_free(p);
        return;
    }
    size_t class = size / BLOCK_GRAIN - 1;
    *(void **)p = cs->pools[class];
    cs->pools[class] = p;
    cs->pooled += size;
}

/* ---- The table */

static struct block **place_in_table(const struct contents *cs, uint64_t id, uint64_t index)
{
    uint64_t h = (id * 0x9E3779B97F4A7C15u) ^ (index * 0xC2B2AE3D27D4EB4Fu);
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9u;
    return &cs->table[(h >> 32) & cs->table_mask];
}

struct block *block_find_locked(const struct content *c, uint64_t index)
{
    struct block *b = *place_in_table(c->cs, c->id, index);
    while (b && (b->c != c || b->index != index))
        b = b->hash_next;
    return b;
}

static void table_remove_locked(struct block *b)
{
    struct block **at = place_in_table(b->c->cs, b->c->id, b->index);
    while (*at != b)
        at = &(*at)->hash_next;
    *at = b->hash_next;
}

/* ---- Blocks */

static uint32_t block_len(const struct content *c, uint64_t index)
{
    uint64_t left = c->size - index * CONTENT_BLOCK;
    return left < CONTENT_BLOCK ? (uint32_t)left : CONTENT_BLOCK;
}

uint32_t block_cost(const struct content *c, uint64_t index)
{
    uint32_t len = block_len(c, index);
    return c->cs->secret ? len : (len + BLOCK_GRAIN - 1) / BLOCK_GRAIN * BLOCK_GRAIN;
}

struct block *block_new_locked(struct content *c, uint64_t index)
{
    struct contents *cs = c->cs;
    lock_assert_held(&cs->lock);
    struct block *b = calloc(1, sizeof(*b));
    uint32_t size = block_cost(c, index);
    if (!b || !(b->data = buffer_new_locked(cs, size))) {
        free(b);
        return NULL;
    }
    b->c = c;
    b->index = index;
    b->len = block_len(c, index);
    b->size = size;
    list_init(&b->lru);
    list_init(&b->waits);
    list_add_before(&c->blocks, &b->of_content);
    struct block **at = place_in_table(cs, c->id, index);
    b->hash_next = *at;
    *at = b;
    cs->used += size;
    cs->fetching += size;
    return b;
}

static void lru_leave_locked(struct block *b)
{
    if (list_empty(&b->lru))
        return;
    list_del(&b->lru);
    *(b->read ? &b->c->cs->read_bytes : &b->c->cs->unread_bytes) -= b->size;
}

static void lru_enter_locked(struct block *b)
{
    struct contents *cs = b->c->cs;
    b->since_ms = clock_mono_ms();
    list_add_before(b->read ? &cs->lru_read : &cs->lru_unread, &b->lru);
    *(b->read ? &cs->read_bytes : &cs->unread_bytes) += b->size;
}

void block_free_locked(struct block *b)
{
    struct contents *cs = b->c->cs;
    lock_assert_held(&cs->lock);
    assert(b->pins == 0 && list_empty(&b->waits));
    lru_leave_locked(b);
    list_del(&b->of_content);
    table_remove_locked(b);
    cs->used -= b->size;
    if (!b->held)
        cs->fetching -= b->size;
    else if (b->c->pinned)
        cs->fixed -= b->size;
    buffer_free_locked(cs, b->data, b->size);
    free(b);
}

void block_hold_locked(struct block *b)
{
    lock_assert_held(&b->c->cs->lock);
    assert(!b->held);
    b->held = true;
    b->c->cs->fetching -= b->size;
    if (b->c->pinned)
        b->c->cs->fixed += b->size;
    else
        lru_enter_locked(b);
}

void block_pin_locked(struct block *b)
{
    assert(b->held);
    b->pins++;
    lru_leave_locked(b);
    b->read = true;
}

void block_unpin_locked(struct block *b)
{
    lock_assert_held(&b->c->cs->lock);
    assert(b->pins > 0);
    if (--b->pins > 0)
        return;
    if (b->c->refs == 0)
        block_free_locked(b);
    else if (!b->c->pinned)
        lru_enter_locked(b);
}

void blocks_pin_locked(struct content *c)
{
    if (c->pinned)
        return;
    c->pinned = true;
    for (struct list *l = c->blocks.next; l != &c->blocks; l = l->next) {
        struct block *b = CONTAINER_OF(l, struct block, of_content);
        lru_leave_locked(b);
        if (b->held)
            c->cs->fixed += b->size;
    }
}

/* ---- Eviction */

static struct block *first_of(struct list *lru)
{
    return list_empty(lru) ? NULL : CONTAINER_OF(lru->next, struct block, lru);
}

/* Nobody came for these: they go before what was read. */
static void expire_unread_locked(struct contents *cs)
{
    uint64_t now = clock_mono_ms();
    for (struct block *b; (b = first_of(&cs->lru_unread)) != NULL && now - b->since_ms >= UNREAD_MS;) {
        lru_leave_locked(b);
        b->read = true;
        list_add_before(cs->lru_read.next, &b->lru);
        cs->read_bytes += b->size;
    }
}

/* Stalled requests never take all memory: what is held goes on being answered. One request always may. */
static bool may_fetch_locked(const struct contents *cs, uint64_t need, enum room why)
{
    if (why == ROOM_FILL || (why == ROOM_DEMAND && cs->fetching == 0))
        return true;
    uint64_t share = why == ROOM_DEMAND ? cs->limit / 4 * 3 : cs->limit / 2;
    return cs->fetching + need <= share;
}

uint64_t memory_ahead_locked(const struct contents *cs)
{
    uint64_t busy = cs->used - cs->read_bytes;
    uint64_t left = busy < cs->limit ? cs->limit - busy : 0;
    uint64_t share = cs->fetching < cs->limit / 2 ? cs->limit / 2 - cs->fetching : 0;
    return left < share ? left : share;
}

bool memory_hopeless_locked(const struct contents *cs, uint64_t need)
{
    return need > cs->limit || cs->fixed > cs->limit - need;
}

bool memory_room_locked(struct contents *cs, uint64_t need, enum room why)
{
    lock_assert_held(&cs->lock);
    if (need > cs->limit || !may_fetch_locked(cs, need, why))
        return false;
    if (cs->used + need > cs->limit)
        expire_unread_locked(cs);
    uint64_t evictable = cs->read_bytes + (why == ROOM_AHEAD ? 0 : cs->unread_bytes);
    if (cs->used - evictable + need > cs->limit)
        return false;
    while (cs->used + need > cs->limit) {
        struct block *b = first_of(&cs->lru_read);
        block_free_locked(b ? b : first_of(&cs->lru_unread));
    }
    return true;
}
