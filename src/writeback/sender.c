/*
 * Who is sent when. Operations of a key go one after the other, a copy waits for what makes its source, and what changes a source waits for
 * the copies of it; all others go side by side. Each waits a moment first, so that it may still be merged with a later one; removals wait
 * longer, so that they fill a batch.
 *
 * What fails is tried again, each operation with its own growing interval. After some failures in succession that are not about one object
 * alone everything is paused, and one operation at a time finds out whether that is over.
 */
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"
#include "writeback/inside.h"

#include <string.h>

#define PARALLEL        32
#define BATCH           1000
#define RETRY_MS        500
#define RETRY_MAX_MS    60000
#define FAILURES_PAUSE  3
#define SYNC_MS         500 /* what nobody waits for is durable after this, and what is needed no more is gone */

/* ---- Queues */

static bool is_blocked(const struct op *o)
{
    if (TAILQ_FIRST(&o->node->ops) != o)
        return true;
    const struct op *r;
    TAILQ_FOREACH(r, &o->node->readers, from_link)
        if (r != o && r->number < o->number)
            return true;
    const struct op *source = o->from ? TAILQ_FIRST(&o->from->ops) : NULL;
    return source && source != o && source->number < o->number;
}

static void enqueue(struct writeback *w, struct op *o)
{
    o->state = OP_READY;
    TAILQ_INSERT_TAIL(o->kind == OP_REMOVE ? &w->ready_removes : &w->ready, o, queue_link);
    w->n_ready_removes += o->kind == OP_REMOVE;
}

/* ---- When */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool is_hurried(const struct writeback *w)
{
    return w->hurried > 0 || (w->limit && w->bytes > w->limit / 2) || w->n_ops > w->max_ops / 2;
}

/* When it is sent: after its moment, and while others keep coming, some time later. Who makes many files has the processors first, and
 * what he renames, changes or removes meanwhile is not sent before. */
static uint64_t begins_ms(const struct writeback *w, const struct op *o)
{
    uint64_t pause = w->entered_ms + w->linger_ms, longest = o->since_ms + w->hold_ms;
    if (o->kind == OP_REMOVE || o->left || o->attempts)
        return o->due_ms;
    return later(earlier(pause, longest), o->due_ms);
}

/* It wakes by itself at `wakes_ms`, and looks then at what has come: 0 while it is awake. */
static bool must_wake(const struct writeback *w, const struct op *o)
{
    uint64_t sync = note_is_behind(w) ? w->unsynced_ms + SYNC_MS : UINT64_MAX;
    return is_hurried(w) || earlier(begins_ms(w, o), sync) < w->wakes_ms;
}

void sender_consider(struct writeback *w, struct op *o)
{
    lock_assert_held(&w->lock);
    if (!o || o->state != OP_WAITING || is_blocked(o))
        return;
    o->needs = w->appended;
    o->due_ms = o->left ? 0 : o->since_ms + (o->kind == OP_REMOVE ? w->linger_remove_ms : w->linger_ms);
    enqueue(w, o);
    if (must_wake(w, o))
        cond_signal(&w->work);
}

void sender_unqueue(struct writeback *w, struct op *o)
{
    lock_assert_held(&w->lock);
    if (o->state == OP_DELAYED) {
        TAILQ_REMOVE(&w->delayed, o, queue_link);
    } else if (o->state == OP_READY) {
        TAILQ_REMOVE(o->kind == OP_REMOVE ? &w->ready_removes : &w->ready, o, queue_link);
        w->n_ready_removes -= o->kind == OP_REMOVE;
    }
    o->state = OP_WAITING;
}

void sender_after(struct writeback *w, const char *key, const char *from)
{
    lock_assert_held(&w->lock);
    struct node *n = node_find(w, key);
    if (n) {
        struct op *r;
        sender_consider(w, TAILQ_FIRST(&n->ops));
        TAILQ_FOREACH(r, &n->readers, from_link)
            sender_consider(w, r);
    }
    n = from ? node_find(w, from) : NULL;
    if (n)
        sender_consider(w, TAILQ_FIRST(&n->ops));
}

