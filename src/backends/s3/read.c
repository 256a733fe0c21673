/*
 * Reading: HEAD, and ranged GETs that go on at the byte where a broken attempt ended. What a reply says about itself
 * (version, range, length) is checked before a byte of it is handed on.
 */
#include "backends/s3/impl.h"
#include "util/cancel.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a wrong reply that are read, so that its connection can be used again, before the attempt is given up. */
#define SWALLOW_MAX (1 << 20)

enum err_code s3_stat(void *impl, const char *key, const struct store_call *call, struct store_object *out,
                      struct err *e)
{
    struct s3_store *s = impl;
    S3_ANSWER(a);
    PARAMS(headers);
    params_add(&headers, "x-amz-checksum-mode", "ENABLED");
    const struct s3_request r = {
        .method = HTTP_HEAD, .what = "HeadObject", .key = key, .headers = &headers, .call = call};
    struct err local = ERR_INIT;
    enum err_code code = s3_call(s, &r, &a, &local);
    if (code == ERR_INVAL && s3_is_about_key(a.status, a.code, buf_str(&a.body), a.body.len))
        return s3_explain_key(s, "HeadObject", key, e);
    if (code != ERR_OK)
        return err_copy(e, &local);
    struct store_object o = {0};
    code = s3_version_read(&a.headers, &o.version, e);
    if (code == ERR_OK)
        code = s3_meta_read(&a.headers, key, &o.meta, e);
    if (code == ERR_OK)
        *out = o;
    return code == ERR_OK ? code : err_prefix(e, code, "HeadObject %s", key);
}

/* Why the data of an attempt are not handed on. */
enum { RIGHT, WRONG_NOW /* another attempt may be right */, WRONG_FOR_GOOD };

struct s3_read {
    struct s3_store *s;
    struct store_get g;
    char *key, *full_key, *etag; /* copies; etag may be NULL */
    bool plain, turned; /* asked for without the key of SSE-C; that after a refusal */
    uint64_t delivered;          /* bytes given to the caller in all attempts */
    struct store_object object;  /* of the first good reply; etag "" before */
    /* Of the attempt under way: */
    bool checked;
    int verdict;
    uint64_t skip;      /* bytes at the reply's beginning that were delivered before */
    uint64_t swallowed; /* of a wrong reply */
    bool refused;       /* the caller wants no more */
    struct err why;
    char range[64], if_match[STORE_ETAG_SIZE + 2];
};

static void read_free(struct s3_read *r)
{
    if (r == NULL)
        return;
    store_object_release(&r->object);
    free(r->key);
    free(r->full_key);
    free(r->etag);
    free(r);
}
CLEANUP_DEFINE(struct s3_read, read_free)

static bool wants_whole(const struct s3_read *r)
{
    return r->g.whole && r->g.offset == 0;
}

/* The first byte asked for now: at least one, even when only the end of the reply was lost. */
static uint64_t first_byte(const struct s3_read *r)
{
    uint64_t last = r->g.length - 1;
    return r->g.offset + (r->delivered < last ? r->delivered : last);
}

static void set_header(struct aws_param *headers, const char *name, const char *value)
{
    for (; headers->name != NULL; headers++)
        if (strcmp(headers->name, name) == 0)
            headers->value = value;
}

static void before_attempt(void *arg, unsigned attempt, struct aws_param *headers)
{
    struct s3_read *r = arg;
    const char *etag = r->etag != NULL ? r->etag : r->object.version.etag;
    r->checked = false;
    r->verdict = RIGHT;
    r->skip = r->swallowed = 0;
    if (etag[0] != 0) {
        (void)snprintf(r->if_match, sizeof(r->if_match), "\"%s\"", etag);
        set_header(headers, "If-Match", r->if_match);
    }
    if (!wants_whole(r) || r->delivered > 0) {
        (void)snprintf(r->range, sizeof(r->range), "bytes=%llu-%llu", (unsigned long long)first_byte(r),
                       (unsigned long long)(r->g.offset + r->g.length - 1));
        set_header(headers, "Range", r->range);
    }
}

