#include "client.h"

#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void on_done(void *arg, struct http_reply_view *r)
{
    struct call *c = arg;
    const char *x = http_reply_header(r->transfer, "x-test");
    pthread_mutex_lock(&c->lock);
    c->ended++;
    c->code = r->code;
    snprintf(c->msg, sizeof(c->msg), "%s", r->msg);
    c->status = r->status;
    free(c->body);
    c->body = malloc(r->body_len + 1);
    memcpy(c->body, r->body, r->body_len + 1);
    c->body_len = r->body_len;
    c->received = r->received;
    c->sent = r->sent;
    snprintf(c->x_test, sizeof(c->x_test), "%s", x ? x : "");
    pthread_cond_broadcast(&c->cond);
    pthread_mutex_unlock(&c->lock);
}

void call_start(struct call *c, struct http_engine *h, const char *url, const char *path, struct http_request r)
{
    char full[2200];
    struct err e = ERR_INIT;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->cond, NULL);
    snprintf(full, sizeof(full), "%s%s", url, path);
    r.url = full;
    r.done = on_done;
    r.arg = c;
    c->t = http_start(h, &r, &e);
    if (!c->t)
        fail_msg("http_start: %s", e.msg);
}

void call_wait(struct call *c)
{
    pthread_mutex_lock(&c->lock);
    while (c->ended == 0)
        pthread_cond_wait(&c->cond, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

void call_release(struct call *c)
{
    http_transfer_unref(c->t);
    free(c->body);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->cond);
    memset(c, 0, sizeof(*c));
}

void call_run(struct call *c, struct http_engine *h, const char *url, const char *path, struct http_request r)
{
    call_start(c, h, url, path, r);
    call_wait(c);
}

struct http_engine *test_engine(struct http_config config)
{
    struct err e = ERR_INIT;
    struct http_config defaults = {.connect_ms = 10000, .first_byte_ms = 5000, .stall_ms = 5000};
    if (!config.connect_ms)
        config.connect_ms = defaults.connect_ms;
    if (!config.first_byte_ms)
        config.first_byte_ms = defaults.first_byte_ms;
    if (!config.stall_ms)
        config.stall_ms = defaults.stall_ms;
    struct http_engine *h = http_engine_new(&config, &e);
    if (!h)
        fail_msg("http_engine_new: %s", e.msg);
    return h;
}

static ssize_t read_pattern(void *arg, uint64_t offset, void *buf, size_t len)
{
    struct pattern *p = arg;
    char *out = buf;
    if (offset == 0)
        p->from_start++;
    if (p->fail_at && offset + len > p->fail_at)
        return -1;
    if (p->end_at && offset + len > p->end_at)
        len = p->end_at > offset ? p->end_at - offset : 0;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)((offset + i) % 251);
    return (ssize_t)len;
}

void pattern_init(struct pattern *p, uint64_t size)
{
    *p = (struct pattern){.body = {.size = size, .read = read_pattern, .arg = p}};
}

bool pattern_matches(const char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (p[i] != (char)(i % 251))
            return false;
    return true;
}

uint64_t test_now_ms(void)
{
    return clock_mono_ms();
}

void test_sleep_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000}, NULL);
}
