/*
 * Interrupts. The kernel sends one for the first signal of whatever kind that a waiting program gets, and none for those that
 * follow. So the program's pending signals decide: while a request that was interrupted once goes on, this thread looks at
 * them every 100 ms, and lets the program go only for a signal that ends it or that it lets interrupt it (fuse/fatal.h).
 */
#include "fuse/fatal.h"
#include "fuse/inside.h"
#include "util/clock.h"

#define LOOK_MS 100
#define BATCH 64

struct look {
    struct cancel *cancel;
    pid_t tid;
    void *owner;
    void (*let_go)(void *owner);
};

/* Up to BATCH of those that were interrupted, not let go, and not looked at in this round; references on what they need. */
static size_t collect_locked(struct session *s, struct look *out)
{
    size_t n = 0;
    for (struct flight *f = s->flights; f && n < BATCH; f = f->next) {
        if (!f->interrupted || f->looked == s->watch_round || cancel_fired(f->cancel))
            continue;
        f->looked = s->watch_round;
        out[n++] = (struct look){cancel_ref(f->cancel), f->tid, f->hold ? f->hold(f) : NULL, f->let_go};
    }
    return n;
}

/* let_go() takes over the hold, also where nothing is to be done: `go` says which. */
static void decide(const struct look *l)
{
    bool go = fatal_pending(l->tid);
    if (go)
        cancel_fire(l->cancel);
    cancel_unref(l->cancel);
    if (l->owner)
        (go ? l->let_go : request_release)(l->owner);
}

static void *watch(void *arg)
{
    struct session *s = arg;
    struct look looks[BATCH];
    bool more = false; /* the batch was full: the round goes on */
    lock_take(&s->lock);
    while (!s->watch_ended) {
        size_t n = collect_locked(s, looks);
        if (n == 0 && !more) {
            cond_wait(&s->watch_wake, &s->lock, UINT64_MAX);
            continue;
        }
        lock_drop(&s->lock);
        for (size_t k = 0; k < n; k++)
            decide(&looks[k]);
        lock_take(&s->lock);
        more = n == BATCH;
        if (more || s->watch_ended)
            continue;
        s->watch_round++;
        cond_wait(&s->watch_wake, &s->lock, clock_mono_ms() + LOOK_MS);
    }
    lock_drop(&s->lock);
    return NULL;
}

void interrupt_note(struct session *s, struct flight *f)
{
    LOCK_SCOPE(&s->lock);
    f->interrupted = true;
    cond_signal(&s->watch_wake);
}

enum err_code interrupt_start(struct session *s, struct err *e)
{
    cond_init(&s->watch_wake);
    s->watch_round = 1; /* 0: a flight that was never looked at */
    if (pthread_create(&s->watcher, NULL, watch, s) != 0) {
        cond_release(&s->watch_wake);
        return err_set(e, ERR_NOMEM, "cannot start the thread for interrupts");
    }
    s->watching = true;
    return ERR_OK;
}

void interrupt_stop(struct session *s)
{
    if (!s->watching)
        return;
    lock_take(&s->lock);
    s->watch_ended = true;
    cond_signal(&s->watch_wake);
    lock_drop(&s->lock);
    pthread_join(s->watcher, NULL);
    cond_release(&s->watch_wake);
    s->watching = false;
}
