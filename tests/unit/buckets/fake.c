#include "fake.h"

#include "aws/client.h"
#include "aws/errors.h"
#include "util/str.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct aws_client {
    char bucket[256], region[64];
    uint64_t sent;
};

static const struct step nothing[] = {{.op = NULL}};
static struct aws_client service;
static const struct step *next = nothing;
static atomic_uint clients, stores, slow_ms;
static atomic_bool fail_stores;
static char last_region[64];

void fake_script(const struct step *steps)
{
    next = steps != NULL ? steps : nothing;
}

void fake_done(void)
{
    if (next->op != NULL)
        fail_msg("no %s was sent", next->op);
}

unsigned fake_clients(void)
{
    return clients;
}

unsigned fake_stores(void)
{
    return stores;
}

const char *fake_last_region(void)
{
    return last_region;
}

void fake_slow_stores(unsigned ms, bool fail)
{
    slow_ms = ms;
    fail_stores = fail;
}

static struct aws_client *client_for(void *arg, const char *bucket, const char *region, struct err *e)
{
    struct aws_client *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    snprintf(c->bucket, sizeof(c->bucket), "%s", bucket);
    snprintf(c->region, sizeof(c->region), "%s", region != NULL ? region : service.region);
    snprintf(last_region, sizeof(last_region), "%s", region != NULL ? region : "");
    clients++;
    return c;
}

static struct store *store_for(void *arg, struct aws_client *client, const char *bucket, struct err *e)
{
    assert_string_equal(client->bucket, bucket);
    usleep(slow_ms * 1000);
    stores++;
    if (fail_stores) {
        err_set(e, ERR_INVAL, "an option is wrong");
        return NULL;
    }
    struct mem_options options = {.async = true, .meta_in_get = true, .chunk = 4096};
    return mem_store_new(&options, NULL, e);
}

struct store *fake_buckets(const char *region, const struct step *steps, bool anonymous)
{
    struct store_caps caps;
    struct err e = ERR_INIT;
    mem_default_caps(&caps);
    const struct buckets_options o = {
        .caps = &caps, .anonymous = anonymous, .client_for = client_for, .store_for = store_for};
    service = (struct aws_client){.bucket = ""};
    snprintf(service.region, sizeof(service.region), "%s", region != NULL ? region : "eu-west-1");
    clients = stores = slow_ms = 0;
    fail_stores = false;
    fake_script(steps);
    struct store *s = buckets_store_new(&service, &o, &e);
    if (s == NULL)
        fail_msg("%s", e.msg);
    return s;
}

void aws_client_free(struct aws_client *c)
{
    clients -= c != NULL;
    free(c);
}

static void describe(const struct aws_request *r, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (const struct aws_param *p = r->query; p != NULL && p->name != NULL && at < size; p++)
        at += (size_t)snprintf(out + at, size - at, "%s=%s ", p->name, p->value);
    if (r->body == NULL)
        return;
    ssize_t n = r->body->read(r->body->arg, 0, out + at, size - at - 1);
    assert_int_equal(n, r->body->size);
    out[at + (size_t)n] = 0;
}

static void check_request(const struct aws_client *c, const struct aws_request *r, const struct step *step)
{
    char text[2048];
    if (step->op == NULL)
        fail_msg("not expected: %s on '%s'", r->what, c->bucket);
    assert_string_equal(r->what, step->op);
    assert_string_equal(c->bucket, step->bucket != NULL ? step->bucket : "");
    assert_null(r->key);
    describe(r, text, sizeof(text));
    if (step->text == NULL)
        assert_null(r->body);
    else if (strstr(text, step->text) == NULL)
        fail_msg("%s: '%s' was sent, without '%s'", r->what, text, step->text);
}

enum err_code aws_call(struct aws_client *c, const struct aws_request *r, struct cancel *cancel, struct err *e)
{
    const struct step *step = next;
    check_request(c, r, step);
    next++;
    c->sent++;
    if (step->region != NULL) /* a redirect was followed */
        snprintf(c->region, sizeof(c->region), "%s", step->region);
    const char *body = step->reply != NULL ? step->reply : "";
    struct aws_reply reply = {.status = step->status,
                              .body = body,
                              .body_len = strlen(body),
                              .unanswered = step->unanswered};
    enum err_code code = ERR_OK;
    if (step->status == 0) {
        code = err_set(e, step->transport, "%s: no answer", r->what);
    } else if (step->status >= 300) {
        struct aws_error error;
        aws_error_parse(body, strlen(body), &error);
        code = err_set(e, aws_error_decide("s3", step->status, &error).code, "%s: %s", r->what, error.code);
        snprintf(reply.error_code, sizeof(reply.error_code), "%s", error.code);
    }
    r->done(r->arg, code, &reply, e);
    return code;
}

void aws_client_endpoint(struct aws_client *c, char *out, size_t size)
{
    snprintf(out, size, "http://127.0.0.1:1");
}

void aws_client_region(struct aws_client *c, char *out, size_t size)
{
    snprintf(out, size, "%s", c->region);
}

void aws_client_each_count(struct aws_client *c, void (*fn)(void *arg, const char *what, uint64_t count), void *arg)
{
    if (c->sent > 0)
        fn(arg, "request", c->sent);
}

static ssize_t read_string(void *arg, uint64_t offset, void *buf, size_t len)
{
    const char *s = arg;
    size_t left = strlen(s) - (size_t)offset, n = left < len ? left : len;
    memcpy(buf, s + offset, n);
    return (ssize_t)n;
}

enum err_code fake_put(struct store *s, const char *key, const char *text, struct err *e)
{
    const struct store_body body = {.size = strlen(text), .read = read_string, .arg = (void *)text};
    return store_put(s, key, &body, NULL, NULL, NULL, NULL, e);
}
