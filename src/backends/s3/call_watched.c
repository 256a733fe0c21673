/*
 * A request whose reply is looked at while it still comes: a beginning as soon as something is there, and then twice as much each time, so
 * that looking costs no more than the reply is long. All of it on the engine's thread: waking another one for it would cost more than
 * the look.
 */
#include "backends/s3/impl.h"
#include "util/buf.h"

#include <assert.h>

enum { WATCHED_MAX = 64 << 10, FIRST_LOOK = 2 << 10 };

/* The engine's thread's. */
struct watched {
    const struct aws_request *request;
    const struct s3_watch *watch;
    struct buf body; /* of the attempt under way */
    size_t looked;   /* how much of it the last look was given */
    bool enough;
};

static void on_attempt(void *arg, unsigned attempt, struct aws_param *headers)
{
    struct watched *w = arg;
    (void)attempt;
    (void)headers;
    buf_clear(&w->body);
    w->looked = 0;
}

/* How much of it is to be looked at now; 0: nothing is. */
static size_t due(const struct watched *w)
{
    size_t want = w->looked > 0 ? 2 * w->looked : FIRST_LOOK, len = w->body.len;
    if (w->enough || w->body.failed || len == w->looked)
        return 0;
    if (len >= want)
        return want;
    return w->looked == 0 || len == WATCHED_MAX ? len : 0;
}

static void look(struct watched *w, size_t len)
{
    char *end = w->body.data + len, behind = *end;
    *end = 0;
    w->enough = w->watch->so_far(w->watch->arg, w->body.data, len);
    *end = behind;
    w->looked = len;
}

static void on_part(void *arg, const void *p, size_t len)
{
    struct watched *w = arg;
    size_t room = WATCHED_MAX - w->body.len;
    if (w->enough || room == 0)
        return;
    buf_add(&w->body, p, len < room ? len : room);
    for (size_t n; (n = due(w)) > 0;)
        look(w, n);
}

static void on_done(void *arg, enum err_code code, const struct aws_reply *reply, const struct err *e)
{
    struct watched *w = arg;
    w->request->done(w->request->arg, code, reply, e);
}

enum err_code s3_call_watched(struct aws_client *c, const struct aws_request *r, const struct s3_watch *watch,
                              struct cancel *cancel, struct err *e)
{
    assert(r->before_attempt == NULL && r->done != NULL);
    struct watched w = {.request = r, .watch = watch, .body = {.max = WATCHED_MAX}};
    struct aws_request own = *r;
    own.before_attempt = on_attempt;
    own.part = on_part;
    own.done = on_done;
    own.arg = &w;
    enum err_code code = aws_call(c, &own, cancel, e);
    buf_release(&w.body);
    return code;
}
