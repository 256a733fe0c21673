/*
 * The armed timers are an intrusive pairing heap, ordered by time and then by the order of arming. In a node, `left` is
 * its first child, `right` its next sibling, `parent` its previous sibling or, for a first child, its parent; the root
 * has neither sibling nor parent. Arming cannot fail, because a node brings its own memory.
 */
#include "util/timer.h"

#include "util/cleanup.h"
#include "util/clock.h"
#include "util/lock.h"

#include <assert.h>
#include <signal.h>

struct timers {
    struct lock lock; /* guards all, and the private part of the timers that are armed here */
    struct cond changed;
    struct cond ended; /* a callback has returned */
    struct timer *root;
    struct timer *running; /* its storage may be gone, unless somebody waits for its callback to end */
    unsigned waiting;      /* disarming threads that do */
    uint64_t runs;         /* callbacks that have ended */
    uint64_t last_order;
    bool stopping;
    pthread_t thread;
};

static bool before(const struct timer *a, const struct timer *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

/* Joins two heaps, either may be NULL. The result has no sibling and no parent. */
static struct timer *meld(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (before(b, a)) {
        struct timer *swap = a;
        a = b;
        b = swap;
    }
    b->parent = a;
    b->right = a->left;
    if (b->right)
        b->right->parent = b;
    a->left = b;
    return a;
}

/* Makes one heap of a list of siblings: pairs from the left, then those together. */
static struct timer *meld_siblings(struct timer *first)
{
    struct timer *pairs = NULL; /* linked by `right`, the last pair first */
    while (first) {
        struct timer *a = first;
        struct timer *b = a->right;
        first = b ? b->right : NULL;
        a->right = a->parent = NULL;
        if (b)
            b->right = b->parent = NULL;
        a = meld(a, b);
        a->right = pairs;
        pairs = a;
    }
    struct timer *all = NULL;
    while (pairs) {
        struct timer *next = pairs->right;
        pairs->right = NULL;
        all = meld(all, pairs);
        pairs = next;
    }
    return all;
}

static void unlink_locked(struct timers *set, struct timer *t)
{
    lock_assert_held(&set->lock);
    struct timer *children = meld_siblings(t->left);
    if (t == set->root) {
        set->root = children;
    } else {
        if (t->parent->left == t)
            t->parent->left = t->right;
        else
            t->parent->right = t->right;
        if (t->right)
            t->right->parent = t->parent;
        set->root = meld(set->root, children);
    }
    t->left = t->right = t->parent = NULL;
    t->armed = false;
}

/* Calls the first timer with the lock dropped. Afterwards `t` may not exist any more. */
static void fire_first_locked(struct timers *set)
{
    struct timer *t = set->root;
    void (*fn)(void *arg) = t->fn;
    void *arg = t->arg;
    unlink_locked(set, t);
    set->running = t;
    lock_drop(&set->lock);
    fn(arg);
    lock_take(&set->lock);
    set->running = NULL;
    set->runs++;
    if (set->waiting == 0)
        return;
    /* It was disarmed while it ran: that the callback armed it again must not count, or disarming might never end. */
    if (t->armed)
        unlink_locked(set, t);
    set->waiting = 0;
    cond_broadcast(&set->ended);
}

static void *timer_thread(void *arg)
{
    struct timers *set = arg;
    lock_take(&set->lock);
    while (!set->stopping) {
        if (!set->root)
            cond_wait(&set->changed, &set->lock, UINT64_MAX);
        else if (set->root->at_ms > clock_mono_ms())
            cond_wait(&set->changed, &set->lock, set->root->at_ms);
        else
            fire_first_locked(set);
    }
    lock_drop(&set->lock);
    return NULL;
}

struct timers *timers_new(struct err *e)
{
    struct timers *set = calloc(1, sizeof(*set));
    if (!set) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    lock_init(&set->lock, "timers", LOCK_TIMER);
    cond_init(&set->changed);
    cond_init(&set->ended);
    /* Signals are for the main thread: a new thread inherits a mask that blocks all. */
    sigset_t all, mask;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    int rc = pthread_create(&set->thread, NULL, timer_thread, set);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    if (rc != 0) {
        err_sys(e, rc, "timer thread");
        free(set);
        return NULL;
    }
    pthread_setname_np(set->thread, "timers");
    return set;
}

void timers_free(struct timers *set)
{
    if (!set)
        return;
    lock_take(&set->lock);
    assert(!pthread_equal(set->thread, pthread_self()));
    set->stopping = true;
    cond_signal(&set->changed);
    lock_drop(&set->lock);
    pthread_join(set->thread, NULL);
    while (set->root) {
        lock_take(&set->lock);
        unlink_locked(set, set->root);
        lock_drop(&set->lock);
    }
    cond_release(&set->changed);
    cond_release(&set->ended);
    lock_release(&set->lock);
    free(set);
}

void timer_arm(struct timers *set, struct timer *t, uint64_t at_ms, void (*fn)(void *arg), void *arg)
{
    LOCK_SCOPE(&set->lock);
    if (t->armed)
        unlink_locked(set, t);
    t->at_ms = at_ms;
    t->fn = fn;
    t->arg = arg;
    t->set = set;
    t->armed = true;
    t->order = ++set->last_order;
    set->root = meld(set->root, t);
    if (set->root == t)
        cond_signal(&set->changed);
}

bool timer_disarm(struct timers *set, struct timer *t)
{
    LOCK_SCOPE(&set->lock);
    bool was_armed = t->armed;
    if (was_armed)
        unlink_locked(set, t);
    if (set->running != t || pthread_equal(set->thread, pthread_self()))
        return was_armed;
    set->waiting++;
    for (uint64_t runs = set->runs; set->runs == runs;)
        cond_wait(&set->ended, &set->lock, UINT64_MAX);
    return was_armed;
}
