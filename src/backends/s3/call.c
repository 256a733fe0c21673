/* One blocking request to S3, and what all of them share. */
#include "backends/s3/impl.h"
#include "util/clock.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOW_MS = 300000, REPLY_MAX = 1 << 20, HEADERS_MAX = 512 };

void s3_answer_release(struct s3_answer *a)
{
    params_release(&a->headers);
    buf_release(&a->body);
}

char *s3_full_key(const struct s3_store *s, const char *key)
{
    return str_printf("%s%s", s->prefix, key);
}

void s3_take_headers(const struct http_transfer *t, struct params *out)
{
    size_t cursor = 0;
    const char *name, *value;
    for (int i = 0; t != NULL && i < HEADERS_MAX && http_reply_header_next(t, &cursor, &name, &value); i++)
        params_add(out, name, value);
}

static void answered(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct s3_answer *a = arg;
    a->status = r->status;
    a->unanswered += r->unanswered;
    (void)snprintf(a->code, sizeof(a->code), "%s", r->error_code);
    s3_take_headers(r->transfer, &a->headers);
    buf_add(&a->body, r->body, r->body_len);
}

/* The shorter of the two that are given. */
static unsigned timeout_of(const struct s3_request *r)
{
    unsigned told = r->call != NULL ? r->call->timeout_ms : 0;
    return told == 0 || (r->timeout_ms > 0 && r->timeout_ms < told) ? r->timeout_ms : told;
}

/* If-Match, If-None-Match. */
static void add_cond(struct params *h, const struct store_cond *cond)
{
    if (cond->kind == STORE_IF_ABSENT)
        params_add(h, "If-None-Match", "*");
    else if (cond->kind == STORE_IF_MATCH)
        params_addf(h, "If-Match", "\"%s\"", cond->etag);
}

/* The condition as a header, where the server honours it or just ignores it; before it the guard. */
static enum err_code apply_cond(struct s3_store *s, const struct s3_request *r, struct params *h, struct err *e)
{
    enum s3_trait trait = r->if_absent + (r->cond->kind == STORE_IF_MATCH ? 1 : 0);
    enum err_code code = s3_guard(s, r->key, r->cond, trait, r->call, e);
    if (code == ERR_OK && s3_traits_get(s->traits, trait) != S3_REFUSES)
        add_cond(h, r->cond);
    return code;
}

/* The headers of the request and, behind them, those of the key, which stay in secret memory. calloc'd. */
static struct aws_param *all_headers(const struct s3_store *s, const struct params *headers, bool target, bool source)
{
    struct aws_param key[S3_KEY_HEADERS];
    size_t n = s3_key_headers(s, target, source, key);
    struct aws_param *all = calloc(headers->n + n + 1, sizeof(*all));
    if (all != NULL && headers->n > 0)
        memcpy(all, headers->items, headers->n * sizeof(*all));
    if (all != NULL)
        memcpy(all + headers->n, key, n * sizeof(*all));
    return all;
}

static enum err_code send(struct s3_store *s, const struct s3_request *r, const struct aws_param *headers,
                          struct s3_answer *a, struct err *e)
{
    struct http_body body = {0};
    CLEANUP(free) char *key = r->key != NULL ? s3_full_key(s, r->key) : NULL;
    if (headers == NULL || (r->key != NULL && key == NULL))
        return err_set(e, ERR_NOMEM, "%s", r->what);
    if (r->body != NULL)
        body = (struct http_body){.size = r->body->size, .read = r->body->read, .arg = r->body->arg};
    else if (r->text != NULL)
        body = (struct http_body){.size = r->text->len, .read = buf_read, .arg = (void *)r->text};
    s3_answer_release(a);
    size_t reply_max = r->reply_max > 0 ? r->reply_max : REPLY_MAX;
    buf_init(&a->body, reply_max + 1);
    struct aws_request request = {
        .method = r->method,
        .what = r->what,
        .key = key,
        .query = r->query,
        .headers = headers,
        .body = body.read != NULL ? &body : NULL,
        .timeout_ms = timeout_of(r),
        .max_attempts = r->max_attempts,
        .first_byte_ms = r->slow ? SLOW_MS : 0,
        .slow = r->slow,
        .reply_max = reply_max,
        .urgent = r->call != NULL && r->call->urgent,
        .xml_error_in_200 = r->xml_error_in_200,
        .done = answered,
        .arg = a,
    };
    struct cancel *cancel = r->call != NULL ? r->call->cancel : NULL;
    enum err_code code = r->watch != NULL ? s3_call_watched(s->client, &request, r->watch, cancel, e)
                                          : aws_call(s->client, &request, cancel, e);
    if (code == ERR_OK && (a->body.failed || a->headers.failed != ERR_OK))
        return err_set(e, ERR_PROTO, "%s: the reply is too large", r->what);
    return code;
}

