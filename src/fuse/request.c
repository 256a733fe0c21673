/*
 * A deferred request is QUEUED, then either RUNNING (a pool thread has it) or ABANDONED (an interrupt came first and its
 * thread answers it). Whoever wins that step replies; the other only drops its reference.
 */
#include "fuse/errno_of.h"
#include "fuse/inside.h"
#include "fuse/notify.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/secret.h"

#include <errno.h>
#include <string.h>

enum { QUEUED, RUNNING, ABANDONED };

struct deferred {
    struct request r;
    struct flight flight;
    atomic_int state;
    atomic_int refs;
    size_t text_len;
    char text[];
};

struct request request_make(fuse_req_t req, fuse_ino_t ino, enum err_code (*run)(struct request *r, struct err *e))
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    struct session *s = fuse_req_userdata(req);

    atomic_fetch_add_explicit(&s->served, 1, memory_order_relaxed);
    return (struct request){
        .req = req,
        .session = s,
        .caller = {.uid = ctx->uid, .gid = ctx->gid, .umask = ctx->umask, .pid = ctx->pid, .nowait = true},
        .run = run,
        .ino = ino,
    };
}

void request_disarm(struct request *r)
{
    if (r->armed)
        fuse_req_interrupt_func(r->req, NULL, NULL);
    r->armed = false;
}

void flight_start(struct session *s, struct flight *f)
{
    lock_take(&s->lock);
    f->next = s->flights;
    f->prev = &s->flights;
    if (f->next)
        f->next->prev = &f->next;
    s->flights = f;
    s->n_flights++;
    bool canceling = s->canceling;
    lock_drop(&s->lock);
    if (canceling)
        cancel_fire(f->cancel);
}

void flight_end(struct session *s, struct flight *f)
{
    LOCK_SCOPE(&s->lock);
    if (f->next)
        f->next->prev = f->prev;
    *f->prev = f->next;
    if (--s->n_flights == 0)
        cond_broadcast(&s->landed);
}

/* The reply of a request whose run() failed, and the one place that logs failures the user cannot act on by errno alone. */
static void answer_failure(struct request *r, enum err_code code, const struct err *e)
{
    switch (code) {
    case ERR_NET:
    case ERR_TIMEOUT:
    case ERR_THROTTLED:
    case ERR_PROTO:
    case ERR_AUTH:
    case ERR_IO:
    case ERR_NOMEM:
    case ERR_NOSPC: /* df shows the store, and what is full is the disk of the staged files, or an object's metadata */
        LOG_WARN("fuse", "%s", e->msg);
        break;
    default:
        LOG_DEBUG("fuse", "%s: %s", err_name(code), e->msg);
    }
    reply_err(r, code);
}

static void drop(struct deferred *d)
{
    if (atomic_fetch_sub(&d->refs, 1) != 1)
        return;
    cancel_unref(d->flight.cancel);
    secret_wipe(d->text, d->text_len); /* may hold a parameter's value */
    free(d);
}

/* The kernel holds the lock of the directory, or those of both. */
static bool is_of_names(const struct request *r)
{
    return r->session->notify && (r->name || r->dir);
}

/* The end of a deferred request that was answered: the session may be freed as soon as the flight has landed, so that is the
 * last step that touches it. */
static void land(struct deferred *d)
{
    struct session *s = d->r.session;

    if (is_of_names(&d->r))
        notify_dir_answered(s->notify, d->r.ino);
    if (is_of_names(&d->r) && d->r.new_name)
        notify_dir_answered(s->notify, d->r.new_parent);
    flight_end(s, &d->flight);
    drop(d);
}

static void run_deferred(void *arg)
{
    struct deferred *d = arg;
    struct err e = ERR_INIT;
    int queued = QUEUED;

    if (!atomic_compare_exchange_strong(&d->state, &queued, RUNNING)) {
        drop(d);
        return;
    }
    enum err_code code = d->r.run(&d->r, &e);
    if (code != ERR_OK)
        answer_failure(&d->r, code, &e);
    land(d);
}

void request_release(void *held)
{
    drop(held);
}

