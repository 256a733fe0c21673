/*
 * Read-ahead: of one handle, and of contents that nobody reads yet.
 *
 * Of a handle: a reader that goes on where it stopped gets a window that doubles each time half of it is
 * used, in several requests side by side; any jump out of the window ends it, and then only what is asked for is
 * fetched. The kernel sends the reads of one sequential reader in parallel, so they may arrive a little out of order.
 */
#include "vfs/content_internal.h"

#define WINDOW_MIN (256u * 1024)
#define WINDOW_MAX (16u * 1024 * 1024)
#define RANGE_MIN  (1024u * 1024)
#define DISORDER   (1024u * 1024)
/* A request that somebody waits for goes on ahead up to this size, to spare a second one. */
#define JOINED_BLOCKS (RANGE_MIN / CONTENT_BLOCK)

/* Another, shorter version may have come in between. */
static bool goes_on(const struct readahead *ra, uint64_t offset, uint64_t size)
{
    if (ra->next > size || ra->ahead > size)
        return false;
    if (ra->window > 0)
        return offset <= ra->ahead && offset + DISORDER >= ra->next;
    return offset == ra->next;
}

struct span ahead_move(struct readahead *ra, uint64_t offset, size_t len, uint64_t size, uint64_t max)
{
    uint64_t end = offset + len;
    uint32_t limit = max < WINDOW_MAX ? (uint32_t)max : WINDOW_MAX;
    if (!goes_on(ra, offset, size)) {
        *ra = (struct readahead){.next = end, .ahead = end};
        return (struct span){0};
    }
    if (end > ra->next)
        ra->next = end;
    if (ra->window == 0)
        ra->window = WINDOW_MIN < limit ? WINDOW_MIN : limit;
    else if (ra->next + ra->window / 2 <= ra->ahead)
        return (struct span){0};
    else
        ra->window = ra->window < limit / 2 ? ra->window * 2 : limit;
    uint64_t from = ra->ahead > ra->next ? ra->ahead : ra->next;
    uint64_t to = ra->window < size - ra->next ? ra->next + ra->window : size;
    uint32_t range = ra->window / 8 > RANGE_MIN ? ra->window / 8 : RANGE_MIN;
    if (to < size && to > from + range)
        to = from + (to - from) / range * range; /* no request for a rest */
    return (struct span){from, to, range};
}

static bool add_locked(struct batch *t, uint64_t index)
{
    return memory_room_locked(t->c->cs, block_cost(t->c, index), ROOM_AHEAD) && batch_add_locked(t, index);
}

void ahead_start_locked(struct content *c, struct readahead *ra, const struct span *span, struct batch *t,
                        struct list *starts)
{
    if (span->to <= span->from)
        return;
    struct batch own = {.c = c, .starts = starts, .max = span->range / CONTENT_BLOCK};
    uint64_t index = span->from / CONTENT_BLOCK, end = (span->to + CONTENT_BLOCK - 1) / CONTENT_BLOCK;
    for (bool joins = t != NULL && list_empty(&c->cs->queue); index < end; index++) {
        if (block_find_locked(c, index))
            continue;
        struct fetch *f = t ? t->open : NULL;
        joins = joins && f && f->n < JOINED_BLOCKS && f->blocks[f->n - 1]->index + 1 == index;
        if (!list_empty(&c->cs->queue) || !add_locked(joins ? t : &own, index))
            break;
    }
    if (index < end && ra->window > WINDOW_MIN)
        ra->window /= 2;
    uint64_t reached = index * CONTENT_BLOCK;
    ra->ahead = reached < c->size ? reached : c->size;
    if (ra->ahead < ra->next)
        ra->ahead = ra->next;
}

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

uint64_t contents_room(struct contents *cs)
{
    LOCK_SCOPE(&cs->lock);
    return list_empty(&cs->queue) ? memory_ahead_locked(cs) : 0;
}
