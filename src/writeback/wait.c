/* Waiting: for room below the limit, for one key, for everything. */
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"
#include "writeback/inside.h"

#include <string.h>

#define POLL_MS     50 /* how soon an interrupt is noticed */
#define PROGRESS_MS 1000
#define SETTLE_MS   60000

static bool is_canceled(const struct store_call *call)
{
    return call && call->cancel && cancel_fired(call->cancel);
}

static void wait_locked(struct writeback *w)
{
    (void)cond_wait(&w->changed, &w->lock, clock_mono_ms() + POLL_MS);
}

/* ---- Room */

void room_give_locked(struct writeback *w, uint64_t bytes)
{
    lock_assert_held(&w->lock);
    w->bytes -= bytes;
    if (bytes)
        cond_broadcast(&w->changed);
}

/* Each operation takes memory, whatever its bytes. */
static bool has_room(const struct writeback *w, uint64_t bytes)
{
    return w->n_ops < w->max_ops && !(w->limit && bytes && w->bytes && w->bytes + bytes > w->limit);
}

enum err_code room_take(struct writeback *w, uint64_t bytes, const struct store_call *call, struct err *e)
{
    uint64_t since = clock_mono_ms();
    LOCK_SCOPE(&w->lock);
    while (!has_room(w, bytes)) {
        if (call && call->brief)
            return err_set(e, ERR_AGAIN, "no room for what is unsent");
        uint64_t last = w->success_ms > since ? w->success_ms : since;
        if (is_canceled(call))
            return err_set(e, ERR_CANCELED, "interrupted");
        if (clock_mono_ms() - last > w->patience_ms)
            return err_set(e, ERR_NOSPC, "dirty_limit: %zu changes with %llu MiB are unsent, and nothing could be sent: %s", w->n_ops,
                           (unsigned long long)(w->bytes >> 20), w->trouble.msg);
        wait_locked(w);
    }
    w->bytes += bytes;
    return ERR_OK;
}

/* ---- Keys */

static void hurry_locked(struct writeback *w)
{
    w->hurried++;
    cond_signal(&w->work);
}

/* The first operation on a key that begins with `prefix`, or is it. */
static const struct op *unsent(const struct writeback *w, const char *prefix, bool below)
{
    for (const struct node *n = node_from(w, prefix); n; n = n->next[0]) {
        if (below ? !str_starts(n->key, prefix) : strcmp(n->key, prefix) != 0)
            return NULL;
        const struct op *o = TAILQ_EMPTY(&n->ops) ? TAILQ_FIRST(&n->readers) : TAILQ_FIRST(&n->ops);
        if (o)
            return o;
    }
    return NULL;
}

static enum err_code settle_these(struct writeback *w, const char *prefix, bool below, const struct store_call *call, struct err *e)
{
    uint64_t end = clock_mono_ms() + (call && call->timeout_ms ? call->timeout_ms : SETTLE_MS);
    enum err_code code = ERR_OK;
    const struct op *o;
    LOCK_SCOPE(&w->lock);
    hurry_locked(w);
    while (!code && (o = unsent(w, prefix, below)) != NULL) {
        if (is_canceled(call))
            code = err_set(e, ERR_CANCELED, "interrupted");
        else if (clock_mono_ms() >= end)
            code = err_set(e, ERR_TIMEOUT, "\"%s\" could not be sent: %s", o->node->key, o->error ? o->error : w->trouble.msg);
        else
            wait_locked(w);
    }
    w->hurried--;
    return code;
}

enum err_code settle(struct writeback *w, const char *key, const struct store_call *call, struct err *e)
{
    return settle_these(w, key, false, call, e);
}

enum err_code settle_for_good(struct writeback *w, const char *key, const struct store_call *call, struct err *e)
{
    struct err err = ERR_INIT;
    enum err_code code = settle(w, key, call, e);
    if (code)
        return code;
    lock_take(&w->lock);
    uint64_t appended = w->appended;
    lock_drop(&w->lock);
    if (note_sync(w, appended, &err)) /* nothing can be made durable any more: only the store is left */
        LOG_WARN("writeback", "\"%s\": %s", key, err.msg);
    return ERR_OK;
}

