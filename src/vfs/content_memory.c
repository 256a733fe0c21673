/*
 * Blocks: their memory, the table that finds them, and eviction. Whole blocks have frames of an arena (vfs/arena.h), smaller
 * ones come in sizes of whole 4 KiB and are recycled by size: the first touch of fresh memory costs more than the copy into
 * it. Secret memory wipes and recycles by itself.
 *
 * What was fetched ahead and not yet read is kept apart: read-ahead never evicts it, except when nobody came for it in
 * time. What a sequential reader has passed is SPENT: it goes first, and beyond a share of the limit it goes rather than that
 * memory is touched that no block had yet (the kernel's page cache has its bytes).
 */
#include "util/clock.h"
#include "util/secret.h"
#include "vfs/content_internal.h"

#include <assert.h>
#include <stdlib.h>

static void rest_later_locked(struct contents *cs);

#define UNREAD_MS 10000
#define SPENT_PART 16 /* of the limit */
#define KEPT_PART 8   /* of the limit */
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
    if (!(cs->arena = arena_new(cs->limit < CONTENT_BLOCK ? 1 : cs->limit / CONTENT_BLOCK, CONTENT_BLOCK)))
        return err_set(e, ERR_NOMEM, "no address space for %llu bytes of blocks (memory=)", (unsigned long long)cs->limit);
    cs->table_mask = size - 1;
    list_init(&cs->lru_spent);
    list_init(&cs->lru_read);
    list_init(&cs->lru_unread);
    return ERR_OK;
}

/* ---- Buffers: whole blocks have frames of the arena, smaller ones are malloc()ed */

uint64_t memory_idle_locked(const struct contents *cs)
{
    return cs->small + arena_warm(cs->arena);
}

static void small_drop_locked(struct contents *cs, size_t class)
{
    void *p = cs->pools[class];
    cs->pools[class] = *(void **)p;
    cs->small -= (class + 1) * BLOCK_GRAIN;
    if (cs->small < cs->small_low)
        cs->small_low = cs->small;
    free(p);
}

/* Large ones first: fewer calls. */
static void small_shrink_locked(struct contents *cs, uint64_t to)
{
    for (size_t class = BLOCK_CLASSES; class -- > 0;)
        while (cs->pools[class] && cs->small > to)
            small_drop_locked(cs, class);
}

void memory_release(struct contents *cs)
{
    small_shrink_locked(cs, 0);
    assert(cs->used == 0);
    arena_free(cs->arena);
    free(cs->table);
}

static void make_room_locked(struct contents *cs, uint64_t need)
{
    uint64_t all = cs->used + memory_idle_locked(cs) + need, over = all > cs->limit ? all - cs->limit : 0;
    if (over > 0)
        small_shrink_locked(cs, over < cs->small ? cs->small - over : 0);
    while (cs->used + memory_idle_locked(cs) + need > cs->limit && arena_shrink(cs->arena))
        ;
}

static char *small_new_locked(struct contents *cs, uint32_t size)
{
    size_t class = size / BLOCK_GRAIN - 1;
    void *p = cs->pools[class];
    if (!p) {
        make_room_locked(cs, size);
        return malloc(size);
    }
    cs->pools[class] = *(void **)p;
    cs->small -= size;
    if (cs->small < cs->small_low)
        cs->small_low = cs->small;
    return p;
}

static struct block *first_of(struct list *lru)
{
    return list_empty(lru) ? NULL : CONTAINER_OF(lru->next, struct block, lru);
}

/* Rather the memory of a block that a reader has passed than memory that was never touched. */
static char *frame_new_locked(struct contents *cs)
{
    if (arena_warm(cs->arena) == 0 && cs->spent_bytes > cs->limit / SPENT_PART)
        block_free_locked(first_of(&cs->lru_spent));
    if (arena_warm(cs->arena) == 0)
        make_room_locked(cs, CONTENT_BLOCK);
    return arena_take(cs->arena);
}

static char *buffer_new_locked(struct contents *cs, uint32_t size)
{
    if (cs->secret)
        return secret_alloc(size);
    return size == CONTENT_BLOCK ? frame_new_locked(cs) : small_new_locked(cs, size);
}

