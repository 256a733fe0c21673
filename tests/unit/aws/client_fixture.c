#include "client_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct http_engine *engine;
struct creds_provider *creds;

int enter(void **state)
{
    const struct http_config config = {0};

    sandbox_enter();
    engine = http_engine_new(&config, NULL);
    CLEANUP(creds_unref) struct creds *c = creds_new("AKID", SECRET, TOKEN, 0, "test", NULL);
    creds = creds_provider_static(c, NULL);
    return engine && creds ? 0 : -1;
}

int leave(void **state)
{
    creds_provider_free(creds);
    http_engine_free(engine);
    sandbox_leave();
    return 0;
}

struct aws_client *client_for(const char *service, const char *endpoint, const char *bucket)
{
    const struct aws_client_config config = {
        .service = service, .endpoint = endpoint, .bucket = bucket, .region = "eu-west-1", .timeout_ms = 8000};
    struct err e = ERR_INIT;
    struct aws_client *c = aws_client_new(engine, creds, &config, &e);

    if (!c)
        fail_msg("%s", e.msg);
    return c;
}

static void note_end(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct outcome *o = arg;
    const char *value = r->transfer ? http_reply_header(r->transfer, "X-Test") : NULL;

    o->ended++;
    o->code = code;
    o->status = r->status;
    o->attempts = r->attempts;
    o->unanswered = r->unanswered;
    o->err = *e;
    snprintf(o->body, sizeof(o->body), "%s", r->body);
    snprintf(o->error_code, sizeof(o->error_code), "%s", r->error_code);
    snprintf(o->request_id, sizeof(o->request_id), "%s", r->request_id);
    snprintf(o->header, sizeof(o->header), "%s", value ? value : "");
    assert_null(strstr(e->msg, "MARKER"));
}

enum err_code call(struct aws_client *c, struct aws_request r, struct outcome *o)
{
    struct err e = ERR_INIT;

    memset(o, 0, sizeof(*o));
    r.what = r.what ? r.what : "TestCall";
    r.done = note_end;
    r.arg = o;
    enum err_code code = aws_call(c, &r, NULL, &e);
    assert_int_equal(o->ended, 1);
    assert_int_equal(code, o->code);
    assert_int_equal(code, e.code);
    return code;
}

void answer_plan(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    const struct plan *p = arg;
    const struct step *s = &p->steps[number <= p->n ? number - 1 : p->n - 1];

    if (s->status)
        reply_add(out, s->status, s->headers ? s->headers : "", s->body ? s->body : "");
}

static ssize_t read_text(void *arg, uint64_t offset, void *out, size_t len)
{
    const struct text_body *b = arg;
    size_t n = b->body.size - offset < len ? b->body.size - offset : len;

    memcpy(out, b->text + offset, n);
    return (ssize_t)n;
}

void text_body_init(struct text_body *b, const char *text)
{
    b->text = text;
    b->body = (struct http_body){strlen(text), read_text, b};
}
