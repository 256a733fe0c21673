/*
 * Whether a server does with the key of sse=c what it should, tried once a mount before anything of the user's is sent to be
 * stored: what the file of servers says may be of the time before somebody changed them. A scratch object is put with the key: the
 * reply must name the algorithm and the key's MD5, and a HEAD without the key must be refused.
 */
#include "backends/s3/probe.h"
#include "util/cancel.h"
#include "util/log.h"

#include <string.h>

static void wake(void *arg)
{
    struct s3_store *s = arg;
    LOCK_SCOPE(&s->lock);
    cond_broadcast(&s->tried);
}

enum turn { MINE, DECIDED, FAILED, CANCELED };

/* One tries; others wait for what comes of it, also where that is an error. */
static enum turn take_turn(struct s3_store *s, const struct store_call *call, struct err *e)
{
    struct cancel *cancel = call != NULL ? call->cancel : NULL;
    struct cancel_hook hook = {0};
    enum turn turn = MINE;
    bool waited = false;
    cancel_hook_add(cancel, &hook, wake, s);
    lock_take(&s->lock);
    while (s->trying && !(cancel != NULL && cancel_fired(cancel))) {
        (void)cond_wait(&s->tried, &s->lock, UINT64_MAX);
        waited = true;
    }
    if (s->trying)
        turn = CANCELED;
    else if (atomic_load(&s->keeps_key) || atomic_load(&s->ignores_key))
        turn = DECIDED;
    else if (waited)
        turn = FAILED;
    else
        s->trying = true;
    if (turn == FAILED)
        (void)err_copy(e, &s->trial_failure);
    lock_drop(&s->lock);
    cancel_hook_remove(cancel, &hook);
    return turn;
}

static void end_turn(struct s3_store *s, const struct err *why)
{
    LOCK_SCOPE(&s->lock);
    s->trying = false;
    s->trial_failure = *why;
    cond_broadcast(&s->tried);
}

void s3_ignores_key(struct s3_store *s)
{
    if (!atomic_exchange(&s->ignores_key, true))
        LOG_ERROR("s3", "this server ignores sse=c: nothing is stored there, writing is refused");
}

/* With the key's header of that name, as the server repeats it. */
static bool names_key(const struct s3_store *s, const struct s3_answer *a)
{
    struct aws_param key[S3_KEY_HEADERS];
    const char *md5 = params_get(&a->headers, S3_KEY_MD5);
    size_t n = s3_key_headers(s, true, false, key);
    for (size_t i = 0; i < n && md5 != NULL; i++)
        if (strcmp(key[i].name, S3_KEY_MD5) == 0)
            return strcmp(key[i].value, md5) == 0;
    return false;
}

/* The object is there, put with the key. */
static enum err_code look_without_key(struct probe *p, struct err *e)
{
    S3_ANSWER(a);
    struct s3_request r = {.method = HTTP_HEAD, .what = "HeadObject", .key = p->a, .without_key = true};
    enum err_code code = probe_ask(p, &r, &a);
    if (code == ERR_OK)
        s3_ignores_key(p->s);
    else if ((code == ERR_INVAL || code == ERR_ACCESS) && (a.status == 400 || a.status == 403))
        atomic_store(&p->s->keeps_key, true);
    else
        return err_set(e, code, "sse=c: whether this server keeps the key could not be found out: %s",
                       p->why.msg[0] != 0 ? p->why.msg : err_name(code));
    return ERR_OK;
}

static enum err_code try_it(struct probe *p, bool *nothing_put, struct err *e)
{
    S3_ANSWER(a);
    struct s3_request r = {.method = HTTP_PUT, .what = "PutObject", .key = p->a, .body = probe_body()};
    if (!probe_may_remove(p))
        return err_set(e, p->why.code, "sse=c: whether this server keeps the key could not be found out: %s", p->why.msg);
    *nothing_put = false;
    enum err_code code = probe_ask(p, &r, &a);
    if (atomic_load(&p->s->ignores_key))
        return ERR_OK;
    if (code != ERR_OK)
        return err_set(e, code, "sse=c: whether this server keeps the key could not be found out: PutObject %s: %s", p->a,
                       a.code[0] != 0 ? a.code : err_name(code));
    if (names_key(p->s, &a))
        return look_without_key(p, e);
    s3_ignores_key(p->s);
    return ERR_OK;
}

enum err_code s3_try_key(struct s3_store *s, const struct store_call *call, struct err *e)
{
    struct err local = ERR_INIT;
    struct probe p = {.s = s, .call = call, .why = ERR_INIT, .record = -1};
    bool nothing_put = true;
    if (atomic_load(&s->keeps_key) || atomic_load(&s->ignores_key))
        return ERR_OK;
    enum turn turn = take_turn(s, call, &local);
    if (turn != MINE)
        return turn == DECIDED    ? ERR_OK
               : turn == CANCELED ? err_set(e, ERR_CANCELED, "sse=c: the trial was not waited for")
                                  : err_copy(e, &local);
    probe_begin(&p);
    enum err_code code = try_it(&p, &nothing_put, &local);
    probe_end(&p, nothing_put);
    end_turn(s, &local);
    return code == ERR_OK ? code : err_copy(e, &local);
}
