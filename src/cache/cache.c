#include "cache/cache_internal.h"
#include "cache/changes.h"
#include "util/clock.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define TROUBLE_MS 5000

/* ---- Counting, trouble */

void cache_count(struct cache *c, uint64_t *counter, uint64_t n)
{
    LOCK_SCOPE(&c->lock);
    *counter += n;
}

void cache_trouble(struct cache *c, const struct err *e)
{
    lock_take(&c->lock);
    bool begins = c->stats.trouble[0] == '\0';
    memcpy(c->stats.trouble, e->msg, sizeof(c->stats.trouble));
    c->trouble_until_ms = clock_mono_ms() + TROUBLE_MS;
    cond_broadcast(&c->room);
    lock_drop(&c->lock);
    if (begins)
        LOG_WARN("cache", "nothing is stored in %s for now: %s", c->dir, e->msg);
}

bool cache_in_trouble_locked(const struct cache *c)
{
    return clock_mono_ms() < c->trouble_until_ms;
}

/* ---- Opening and closing */

static struct map_key key_of(const void *value)
{
    const struct cache_entry *n = value;
    return (struct map_key){n->id, n->id_len};
}

static struct cache *cache_new(const struct cache_config *config)
{
    struct cache *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->config = *config;
    c->dir = str_printf("%s", config->dir);
    c->entries = map_new(key_of);
    c->dirfd = c->part_fd = c->content_fd = -1;
    c->puts_end = &c->puts;
    c->jobs_end = &c->jobs;
    adoptions_init(c);
    notes_init(c);
    c->mend_due = true;
    c->reap_due = c->strays_due = true; /* what an earlier process left */
    lock_init(&c->lock, "cache", LOCK_CACHE);
    lock_init(&c->index_lock, "cache index", LOCK_CACHE_INDEX);
    pace_init(&c->pace);
    cond_init(&c->work);
    cond_init(&c->idle_work);
    cond_init(&c->idle_done);
    cond_init(&c->adopt_work);
    cond_init(&c->room);
    cond_init(&c->index_free);
    return c;
}

void cache_close(struct cache *c)
{
    if (!c)
        return;
    writer_stop(c);
    notes_drop(c);
    index_close(c);
    changes_close(c->changes);
    dir_close(c);
    map_free(c->entries);
    map_free(c->adoption_names);
    cond_release(&c->work);
    cond_release(&c->idle_work);
    cond_release(&c->idle_done);
    cond_release(&c->adopt_work);
    cond_release(&c->room);
    cond_release(&c->index_free);
    lock_release(&c->lock);
    lock_release(&c->index_lock);
    pace_release(&c->pace);
    free(c->dir);
    free(c);
}

enum err_code cache_open(const struct cache_config *config, struct cache **out, struct err *e)
{
    if (config->size < CACHE_MIN_SIZE)
        return err_set(e, ERR_INVAL, "a cache has at least %llu MiB", CACHE_MIN_SIZE >> 20);
    CLEANUP(cache_close) struct cache *c = cache_new(config);
    if (!c || !c->dir || !c->entries || !c->held_names || !c->adoption_names)
        return err_set(e, ERR_NOMEM, "no memory for the cache");
    struct err why = ERR_INIT;
    enum err_code code = dir_open(c, e);
    if (code)
        return code;
    if (changes_open(c->dirfd, c->boot, &c->changes, &why) != ERR_OK)
        LOG_WARN("cache", "no listings are kept in %s: %s", c->dir, why.msg);
    if (index_open(c, &why) != ERR_OK)
        cache_trouble(c, &why); /* the writer goes on trying */
    else
        c->sweep_due = !c->swept || !c->marked;
    code = writer_start(c, e);
    if (!code)
        *out = TAKE(c);
    return code;
}

static bool idle_locked(const struct cache *c)
{
    return !c->puts && !c->jobs && !c->writing && !c->idle_list && !c->idling && TAILQ_EMPTY(&c->adoptions) && !c->adopting &&
           !sweep_is_due_locked(c) && !c->reap_due;
}

static bool drain(struct cache *c, uint64_t timeout_ms, bool notes)
{
    if (!c)
        return true;
    uint64_t deadline = clock_mono_ms() + timeout_ms;
    LOCK_SCOPE(&c->lock);
    c->draining++;
    cond_broadcast(&c->idle_work);
    cond_signal(&c->adopt_work);
    notes_due_locked(c, notes);
    bool in_time = true;
    unsigned failures = c->failures; /* before it was waited for */
    for (; in_time && !idle_locked(c) && c->failures < failures + HOPELESS; failures = c->failures < failures ? c->failures : failures)
        in_time = cond_wait(&c->idle_done, &c->lock, deadline);
    c->draining--;
    return idle_locked(c);
}

bool cache_drain(struct cache *c, uint64_t timeout_ms)
{
    return drain(c, timeout_ms, true);
}

bool cache_settle(struct cache *c, uint64_t timeout_ms)
{
    return drain(c, timeout_ms, false);
}

/* ---- State */

static uint64_t pending_locked(const struct cache *c)
{
    uint64_t n = c->n_jobs + map_size(c->held_names) + c->small.n + c->large.n + c->idling + c->writing + c->adopting + sweep_is_due_locked(c);
    for (const struct cache_block *b = c->puts; b; b = b->next)
        n++;
    for (const struct cache_entry *e = c->idle_list; e; e = e->next_idle)
        n++;
    return n;
}

void cache_stats(struct cache *c, struct cache_stats *out)
{
    memset(out, 0, sizeof(*out));
    if (!c)
        return;
    lock_take(&c->lock);
    *out = c->stats;
    out->pending = pending_locked(c);
    if (!cache_in_trouble_locked(c) && c->sweeps_failed == 0)
        out->trouble[0] = '\0';
    lock_drop(&c->lock);
    out->limit = c->config.size;
    out->memory = atomic_load(&c->own_bytes);
    unsigned generation;
    struct err e = ERR_INIT;
    struct db *d = reader_take(c, &generation);
    if (d) {
        enum err_code code = space_used(c, d, &out->used, &e);
        if (code)
            index_failed(c, code, &e);
        reader_give(c, d, generation);
    }
}
