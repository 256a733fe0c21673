#include "backends/ssm/pace.h"

#include "backends/ssm/rate.h"
#include "util/cancel.h"
#include "util/clock.h"
#include "util/lock.h"

#include <stdlib.h>

struct pace {
    struct lock lock;
    struct cond canceled; /* one of the waiting is */
    struct rate rate;
};

struct pace *pace_new(unsigned per_second, unsigned burst, struct err *e)
{
    struct pace *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        (void)err_set(e, ERR_NOMEM, "rate limit");
        return NULL;
    }
    lock_init(&p->lock, "ssm pace", LOCK_STORE);
    cond_init(&p->canceled);
    rate_init(&p->rate, per_second, burst, clock_mono_ms());
    return p;
}

void pace_free(struct pace *p)
{
    if (p == NULL)
        return;
    cond_release(&p->canceled);
    lock_release(&p->lock);
    free(p);
}

static void wake(void *arg)
{
    struct pace *p = arg;
    LOCK_SCOPE(&p->lock);
    cond_broadcast(&p->canceled);
}

/* Waits until `at_ms`; false when canceled before, and then a token that was `taken` is given back. */
static bool sleep_until(struct pace *p, uint64_t at_ms, bool taken, struct cancel *cancel)
{
    struct cancel_hook hook = {0};
    cancel_hook_add(cancel, &hook, wake, p);
    lock_take(&p->lock);
    while (!cancel_fired(cancel) && clock_mono_ms() < at_ms)
        cond_wait(&p->canceled, &p->lock, at_ms);
    bool in_time = !cancel_fired(cancel);
    if (!in_time && taken)
        rate_give_back(&p->rate, clock_mono_ms());
    lock_drop(&p->lock);
    cancel_hook_remove(cancel, &hook);
    return in_time;
}

enum err_code pace_wait(struct pace *p, uint64_t deadline_ms, struct cancel *cancel, struct err *e)
{
    if (cancel_fired(cancel))
        return err_set(e, ERR_CANCELED, "interrupted");
    lock_take(&p->lock);
    uint64_t now = clock_mono_ms();
    uint64_t wait = rate_take(&p->rate, now);
    bool too_late = wait > 0 && (now >= deadline_ms || wait > deadline_ms - now);
    if (too_late)
        rate_give_back(&p->rate, now);
    lock_drop(&p->lock);
    if (too_late)
        return err_set(e, ERR_THROTTLED, "the rate limit (ssm_rate=) has its next turn in %llu ms, after the deadline",
                       (unsigned long long)wait);
    if (wait > 0 && !sleep_until(p, now + wait, true, cancel))
        return err_set(e, ERR_CANCELED, "interrupted while waiting for the rate limit");
    return ERR_OK;
}

enum err_code pace_wait_spare(struct pace *p, uint64_t deadline_ms, struct cancel *cancel, struct err *e)
{
    for (;;) {
        lock_take(&p->lock);
        uint64_t now = clock_mono_ms(), wait = rate_take_spare(&p->rate, now);
        lock_drop(&p->lock);
        if (wait == 0)
            return ERR_OK;
        if (now >= deadline_ms || wait > deadline_ms - now)
            return err_set(e, ERR_THROTTLED, "others need the rate limit (ssm_rate=)");
        if (!sleep_until(p, now + wait, false, cancel))
            return err_set(e, ERR_CANCELED, "interrupted while waiting for the rate limit");
    }
}

void pace_charge(struct pace *p)
{
    LOCK_SCOPE(&p->lock);
    (void)rate_take(&p->rate, clock_mono_ms());
}

void pace_throttled(struct pace *p)
{
    LOCK_SCOPE(&p->lock);
    rate_throttled(&p->rate, clock_mono_ms());
}