static bool makes_object(const struct s3_request *r)
{
    return strcmp(r->what, "PutObject") == 0 || strcmp(r->what, "CreateMultipartUpload") == 0 ||
           strcmp(r->what, "CopyObject") == 0;
}

/* Where a server was seen to ignore the key nothing more is sent to be stored, and nothing of the user's before that was tried.
 * ERR_UNSUPPORTED, and as s3_try_key(). */
static enum err_code check_keeps_key(struct s3_store *s, const struct s3_request *r, struct err *e)
{
    enum err_code code = makes_object(r) && !r->is_own ? s3_try_key(s, r->call, e) : ERR_OK;
    if (code != ERR_OK || !makes_object(r) || !atomic_load(&s->ignores_key))
        return code;
    return err_set(e, ERR_UNSUPPORTED, "%s %s: this server ignores sse=c and would store it unencrypted", r->what,
                   r->key);
}

/* A server that knows SSE-C names the algorithm in its reply to what makes an object. */
static enum err_code check_encrypted(struct s3_store *s, const struct s3_request *r, const struct s3_answer *a,
                                     struct err *e)
{
    if (makes_object(r) && params_get(&a->headers, S3_KEY_ALGORITHM) == NULL)
        s3_ignores_key(s);
    return check_keeps_key(s, r, e);
}

/* With the key, or without it where that is known to be right. What was refused is tried the other way. */
static enum err_code send_with_key(struct s3_store *s, const struct s3_request *r, const struct params *headers,
                                   bool again, struct s3_answer *a, struct err *e)
{
    struct err first = ERR_INIT, second = ERR_INIT;
    const char *read = r->source != NULL ? r->source : r->key;
    bool target = !s3_is_plain(s, r->key), plain = s3_is_plain(s, read);
    CLEANUP(free) struct aws_param *one = all_headers(s, headers, target, r->source != NULL && !plain);
    enum err_code code = target ? check_keeps_key(s, r, &first) : ERR_OK;
    if (code != ERR_OK)
        return err_copy(e, &first);
    code = send(s, r, one, a, &first);
    if (code == ERR_OK && target)
        code = check_encrypted(s, r, a, &first);
    if (code == ERR_OK || !again || !s3_is_about_key(a->status, a->code, buf_str(&a->body), a->body.len))
        return code == ERR_OK ? code : err_copy(e, &first);
    target = r->source != NULL ? target : plain;
    CLEANUP(free) struct aws_param *other = all_headers(s, headers, target, r->source != NULL && plain);
    code = send(s, r, other, a, &second);
    if (code == ERR_OK || a->status != 400)
        s3_set_plain(s, read, !plain);
    /* A 400 both ways: what the first one says is about the request as it should be. */
    return code == ERR_OK ? code : err_copy(e, a->status == 400 ? &first : &second);
}

/* Encryption that only the session of a directory bucket may ask for; a copy has the keys of the account. */
static bool of_session(const struct s3_store *s, const char *header)
{
    return s->directory_bucket && aws_client_has_session(s->client) && str_starts(header, "x-amz-server-side-encryption");
}