static void delay(struct writeback *w, struct op *o, uint64_t due_ms)
{
    o->state = OP_DELAYED;
    o->due_ms = due_ms;
    struct op *before = TAILQ_LAST(&w->delayed, ops);
    while (before && before->due_ms > due_ms)
        before = TAILQ_PREV(before, ops, queue_link);
    if (before)
        TAILQ_INSERT_AFTER(&w->delayed, before, o, queue_link);
    else
        TAILQ_INSERT_HEAD(&w->delayed, o, queue_link);
}

/* ---- How attempts end */

static void forget_trouble(struct writeback *w)
{
    if (w->paused)
        LOG_INFO("writeback", "sending goes on");
    w->failures = 0;
    w->paused = w->refused = false;
    w->pause_end_ms = 0;
    w->success_ms = clock_mono_ms();
}

/* The next operation whose version is told by the same name: a change of attributes, or the same bytes once more. */
static uint64_t named_again(const struct op *done)
{
    const struct op *o = TAILQ_NEXT(done, link);
    while (o && (!o->etag || strcmp(o->etag, done->etag) != 0))
        o = TAILQ_NEXT(o, link);
    return o ? o->number : UINT64_MAX;
}

/* Later operations and copies name the version as it was told: from now on as the store calls it. */
static void rename_version(struct op *done, const char *real)
{
    uint64_t until = named_again(done);
    if (strcmp(done->etag, real) == 0)
        return;
    for (struct op *o = TAILQ_NEXT(done, link); o && o->number <= until; o = TAILQ_NEXT(o, link))
        if (o->cond_etag && strcmp(o->cond_etag, done->etag) == 0) {
            char *etag = strdup(real);
            if (etag) {
                free(o->cond_etag);
                o->cond_etag = etag;
            }
        }
    struct op *r;
    TAILQ_FOREACH(r, &done->node->readers, from_link)
        if (r->number > done->number && r->number <= until && strcmp(r->from_etag, done->etag) == 0) {
            char *etag = strdup(real);
            if (etag) {
                free(r->from_etag);
                r->from_etag = etag;
            }
        }
}

static void ended(struct writeback *w, struct op *o)
{
    CLEANUP(free) char *key = strdup(o->node->key);
    CLEANUP(free) char *from = o->from ? strdup(o->from->key) : NULL;
    room_give_locked(w, o->body ? o->size : 0);
    sender_unqueue(w, o);
    op_unlink(w, o);
    op_free(o);
    if (key)
        sender_after(w, key, from);
    cond_broadcast(&w->changed);
    cond_signal(&w->work);
}

void sender_settled(struct writeback *w, struct op *o, const struct store_version *version)
{
    lock_assert_held(&w->lock);
    const char *key = o->node->key;
    if (o->kind == OP_REMOVE) {
        alias_set(w, key, NULL, NULL);
        if (node_last(o->node) == o)
            node_settle(w, o->node, NULL);
        return;
    }
    rename_version(o, version->etag);
    alias_set(w, key, o->etag, version->etag);
    if (node_last(o->node) != o)
        return;
    struct store_version told;
    op_version(o, &told);
    told.mtime = version->mtime;
    node_settle(w, o->node, &told);
}

void sender_done(struct writeback *w, struct op *o, const struct store_version *version)
{
    lock_assert_held(&w->lock);
    forget_trouble(w);
    note_done(w, o, RECORD_SENT, 0, version);
    w->n_sent++;
    sender_settled(w, o, version);
    ended(w, o);
}

void sender_dropped(struct writeback *w, struct op *o, unsigned how, uint64_t into)
{
    lock_assert_held(&w->lock);
    forget_trouble(w);
    if (how)
        note_done(w, o, (enum record_how)how, into, NULL);
    ended(w, o);
}

/* It says nothing about others. */
static bool is_about_one(enum err_code code)
{
    switch (code) {
    case ERR_TOO_BIG:
    case ERR_INVAL:
    case ERR_UNSUPPORTED:
    case ERR_NAME_TOO_LONG:
    case ERR_BAD_NAME:
    case ERR_NOSPC:
    case ERR_CROSS:
    case ERR_PERM:
    case ERR_CONFLICT:
    case ERR_BUSY:
        return true;
    default:
        return false;
    }
}

