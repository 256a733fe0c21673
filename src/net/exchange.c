/*
 * See exchange.h for the states. Everything but exchange_start() and the cancel hook runs on the engine's thread, so an
 * exchange needs no lock. Invariants: `t` is set exactly while RUNNING; `wait` is armed exactly while WAITING;
 * `deadline` is armed from the start to the end; end() is reached once and frees it.
 *
 * The deadline is base_ms + timeout. A fresh byte (delivered, or of the body beyond what an earlier attempt took) sets
 * base_ms to now. The time in which bytes moved that are not fresh (a body sent again, a collected reply, other
 * transfers while this one waits for its turn) is added to base_ms: it neither counts nor starts the deadline again, or
 * a server that takes each body and then answers 503 would never be given up. With patience, timeout + what was waited
 * for the first answer holds between attempts, the patience while one is under way.
 */
#include "net/exchange.h"

#include "net/http_internal.h"
#include "net/retry.h"
#include "util/cancel.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/log.h"

#include <assert.h>
#include <string.h>

#define TIMEOUT_MS     60000u
#define ASK_AGAIN_MS   50
#define AGAIN_MAX      4
#define LAST_CHANCE_MS 1000u

/* Who waits in exchange_run(). */
struct waiter {
    struct lock lock; /* holds the rest */
    struct cond cond;
    bool ended;
    struct err err;
};

struct exchange {
    /* Constant. */
    struct http_engine *h;
    struct retry_budget *budget;
    const struct exchange_ops *ops;
    void *arg;
    struct exchange_limits limits;
    struct cancel *cancel; /* referenced; may be NULL */
    struct waiter *waiter; /* may be NULL */

    struct cancel_hook hook;
    struct task start_task, cancel_task;
    struct due wait, deadline;
    struct http_transfer *t;
    struct http_body body; /* the caller's, of the present attempt */

    unsigned attempt, unanswered, again;
    unsigned taken;            /* tokens of the last retry */
    bool paced;                /* the coming attempt has its place in the shared pace */
    bool last;                 /* no further attempt: the time is over */
    uint64_t base_ms, seen_ms; /* seen_ms: up to when the present attempt's movement is accounted for */
    uint64_t patient_ms;       /* what was waited until the end of the first attempt that went out */
    bool waited;               /* one did */
    uint64_t taken_to;         /* the furthest offset of a body that was taken */
    struct err why;            /* how the last attempt failed, as it will be told */
    struct err end;            /* set: the transfer was canceled because of this */
};

static void end(struct exchange *x, enum err_code code, const struct err *e)
{
    struct err none = ERR_INIT;
    cancel_hook_remove(x->cancel, &x->hook);
    cancel_unref(x->cancel);
    engine_unpost(x->h, &x->cancel_task);
    due_disarm(&x->h->due, &x->wait);
    due_disarm(&x->h->due, &x->deadline);
    x->ops->done(x->arg, code, x->attempt, x->unanswered, e ? e : &none);
    struct waiter *w = x->waiter;
    if (w) {
        LOCK_SCOPE(&w->lock);
        if (e)
            w->err = *e;
        w->err.code = code;
        w->ended = true;
        cond_signal(&w->cond);
    }
    free(x);
}

static void end_with(struct exchange *x, const struct err *e)
{
    struct err copy = *e; /* `e` may lie in x */
    end(x, copy.code, &copy);
}

static void end_canceled(struct exchange *x)
{
    struct err e;
    err_set(&e, ERR_CANCELED, x->h->draining ? "shutting down" : "canceled");
    end(x, ERR_CANCELED, &e);
}

/* ---- the deadline ---- */

static void account(struct exchange *x)
{
    uint64_t alive = x->t ? transfer_alive_ms(x->t) : 0;
    if (alive <= x->seen_ms)
        return;
    x->base_ms += alive - x->seen_ms;
    x->seen_ms = alive;
}

static void fresh_byte(struct exchange *x)
{
    x->base_ms = x->seen_ms = clock_mono_ms();
}

