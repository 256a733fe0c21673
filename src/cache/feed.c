/*
 * Chunks on their way to the sum of the whole. What the writer has just written of the content that the idler is summing, a little
 * ahead of where he is, is handed over in memory, in whatever order it comes, so that it is not read again; whatever is not here is
 * read from the file. Where much was handed over and not summed yet the writer waits a moment, so that filling and summing go on side by
 * side. Where the sum does not come on, because others have the processors, no more is taken.
 */
#include "cache/cache_internal.h"
#include "util/clock.h"

#include <string.h>

#define WAIT_MS 100 /* for something to be handed over, and for the sum to come on */
#define LEAST   16  /* chunks that it must come on by in that time: else to read them again costs less than to wait */

static struct cache_block **place(struct feed *f, uint64_t chunk)
{
    return &f->blocks[chunk % FEED_AHEAD];
}

/* Up to where both threads have come. */
static uint64_t passed_locked(const struct feed *f)
{
    return f->at[0] < f->at[1] ? f->at[0] : f->at[1];
}

/* Those before chunk `to`, as a list. */
static struct cache_block *take_locked(struct feed *f, uint64_t to)
{
    struct cache_block *taken = NULL;
    for (; f->n > 0 && f->from < to; f->from++) {
        struct cache_block *b = TAKE(*place(f, f->from));
        if (!b)
            continue;
        b->next = taken;
        taken = b;
        f->n--;
    }
    f->from = to;
    return taken;
}

static void end(struct cache *c, struct cache_block *taken)
{
    if (taken)
        cond_broadcast(&c->room);
    for (struct cache_block *next; taken; taken = next) {
        next = taken->next;
        block_end(taken);
    }
}

void feed_begin(struct cache_entry *n, uint64_t from, bool twice)
{
    struct cache *c = n->cache;
    struct feed *f = &c->feed;
    lock_take(&c->lock);
    /* A sum that begins anew goes back: what waits ahead of where it was is none of the next chunks then. */
    struct cache_block *taken = take_locked(f, f->entry == n && from >= f->from ? from : UINT64_MAX);
    f->entry = n;
    f->from = f->at[0] = from;
    f->at[1] = twice ? from : UINT64_MAX;
    f->closed = false;
    lock_drop(&c->lock);
    end(c, taken);
}

void feed_end(struct cache *c)
{
    lock_take(&c->lock);
    struct cache_block *taken = take_locked(&c->feed, UINT64_MAX);
    c->feed.entry = NULL;
    lock_drop(&c->lock);
    end(c, taken);
}

/* Whether the file has these bytes. */
static bool is_written(struct cache_entry *n, uint64_t chunk, const uint8_t *sum)
{
    LOCK_SCOPE(&n->lock);
    bool held = n->state == CONTENT_PART && chunk < n->n_chunks && bit_get(n->held, chunk);
    const struct group *g = held ? n->groups[chunk / GROUP_CHUNKS] : NULL;
    return g && g->mask >> (chunk % GROUP_CHUNKS) & 1 && memcmp(g->sums[chunk % GROUP_CHUNKS], sum, CACHE_SHA512) == 0;
}

static bool fits_locked(struct cache *c, const struct cache_block *b)
{
    struct feed *f = &c->feed;
    if (f->entry != b->entry || f->closed || c->stop || (!c->draining && !pace_is_quiet(&c->pace, PACE_QUIET_MS)))
        return false;
    return b->index >= f->from && b->index - f->from < FEED_AHEAD && !*place(f, b->index);
}

static void wait_for_room_locked(struct cache *c, const struct cache_block *b)
{
    struct feed *f = &c->feed;
    uint64_t at = passed_locked(f), until = clock_mono_ms() + WAIT_MS;
    while (f->n == FEED_CHUNKS && fits_locked(c, b)) {
        if (cond_wait(&c->room, &c->lock, until))
            continue;
        f->closed = passed_locked(f) < at + LEAST;
        at = passed_locked(f);
        until = clock_mono_ms() + WAIT_MS;
    }
}

bool feed_offer(struct cache *c, struct cache_block *b, const uint8_t sum[CACHE_SHA512])
{
    lock_take(&c->lock);
    bool fits = fits_locked(c, b);
    lock_drop(&c->lock);
    if (!fits || !is_written(b->entry, b->index, sum))
        return false;
    LOCK_SCOPE(&c->lock);
    wait_for_room_locked(c, b);
    if (!fits_locked(c, b))
        return false;
    *place(&c->feed, b->index) = b;
    c->feed.n++;
    c->feed.offered++;
    cond_signal(&c->idle_work);
    return true;
}

const void *feed_get(struct cache_entry *n, uint64_t chunk)
{
    struct feed *f = &n->cache->feed;
    LOCK_SCOPE(&n->cache->lock);
    bool near = f->entry == n && chunk >= f->from && chunk - f->from < FEED_AHEAD;
    const struct cache_block *b = near ? *place(f, chunk) : NULL;
    return b && b->index == chunk ? b->p : NULL;
}

void feed_passed(struct cache_entry *n, bool second, uint64_t chunk)
{
    struct cache *c = n->cache;
    lock_take(&c->lock);
    c->feed.at[second] = chunk + 1;
    struct cache_block *taken = take_locked(&c->feed, passed_locked(&c->feed));
    lock_drop(&c->lock);
    end(c, taken);
}

uint64_t feed_wait(struct cache_entry *n, uint64_t offered)
{
    struct cache *c = n->cache;
    uint64_t until = clock_mono_ms() + WAIT_MS;
    LOCK_SCOPE(&c->lock);
    while (!c->stop && c->feed.offered == offered && cond_wait(&c->idle_work, &c->lock, until))
        ;
    return c->feed.offered;
}

void cache_expect(struct cache_entry *n, uint64_t chunks)
{
    if (n)
        atomic_store(&n->expected, chunks);
}
