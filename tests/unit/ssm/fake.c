#include "fake.h"

#include "aws/client.h"
#include "aws/errors.h"

#include <stdio.h>
#include <string.h>

struct aws_client {
    const struct step *next;
};

static struct aws_client the_client;

void fake_script(const struct step *steps)
{
    the_client.next = steps;
}

struct store *fake_store(const struct ssm_options *o, const struct step *steps)
{
    const struct ssm_options defaults = {.path = "/p"};
    struct err e = ERR_INIT;
    fake_script(steps);
    struct store *s = ssm_store_new(&the_client, o ? o : &defaults, &e);
    if (s == NULL)
        fail_msg("%s", e.msg);
    return s;
}

void fake_done(void)
{
    if (the_client.next->op != NULL)
        fail_msg("no %s was sent", the_client.next->op);
}

static void check_request(const struct aws_request *r, const struct step *step)
{
    static char body[256 << 10];
    assert_true(r->secret);
    assert_int_equal(r->method, HTTP_POST);
    assert_true(r->body->size < sizeof(body));
    ssize_t n = r->body->read(r->body->arg, 0, body, sizeof(body) - 1);
    assert_int_equal(n, r->body->size);
    body[n] = '\0';
    if (step->op == NULL)
        fail_msg("not expected: %s %s", r->what, body);
    assert_string_equal(r->what, step->op);
    assert_string_equal(r->headers[0].value, "application/x-amz-json-1.1");
    assert_true(strncmp(r->headers[1].value, "AmazonSSM.", 10) == 0);
    assert_string_equal(r->headers[1].value + 10, step->op);
    if (step->body == NULL)
        return;
    size_t len = strlen(step->body);
    if (step->body[len - 1] == '*')
        body[len - 1] = '\0', len--;
    if (strncmp(body, step->body, len) != 0 || (step->body[len] == '\0' && body[len] != '\0'))
        fail_msg("%s was sent, not %s", body, step->body);
}

enum err_code aws_call(struct aws_client *c, const struct aws_request *r, struct cancel *cancel, struct err *e)
{
    const struct step *step = c->next;
    check_request(r, step);
    c->next++;
    struct aws_reply reply = {.status = step->status,
                              .body = step->reply,
                              .body_len = step->reply ? strlen(step->reply) : 0,
                              .request_id = "r-1",
                              .attempts = 1 + step->unanswered,
                              .unanswered = step->unanswered + (step->status == 0)};
    enum err_code code = ERR_OK;
    if (step->status == 0) {
        code = err_set(e, step->transport, "%s: no answer", r->what);
    } else if (step->status >= 300) {
        struct aws_error error;
        aws_error_parse(reply.body, reply.body_len, &error);
        code = err_set(e, aws_error_decide("ssm", step->status, &error).code, "%s: %s", r->what, error.code);
        snprintf(reply.error_code, sizeof(reply.error_code), "%s", error.code);
    }
    r->done(r->arg, code, &reply, e);
    return code;
}

bool aws_client_trouble(struct aws_client *c, struct err *out)
{
    return false;
}

void aws_client_endpoint(struct aws_client *c, char *out, size_t size)
{
    snprintf(out, size, "http://127.0.0.1:1");
}

void aws_client_region(struct aws_client *c, char *out, size_t size)
{
    snprintf(out, size, "eu-west-1");
}

void aws_client_each_count(struct aws_client *c, void (*fn)(void *arg, const char *what, uint64_t count), void *arg)
{
    fn(arg, "GetParameter", 1);
}

const char *http_reply_header(const struct http_transfer *t, const char *name)
{
    return NULL;
}

static ssize_t read_string(void *arg, uint64_t offset, void *buf, size_t len)
{
    const char *s = arg;
    size_t left = strlen(s) - offset;
    size_t n = left < len ? left : len;
    memcpy(buf, s + offset, n);
    return (ssize_t)n;
}

enum err_code fake_put(struct store *s, const char *key, const char *value, int kind, const char *etag,
                       struct store_version *out, struct err *e)
{
    const struct store_body body = {.size = strlen(value), .read = read_string, .arg = (void *)value};
    const struct store_cond cond = {.kind = kind, .etag = etag};
    return store_put(s, key, &body, NULL, &cond, NULL, out, e);
}
