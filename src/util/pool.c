#include "util/pool.h"

#include "util/cleanup.h"
#include "util/lock.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct task {
    struct task *next;
    void (*fn)(void *arg);
    void *arg;
};

/* `lock` guards everything behind it. */
struct pool {
    char name[16];
    unsigned max_threads;
    struct lock lock;
    struct cond work; /* something was queued, or stopping */
    struct task *first, **end;
    size_t queued;
    size_t running;
    unsigned idle; /* threads waiting for work */
    unsigned started;
    bool stopping;
    pthread_t threads[];
};

/* One pool_each(). Referenced by the caller and by each helper task, since a helper may come to run after the call has
 * returned; it then finds nothing left and touches no item. */
struct each {
    struct lock lock;
    struct cond ended;
    unsigned refs;
    unsigned busy; /* threads inside fn */
    char *items;
    size_t n, size, next;
    void (*fn)(void *item);
    const volatile _Bool *stop;
};

struct pool *pool_new(const char *name, unsigned max_threads, struct err *e)
{
    assert(max_threads > 0);
    struct pool *p = calloc(1, sizeof(*p) + max_threads * sizeof(pthread_t));
    if (!p) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->max_threads = max_threads;
    p->end = &p->first;
    lock_init(&p->lock, "pool", LOCK_POOL);
    cond_init(&p->work);
    return p;
}

static struct task *dequeue_locked(struct pool *p)
{
    lock_assert_held(&p->lock);
    struct task *t = p->first;
    p->first = t->next;
    if (!p->first)
        p->end = &p->first;
    p->queued--;
    return t;
}

static void *worker(void *arg)
{
    struct pool *p = arg;
    lock_take(&p->lock);
    for (;;) {
        while (!p->first && !p->stopping) {
            p->idle++;
            cond_wait(&p->work, &p->lock, UINT64_MAX);
            p->idle--;
        }
        if (!p->first)
            break;
        struct task *t = dequeue_locked(p);
        p->running++;
        lock_drop(&p->lock);
        t->fn(t->arg);
        free(t);
        lock_take(&p->lock);
        p->running--;
    }
    lock_drop(&p->lock);
    return NULL;
}

/* Signals are for the main thread: a new thread inherits a mask that blocks all. */
static int create_thread(pthread_t *thread, struct pool *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, worker, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pthread_setname_np(*thread, p->name);
    return rc;
}

/* False only when there is no thread at all that will ever run what is queued. */
static bool ensure_thread_locked(struct pool *p)
{
    lock_assert_held(&p->lock);
    if (p->idle >= p->queued || p->started == p->max_threads || p->stopping)
        return true;
    if (create_thread(&p->threads[p->started], p) == 0)
        p->started++;
    return p->started > 0;
}

static void enqueue_locked(struct pool *p, struct task *t)
{
    *p->end = t;
    p->end = &t->next;
    p->queued++;
}

enum err_code pool_submit(struct pool *p, void (*fn)(void *arg), void *arg, struct err *e)
{
    struct task *t = malloc(sizeof(*t));
    if (!t)
        return err_set(e, ERR_NOMEM, "out of memory");
    *t = (struct task){.fn = fn, .arg = arg};
    LOCK_SCOPE(&p->lock);
    enqueue_locked(p, t);
    if (!ensure_thread_locked(p)) {
        /* Without a thread nothing else is queued: `t` is alone. */
        free(dequeue_locked(p));
        return err_set(e, ERR_NOMEM, "no thread for %s could be started", p->name);
    }
    cond_signal(&p->work);
    return ERR_OK;
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    lock_take(&p->lock);
    p->stopping = true;
    cond_broadcast(&p->work);
    unsigned started = p->started;
    lock_drop(&p->lock);
    for (unsigned i = 0; i < started; i++)
        pthread_join(p->threads[i], NULL);
    cond_release(&p->work);
    lock_release(&p->lock);
    free(p);
}

size_t pool_pending(struct pool *p)
{
    LOCK_SCOPE(&p->lock);
    return p->queued + p->running;
}

static void each_unref(struct each *w)
{
    lock_take(&w->lock);
    bool last = --w->refs == 0;
    lock_drop(&w->lock);
    if (!last)
        return;
    cond_release(&w->ended);
    lock_release(&w->lock);
    free(w);
}

static bool stopped(const volatile _Bool *stop)
{
    return stop && __atomic_load_n(stop, __ATOMIC_RELAXED);
}

/* Takes items until none is left. */
static void each_work(struct each *w)
{
    lock_take(&w->lock);
    w->busy++;
    while (w->next < w->n && !stopped(w->stop)) {
        char *item = w->items + w->size * w->next++;
        lock_drop(&w->lock);
        w->fn(item);
        lock_take(&w->lock);
    }
    w->next = w->n;
    if (--w->busy == 0)
        cond_broadcast(&w->ended);
    lock_drop(&w->lock);
}

static void each_helper(void *arg)
{
    struct each *w = arg;
    each_work(w);
    each_unref(w);
}

static void each_alone(char *items, size_t n, size_t size, void (*fn)(void *item), const volatile _Bool *stop)
{
    for (size_t i = 0; i < n && !stopped(stop); i++)
        fn(items + size * i);
}

void pool_each(struct pool *p, void *items, size_t n, size_t size, unsigned parallel, void (*fn)(void *item),
               const volatile _Bool *stop)
{
    struct each *w = parallel > 1 && n > 1 ? malloc(sizeof(*w)) : NULL;
    if (!w) {
        each_alone(items, n, size, fn, stop);
        return;
    }
    *w = (struct each){.refs = 1, .items = items, .n = n, .size = size, .fn = fn, .stop = stop};
    lock_init(&w->lock, "pool each", LOCK_POOL);
    cond_init(&w->ended);
    size_t helpers = (parallel < n ? parallel : n) - 1;
    for (size_t i = 0; i < helpers; i++) {
        lock_take(&w->lock);
        w->refs++;
        lock_drop(&w->lock);
        if (pool_submit(p, each_helper, w, NULL) != ERR_OK) {
            each_unref(w);
            break; /* fewer at once, down to the caller alone */
        }
    }
    each_work(w);
    lock_take(&w->lock);
    while (w->busy)
        cond_wait(&w->ended, &w->lock, UINT64_MAX);
    lock_drop(&w->lock);
    each_unref(w);
}
