#include "span.h"

#include <time.h>

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void span_init(struct span *s, unsigned threads)
{
    pthread_barrier_init(&s->ready, NULL, threads);
    pthread_mutex_init(&s->lock, NULL);
    s->from = s->to = 0;
}

void span_release(struct span *s)
{
    pthread_barrier_destroy(&s->ready);
    pthread_mutex_destroy(&s->lock);
}

void span_begin(struct span *s)
{
    double at;

    pthread_barrier_wait(&s->ready);
    at = now();
    pthread_mutex_lock(&s->lock);
    if (s->from == 0 || at < s->from)
        s->from = at;
    pthread_mutex_unlock(&s->lock);
}

void span_ended(struct span *s)
{
    double at = now();

    pthread_mutex_lock(&s->lock);
    if (at > s->to)
        s->to = at;
    pthread_mutex_unlock(&s->lock);
}

double span_seconds(const struct span *s)
{
    return s->to > s->from ? s->to - s->from : 0;
}
