#include "store/trials.h"

#include "util/cancel.h"
#include "util/clock.h"
#include "util/pool.h"
#include "util/timer.h"

#include <stdlib.h>

enum { THREADS = 16 };

struct trials {
    struct pool *pool;
    struct timers *timers;
};

/* One item of a run, and what it is run with. */
struct trial {
    void *item;
    const struct store_call *call;
    void (*fn)(void *item, const struct store_call *call);
};

struct trials *trials_new(struct err *e)
{
    CLEANUP(trials_free) struct trials *t = calloc(1, sizeof(*t));

    if (!t) {
        err_set(e, ERR_NOMEM, "no memory for the trials");
        return NULL;
    }
    t->pool = pool_new("awsfs-try", THREADS, e);
    t->timers = t->pool ? timers_new(e) : NULL;
    return t->timers ? TAKE(t) : NULL;
}

void trials_free(struct trials *t)
{
    if (!t)
        return;
    pool_free(t->pool);
    timers_free(t->timers);
    free(t);
}

static void run_one(void *arg)
{
    const struct trial *one = arg;

    one->fn(one->item, one->call);
}

static void fire(void *cancel)
{
    cancel_fire(cancel);
}

void trials_run(struct trials *t, uint64_t until_ms, void *items, size_t n, size_t size,
                void (*fn)(void *item, const struct store_call *call))
{
    CLEANUP(cancel_unref) struct cancel *cancel = cancel_new();
    CLEANUP(free) struct trial *list = calloc(n ? n : 1, sizeof(*list));
    uint64_t now = clock_mono_ms();
    struct timer end = {0};
    struct store_call call = {.cancel = cancel, .timeout_ms = until_ms > now ? (unsigned)(until_ms - now) : 1};

    if (!cancel || !list)
        return;
    for (size_t i = 0; i < n; i++)
        list[i] = (struct trial){.item = (char *)items + i * size, .call = &call, .fn = fn};
    timer_arm(t->timers, &end, until_ms, fire, cancel);
    pool_each(t->pool, list, n, sizeof(*list), THREADS, run_one, NULL);
    timer_disarm(t->timers, &end);
}
