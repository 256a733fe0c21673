#include "backends/ssm/call.h"

#include "aws/client.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/pace.h"
#include "util/clock.h"

#include <stdio.h>

#define TIMEOUT_MS 60000 /* of the wait for the rate limit, where the caller names none */
#define REPLY_MAX  (4 << 20) /* 50 versions, each byte of their values an escape of six */

void ssm_reply_release(struct ssm_reply *r)
{
    buf_release(&r->body);
}

struct call_state {
    struct ssm *s;
    struct ssm_reply *reply;
    unsigned attempts;
};

/* The transport tries again by itself, which uses up the quota too. */
static void before_attempt(void *arg, unsigned attempt, struct aws_param *headers)
{
    struct call_state *state = arg;
    if (attempt > 1)
        pace_charge(state->s->pace);
}

static int64_t server_date_ms(const struct aws_reply *r)
{
    const char *date = r->transfer ? http_reply_header(r->transfer, "Date") : NULL;
    struct timespec t;
    if (date == NULL || !time_parse_http(date, &t))
        t = clock_now();
    return t.tv_sec > 0 ? (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 : 0;
}

static void keep_reply(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct call_state *state = arg;
    struct ssm_reply *out = state->reply;
    if (r == NULL)
        return;
    state->attempts = r->attempts;
    out->status = r->status;
    out->unanswered = r->unanswered;
    snprintf(out->request_id, sizeof(out->request_id), "%s", r->request_id);
    out->date_ms = server_date_ms(r);
    if (code == ERR_OK)
        buf_add(&out->body, r->body, r->body_len);
}

static enum err_code send_request(struct call_state *state, const char *op, const struct buf *request,
                                  const struct store_call *call, unsigned timeout_ms, struct err *e)
{
    char target[80];
    snprintf(target, sizeof(target), "AmazonSSM.%s", op);
    const struct aws_param headers[] = {{"Content-Type", "application/x-amz-json-1.1"}, {"X-Amz-Target", target}, {0}};
    const struct http_body body = {.size = request->len, .read = buf_read, .arg = (void *)request};
    /* A secret's reply is never quoted: the service's own words about a value that it refused have the value. */
    const struct aws_request r = {
        .method = HTTP_POST,
        .what = op,
        .headers = headers,
        .body = &body,
        .timeout_ms = timeout_ms,
        .reply_max = REPLY_MAX,
        .secret = true,
        .urgent = call != NULL && call->urgent,
        .before_attempt = before_attempt,
        .done = keep_reply,
        .arg = state,
    };
    return aws_call(state->s->client, &r, call ? call->cancel : NULL, e);
}

/* Attempts that were answered, and not well, are throttling nearly always: the transport repeats little else. */
static bool was_throttled(const struct call_state *state, enum err_code code)
{
    return code == ERR_THROTTLED || (state->attempts > 1 && state->attempts - 1 > state->reply->unanswered);
}

enum err_code ssm_call(struct ssm *s, const char *op, const char *subject, const struct buf *request,
                       const struct store_call *call, struct ssm_reply *out, struct err *e)
{
    struct err own = ERR_INIT;
    e = e ? e : &own;
    enum err_code code = buf_check(request, "request", e);
    if (code != ERR_OK)
        return code;
    unsigned given_ms = call ? call->timeout_ms : 0;
    uint64_t start = clock_mono_ms();
    uint64_t deadline = start + (given_ms ? given_ms : TIMEOUT_MS);
    code = call && call->background ? pace_wait_spare(s->pace, deadline, call->cancel, e)
                                    : pace_wait(s->pace, deadline, call ? call->cancel : NULL, e);
    if (code != ERR_OK)
        return err_prefix(e, code, "%s: %s", subject, op);
    uint64_t waited = clock_mono_ms() - start;
    unsigned left_ms = given_ms == 0 ? 0 : waited < given_ms ? given_ms - (unsigned)waited : 1;

    buf_init_secret(&out->body, REPLY_MAX);
    struct call_state state = {.s = s, .reply = out};
    code = send_request(&state, op, request, call, left_ms, e);
    bool throttled = was_throttled(&state, code);
    if (throttled)
        pace_throttled(s->pace);
    if (code != ERR_OK)
        code = err_prefix(e, code, "%s", subject);
    if (!s->quiet)
        trouble_tell(&s->trouble, op, subject, e, throttled);
    if (code != ERR_OK)
        return code;
    return buf_check(&out->body, "reply", e);
}