static uint64_t deadline_ms(const struct exchange *x)
{
    uint64_t until = x->base_ms + x->limits.timeout_ms, patience = x->base_ms + x->limits.patience_ms;
    if (patience <= until || x->t)
        return patience > until ? patience : until;
    until += x->patient_ms;
    return until < patience ? until : patience;
}

/* Between attempts it may be earlier than during one. */
static void arm_deadline(struct exchange *x)
{
    due_arm(&x->h->due, &x->deadline, deadline_ms(x));
}

static void attempt_ended(struct exchange *x, const struct http_reply_view *r)
{
    uint64_t now = clock_mono_ms();
    if (x->waited || !r->sent)
        return;
    x->waited = true;
    x->patient_ms = now > x->base_ms ? now - x->base_ms : 0;
}

static void on_deadline(void *arg)
{
    struct exchange *x = arg;
    if (x->h->draining && !x->t) {
        end_canceled(x);
        return;
    }
    account(x);
    if (clock_mono_ms() < deadline_ms(x) && !x->h->draining) {
        arm_deadline(x);
        return;
    }
    if (!x->t) {
        if (x->why.code == ERR_OK)
            err_set(&x->why, ERR_TIMEOUT, "no attempt was possible within %u ms", x->limits.timeout_ms);
        end_with(x, &x->why);
        return;
    }
    err_set(&x->end, ERR_TIMEOUT, "%s: no answer within %llu ms%s%s", x->t->authority,
            (unsigned long long)(deadline_ms(x) - x->base_ms), x->why.code ? "; before: " : "", x->why.msg);
    http_cancel(x->t);
}

/* ---- one attempt ---- */

static bool on_data(void *arg, const struct http_transfer *t, int status, const void *p, size_t len)
{
    struct exchange *x = arg;
    fresh_byte(x);
    return x->ops->data(x->arg, t, status, p, len);
}

static void on_part(void *arg, const void *p, size_t len)
{
    struct exchange *x = arg;
    x->ops->part(x->arg, p, len);
}

static ssize_t on_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    struct exchange *x = arg;
    ssize_t got = x->body.read(x->body.arg, offset, buf, len);
    if (got > 0 && offset + (uint64_t)got > x->taken_to) {
        x->taken_to = offset + (uint64_t)got;
        fresh_byte(x);
    }
    return got;
}

/* Refusals say that nothing was done; success and the errors of a server or gateway that broke down do not. */
static bool may_have_run(const struct http_reply_view *r)
{
    if (!r->sent)
        return false;
    if (r->code != ERR_OK)
        return r->status < 300 || r->status >= 500;
    return r->status < 300 || r->status == 500 || r->status == 502 || r->status == 504;
}

static void wait_ms(struct exchange *x, unsigned ms)
{
    due_arm(&x->h->due, &x->wait, clock_mono_ms() + ms);
}

/* Notes why, in the form it will have if there is no further attempt. */
static void note_failure(struct exchange *x, const struct http_reply_view *r, enum verdict v, const struct err *e)
{
    x->why = *e;
    if (x->why.code == ERR_OK)
        err_set(&x->why, r->code ? r->code : ERR_IO, "%s", r->msg[0] ? r->msg : "the server failed");
    if (v == VERDICT_THROTTLED)
        x->why.code = ERR_THROTTLED;
    else if (r->code == ERR_TIMEOUT)
        x->why.code = ERR_TIMEOUT;
}

static unsigned choose_delay(struct exchange *x, const struct http_reply_view *r)
{
    uint32_t random;
    random_bytes(&random, sizeof(random));
    unsigned delay = retry_delay_ms(x->attempt + 1, random);
    x->taken = retry_take(x->budget, r->code == ERR_TIMEOUT);
    if (x->taken == 0)
        delay = RETRY_MAX_MS;
    if (r->status == 0)
        return delay;
    return retry_hint_ms(delay, http_reply_header(r->transfer, "Retry-After"),
                         http_reply_header(r->transfer, "x-amz-retry-after"), http_reply_header(r->transfer, "Date"),
                         clock_now().tv_sec);
}

