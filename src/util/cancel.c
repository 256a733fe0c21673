#include "util/cancel.h"

#include "util/cleanup.h"
#include "util/lock.h"

#include <assert.h>

struct cancel {
    unsigned refs;     /* atomic */
    bool fired;        /* atomic; changes once, under the lock */
    struct lock lock;  /* guards what follows and the private part of the hooks that are linked */
    struct cond ended; /* a hook has returned */
    struct cancel_hook *hooks;
    const struct cancel_hook *running; /* being called by the thread `runner`, with the lock dropped */
    pthread_t runner;
};

struct cancel *cancel_new(void)
{
    struct cancel *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->refs = 1;
    lock_init(&c->lock, "cancel", LOCK_CANCEL);
    cond_init(&c->ended);
    return c;
}

struct cancel *cancel_ref(struct cancel *c)
{
    if (c)
        __atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void cancel_unref(struct cancel *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    assert(!c->hooks);
    cond_release(&c->ended);
    lock_release(&c->lock);
    free(c);
}

static void unlink_locked(struct cancel *c, struct cancel_hook *h)
{
    lock_assert_held(&c->lock);
    *h->prev = h->next;
    if (h->next)
        h->next->prev = h->prev;
    h->next = NULL;
    h->prev = NULL;
    h->linked = false;
}

void cancel_fire(struct cancel *c)
{
    LOCK_SCOPE(&c->lock);
    if (c->fired)
        return;
    __atomic_store_n(&c->fired, true, __ATOMIC_RELEASE);
    c->runner = pthread_self();
    while (c->hooks) {
        struct cancel_hook *h = c->hooks;
        void (*fn)(void *arg) = h->fn;
        void *arg = h->arg;
        unlink_locked(c, h);
        c->running = h;
        lock_drop(&c->lock);
        fn(arg);
        lock_take(&c->lock);
        c->running = NULL;
        cond_broadcast(&c->ended);
    }
}

bool cancel_fired(const struct cancel *c)
{
    return c && __atomic_load_n(&c->fired, __ATOMIC_ACQUIRE);
}

void cancel_hook_add(struct cancel *c, struct cancel_hook *h, void (*fn)(void *arg), void *arg)
{
    if (!c)
        return;
    lock_take(&c->lock);
    bool fired = c->fired;
    h->fn = fn;
    h->arg = arg;
    if (!fired) {
        h->next = c->hooks;
        h->prev = &c->hooks;
        if (h->next)
            h->next->prev = &h->next;
        c->hooks = h;
        h->linked = true;
    }
    lock_drop(&c->lock);
    if (fired)
        fn(arg);
}

void cancel_hook_remove(struct cancel *c, struct cancel_hook *h)
{
    if (!c)
        return;
    LOCK_SCOPE(&c->lock);
    if (h->linked)
        unlink_locked(c, h);
    while (c->running == h) {
        assert(!pthread_equal(c->runner, pthread_self()));
        cond_wait(&c->ended, &c->lock, UINT64_MAX);
    }
}