static void wrong(struct s3_read *r, int verdict, enum err_code code, const char *what)
{
    r->verdict = verdict;
    (void)err_set(&r->why, code, "GetObject %s: %s", r->key, what);
}

/* The reply's version against the one wanted. */
static void check_version(struct s3_read *r, const struct store_version *v)
{
    const char *wanted = r->etag != NULL ? r->etag : r->object.version.etag;
    if (wanted[0] != 0 && strcmp(wanted, v->etag) != 0)
        wrong(r, WRONG_FOR_GOOD, ERR_CONFLICT, "it is another version now");
    else if (v->size < r->g.offset + r->g.length || (wants_whole(r) && v->size != r->g.length))
        wrong(r, r->etag != NULL ? WRONG_NOW : WRONG_FOR_GOOD, r->etag != NULL ? ERR_PROTO : ERR_INVAL,
              "it does not have the bytes asked for");
    else if (r->object.version.etag[0] != 0 && r->object.version.size != v->size)
        wrong(r, WRONG_NOW, ERR_PROTO, "its size changed with the same ETag");
}

/* Where in the object the reply's body begins, against what was asked. */
static void check_place(struct s3_read *r, int status, const struct params *h, const struct store_version *v)
{
    const char *text = params_get(h, "content-range");
    uint64_t first, last, total, want_last = r->g.offset + r->g.length - 1;
    if (status == 206) {
        if (text == NULL || !s3_content_range(text, &first, &last, &total) || first != first_byte(r) ||
            last != want_last)
            wrong(r, WRONG_NOW, ERR_PROTO, "the reply is another range than asked for");
        else
            r->skip = r->g.offset + r->delivered - first;
        return;
    }
    /* The server ignored Range, or none was sent. */
    if (status != 200 || r->g.offset != 0 || v->size != r->g.length)
        wrong(r, WRONG_NOW, ERR_PROTO, "the reply is the whole object where a part was asked for");
    else
        r->skip = r->delivered;
}

static void check_reply(struct s3_read *r, const struct http_transfer *t, int status)
{
    PARAMS(h);
    struct store_version v = {0};
    r->checked = true;
    s3_take_headers(t, &h);
    if (h.failed != ERR_OK || s3_version_read(&h, &v, &r->why) != ERR_OK) {
        wrong(r, WRONG_NOW, ERR_PROTO, "the reply does not tell its version");
        return;
    }
    check_version(r, &v);
    if (r->verdict == RIGHT)
        check_place(r, status, &h, &v);
    if (r->verdict != RIGHT || r->object.version.etag[0] != 0)
        return;
    struct err local = ERR_INIT;
    if (s3_meta_read(&h, r->key, &r->object.meta, &local) != ERR_OK)
        r->object.meta = NULL; /* only a convenience here */
    r->object.version = v;
}

static bool on_data(void *arg, const struct http_transfer *t, int status, const void *p, size_t len)
{
    struct s3_read *r = arg;
    if (!r->checked)
        check_reply(r, t, status);
    if (r->verdict != RIGHT) {
        r->swallowed += len;
        return r->verdict == WRONG_NOW && r->swallowed <= SWALLOW_MAX;
    }
    uint64_t skip = r->skip < len ? r->skip : len;
    r->skip -= skip;
    p = (const char *)p + skip;
    len -= skip;
    if (len > r->g.length - r->delivered) {
        wrong(r, WRONG_NOW, ERR_PROTO, "the reply is longer than it says");
        len = r->g.length - r->delivered;
    }
    if (len == 0)
        return true;
    r->delivered += len;
    r->refused = !r->g.data(r->g.arg, p, len);
    return !r->refused;
}

static enum err_code on_accept(void *arg, const struct aws_reply *reply, struct err *e)
{
    struct s3_read *r = arg;
    if (r->refused)
        return err_set(e, ERR_CANCELED, "GetObject %s: not wanted any more", r->key);
    if (!r->checked)
        check_reply(r, reply->transfer, reply->status); /* an empty body */
    if (r->verdict == WRONG_NOW && r->delivered < r->g.length)
        return err_set(e, ERR_PROTO, "%s", r->why.msg);
    if (r->verdict == WRONG_FOR_GOOD)
        return err_copy(e, &r->why);
    if (r->delivered < r->g.length)
        return err_set(e, ERR_PROTO, "GetObject %s: the reply ends after %llu of %llu bytes", r->key,
                       (unsigned long long)r->delivered, (unsigned long long)r->g.length);
    return ERR_OK;
}

