#include "timers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "buf.h"

bool timers_open(struct timers *t)
{
    memset(t, 0, sizeof(*t));
    t->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return t->fd >= 0;
}

void timers_close(struct timers *t)
{
    close(t->fd);
    free(t->heap);
    memset(t, 0, sizeof(*t));
}

static void put(struct timers *t, size_t place, struct timer *timer)
{
    t->heap[place] = timer;
    timer->place = place;
}

static void rise(struct timers *t, struct timer *timer)
{
    size_t at = timer->place;

    for (; at && t->heap[(at - 1) / 2]->at_ns > timer->at_ns; at = (at - 1) / 2)
        put(t, at, t->heap[(at - 1) / 2]);
    put(t, at, timer);
}

static void sink_down(struct timers *t, struct timer *timer)
{
    size_t at = timer->place;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child + 1 < t->count && t->heap[child + 1]->at_ns < t->heap[child]->at_ns)
            child++;
        if (child >= t->count || t->heap[child]->at_ns >= timer->at_ns)
            break;
        put(t, at, t->heap[child]);
        at = child;
    }
    put(t, at, timer);
}

static void take_out(struct timers *t, struct timer *timer)
{
    struct timer *last = t->heap[--t->count];

    timer->at_ns = 0;
    if (last == timer)
        return;
    put(t, timer->place, last);
    rise(t, last);
    sink_down(t, last);
}

void timer_set(struct timers *t, struct timer *timer, uint64_t at_ns)
{
    if (timer->at_ns)
        take_out(t, timer);
    if (!at_ns)
        return;
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 64;
        t->heap = x_realloc(t->heap, t->room * sizeof(*t->heap));
    }
    timer->at_ns = at_ns;
    put(t, t->count++, timer);
    rise(t, timer);
}

struct timer *timers_due(struct timers *t, uint64_t now_ns)
{
    struct timer *first = t->count ? t->heap[0] : NULL;

    if (!first || first->at_ns > now_ns)
        return NULL;
    take_out(t, first);
    return first;
}

void timers_arm(struct timers *t)
{
    uint64_t at = t->count ? t->heap[0]->at_ns : 0;
    struct itimerspec when = {.it_value = {(time_t)(at / 1000000000), (long)(at % 1000000000)}};

    if (at == t->armed_ns)
        return;
    timerfd_settime(t->fd, TFD_TIMER_ABSTIME, &when, NULL);
    t->armed_ns = at;
}