static void buffer_free_locked(struct contents *cs, void *p, uint32_t size)
{
    if (cs->secret) {
        secret_free(p);
        return;
    }
    if (size == CONTENT_BLOCK) {
        arena_give(cs->arena, p);
    } else {
        size_t class = size / BLOCK_GRAIN - 1;
        *(void **)p = cs->pools[class];
        cs->pools[class] = p;
        cs->small += size;
    }
    rest_later_locked(cs);
}

/* ---- Memory that lies idle goes back to the system */

static void rest(void *arg)
{
    struct contents *cs = arg;
    lock_take(&cs->lock);
    cs->resting = false;
    uint64_t low = cs->small_low;
    cs->small_low = cs->small;
    small_shrink_locked(cs, cs->small - low);
    struct arena_rest *r = arena_rest(cs->arena);
    lock_drop(&cs->lock);
    if (r)
        arena_rest_free(cs->arena, r);
    lock_take(&cs->lock);
    if (r)
        arena_rest_end(cs->arena, r);
    if (memory_idle_locked(cs) > 0)
        rest_later_locked(cs);
    lock_drop(&cs->lock);
}

static void rest_due(void *arg)
{
    struct contents *cs = arg;
    if (pool_submit(cs->pool, rest, cs, NULL) == ERR_OK)
        return;
    LOCK_SCOPE(&cs->lock);
    cs->resting = false;
}

static void rest_later_locked(struct contents *cs)
{
    if (cs->resting || !cs->timers)
        return;
    cs->resting = true;
    timer_arm(cs->timers, &cs->rest_timer, clock_mono_ms() + cs->rest_ms, rest_due, cs);
}

void contents_give_back(struct contents *cs, struct timers *timers, unsigned after_ms)
{
    LOCK_SCOPE(&cs->lock);
    cs->timers = timers;
    cs->rest_ms = after_ms;
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

/* Spent ones count as read. */
static void lru_count_locked(struct block *b, uint64_t add)
{
    struct contents *cs = b->c->cs;
    *(b->read ? &cs->read_bytes : &cs->unread_bytes) += add;
    if (b->spent)
        cs->spent_bytes += add;
}

static void lru_leave_locked(struct block *b)
{
    if (list_empty(&b->lru))
        return;
    list_del(&b->lru);
    lru_count_locked(b, -(uint64_t)b->size);
}

static void lru_enter_locked(struct block *b)
{
    struct contents *cs = b->c->cs;
    b->since_ms = clock_mono_ms();
    list_add_before(b->spent ? &cs->lru_spent : b->read ? &cs->lru_read : &cs->lru_unread, &b->lru);
    lru_count_locked(b, b->size);
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
    b->spent = false;
}

bool block_keep_locked(struct block *b)
{
    struct contents *cs = b->c->cs;
    assert(b->held);
    if (cs->kept + b->size > cs->limit / KEPT_PART)
        return false;
    cs->kept += b->size;
    b->pins++;
    lru_leave_locked(b);
    return true;
}

void block_unpin_locked(struct block *b, bool spent)
{
    lock_assert_held(&b->c->cs->lock);
    assert(b->pins > 0);
    b->spent = b->spent || (spent && b->size == CONTENT_BLOCK && !b->c->pinned);
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
    uint64_t share = why == ROOM_DEMAND ? cs->limit / 8 * 7 : cs->limit / 4 * 3;
    return cs->fetching + need <= share;
}

uint64_t memory_ahead_locked(const struct contents *cs)
{
    uint64_t busy = cs->used - cs->read_bytes;
    uint64_t left = busy < cs->limit ? cs->limit - busy : 0;
    uint64_t most = cs->limit / 4 * 3, share = cs->fetching < most ? most - cs->fetching : 0;
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
        struct block *b = first_of(&cs->lru_spent);
        b = b ? b : first_of(&cs->lru_read);
        block_free_locked(b ? b : first_of(&cs->lru_unread));
    }
    return true;
}