static uint64_t interval_ms(unsigned attempts)
{
    uint64_t ms = RETRY_MS;
    for (unsigned k = 1; k < attempts && ms < RETRY_MAX_MS; k++)
        ms *= 2;
    return ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS;
}

static void count_failure(struct writeback *w, const struct err *e)
{
    uint64_t now = clock_mono_ms();
    w->refused = e->code == ERR_ACCESS || e->code == ERR_AUTH;
    w->trouble = *e;
    if (now < w->pause_end_ms) /* one of those that were under way when it began: that is no news */
        return;
    if (++w->failures < FAILURES_PAUSE)
        return;
    w->pause_end_ms = now + interval_ms(w->failures - FAILURES_PAUSE + 1);
    if (!w->paused)
        LOG_WARN("writeback", "sending is paused, %zu operations are kept in the journal and tried again: %s", w->n_ops, e->msg);
    w->paused = true;
}

void sender_failed(struct writeback *w, struct op *o, const struct err *e)
{
    lock_assert_held(&w->lock);
    if (e->code == ERR_CANCELED && w->ending) { /* it says nothing of the store */
        delay(w, o, UINT64_MAX);
        return;
    }
    o->attempts++;
    o->code = e->code;
    char *text = strdup(e->msg);
    if (text) {
        free(o->error);
        o->error = text;
    }
    if (!is_about_one(e->code))
        count_failure(w, e);
    else if (o->attempts == 1)
        LOG_WARN("writeback", "\"%s\" cannot be stored as it is, it is kept in the journal and tried again: %s", o->node->key, e->msg);
    if (o->attempts == 1) /* awsfs journal tells it where there is no mount to be asked */
        note_failed(w, o);
    delay(w, o, clock_mono_ms() + interval_ms(o->attempts));
    cond_broadcast(&w->changed);
    cond_signal(&w->work);
}

/* ---- The dispatcher */

struct job {
    struct writeback *w;
    size_t n;
    struct op *ops[]; /* one put or copy, or removals */
};

static void run(void *arg)
{
    CLEANUP(free) struct job *j = arg;
    struct writeback *w = j->w;
    if (j->ops[0]->kind == OP_REMOVE)
        send_removes(w, j->ops, j->n);
    else
        send_op(w, j->ops[0]);
    LOCK_SCOPE(&w->lock);
    w->in_flight--;
    cond_signal(&w->work);
    cond_broadcast(&w->changed);
}

/* Who finds out whether a pause is over: in turns the first, and the last one that was not tried yet, because those in front may be all
 * that is refused. */
static struct op *next_of(const struct writeback *w, const struct ops *queue)
{
    struct op *o = w->failures >= FAILURES_PAUSE && w->failures % 2 == 0 ? TAILQ_LAST(queue, ops) : NULL;
    while (o && o->attempts)
        o = TAILQ_PREV(o, ops, queue_link);
    return o ? o : TAILQ_FIRST(queue);
}

static struct job *job_new(struct writeback *w, struct ops *queue, size_t max)
{
    struct job *j = malloc(sizeof(*j) + max * sizeof(struct op *));
    if (!j)
        return NULL;
    *j = (struct job){.w = w};
    struct op *o;
    while (j->n < max && (o = max == 1 ? next_of(w, queue) : TAILQ_FIRST(queue)) != NULL) {
        sender_unqueue(w, o);
        o->state = OP_SENDING;
        o->begun = true;
        j->ops[j->n++] = o;
    }
    w->in_flight++;
    return j;
}

static bool is_due(const struct writeback *w, const struct ops *queue, uint64_t now)
{
    const struct op *o = TAILQ_FIRST(queue);
    return o && (begins_ms(w, o) <= now || is_hurried(w));
}

static struct job *next_job(struct writeback *w, uint64_t now)
{
    if (w->in_flight >= (w->failures >= FAILURES_PAUSE ? 1 : PARALLEL) || now < w->pause_end_ms)
        return NULL;
    if (is_due(w, &w->ready, now))
        return job_new(w, &w->ready, 1);
    if (w->n_ready_removes >= BATCH || is_due(w, &w->ready_removes, now))
        return job_new(w, &w->ready_removes, w->n_ready_removes < BATCH ? w->n_ready_removes : BATCH);
    return NULL;
}