enum err_code s3_call(struct s3_store *s, const struct s3_request *r, struct s3_answer *a, struct err *e)
{
    PARAMS(headers);
    enum err_code code;
    bool again;
    for (size_t i = 0; r->headers != NULL && i < r->headers->n; i++)
        if (r->source != NULL || !of_session(s, r->headers->items[i].name))
            params_add(&headers, r->headers->items[i].name, r->headers->items[i].value);
    for (size_t i = 0; r->more != NULL && i < r->more->n; i++)
        params_add(&headers, r->more->items[i].name, r->more->items[i].value);
    if (r->cond != NULL && (code = apply_cond(s, r, &headers, e)) != ERR_OK)
        return code;
    if (s->requester_pays)
        params_add(&headers, "x-amz-request-payer", "requester");
    code = params_check(&headers, r->what, e);
    if (code != ERR_OK)
        return code;
    if (r->key != NULL && !r->without_key && s3_takes_key(s, r->what, &again))
        return send_with_key(s, r, &headers, again, a, e);
    return send(s, r, params_list(&headers), a, e);
}

enum err_code s3_answer_etag(const struct s3_answer *a, const char *what, struct store_version *out, struct err *e)
{
    const char *etag = params_get(&a->headers, "etag");
    if (etag == NULL || !s3_etag_copy(out->etag, etag))
        return err_set(e, ERR_PROTO, "%s: the reply has no ETag", what);
    out->mtime = s3_answer_time(a);
    return ERR_OK;
}

struct timespec s3_answer_time(const struct s3_answer *a)
{
    const char *date = params_get(&a->headers, "date");
    struct timespec t;
    if (date == NULL || !time_parse_http(date, &t))
        t = (struct timespec){.tv_sec = clock_now().tv_sec};
    return t;
}

enum err_code s3_answer_text(const struct s3_answer *a, const char *root, const char *element, char *out, size_t size,
                             struct err *e)
{
    struct err local = ERR_INIT;
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(buf_str(&a->body), a->body.len, &local);
    if (doc == NULL)
        return err_copy(e, &local);
    const char *text = xml_child_text(xml_root(doc), element);
    if (strcmp(xml_name(xml_root(doc)), root) != 0 || text[0] == 0 || strlen(text) >= size)
        return err_set(e, ERR_PROTO, "the reply is no %s with %s", root, element);
    memcpy(out, text, strlen(text) + 1);
    return ERR_OK;
}

static void add_told_class(const struct store_meta *meta, struct params *h)
{
    const char *class = store_meta_prop(meta, "storage-class", NULL), *sse = store_meta_prop(meta, "sse", NULL);
    const char *key = store_meta_prop(meta, "sse-kms-key-id", NULL);
    const char *bucket_key = store_meta_prop(meta, "sse-bucket-key", NULL);
    if (strcmp(class, "STANDARD") != 0)
        params_add(h, "x-amz-storage-class", class);
    /* The key of "c" goes with the request (sse.c). */
    if (sse == NULL || strcmp(sse, "none") == 0 || strcmp(sse, "c") == 0)
        return;
    params_add(h, "x-amz-server-side-encryption", sse);
    if (!str_starts(sse, "aws:kms"))
        return;
    if (key != NULL)
        params_add(h, "x-amz-server-side-encryption-aws-kms-key-id", key);
    if (bucket_key != NULL)
        params_add(h, "x-amz-server-side-encryption-bucket-key-enabled", bucket_key);
}

void s3_add_class(const struct s3_store *s, const struct store_meta *meta, struct params *h)
{
    if (s3_is_told(meta)) {
        add_told_class(meta, h);
        return;
    }
    const char *class = s->storage_class;
    if (class != NULL)
        params_add(h, "x-amz-storage-class", class);
    if (s->sse == S3_SSE_S3)
        params_add(h, "x-amz-server-side-encryption", "AES256");
    if (s->sse == S3_SSE_KMS)
        params_add(h, "x-amz-server-side-encryption", "aws:kms");
    if (s->sse == S3_SSE_KMS && s->sse_kms_key != NULL)
        params_add(h, "x-amz-server-side-encryption-aws-kms-key-id", s->sse_kms_key);
}