enum err_code settle_below(struct writeback *w, const char *prefix, const struct store_call *call, struct err *e)
{
    return settle_these(w, prefix, true, call, e);
}

/* ---- Everything */

struct left {
    uint64_t n, bytes;
    bool refused; /* each of them, and trying again will not help soon */
    const struct op *first;
};

static struct left count_left(const struct writeback *w, uint64_t until)
{
    struct left left = {.refused = true};
    const struct op *o;
    TAILQ_FOREACH(o, &w->all, all_link) {
        if (o->number > until)
            break;
        left.n++;
        left.bytes += o->body ? o->size : 0;
        left.refused &= o->state == OP_DELAYED && o->code && o->code != ERR_NET && o->code != ERR_TIMEOUT && o->code != ERR_THROTTLED;
        if (!left.first || (!left.first->error && o->error))
            left.first = o;
    }
    left.refused |= w->paused && w->refused;
    return left;
}

static bool is_left(const struct writeback *w, uint64_t until)
{
    const struct op *first = TAILQ_FIRST(&w->all);
    return first && first->number <= until;
}

/* Nothing is begun any more: only a journal that is opened anew goes on from here. */
static bool is_at_its_end(const struct writeback *w)
{
    struct wal_stats log;
    wal_stats(w->wal, &log);
    return log.failed && w->in_flight == 0;
}

static enum err_code give_up(const struct writeback *w, const struct left *left, struct err *e)
{
    const char *why = left->first->error ? left->first->error : w->trouble.msg;
    return err_set(e, ERR_IO, "%llu operations could not be sent and stay in the journal, \"%s\": %s", (unsigned long long)left->n,
                   left->first->node->key, *why ? why : "no answer");
}

static void retry_locked(struct writeback *w)
{
    struct op *o;
    TAILQ_FOREACH(o, &w->delayed, queue_link) {
        o->due_ms = 0;
        o->attempts = 0;
        o->code = ERR_OK;
    }
    w->pause_end_ms = 0;
    w->failures = 0;
    w->refused = false;
    cond_signal(&w->work);
}

void writeback_retry(struct writeback *w)
{
    LOCK_SCOPE(&w->lock);
    retry_locked(w);
}

static void tell(struct writeback *w, const struct left *left, void (*progress)(void *arg, uint64_t operations, uint64_t bytes), void *arg)
{
    lock_drop(&w->lock);
    progress(arg, left->n, left->bytes);
    lock_take(&w->lock);
}

enum err_code writeback_drain(struct writeback *w, bool for_ever, struct cancel *cancel,
                              void (*progress)(void *arg, uint64_t operations, uint64_t bytes), void *arg, struct err *e)
{
    uint64_t since = clock_mono_ms(), next = since + PROGRESS_MS;
    enum err_code code = ERR_OK;
    LOCK_SCOPE(&w->lock);
    uint64_t until = w->appended;
    w->drain_until = until;
    w->drains++;
    hurry_locked(w);
    retry_locked(w);
    uint64_t count_ms = 0;
    while (is_left(w, until)) {
        uint64_t now = clock_mono_ms(), last = w->success_ms > since ? w->success_ms : since;
        if (now < count_ms) { /* each end wakes, and all that is left is a long list */
            wait_locked(w);
            continue;
        }
        count_ms = now + POLL_MS;
        struct left left = count_left(w, until);
        if (cancel && cancel_fired(cancel))
            code = err_set(e, ERR_CANCELED, "%llu operations are unsent and stay in the journal", (unsigned long long)left.n);
        else if (is_at_its_end(w) || (!for_ever && (left.refused || now - last > w->patience_ms)))
            code = give_up(w, &left, e);
        if (code)
            break;
        if (progress && now >= next) {
            next = now + PROGRESS_MS;
            tell(w, &left, progress, arg);
        }
        wait_locked(w);
    }
    w->hurried--;
    if (--w->drains == 0)
        w->drain_until = 0;
    return code;
}
