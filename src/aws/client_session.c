/*
 * The keys of a directory bucket: CreateSession gives some that live for five minutes and are good for that bucket
 * only. They are fetched by a request of their own, once for any number that wait.
 *
 * States: none | current | refused (the server said so). Beside them `fetching`. As in the SDKs a set is renewed 45 s
 * before its end while requests go on with it, and in its last 10 s they wait for the next; for short-lived ones (not
 * AWS's) no earlier than half, and a quarter, of their life before the end. A failure is told to all that wait, for a
 * second; then the next request tries again.
 */
#include "aws/client_impl.h"
#include "util/cancel.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RENEW_MS = 45000, MUST_MS = 10000, LIFE_MAX_S = 12 * 3600, FAILURE_MS = 1000, REPLY_MAX = 65536 };

struct client_session {
    struct lock lock; /* all below */
    struct cond ended;
    struct cancel *cancel;
    char *sse, *sse_key;                  /* NULL: not asked for; never change */
    struct creds *current;                /* NULL: none */
    uint64_t renew_ms, must_ms, until_ms; /* of `current`, clock_mono_ms() */
    bool fetching, refused;
    struct err failure; /* of the last fetch; ERR_OK after a good one */
    uint64_t failed_ms;
};

static bool copy_text(char **to, const char *from)
{
    return !from || (*to = strdup(from));
}

struct client_session *client_session_new(const char *sse, const char *sse_key, struct err *e)
{
    struct client_session *s = calloc(1, sizeof(*s));

    if (!s || !copy_text(&s->sse, sse) || !copy_text(&s->sse_key, sse_key) || !(s->cancel = cancel_new())) {
        if (s) {
            free(s->sse);
            free(s->sse_key);
        }
        free(s);
        err_set(e, ERR_NOMEM, "no memory for a session");
        return NULL;
    }
    lock_init(&s->lock, "session", LOCK_AWS_CREDS);
    cond_init(&s->ended);
    return s;
}

void client_session_free(struct client_session *s)
{
    if (!s)
        return;
    cancel_fire(s->cancel);
    lock_take(&s->lock);
    while (s->fetching)
        (void)cond_wait(&s->ended, &s->lock, UINT64_MAX);
    lock_drop(&s->lock);
    creds_unref(s->current);
    cancel_unref(s->cancel);
    free(s->sse);
    free(s->sse_key);
    cond_release(&s->ended);
    lock_release(&s->lock);
    free(s);
}

static void ended(struct client_session *s, enum err_code code, const struct err *why)
{
    LOCK_SCOPE(&s->lock);
    s->fetching = false;
    s->failure = why ? *why : (struct err)ERR_INIT;
    s->failure.code = code;
    s->failed_ms = clock_mono_ms();
    cond_broadcast(&s->ended);
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void take_fresh(struct client_session *s, struct creds *fresh, uint64_t life_ms)
{
    LOCK_SCOPE(&s->lock);
    creds_unref(s->current);
    s->current = fresh;
    s->refused = false;
    s->until_ms = clock_mono_ms() + life_ms;
    s->renew_ms = s->until_ms - at_most(RENEW_MS, life_ms / 2);
    s->must_ms = s->until_ms - at_most(MUST_MS, life_ms / 4);
}

static enum err_code decode(struct client_session *s, const struct client_state *state, const struct aws_reply *r,
                            struct err *e)
{
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(r->body, r->body_len, NULL);
    const struct xml_node *found = doc ? xml_child(xml_root(doc), "Credentials") : NULL;
    const char *token = found ? xml_child_text(found, "SessionToken") : "";
    const char *date = http_reply_header(r->transfer, "date");
    struct timespec expires, now = {.tv_sec = state->now};

    if (!*token || !time_parse_iso8601(xml_child_text(found, "Expiration"), &expires))
        return err_set(e, ERR_PROTO, "CreateSession: the reply is malformed");
    if (date)
        (void)time_parse_http(date, &now);
    long long life_s = (long long)expires.tv_sec - now.tv_sec;
    if (life_s <= 0 || life_s > LIFE_MAX_S)
        return err_set(e, ERR_PROTO, "CreateSession: the session lives for %lld s", life_s);
    struct creds *fresh = creds_new(xml_child_text(found, "AccessKeyId"), xml_child_text(found, "SecretAccessKey"),
                                    token, expires.tv_sec, "CreateSession", NULL);
    if (!fresh)
        return err_set(e, ERR_PROTO, "CreateSession: the reply has malformed keys");
    take_fresh(s, fresh, (uint64_t)life_s * 1000);
    return ERR_OK;
}

static void fetched(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct aws_client *c = arg;
    struct client_state state;
    struct err why = *e;

    client_state_get(c, &state);
    if (!code)
        code = decode(c->session, &state, r, &why);
    if (code && code != ERR_CANCELED)
        LOG_WARN("aws", "no session for bucket %s: %s", c->bucket, why.msg);
    ended(c->session, code, &why);
}

static void fetch(struct aws_client *c)
{
    static const struct aws_param query[] = {{"session", NULL}, {0}};
    struct aws_param headers[3] = {{0}};
    size_t n = 0;

    if (c->session->sse)
        headers[n++] = (struct aws_param){"x-amz-server-side-encryption", c->session->sse};
    if (c->session->sse_key)
        headers[n++] = (struct aws_param){"x-amz-server-side-encryption-aws-kms-key-id", c->session->sse_key};
    const struct aws_request r = {.method = HTTP_GET,
                                  .what = "CreateSession",
                                  .query = query,
                                  .headers = headers,
                                  .reply_max = REPLY_MAX,
                                  .secret = true,
                                  .urgent = true,
                                  .done = fetched,
                                  .arg = c};
    struct err e = ERR_INIT;
    enum err_code code = client_send_as_account(c, &r, c->session->cancel, &e);

    if (code)
        ended(c->session, code, &e);
}

enum err_code client_session_get(struct aws_client *c, struct creds **out, struct err *e)
{
    struct client_session *s = c->session;
    bool begin = false;

    lock_take(&s->lock);
    uint64_t now = clock_mono_ms();
    bool failed = s->failure.code && now - s->failed_ms < FAILURE_MS;
    bool is_good = s->current && !s->refused && now < s->until_ms;
    bool must = !is_good || (now >= s->must_ms && !failed);
    struct err failure = s->failure;
    if (!s->fetching && !failed && (!is_good || now >= s->renew_ms))
        begin = s->fetching = true;
    if (!must)
        *out = creds_ref(s->current);
    lock_drop(&s->lock);
    if (begin)
        fetch(c);
    if (!must)
        return ERR_OK;
    return failed ? err_copy(e, &failure) : err_set(e, ERR_AGAIN, "the bucket's session is being created");
}

void client_session_refused(struct aws_client *c, const struct creds *used)
{
    struct client_session *s = c->session;

    LOCK_SCOPE(&s->lock);
    s->refused |= s->current == used;
}
