/* When connections want to be woken: a heap by time over one timerfd, so that a thousand waiting connections cost what
 * one costs and a delay is kept to a fraction of a millisecond. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
    uint64_t at_ns; /* of the monotonic clock; 0: not set */
    size_t place;   /* in the heap */
};

struct timers {
    int fd; /* readable when the first one is due */
    uint64_t armed_ns;
    struct timer **heap;
    size_t count, room;
};

/* Opens the timerfd; false with errno. Closes it. */
bool timers_open(struct timers *t);
void timers_close(struct timers *t);

/* Sets a timer anew, or with at_ns 0 stops it. It must stay where it is until it is due or stopped. */
void timer_set(struct timers *t, struct timer *timer, uint64_t at_ns);

/* Stops and returns a timer that is due by now_ns; NULL when none is. */
struct timer *timers_due(struct timers *t, uint64_t now_ns);

/* Lets fd tell when the first timer is due. */
void timers_arm(struct timers *t);
