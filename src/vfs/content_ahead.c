/*
 * Read-ahead: for the readers of a handle as readahead.h plans it, and of contents that nobody reads yet.
 */
#include "util/clock.h"
#include "vfs/content_internal.h"

/* A request that somebody waits for goes on ahead up to this size, to spare a second one. */
#define JOINED_BLOCKS (1024u * 1024 / CONTENT_BLOCK)
#define PIECES        4             /* of what there is room for, */
#define PIECE_MAX     (1024u * 1024) /* unless they are larger, or smaller than a quarter of a range */
#define SLICE_MS      500
#define COUNTED       (2u * 1024 * 1024) /* the least window that needs a share */

/* ---- Who reads in order, and what each may have of the memory */

static void count_active_locked(struct contents *cs, struct readahead_stream *s, uint64_t now_us)
{
    uint64_t slice = now_us / 1000 / SLICE_MS + 1;
    if (slice != cs->slice) {
        cs->active_before = slice == cs->slice + 1 ? cs->active : 0;
        cs->active = 0;
        cs->slice = slice;
    }
    if (s->slice == slice || s->window < COUNTED)
        return;
    cs->active++;
    s->slice = slice;
}

/* An eighth is left to those who read here and there. How much of it may be under way, memory_room_locked() decides. */
static uint64_t share_locked(const struct contents *cs)
{
    unsigned n = cs->active > cs->active_before ? cs->active : cs->active_before;
    return cs->limit / 8 * 7 / (n ? n : 1);
}

struct readahead_plan ahead_move_locked(struct content *c, struct readahead *ra, uint64_t offset, size_t len, bool waits)
{
    struct contents *cs = c->cs;
    lock_assert_held(&cs->lock);
    if (!ra)
        return (struct readahead_plan){0};
    struct readahead_read r = {.offset = offset, .len = len, .size = c->size, .now_us = clock_mono_us(), .waits = waits,
                               .share = share_locked(cs), .link = cs->link};
    struct readahead_plan p = readahead_move(ra, &r);
    if (p.stream)
        count_active_locked(cs, p.stream, r.now_us);
    return p;
}

/* ---- Starting */

static bool add_locked(struct batch *t, uint64_t index)
{
    return memory_room_locked(t->c->cs, block_cost(t->c, index), ROOM_AHEAD) && batch_add_locked(t, index);
}

/* Where there is not room for all of it, no request for each block that is given back: pieces of some size, as long as the reader has
 * something before him. Their size does not follow from the link's latency alone, as a range's may: there are few of them at once. */
static void fit_locked(const struct contents *cs, struct readahead_plan *plan)
{
    uint64_t room = memory_ahead_locked(cs), before = plan->from - plan->stream->next, least = (room + before) / PIECES;
    least = least > PIECE_MAX ? PIECE_MAX : least / CONTENT_BLOCK * CONTENT_BLOCK;
    least = least > plan->range / 4 ? least : plan->range / 4;
    if (room < plan->to - plan->from && before > 0)
        plan->to = plan->from + room / least * least;
}

static void in_order_locked(struct content *c, struct readahead_plan *plan, struct batch *t, struct list *starts)
{
    struct batch own = {.c = c, .starts = starts, .max = plan->range / CONTENT_BLOCK};
    fit_locked(c->cs, plan);
    uint64_t index = plan->from / CONTENT_BLOCK, end = (plan->to + CONTENT_BLOCK - 1) / CONTENT_BLOCK;
    for (bool joins = t != NULL && list_empty(&c->cs->queue); index < end; index++) {
        if (block_find_locked(c, index))
            continue;
        struct fetch *f = t ? t->open : NULL;
        joins = joins && f && f->n < JOINED_BLOCKS && f->blocks[f->n - 1]->index + 1 == index;
        if (!list_empty(&c->cs->queue) || !add_locked(joins ? t : &own, index))
            break;
    }
    readahead_cut(plan, index * CONTENT_BLOCK, c->size);
}

/* The blocks of read number `k` after this one that are missing; `t` NULL: only counts them. False: there is no such read, or
 * no room. */
static bool leap_locked(struct content *c, uint64_t offset, size_t len, struct batch *t, unsigned *missing)
{
    if (offset >= c->size) /* also below 0 */
        return false;
    uint64_t last = offset + len < c->size ? offset + len - 1 : c->size - 1;
    for (uint64_t index = offset / CONTENT_BLOCK; index <= last / CONTENT_BLOCK; index++) {
        if (block_find_locked(c, index))
            continue;
        ++*missing;
        if (t && !add_locked(t, index))
            return false;
    }
    return true;
}

/* Half of them at once, so that a backward reader gets ranges and not block after block. */
static void leaps_locked(struct content *c, const struct readahead_plan *plan, uint64_t offset, size_t len, struct list *starts)
{
    unsigned missing = 0, again = 0, n = plan->leaps;
    for (unsigned k = 1; k <= n && leap_locked(c, offset + k * (uint64_t)plan->step, len, NULL, &missing); k++)
        ;
    if (missing * 2 < n || !list_empty(&c->cs->queue))
        return;
    struct batch t = {.c = c, .starts = starts, .max = FETCH_BLOCKS};
    for (unsigned k = 1; k <= n; k++) /* in rising order: neighbours share a request */
        (void)leap_locked(c, offset + (plan->step < 0 ? n + 1 - k : k) * (uint64_t)plan->step, len, &t, &again);
}

void ahead_start_locked(struct content *c, struct readahead_plan *plan, uint64_t offset, size_t len, struct batch *t,
                        struct list *starts)
{
    if (plan->stream && plan->to > plan->from)
        in_order_locked(c, plan, t, starts);
    else if (plan->leaps > 0)
        leaps_locked(c, plan, offset, len, starts);
}

/* ---- Of what nobody reads yet */

bool content_prefetch(struct content *c, uint64_t len)
{
    struct contents *cs = c->cs;
    struct list starts;
    list_init(&starts);
    struct batch t = {.c = c, .starts = &starts, .max = FETCH_BLOCKS};
    uint64_t wanted = len < c->size ? len : c->size, index = 0, end = (wanted + CONTENT_BLOCK - 1) / CONTENT_BLOCK;
    lock_take(&cs->lock);
    if (list_empty(&cs->queue))
        while (index < end && (block_find_locked(c, index) || add_locked(&t, index)))
            index++;
    c->prefetched = true;
    lock_drop(&cs->lock);
    fetches_start(&starts);
    return index == end;
}

enum content_hand content_at_hand(struct content *c)
{
    LOCK_SCOPE(&c->cs->lock);
    const struct block *b = block_find_locked(c, 0);
    if (!b)
        return c->prefetched ? CONTENT_ABSENT : CONTENT_COMING;
    return b->held ? CONTENT_HELD : CONTENT_COMING;
}

bool content_is_coming(struct content *c)
{
    LOCK_SCOPE(&c->cs->lock);
    const struct block *b = block_find_locked(c, 0);
    return b && !b->held;
}

uint64_t contents_room(struct contents *cs)
{
    LOCK_SCOPE(&cs->lock);
    return list_empty(&cs->queue) ? memory_ahead_locked(cs) : 0;
}

uint32_t contents_latency_us(struct contents *cs)
{
    LOCK_SCOPE(&cs->lock);
    return cs->link.latency_us;
}
