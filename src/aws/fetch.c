#include "aws/fetch.h"

#include "util/cancel.h"
#include "util/clock.h"
#include "util/lock.h"


struct waiter {
    struct lock lock;
    struct cond ended_cond;
    bool ended;
    struct fetch_reply *reply;
    struct err err;
};

static void transfer_done(void *arg, struct http_reply_view *r)
{
    struct waiter *w = arg;

    w->reply->status = r->status;
    w->reply->sent = r->sent || r->status;
    if (r->code)
        err_set(&w->err, r->code, "%s", r->msg);
    buf_add(&w->reply->body, r->body, r->body_len);
    LOCK_SCOPE(&w->lock);
    w->ended = true;
    cond_broadcast(&w->ended_cond);
}

static void cancel_transfer(void *arg)
{
    http_cancel(arg);
}

/* Waits for the end; after the deadline the transfer is cancelled, and its end is still waited for. */
static bool wait_end(struct waiter *w, struct http_transfer *t, unsigned timeout_ms)
{
    uint64_t deadline = clock_mono_ms() + timeout_ms;
    bool late = false;

    LOCK_SCOPE(&w->lock);
    while (!w->ended) {
        if (cond_wait(&w->ended_cond, &w->lock, late ? UINT64_MAX : deadline) || w->ended)
            continue;
        late = true;
        lock_drop(&w->lock);
        http_cancel(t);
        lock_take(&w->lock);
    }
    return late;
}

void fetch_reply_release(struct fetch_reply *r)
{
    buf_release(&r->body);
}

enum err_code fetch_run(struct http_engine *h, const struct fetch *f, struct cancel *cancel, struct fetch_reply *out,
                        struct err *e)
{
    struct waiter w = {.reply = out};
    struct cancel_hook hook = {0};
    const struct http_body body = {f->body ? f->body->len : 0, buf_read, (void *)f->body};
    struct http_request request = {
        .method = f->method,
        .url = f->url,
        .headers = f->headers,
        .body = f->body ? &body : NULL,
        .reply_max = f->reply_max,
        .secret = f->secret,
        .first_byte_ms = f->timeout_ms,
        .stall_ms = f->timeout_ms,
        .urgent = true,
        .no_proxy = f->direct,
        .done = transfer_done,
        .arg = &w,
    };

    *out = (struct fetch_reply){.body = {.max = f->reply_max, .secret = f->secret}};
    lock_init(&w.lock, "fetch", LOCK_LEAF);
    cond_init(&w.ended_cond);
    struct http_transfer *t = http_start(h, &request, &w.err);
    if (t) {
        cancel_hook_add(cancel, &hook, cancel_transfer, t);
        bool late = wait_end(&w, t, f->timeout_ms);
        cancel_hook_remove(cancel, &hook);
        http_transfer_unref(t);
        if (late && w.err.code == ERR_CANCELED)
            err_set(&w.err, ERR_TIMEOUT, "no answer within %u ms", f->timeout_ms);
    }
    cond_release(&w.ended_cond);
    lock_release(&w.lock);
    return w.err.code ? err_copy(e, &w.err) : buf_check(&out->body, "reply", e);
}

struct pause {
    struct lock lock;
    struct cond over_cond;
    bool over;
};

static void end_pause(void *arg)
{
    struct pause *p = arg;

    LOCK_SCOPE(&p->lock);
    p->over = true;
    cond_broadcast(&p->over_cond);
}

/* Sleeps, unless `cancel` fires. */
static void pause_for(unsigned ms, struct cancel *cancel)
{
    struct pause p = {0};
    struct cancel_hook hook = {0};
    uint64_t end = clock_mono_ms() + ms;

    lock_init(&p.lock, "pause", LOCK_LEAF);
    cond_init(&p.over_cond);
    cancel_hook_add(cancel, &hook, end_pause, &p);
    lock_take(&p.lock);
    while (!p.over && clock_mono_ms() < end)
        (void)cond_wait(&p.over_cond, &p.lock, end);
    lock_drop(&p.lock);
    cancel_hook_remove(cancel, &hook);
    cond_release(&p.over_cond);
    lock_release(&p.lock);
}

static bool may_pass(enum err_code code, int status)
{
    return code ? code == ERR_NET || code == ERR_TIMEOUT : status >= 500 || status == 429;
}

enum err_code fetch_retry(struct http_engine *h, const struct fetch *f, unsigned attempts, unsigned pause_ms,
                          struct cancel *cancel, struct fetch_reply *out, struct err *e)
{
    enum err_code code = fetch_run(h, f, cancel, out, e);

    for (unsigned n = 1; n < attempts && may_pass(code, out->status); n++) {
        pause_for(pause_ms, cancel);
        if (cancel && cancel_fired(cancel))
            return err_set(e, ERR_CANCELED, "not waited for");
        fetch_reply_release(out);
        code = fetch_run(h, f, cancel, out, e);
    }
    return code;
}