static void *hold(struct flight *f)
{
    struct deferred *d = CONTAINER_OF(f, struct deferred, flight);

    atomic_fetch_add(&d->refs, 1);
    return d;
}

/* The token was fired: one that still queues is answered here. */
static void let_go(void *held)
{
    struct deferred *d = held;
    int queued = QUEUED;

    if (!atomic_compare_exchange_strong(&d->state, &queued, ABANDONED)) {
        drop(d);
        return;
    }
    reply_err(&d->r, ERR_CANCELED);
    land(d);
}

/* Called by libfuse with the request locked: only marks and wakes. */
static void on_interrupt(fuse_req_t req, void *data)
{
    struct deferred *d = data;

    atomic_fetch_add(&d->r.session->interrupted, 1);
    interrupt_note(d->r.session, &d->flight);
}

static char *put_text(char **at, const void *p, size_t len)
{
    char *copy = *at;

    memcpy(copy, p, len);
    copy[len] = '\0';
    *at += len + 1;
    return copy;
}

static struct deferred *deferred_new(const struct request *r)
{
    size_t name = r->name ? strlen(r->name) : 0, new_name = r->new_name ? strlen(r->new_name) : 0;
    size_t text = name + new_name + r->size * (r->data != NULL) + 3;
    struct deferred *d = malloc(sizeof(*d) + text);

    if (!d)
        return NULL;
    memset(d, 0, sizeof(*d));
    d->flight.cancel = cancel_new();
    if (!d->flight.cancel) {
        free(d);
        return NULL;
    }
    d->r = *r;
    d->text_len = text;
    char *at = d->text;
    if (r->name)
        d->r.name = put_text(&at, r->name, name);
    if (r->new_name)
        d->r.new_name = put_text(&at, r->new_name, new_name);
    if (r->data)
        d->r.data = put_text(&at, r->data, r->size);
    d->r.caller.nowait = false;
    d->r.caller.cancel = d->flight.cancel;
    d->flight.tid = r->caller.pid;
    d->flight.hold = hold;
    d->flight.let_go = let_go;
    atomic_init(&d->state, QUEUED);
    atomic_init(&d->refs, 2); /* the queue's, and this call's until the interrupt function is registered */
    return d;
}

void request_defer(struct request *r)
{
    struct session *s = r->session;
    struct pool *pool = r->changes ? s->changes : s->pool;
    struct deferred *d = deferred_new(r);
    struct err e = ERR_INIT;

    if (!d) {
        err_set(&e, ERR_NOMEM, "no memory for a request");
        answer_failure(r, ERR_NOMEM, &e);
        return;
    }
    atomic_fetch_add(&s->deferred, 1);
    if (is_of_names(r))
        notify_dir_waits(s->notify, r->ino);
    if (is_of_names(r) && r->new_name)
        notify_dir_waits(s->notify, r->new_parent);
    flight_start(s, &d->flight);
    d->r.armed = true;
    fuse_req_interrupt_func(d->r.req, on_interrupt, d);
    if (pool_submit(pool, run_deferred, d, &e) != ERR_OK) {
        int queued = QUEUED;
        if (atomic_compare_exchange_strong(&d->state, &queued, RUNNING)) {
            answer_failure(&d->r, ERR_NOMEM, &e);
            land(d);
        } else {
            drop(d); /* the reference the queue would have had; an interrupt has answered */
        }
    }
    drop(d);
}

void request_change(struct request *r)
{
    r->changes = true;
    request_defer(r);
}

void request_serve(struct request *r)
{
    struct err e = ERR_INIT;
    enum err_code code = r->run(r, &e);

    if (code == ERR_AGAIN)
        request_defer(r);
    else if (code != ERR_OK)
        answer_failure(r, code, &e);
}

void request_serve_brief(struct request *r)
{
    struct session *s = r->session; /* the request may be gone afterwards, the session not: this is one of its workers */

    r->caller.brief = atomic_fetch_add(&s->brief, 1) < s->config.workers / 2;
    request_serve(r);
    atomic_fetch_sub(&s->brief, 1);
}
