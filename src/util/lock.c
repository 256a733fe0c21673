#include "util/lock.h"

#include "util/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A longer wait is cut into pieces: the condition's clock stands still while the machine sleeps, clock_mono_ms() does
 * not. */
#define WAIT_PIECE_MS 30000

/* Straight to stderr: the log has a lock of its own. */
static void die(const char *what, const struct lock *l, const char *other)
{
    fprintf(stderr, "lock \"%s\" (rank %d): %s %s\n", l->name ? l->name : "?", l->rank, what, other);
    abort();
}

static void check(int rc, const char *what, const struct lock *l)
{
    if (rc != 0)
        die(what, l, "failed");
}

#ifndef NDEBUG_LOCKS

#define HELD_MAX 16

/* The locks that this thread holds, in the order in which it took them. */
static _Thread_local const struct lock *held[HELD_MAX];
static _Thread_local int held_count;

static void check_rank(const struct lock *l)
{
    for (int i = 0; i < held_count; i++) {
        if (held[i]->rank >= l->rank)
            die("taken while holding", l, held[i]->name);
    }
    if (held_count == HELD_MAX)
        die("taken while holding", l, "too many");
}

static void push_held(const struct lock *l)
{
    held[held_count++] = l;
}

static void pop_held(const struct lock *l)
{
    int i = held_count - 1;
    while (i >= 0 && held[i] != l)
        i--;
    if (i < 0)
        die("dropped by", l, "a thread that does not hold it");
    for (; i + 1 < held_count; i++)
        held[i] = held[i + 1];
    held_count--;
}

static void check_is_last(const struct lock *l)
{
    if (held_count == 0 || held[held_count - 1] != l)
        die("waited on, but it is not", l, "the last lock taken");
}

#else

static void check_rank(const struct lock *l)
{
    (void)l;
}

static void push_held(const struct lock *l)
{
    (void)l;
}

static void pop_held(const struct lock *l)
{
    (void)l;
}

static void check_is_last(const struct lock *l)
{
    (void)l;
}

#endif

/* Owner and mark are atomic because lock_assert_held() may read them where another thread holds the lock. */
static void mark_held(struct lock *l)
{
    __atomic_store_n(&l->owner, pthread_self(), __ATOMIC_RELAXED);
    __atomic_store_n(&l->held, true, __ATOMIC_RELAXED);
    push_held(l);
}

static void mark_free(struct lock *l)
{
    pop_held(l);
    __atomic_store_n(&l->held, false, __ATOMIC_RELAXED);
}

void lock_init(struct lock *l, const char *name, enum lock_rank rank)
{
    l->name = name;
    l->rank = rank;
    l->held = false;
    check(pthread_mutex_init(&l->mutex, NULL), "mutex_init", l);
}

void lock_release(struct lock *l)
{
    check(pthread_mutex_destroy(&l->mutex), "mutex_destroy", l);
}

void lock_take(struct lock *l)
{
    check_rank(l);
    check(pthread_mutex_lock(&l->mutex), "mutex_lock", l);
    mark_held(l);
}

void lock_drop(struct lock *l)
{
    mark_free(l);
    check(pthread_mutex_unlock(&l->mutex), "mutex_unlock", l);
}

void lock_assert_held(const struct lock *l)
{
    if (!__atomic_load_n(&l->held, __ATOMIC_RELAXED) ||
        !pthread_equal(__atomic_load_n(&l->owner, __ATOMIC_RELAXED), pthread_self()))
        die("must be held by", l, "this thread");
}

void cond_init(struct cond *c)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0 || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(&c->c, &attr) != 0)
        abort();
    pthread_condattr_destroy(&attr);
}

void cond_release(struct cond *c)
{
    pthread_cond_destroy(&c->c);
}

void cond_signal(struct cond *c)
{
    pthread_cond_signal(&c->c);
}

void cond_broadcast(struct cond *c)
{
    pthread_cond_broadcast(&c->c);
}

static struct timespec monotonic_in(uint64_t ms)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += ms / 1000;
    ts.tv_nsec += (ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

bool cond_wait(struct cond *c, struct lock *l, uint64_t deadline_ms)
{
    lock_assert_held(l);
    check_is_last(l);
    if (deadline_ms == UINT64_MAX) {
        mark_free(l);
        int rc = pthread_cond_wait(&c->c, &l->mutex);
        mark_held(l);
        check(rc, "cond_wait", l);
        return true;
    }
    uint64_t now = clock_mono_ms();
    if (now >= deadline_ms)
        return false;
    uint64_t piece = deadline_ms - now < WAIT_PIECE_MS ? deadline_ms - now : WAIT_PIECE_MS;
    struct timespec until = monotonic_in(piece);
    mark_free(l);
    int rc = pthread_cond_timedwait(&c->c, &l->mutex, &until);
    mark_held(l);
    if (rc != ETIMEDOUT)
        check(rc, "cond_timedwait", l);
    return rc == 0 || clock_mono_ms() < deadline_ms;
}
