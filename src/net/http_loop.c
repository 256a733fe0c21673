/*
 * The engine's thread: tasks that others posted, what is due, transfers whose turn has come, libcurl. All callbacks of
 * the public header run from here.
 */
#include "net/http_internal.h"

#include "util/clock.h"
#include "util/log.h"

#include <assert.h>

#define POLL_MAX_MS 60000

enum post engine_post(struct http_engine *h, struct task *task)
{
    LOCK_SCOPE(&h->lock);
    if (h->closed)
        return POST_CLOSED;
    if (task->queued)
        return POST_ALREADY;
    TAILQ_INSERT_TAIL(&h->tasks, task, link);
    task->queued = true;
    if (!h->woken) {
        h->woken = true;
        curl_multi_wakeup(h->multi); /* a byte into a pipe; under the lock because the engine may be about to end */
    }
    return POST_DONE;
}

void engine_unpost(struct http_engine *h, struct task *task)
{
    LOCK_SCOPE(&h->lock);
    if (!task->queued)
        return;
    TAILQ_REMOVE(&h->tasks, task, link);
    task->queued = false;
}

/* One at a time, so that a task can take back a later one. `budget`: how many more may run now, so that tasks which
 * post tasks do not keep libcurl waiting. Returns NULL at the end. */
static struct task *take_task(struct http_engine *h, unsigned *budget)
{
    LOCK_SCOPE(&h->lock);
    struct task *task = TAILQ_FIRST(&h->tasks);
    if (!task) {
        h->woken = false;
        return NULL;
    }
    if ((*budget)-- == 0)
        return NULL;
    TAILQ_REMOVE(&h->tasks, task, link);
    task->queued = false;
    return task;
}

/* Returns whether some are left. */
static bool run_tasks(struct http_engine *h)
{
    unsigned budget = 256;
    struct task *task;
    while ((task = take_task(h, &budget)))
        task->fn(task->arg);
    LOCK_SCOPE(&h->lock);
    return !TAILQ_EMPTY(&h->tasks);
}

void transfer_enqueue(void *transfer)
{
    struct http_transfer *t = transfer;
    t->turn = t->h->turns++;
    TAILQ_INSERT_TAIL(&t->h->waiting[!t->req.urgent][t->req.share], t, link);
}

void transfer_cancel(void *transfer)
{
    struct http_transfer *t = transfer;
    if (t->state != TRANSFER_ENDED) {
        err_set(&t->err, ERR_CANCELED, "%s: canceled", t->authority);
        transfer_finish(t);
    }
    http_transfer_unref(t);
}

static bool has_room(const struct http_engine *h, enum http_share share)
{
    unsigned n = h->max_parallel, most = n;
    if (share == HTTP_SLOW)
        return h->running_of[HTTP_SLOW] < h->max_slow;
    if (share == HTTP_DOWNLOAD)
        most = n - n / 4;
    else if (share == HTTP_UPLOAD)
        most = n < 6 ? 1 : n * 3 / 16;
    return h->running_n - h->running_of[HTTP_SLOW] < n && h->running_of[share] < most;
}

/* The first to come, of those that may go. */
static struct http_transfer *next_of(struct http_engine *h, struct transfer_list lists[HTTP_SHARES])
{
    struct http_transfer *next = NULL;
    for (unsigned i = 0; i < HTTP_SHARES; i++) {
        struct http_transfer *t = has_room(h, i) ? TAILQ_FIRST(&lists[i]) : NULL;
        if (t && (!next || t->turn < next->turn))
            next = t;
    }
    return next;
}

static struct http_transfer *next_waiting(struct http_engine *h)
{
    struct http_transfer *t = next_of(h, h->waiting[0]);
    return t ? t : next_of(h, h->waiting[1]);
}

static void start_waiting(struct http_engine *h)
{
    struct http_transfer *t;
    while ((t = next_waiting(h))) {
        TAILQ_REMOVE(&h->waiting[!t->req.urgent][t->req.share], t, link);
        atomic_fetch_sub(&h->count_queued, 1);
        TAILQ_INSERT_TAIL(&h->running, t, link);
        h->running_n++;
        h->running_of[t->req.share]++;
        atomic_fetch_add(&h->count_running, 1);
        t->state = TRANSFER_RUNNING;
        if (transfer_begin(t) != ERR_OK)
            transfer_finish(t);
    }
}

static void collect_ended(struct http_engine *h)
{
    int left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(h->multi, &left))) {
        if (m->msg != CURLMSG_DONE)
            continue;
        CURLcode rc = m->data.result;
        char *private = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private);
        struct http_transfer *t = (struct http_transfer *)(void *)private;
        transfer_outcome(t, rc);
        transfer_finish(t);
    }
}

static void run_due(struct http_engine *h, uint64_t now)
{
    struct due *d;
    while ((d = due_pop(&h->due, now)))
        d->fn(d->arg);
}

static bool stopping(struct http_engine *h)
{
    LOCK_SCOPE(&h->lock);
    return h->stop;
}

static int poll_ms(const struct http_engine *h)
{
    uint64_t next = due_next_ms(&h->due), now = clock_mono_ms();
    if (next <= now)
        return 0;
    return next - now < POLL_MAX_MS ? (int)(next - now) : POLL_MAX_MS;
}

static void cancel_all(struct transfer_list *list)
{
    struct http_transfer *t;
    while ((t = TAILQ_FIRST(list))) {
        err_set(&t->err, ERR_CANCELED, "%s: shutting down", t->authority);
        transfer_finish(t);
    }
}

/* Everything that was promised a call gets it now; nothing new is accepted. */
static void drain(struct http_engine *h)
{
    h->draining = true;
    lock_take(&h->lock);
    h->closed = true;
    lock_drop(&h->lock);
    bool more;
    do {
        more = run_tasks(h);
        for (unsigned i = 0; i < HTTP_SHARES; i++) {
            cancel_all(&h->waiting[0][i]);
            cancel_all(&h->waiting[1][i]);
        }
        cancel_all(&h->running);
        run_due(h, UINT64_MAX);
    } while (more || h->due.root);
    assert(h->running_n == 0);
}

void *engine_main(void *engine)
{
    struct http_engine *h = engine;
    while (!stopping(h)) {
        bool more = run_tasks(h);
        h->now_ms = clock_mono_ms();
        run_due(h, h->now_ms);
        start_waiting(h);
        int running;
        CURLMcode rc = curl_multi_perform(h->multi, &running);
        collect_ended(h);
        if (rc != CURLM_OK)
            LOG_WARN("http", "curl_multi_perform: %s", curl_multi_strerror(rc));
        start_waiting(h);
        rc = curl_multi_poll(h->multi, NULL, 0, more ? 0 : poll_ms(h), NULL);
        if (rc != CURLM_OK)
            LOG_WARN("http", "curl_multi_poll: %s", curl_multi_strerror(rc));
    }
    drain(h);
    return NULL;
}
