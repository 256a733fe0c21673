/*
 * A request whose reply is looked at while it still comes. The engine's thread copies what comes, the calling one looks at it: as soon as
 * something is there, and then whenever there is twice as much, so that looking costs no more than the reply is long.
 */
#include "backends/s3/impl.h"
#include "util/buf.h"

#include <assert.h>
#include <stdint.h>

enum { WATCHED_MAX = 64 << 10 };

struct watched {
    const struct aws_request *request;
    struct lock lock; /* what follows */
    struct cond changed;
    struct buf body; /* of the attempt under way */
    size_t looked;   /* how much of it was there at the last look */
    bool enough, ended;
    enum err_code code;
    struct err err;
};

static void on_attempt(void *arg, unsigned attempt, struct aws_param *headers)
{
    struct watched *w = arg;
    (void)attempt;
    (void)headers;
    LOCK_SCOPE(&w->lock);
    buf_clear(&w->body);
    w->looked = 0;
}

static void on_part(void *arg, const void *p, size_t len)
{
    struct watched *w = arg;
    LOCK_SCOPE(&w->lock);
    if (w->enough)
        return;
    buf_add(&w->body, p, len);
    w->enough = w->body.failed;
    cond_signal(&w->changed);
}

static void on_done(void *arg, enum err_code code, const struct aws_reply *reply, const struct err *e)
{
    struct watched *w = arg;
    w->request->done(w->request->arg, code, reply, e);
    LOCK_SCOPE(&w->lock);
    w->code = code;
    w->err = *e;
    w->ended = true;
    cond_signal(&w->changed);
}

/* Releases the lock for the look. */
static void look(struct watched *w, const struct s3_watch *watch)
{
    BUF(copy, WATCHED_MAX);
    buf_add(&copy, w->body.data, w->body.len);
    w->looked = w->body.len;
    lock_drop(&w->lock);
    bool enough = copy.failed || watch->so_far(watch->arg, buf_str(&copy), copy.len);
    lock_take(&w->lock);
    w->enough |= enough;
}

enum err_code s3_call_watched(struct aws_client *c, const struct aws_request *r, const struct s3_watch *watch,
                              struct cancel *cancel, struct err *e)
{
    assert(r->before_attempt == NULL && r->done != NULL);
    struct watched w = {.request = r, .body = {.max = WATCHED_MAX}, .err = ERR_INIT};
    struct aws_request own = *r;
    own.before_attempt = on_attempt;
    own.part = on_part;
    own.done = on_done;
    own.arg = &w;
    lock_init(&w.lock, "watched reply", LOCK_LEAF);
    cond_init(&w.changed);
    enum err_code code = aws_send(c, &own, cancel, e);
    lock_take(&w.lock);
    while (code == ERR_OK && !w.ended) {
        if (!w.enough && w.body.len > 0 && w.body.len / 2 >= w.looked)
            look(&w, watch);
        else
            (void)cond_wait(&w.changed, &w.lock, UINT64_MAX);
    }
    lock_drop(&w.lock);
    if (code == ERR_OK && w.code != ERR_OK)
        code = err_copy(e, &w.err);
    cond_release(&w.changed);
    lock_release(&w.lock);
    buf_release(&w.body);
    return code;
}
