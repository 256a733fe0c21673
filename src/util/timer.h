/* One thread that calls functions at a time. Callbacks run on that thread, must not block, and usually submit to a pool. */
#ifndef UTIL_TIMER_H
#define UTIL_TIMER_H

#include "awsfs/err.h"

#include <stdbool.h>
#include <stdint.h>

struct timers;

/* One scheduled call, in the caller's storage (zeroed before its first use). */
struct timer {
    uint64_t at_ms;
    void (*fn)(void *arg);
    void *arg;
    struct timers *set; /* private from here */
    struct timer *left, *right, *parent;
    bool armed;
    uint64_t order;
};

struct timers *timers_new(struct err *e);

/* Ends the thread; what is still armed never fires. NULL is fine. */
void timers_free(struct timers *t);

/* Arms (or moves) `t` to fire once at `at_ms` (clock_mono_ms scale). Any thread, also from a callback. */
void timer_arm(struct timers *set, struct timer *t, uint64_t at_ms, void (*fn)(void *arg), void *arg);

/* Disarms; afterwards the callback is not running and will not run (waits for a running one unless called from it). Returns
 * true if it was armed. */
bool timer_disarm(struct timers *set, struct timer *t);

#endif
