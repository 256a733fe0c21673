#include "trial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct script script;
struct server *server;
struct http_engine *engine;
struct retry_budget *budget;

static bool answer(struct server_conn *c, const struct server_request *r, void *arg)
{
    unsigned at = 0, n = r->number - 1;
    while (at < n && at < ARRAY_LEN(script.steps) - 1 && script.steps[at + 1] != 0)
        at++;
    int step = script.steps[at];
    switch (step) {
    case CLOSE:
        return false;
    case HANG:
        server_hang(c);
        return false;
    case SLOW: /* 200 after a second of silence */
        if (server_sleep(c, 1000))
            server_reply(c, 200, "ok");
        return true;
    case TRICKLE:
        server_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n");
        for (int i = 0; i < 14 && server_sleep(c, 130); i++)
            server_send(c, "x");
        return true;
    case CUT:
        server_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\nx");
        return false;
    default:
        server_send(c, "HTTP/1.1 %d X\r\n%sContent-Length: 2\r\n\r\nok", step, step != 200 ? script.header : "");
        return true;
    }
}

static enum err_code prepare(void *arg, unsigned attempt, struct http_request *out, struct err *e)
{
    struct trial *t = arg;
    t->prepared++;
    if (t->not_yet > 0) {
        t->not_yet--;
        return err_set(e, t->not_yet == 0 && t->refusal ? t->refusal : ERR_AGAIN, "no credentials yet");
    }
    out->method = t->method;
    out->url = t->url;
    out->body = t->body;
    out->first_byte_ms = t->first_byte_ms;
    return ERR_OK;
}

static bool data(void *arg, const struct http_transfer *x, int status, const void *p, size_t len)
{
    struct trial *t = arg;
    t->received += len;
    return !t->refuse_data;
}

static enum verdict judge(void *arg, const struct http_reply_view *r, struct err *e)
{
    struct trial *t = arg;
    t->judged++;
    t->seen = r->code;
    if (r->code == ERR_CANCELED)
        return VERDICT_DONE;
    if (r->code != ERR_OK) {
        err_set(e, r->code, "%s", r->msg);
        return VERDICT_RETRY;
    }
    if (r->status == 503) {
        err_set(e, ERR_IO, "SlowDown");
        return VERDICT_THROTTLED;
    }
    if (r->status == 307)
        return VERDICT_AGAIN;
    if (r->status >= 500) {
        err_set(e, ERR_IO, "InternalError");
        return VERDICT_RETRY;
    }
    if (r->status == 404)
        err_set(e, ERR_NOT_FOUND, "NoSuchKey");
    if (r->status == 412)
        err_set(e, ERR_CONFLICT, "PreconditionFailed");
    return VERDICT_DONE;
}

static void done(void *arg, enum err_code code, unsigned attempts, unsigned unanswered, const struct err *e)
{
    struct trial *t = arg;
    pthread_mutex_lock(&t->lock);
    t->ended++;
    t->code = code;
    t->attempts = attempts;
    t->unanswered = unanswered;
    snprintf(t->msg, sizeof(t->msg), "%s", e->msg);
    pthread_cond_broadcast(&t->cond);
    pthread_mutex_unlock(&t->lock);
}

const struct exchange_ops collecting = {.prepare = prepare, .judge = judge, .done = done};
const struct exchange_ops streaming = {.prepare = prepare, .judge = judge, .done = done, .data = data};

void trial_begin(struct script s, struct http_config config)
{
    script = s;
    if (!script.header)
        script.header = "";
    server = server_start(&(struct server_options){.answer = answer});
    engine = test_engine(config);
    budget = retry_budget_new();
}

void trial_finish(void)
{
    http_engine_free(engine);
    server_stop(server);
    retry_budget_free(budget);
}

void trial_init(struct trial *t)
{
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->cond, NULL);
    snprintf(t->url, sizeof(t->url), "%s/x", server_url(server));
}

void trial_start(struct trial *t, const struct exchange_ops *ops, struct exchange_limits limits, struct cancel *cancel)
{
    trial_init(t);
    struct err e = ERR_INIT;
    if (exchange_start(engine, budget, ops, t, &limits, cancel, &e) != ERR_OK)
        fail_msg("exchange_start: %s", e.msg);
}

void trial_wait(struct trial *t)
{
    pthread_mutex_lock(&t->lock);
    while (t->ended == 0)
        pthread_cond_wait(&t->cond, &t->lock);
    pthread_mutex_unlock(&t->lock);
}

uint64_t trial_run(struct trial *t, const struct exchange_ops *ops, struct exchange_limits limits)
{
    uint64_t start = test_now_ms();
    trial_start(t, ops, limits, NULL);
    trial_wait(t);
    return test_now_ms() - start;
}