static enum err_code start(struct s3_read *r, struct err *e);

/* A refusal may be about the key of SSE-C: asks the other way, once. True: the end comes later. */
static bool turn(struct s3_read *r, enum err_code code, const struct aws_reply *reply)
{
    if (r->turned && code == ERR_OK)
        s3_set_plain(r->s, r->key, r->plain);
    if (r->s->sse_c == NULL || r->turned || code == ERR_OK ||
        !s3_is_about_key(reply->status, reply->error_code, reply->body, reply->body_len))
        return false;
    r->turned = true;
    r->plain = !r->plain;
    return start(r, NULL) == ERR_OK;
}

static void on_done(void *arg, enum err_code code, const struct aws_reply *reply, const struct err *e)
{
    struct s3_read *one = arg;
    struct err local = *e;
    if (turn(one, code, reply))
        return;
    CLEANUP(read_free) struct s3_read *r = one;
    local.code = code;
    if (code == ERR_INVAL && s3_is_about_key(reply->status, reply->error_code, reply->body, reply->body_len))
        code = s3_explain_key(r->s, "GetObject", r->key, &local);
    /* An attempt that was given up here ends as cancelled: tell why. */
    if (code == ERR_CANCELED && !r->refused && r->verdict != RIGHT &&
        !(r->g.call.cancel != NULL && cancel_fired(r->g.call.cancel)))
        code = err_copy(&local, &r->why);
    if (code == ERR_RANGE)
        code = err_set(&local, ERR_INVAL, "GetObject %s: it does not have the bytes asked for", r->key);
    /* The version asked for is gone with the object. */
    if (code == ERR_NOT_FOUND && r->object.version.etag[0] != 0)
        code = err_set(&local, ERR_CONFLICT, "GetObject %s: it was removed meanwhile", r->key);
    r->g.done(r->g.arg, code, code == ERR_OK ? &r->object : NULL, &local);
}

static struct s3_read *read_new(struct s3_store *s, const struct store_get *g)
{
    CLEANUP(read_free) struct s3_read *r = calloc(1, sizeof(*r));
    if (r == NULL || (r->key = strdup(g->key)) == NULL || (r->full_key = s3_full_key(s, g->key)) == NULL ||
        (g->etag != NULL && (r->etag = strdup(g->etag)) == NULL))
        return NULL;
    r->s = s;
    r->g = *g;
    r->g.key = r->key;
    r->g.etag = r->etag;
    return TAKE(r);
}

static enum err_code start(struct s3_read *r, struct err *e)
{
    struct aws_param headers[4 + S3_KEY_HEADERS + 1] = {
        {"Range", NULL},
        {"If-Match", NULL},
        {"x-amz-checksum-mode", "ENABLED"},
        {"x-amz-request-payer", r->s->requester_pays ? "requester" : NULL},
    };
    (void)s3_key_headers(r->s, r->s->sse_c != NULL && !r->plain, false, headers + 4);
    const struct aws_request request = {
        .method = HTTP_GET,
        .what = "GetObject",
        .key = r->full_key,
        .headers = headers,
        .timeout_ms = r->g.call.timeout_ms,
        .urgent = r->g.call.urgent,
        .before_attempt = before_attempt,
        .data = on_data,
        .accept = on_accept,
        .done = on_done,
        .arg = r,
    };
    return aws_send(r->s->client, &request, r->g.call.cancel, e);
}

enum err_code s3_get(void *impl, const struct store_get *g, struct err *e)
{
    struct s3_store *s = impl;
    struct s3_read *r = read_new(s, g);
    if (r == NULL)
        return err_set(e, ERR_NOMEM, "GetObject %s", g->key);
    r->plain = s->sse_c != NULL && s3_is_plain(s, g->key);
    enum err_code code = start(r, e);
    if (code != ERR_OK)
        read_free(r);
    return code;
}
