/* What a test does with an in-memory store beside calling it. */
#include "store/mem_impl.h"
#include "util/clock.h"

#include <stdlib.h>
#include <string.h>

void mem_store_set_hook(struct mem_store *m, struct mem_hook hook)
{
    LOCK_SCOPE(&m->lock);
    m->hook = hook;
}

void mem_store_hold(struct mem_store *m, enum mem_op op, const char *key)
{
    LOCK_SCOPE(&m->lock);
    free(m->holds[op].key);
    m->holds[op].key = key != NULL ? strdup(key) : NULL;
    m->holds[op].set = true;
}

void mem_store_unhold(struct mem_store *m, enum mem_op op)
{
    LOCK_SCOPE(&m->lock);
    free(m->holds[op].key);
    m->holds[op] = (struct mem_hold){0};
    for (struct mem_waiter *w = m->waiters; w != NULL; w = w->next)
        w->released |= w->op == op;
    cond_broadcast(&m->changed);
}

bool mem_store_release_one(struct mem_store *m, enum mem_op op, const char *key)
{
    LOCK_SCOPE(&m->lock);
    for (struct mem_waiter *w = m->waiters; w != NULL; w = w->next) {
        if (w->op != op || w->released || (key != NULL && strcmp(key, w->key) != 0))
            continue;
        w->released = true;
        cond_broadcast(&m->changed);
        return true;
    }
    return false;
}

static unsigned held_locked(const struct mem_store *m, enum mem_op op)
{
    unsigned n = 0;
    for (const struct mem_waiter *w = m->waiters; w != NULL; w = w->next)
        n += w->op == op && !w->released;
    return n;
}

unsigned mem_store_held(struct mem_store *m, enum mem_op op)
{
    LOCK_SCOPE(&m->lock);
    return held_locked(m, op);
}

bool mem_store_wait_held(struct mem_store *m, enum mem_op op, unsigned n, unsigned timeout_ms)
{
    uint64_t deadline = clock_mono_ms() + timeout_ms;
    LOCK_SCOPE(&m->lock);
    while (held_locked(m, op) < n)
        if (!cond_wait(&m->changed, &m->lock, deadline))
            return held_locked(m, op) >= n;
    return true;
}

unsigned mem_store_count(struct mem_store *m, enum mem_op op)
{
    LOCK_SCOPE(&m->lock);
    return m->counts[op];
}

size_t mem_store_objects(struct mem_store *m)
{
    LOCK_SCOPE(&m->lock);
    return m->n_objects;
}

size_t mem_store_uploads(struct mem_store *m)
{
    LOCK_SCOPE(&m->lock);
    return m->n_uploads;
}

void mem_store_set_page_size(struct mem_store *m, unsigned page_size)
{
    LOCK_SCOPE(&m->lock);
    m->options.page_size = page_size;
}

void mem_store_set_empty_pages(struct mem_store *m, unsigned n)
{
    LOCK_SCOPE(&m->lock);
    m->empty_pages = n;
}

void mem_store_set_async(struct mem_store *m, bool async)
{
    LOCK_SCOPE(&m->lock);
    m->options.async = async;
}