/* Where the time left is shorter than the delay, one last attempt is made shortly before it is over. */
static void retry(struct exchange *x, const struct http_reply_view *r, enum verdict v, const struct err *e)
{
    bool throttled = v == VERDICT_THROTTLED;
    uint64_t now = clock_mono_ms(), until = deadline_ms(x);
    note_failure(x, r, v, e);
    if (throttled)
        retry_throttled(x->budget, now);
    if (x->limits.once || x->last || until <= now || (x->limits.max_attempts && x->attempt >= x->limits.max_attempts)) {
        end_with(x, &x->why);
        return;
    }
    arm_deadline(x);
    uint64_t left = until - now, delay = choose_delay(x, r);
    if (delay >= left) {
        x->last = true;
        delay = left > 2 * LAST_CHANCE_MS ? left - LAST_CHANCE_MS : left / 2;
    }
    LOG_DEBUG("http", "attempt %u in %llu ms: %s", x->attempt + 1, (unsigned long long)delay, x->why.msg);
    wait_ms(x, (unsigned)delay);
}

static void again(struct exchange *x, const struct http_reply_view *r, const struct err *e)
{
    if (x->limits.once || ++x->again > AGAIN_MAX) {
        retry(x, r, VERDICT_RETRY, e);
        return;
    }
    note_failure(x, r, VERDICT_AGAIN, e);
    if (x->limits.max_attempts && x->attempt >= x->limits.max_attempts)
        end_with(x, &x->why);
    else
        wait_ms(x, 0);
}

/* A reply is the answer, unless the transfer failed and judge() says no more about it. */
static void answered(struct exchange *x, const struct http_reply_view *r, const struct err *e)
{
    struct err failed;
    if (r->code == ERR_OK)
        retry_succeeded(x->budget, x->taken, clock_mono_ms());
    if (e->code == ERR_OK && r->code != ERR_OK) {
        err_set(&failed, r->code, "%s", r->msg);
        e = &failed;
    }
    end(x, e->code, e);
}

/* A complete answer counts even where the end was decided already; what failed is then not tried again. */
static void on_done(void *arg, struct http_reply_view *r)
{
    struct exchange *x = arg;
    struct err e = ERR_INIT;
    bool ending = x->h->draining || x->end.code != ERR_OK;
    account(x);
    http_transfer_unref(TAKE(x->t));
    attempt_ended(x, r);
    enum verdict v = ending && r->code != ERR_OK ? VERDICT_RETRY : x->ops->judge(x->arg, r, &e);
    x->unanswered += (v == VERDICT_DONE ? r->code != ERR_OK : v != VERDICT_AGAIN) && may_have_run(r);
    if (v == VERDICT_DONE)
        answered(x, r, &e);
    else if (x->h->draining)
        end_canceled(x);
    else if (ending)
        end_with(x, &x->end);
    else if (v == VERDICT_AGAIN)
        again(x, r, &e);
    else
        retry(x, r, v, &e);
}

static void start_transfer(struct exchange *x, struct http_request *req)
{
    struct err e = ERR_INIT;
    struct http_body body;
    if (req->body) {
        x->body = *req->body;
        body = (struct http_body){.size = x->body.size, .read = on_read, .arg = x};
        req->body = &body;
    }
    req->data = x->ops->data ? on_data : NULL;
    req->part = x->ops->part ? on_part : NULL;
    req->done = on_done;
    req->arg = x;
    x->attempt++;
    x->paced = false;
    x->seen_ms = clock_mono_ms();
    x->t = http_start(x->h, req, &e);
    if (!x->t)
        end_with(x, &e);
}