static void wake_delayed(struct writeback *w, uint64_t now)
{
    struct op *o;
    while ((o = TAILQ_FIRST(&w->delayed)) != NULL && o->due_ms <= now) {
        TAILQ_REMOVE(&w->delayed, o, queue_link);
        enqueue(w, o);
    }
}

static void give_back(struct writeback *w, struct job **jobs, size_t n, const struct err *e)
{
    lock_assert_held(&w->lock);
    for (size_t k = 0; k < n; k++) {
        for (size_t i = 0; i < jobs[k]->n; i++)
            sender_failed(w, jobs[k]->ops[i], e);
        w->in_flight--;
        free(jobs[k]);
    }
}

/* Their records are durable before anything is asked of the store, and so are the ends of what they waited for: else, after a power loss,
 * something would be done again that what was done after it has made another thing of. */
static void start_jobs(struct writeback *w, struct job **jobs, size_t n)
{
    uint64_t number = 0;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < jobs[k]->n; i++)
            if (jobs[k]->ops[i]->needs > number)
                number = jobs[k]->ops[i]->needs;
    struct err err = ERR_INIT;
    enum err_code code = note_owed(w, &number, &err);
    lock_drop(&w->lock);
    if (!code)
        code = note_sync(w, number, &err);
    if (code) { /* the disk is gone: what is done from now on could not be told to the next mount */
        lock_take(&w->lock);
        give_back(w, jobs, n, &err);
        return;
    }
    for (size_t k = 0; k < n; k++)
        if (pool_submit(w->pool, run, jobs[k], NULL)) /* without memory it is done here */
            run(jobs[k]);
    lock_take(&w->lock);
}

static uint64_t next_due(const struct writeback *w)
{
    const struct op *heads[] = {TAILQ_FIRST(&w->ready), TAILQ_FIRST(&w->ready_removes), TAILQ_FIRST(&w->delayed)};
    bool full = w->in_flight >= (w->failures >= FAILURES_PAUSE ? 1 : PARALLEL);
    uint64_t due = UINT64_MAX;
    for (size_t k = 0; k < ARRAY_LEN(heads); k++)
        if (heads[k] && (!full || k == 2)) /* who is full is woken by an end */
            due = earlier(due, later(begins_ms(w, heads[k]), w->pause_end_ms));
    if (note_is_behind(w))
        due = earlier(due, w->unsynced_ms + SYNC_MS);
    return due;
}

static void *dispatch(void *arg)
{
    struct writeback *w = arg;
    LOCK_SCOPE(&w->lock);
    while (!w->ending) {
        struct job *jobs[PARALLEL], *j;
        size_t n = 0;
        uint64_t now = clock_mono_ms();
        wake_delayed(w, now);
        while (n < PARALLEL && (j = next_job(w, now)) != NULL)
            jobs[n++] = j;
        if (n) {
            start_jobs(w, jobs, n);
        } else if (note_is_behind(w) && now >= w->unsynced_ms + SYNC_MS) {
            w->unsynced_ms = now; /* also where it fails */
            lock_drop(&w->lock);
            note_tidy(w);
            lock_take(&w->lock);
        } else {
            w->wakes_ms = next_due(w);
            (void)cond_wait(&w->work, &w->lock, w->wakes_ms);
            w->wakes_ms = 0;
        }
    }
    return NULL;
}

enum err_code sender_start(struct writeback *w, struct err *e)
{
    w->pool = pool_new("writeback", PARALLEL, e);
    if (!w->pool)
        return ERR_NOMEM;
    w->success_ms = clock_mono_ms();
    if (pthread_create(&w->dispatcher, NULL, dispatch, w) != 0)
        return err_set(e, ERR_NOMEM, "cannot start the thread that sends");
    w->dispatcher_runs = true;
    return ERR_OK;
}

void sender_stop(struct writeback *w)
{
    lock_take(&w->lock);
    w->ending = true;
    cond_signal(&w->work);
    lock_drop(&w->lock);
    cancel_fire(w->end);
    if (w->dispatcher_runs)
        pthread_join(w->dispatcher, NULL);
    w->dispatcher_runs = false;
    pool_free(TAKE(w->pool));
}
