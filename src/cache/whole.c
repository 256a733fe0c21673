/*
 * The sums of a whole content: one stream, which nothing makes faster, so it is begun while the second half of a content is
 * still being written, and goes on from where it was when more is here.
 */
#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define STEP_CHUNKS 128  /* of an incomplete content are worth to go on for */
#define SOON_CHUNKS 16   /* where the next are about to come */
#define GAP_MS      5000 /* and longer none is waited for, */
#define STILL_MS    1000 /* or while nothing at all comes */
#define SECOND_MIN  (16ull << 20)

struct whole {
    struct digest *sha, *md5;
    bool second; /* that of the second thread */
};

static void whole_free(struct whole *w)
{
    if (!w)
        return;
    digest_free(w->sha);
    digest_free(w->md5);
    free(w);
}

void whole_drop_locked(struct cache_entry *n)
{
    lock_assert_held(&n->lock);
    whole_free(TAKE(n->whole));
    n->summed = 0;
    n->sums_dropped++;
}

/* Up to where chunks are here without a gap behind those that are summed. */
static uint64_t run_end_locked(const struct cache_entry *n, uint64_t most)
{
    uint64_t end = n->summed;
    while (end < n->n_chunks && end - n->summed < most && bit_get(n->held, end))
        end++;
    return end;
}

static bool may_sum_locked(const struct cache_entry *n)
{
    return n->state == CONTENT_PART && n->writer && !n->promoting && n->origin != ORIGIN_STRAY;
}

bool whole_due_locked(const struct cache_entry *n)
{
    if (!may_sum_locked(n))
        return false;
    if (n->n_held == n->n_chunks)
        return !n->in_dirty;
    uint64_t expected = atomic_load(&n->expected), step = expected > 0 ? SOON_CHUNKS : STEP_CHUNKS;
    return !n->hash_known && n->n_held + expected >= n->n_chunks / 2 && run_end_locked(n, step) - n->summed == step;
}

/* ---- Walking over chunks */

static bool stopping(struct cache *c)
{
    LOCK_SCOPE(&c->lock);
    return c->stop;
}

static bool add(struct whole *w, const void *p, size_t len)
{
    return (!w->sha || digest_update(w->sha, p, len, NULL) == ERR_OK) && (!w->md5 || digest_update(w->md5, p, len, NULL) == ERR_OK);
}

bool whole_walk(struct cache_entry *n, struct whole *w, uint64_t from, uint64_t to)
{
    CLEANUP(free) char *buf = malloc(CACHE_CHUNK);
    bool good = buf != NULL;
    for (uint64_t i = from; buf && i < (good ? to : n->n_chunks); i++) {
        if (stopping(n->cache))
            return false;
        lock_take(&n->lock);
        bool skip = (!w || !good) && bit_get(n->checked, i);
        lock_drop(&n->lock);
        if (skip)
            continue;
        const void *p = w && good ? feed_get(n, i) : NULL;
        if (!p)
            good = entry_chunk(n, i, buf) && good;
        if (good && w)
            good = add(w, p ? p : buf, chunk_len(n, i));
        if (w)
            feed_passed(n, w->second, i);
    }
    return good;
}

struct second {
    struct cache_entry *entry;
    struct whole sums;
    uint64_t from, to;
    bool good;
};

static void *second_main(void *arg)
{
    struct second *s = arg;
    s->good = whole_walk(s->entry, &s->sums, s->from, s->to);
    return NULL;
}

/* Both sums take as long as each other: of a large content each has a thread, which has the idler's priority. */
static bool both(struct cache_entry *n, struct whole *w, uint64_t from, uint64_t to)
{
    struct second s = {.entry = n, .sums = {.md5 = w->md5, .second = true}, .from = from, .to = to};
    struct whole one = {.sha = w->sha};
    pthread_t thread;
    bool twice = w->md5 && n->size >= SECOND_MIN;
    feed_begin(n, from, twice);
    if (!twice || pthread_create(&thread, NULL, second_main, &s) != 0) {
        feed_begin(n, from, false);
        return whole_walk(n, w, from, to);
    }
    bool good = whole_walk(n, &one, from, to);
    pthread_join(thread, NULL);
    return good && s.good;
}

/* ---- Summing */

static struct whole *whole_new(bool wants_md5)
{
    struct whole *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->sha = digest_new(DIGEST_SHA512, NULL);
    w->md5 = wants_md5 ? digest_new(DIGEST_MD5, NULL) : NULL;
    if (w->sha && (w->md5 || !wants_md5))
        return w;
    whole_free(w);
    return NULL;
}

/* Goes on over what is here. The idler alone does; meanwhile the sums are its own. False: there is nothing to go on with, or what was
 * summed so far counts no more. */
static bool step(struct cache_entry *n, bool wants_md5)
{
    lock_take(&n->lock);
    uint64_t from = n->summed;
    bool go = from > 0 ? may_sum_locked(n) && !n->hash_known : whole_due_locked(n);
    uint64_t to = go ? run_end_locked(n, UINT64_MAX) : from;
    unsigned dropped = n->sums_dropped;
    struct whole *w = to > from ? TAKE(n->whole) : NULL;
    lock_drop(&n->lock);
    if (to == from)
        return false;
    if (!w && from == 0)
        w = whole_new(wants_md5);
    bool good = w && both(n, w, from, to);
    LOCK_SCOPE(&n->lock);
    if (good && n->sums_dropped == dropped) {
        n->whole = w;
        n->summed = to;
        return true;
    }
    whole_free(w);
    whole_drop_locked(n);
    return false;
}

static uint64_t n_held(struct cache_entry *n)
{
    LOCK_SCOPE(&n->lock);
    return n->n_held;
}

/* Nothing can be gone on with now. What comes next may be behind a gap: that is closed soon, for what several threads bring in is
 * written in about its order, or it stays. */
static bool more_comes(struct cache_entry *n, bool wants_md5)
{
    uint64_t from = clock_mono_ms(), now = from, came = from, held = n_held(n), offered = 0;
    for (; atomic_load(&n->expected) > 0 && now < from + GAP_MS && now < came + STILL_MS && !stopping(n->cache); now = clock_mono_ms()) {
        offered = feed_wait(n, offered);
        if (step(n, wants_md5))
            return true;
        if (n_held(n) == held)
            continue;
        held = n_held(n);
        came = clock_mono_ms();
    }
    return false;
}

bool whole_sum(struct cache_entry *n, uint8_t sha512[CACHE_SHA512], uint8_t md5[CACHE_MD5], bool *has_md5)
{
    uint8_t told[CACHE_MD5], sum[DIGEST_MAX];
    bool wants_md5 = strlen(n->etag) == 32 && hex_decode(n->etag, told, sizeof(told));
    while (step(n, wants_md5) || more_comes(n, wants_md5))
        ;
    feed_end(n->cache);
    lock_take(&n->lock);
    struct whole *w = n->summed == n->n_chunks && whole_due_locked(n) ? TAKE(n->whole) : NULL;
    if (w)
        whole_drop_locked(n);
    lock_drop(&n->lock);
    bool good = w && digest_final(w->sha, sum, NULL) == ERR_OK;
    if (good)
        memcpy(sha512, sum, CACHE_SHA512);
    *has_md5 = good && w->md5 && digest_final(w->md5, sum, NULL) == ERR_OK && memcmp(sum, told, CACHE_MD5) == 0;
    if (*has_md5)
        memcpy(md5, told, CACHE_MD5);
    whole_free(w);
    return good;
}