static void begin_attempt(void *arg)
{
    struct exchange *x = arg;
    if (x->h->draining) {
        end_canceled(x);
        return;
    }
    if (!x->paced) {
        unsigned pace = retry_pace_ms(x->budget, clock_mono_ms());
        x->paced = true;
        if (pace > 0) {
            if (x->why.code == ERR_OK)
                err_set(&x->why, ERR_THROTTLED, "the server asks to slow down");
            wait_ms(x, pace);
            return;
        }
    }
    struct http_request req = {.method = HTTP_GET};
    struct err e = ERR_INIT;
    enum err_code code = x->ops->prepare(x->arg, x->attempt + 1, &req, &e);
    if (code == ERR_AGAIN) {
        err_set(&x->why, ERR_TIMEOUT, "%s", e.msg[0] ? e.msg : "the request could not be prepared in time");
        wait_ms(x, ASK_AGAIN_MS);
    } else if (code != ERR_OK) {
        e.code = code;
        end_with(x, &e);
    } else {
        start_transfer(x, &req);
    }
}

/* ---- start and cancel ---- */

static void on_cancel(void *arg)
{
    struct exchange *x = arg;
    err_set(&x->end, ERR_CANCELED, "canceled");
    if (x->t)
        http_cancel(x->t);
    else if (x->deadline.armed) /* otherwise begin() follows and sees it */
        end_canceled(x);
}

static void begin(void *arg)
{
    struct exchange *x = arg;
    if (x->end.code != ERR_OK) {
        end_canceled(x);
        return;
    }
    x->base_ms = clock_mono_ms();
    arm_deadline(x);
    begin_attempt(x);
}

static void hook_fired(void *arg)
{
    struct exchange *x = arg;
    engine_post(x->h, &x->cancel_task);
}

static enum err_code start(struct exchange *x, struct err *e)
{
    cancel_hook_add(x->cancel, &x->hook, hook_fired, x);
    if (engine_post(x->h, &x->start_task) != POST_CLOSED)
        return ERR_OK;
    cancel_hook_remove(x->cancel, &x->hook);
    cancel_unref(x->cancel);
    free(x);
    return err_set(e, ERR_CANCELED, "shutting down");
}

static struct exchange *make(struct http_engine *h, struct retry_budget *budget, const struct exchange_ops *ops,
                             void *arg, const struct exchange_limits *limits, struct cancel *cancel, struct err *e)
{
    struct exchange *x = calloc(1, sizeof(*x));
    if (!x) {
        err_set(e, ERR_NOMEM, "no memory for a request");
        return NULL;
    }
    x->h = h;
    x->budget = budget;
    x->ops = ops;
    x->arg = arg;
    x->limits = *limits;
    if (x->limits.timeout_ms == 0)
        x->limits.timeout_ms = TIMEOUT_MS;
    x->cancel = cancel ? cancel_ref(cancel) : NULL;
    x->start_task = (struct task){.fn = begin, .arg = x};
    x->cancel_task = (struct task){.fn = on_cancel, .arg = x};
    x->wait = (struct due){.fn = begin_attempt, .arg = x};
    x->deadline = (struct due){.fn = on_deadline, .arg = x};
    return x;
}

enum err_code exchange_start(struct http_engine *h, struct retry_budget *budget, const struct exchange_ops *ops,
                             void *arg, const struct exchange_limits *limits, struct cancel *cancel, struct err *e)
{
    struct exchange *x = make(h, budget, ops, arg, limits, cancel, e);
    return x ? start(x, e) : ERR_NOMEM;
}

enum err_code exchange_run(struct http_engine *h, struct retry_budget *budget, const struct exchange_ops *ops,
                           void *arg, const struct exchange_limits *limits, struct cancel *cancel, struct err *e)
{
    assert(!pthread_equal(pthread_self(), h->thread));
    struct exchange *x = make(h, budget, ops, arg, limits, cancel, e);
    if (!x)
        return ERR_NOMEM;
    struct waiter w = {.err = ERR_INIT};
    lock_init(&w.lock, "exchange_run", LOCK_LEAF);
    cond_init(&w.cond);
    x->waiter = &w;
    enum err_code code = start(x, e);
    if (code == ERR_OK) {
        lock_take(&w.lock);
        while (!w.ended)
            cond_wait(&w.cond, &w.lock, UINT64_MAX);
        lock_drop(&w.lock);
        code = w.err.code == ERR_OK ? ERR_OK : err_copy(e, &w.err);
    }
    cond_release(&w.cond);
    lock_release(&w.lock);
    return code;
}
