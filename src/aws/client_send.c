/* Copies a request, signs each attempt of it, and hands the end back. */
#include "aws/client_impl.h"

#include "aws/sigv4a.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/str.h"

#include <ctype.h>
#include <string.h>

enum {
    STRINGS_MAX = 1 << 20,
    URL_MAX = 65536,
    LINES_MAX = 1 << 20,
    HASH_MAX = 1 << 20,
    SHORT_MAX = 1 << 20,
    CHUNK = 65536
};

static const char *const method_names[] = {
    [HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_PUT] = "PUT", [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE"};

static void job_free(struct aws_job *job)
{
    if (!job)
        return;
    creds_unref(job->used);
    buf_release(&job->strings);
    buf_release(&job->url);
    buf_release(&job->lines);
    free(job->query);
    free(job->headers);
    free(job->sign);
    free(job->line_list);
    free(job);
}
CLEANUP_DEFINE(struct aws_job, job_free)

static size_t count_params(const struct aws_param *params)
{
    size_t n = 0;

    while (params && params[n].name)
        n++;
    return n;
}

/* Appends a string and returns its offset + 1; 0 stands for NULL. */
static size_t keep(struct buf *strings, const char *text)
{
    size_t at = strings->len;

    if (!text)
        return 0;
    buf_add(strings, text, strlen(text) + 1);
    return at + 1;
}

static const char *kept(const struct buf *strings, size_t at)
{
    return at ? strings->data + at - 1 : NULL;
}

/* Copies a list into `strings` and *out, whose pointers are offsets until settle() (the buffer may still move). */
static enum err_code keep_params(struct aws_job *job, const struct aws_param *params, size_t n, struct aws_param **out,
                                 struct err *e)
{
    *out = calloc(n + 1, sizeof(**out));
    if (!*out)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    for (size_t i = 0; i < n; i++) {
        (*out)[i].name = (const char *)(uintptr_t)keep(&job->strings, params[i].name);
        (*out)[i].value = (const char *)(uintptr_t)keep(&job->strings, params[i].value);
    }
    return ERR_OK;
}

static void settle(struct aws_job *job, struct aws_param *params, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        params[i].name = kept(&job->strings, (uintptr_t)params[i].name);
        params[i].value = kept(&job->strings, (uintptr_t)params[i].value);
    }
}

static enum err_code copy_request(struct aws_job *job, const struct aws_request *r, struct err *e)
{
    size_t n_query = count_params(r->query);
    enum err_code code;

    job->n_headers = count_params(r->headers);
    if (job->n_headers + JOB_EXTRA_HEADERS > SIGV4_HEADERS_MAX)
        return err_set(e, ERR_TOO_BIG, "%s: %zu headers are too many", r->what, job->n_headers);
    if ((code = keep_params(job, r->query, n_query, &job->query, e)) ||
        (code = keep_params(job, r->headers, job->n_headers, &job->headers, e)))
        return code;
    size_t key = keep(&job->strings, r->key), sha = keep(&job->strings, r->body_sha256);
    if ((code = buf_check(&job->strings, "request", e)))
        return code;
    settle(job, job->query, n_query);
    settle(job, job->headers, job->n_headers);
    job->r = *r;
    job->r.what = r->what ? r->what : "request";
    job->r.key = kept(&job->strings, key);
    job->r.body_sha256 = kept(&job->strings, sha);
    job->r.query = job->query;
    job->r.headers = job->headers;
    if (r->body)
        job->body = *r->body;
    job->r.body = r->body ? &job->body : NULL;
    return ERR_OK;
}

static struct aws_job *job_new(struct aws_client *c, const struct aws_request *r, struct err *e)
{
    CLEANUP(job_free) struct aws_job *job = calloc(1, sizeof(*job));

    if (!job) {
        err_set(e, ERR_NOMEM, "no memory for a request");
        return NULL;
    }
    job->c = c;
    buf_init_secret(&job->strings, STRINGS_MAX);
    buf_init(&job->url, URL_MAX);
    buf_init_secret(&job->lines, LINES_MAX);
    if (copy_request(job, r, e))
        return NULL;
    job->sign = calloc(job->n_headers + JOB_EXTRA_HEADERS, sizeof(*job->sign));
    job->line_list = calloc(job->n_headers + JOB_EXTRA_HEADERS + 1, sizeof(*job->line_list));
    if (!job->sign || !job->line_list) {
        err_set(e, ERR_NOMEM, "no memory for a request");
        return NULL;
    }
    return TAKE(job);
}

/* What could end a header's line, or is no name, never leaves this machine. */
static enum err_code check_headers(const struct aws_param *headers, struct err *e)
{
    for (; headers->name; headers++) {
        if (!*headers->name)
            return err_set(e, ERR_INVAL, "a header without name");
        for (const char *p = headers->name; *p; p++)
            if (!isalnum((unsigned char)*p) && !strchr("-_.!#$%&'*+^`|~", *p))
                return err_set(e, ERR_INVAL, "header '%s': the name has illegal characters", headers->name);
        for (const char *p = headers->value ? headers->value : ""; *p; p++)
            if (iscntrl((unsigned char)*p) && *p != '\t')
                return err_set(e, ERR_INVAL, "header '%s': the value has control characters", headers->name);
    }
    return ERR_OK;
}

/* SHA-256 of the whole body, read in pieces. */
static enum err_code hash_body(struct aws_job *job, struct err *e)
{
    static const char zeros[4096];
    CLEANUP(digest_free) struct digest *d = digest_new(DIGEST_SHA256, e);
    size_t size = job->body.size < CHUNK ? (size_t)job->body.size : CHUNK;
    CLEANUP_RELEASE(buf_release) struct buf chunk = {.max = CHUNK + sizeof(zeros), .secret = job->r.secret};
    uint8_t sum[DIGEST_MAX];
    enum err_code code = ERR_OK;
    uint64_t at = 0;

    while (!chunk.failed && chunk.len < size)
        buf_add(&chunk, zeros, sizeof(zeros));
    if (!d || buf_check(&chunk, "body", e))
        return ERR_NOMEM;
    while (!code && at < job->body.size) {
        uint64_t left = job->body.size - at;
        ssize_t n = job->body.read(job->body.arg, at, chunk.data, left < size ? (size_t)left : size);

        if (n <= 0)
            return err_set(e, ERR_IO, "%s: what is to be sent cannot be read", job->r.what);
        code = digest_update(d, chunk.data, (size_t)n, e);
        at += (uint64_t)n;
    }
    if (code || (code = digest_final(d, sum, e)))
        return code;
    hex_encode(sum, 32, job->body_sha256);
    return ERR_OK;
}

/* Over TLS, or where there is no wire, nobody can change a body on its way: a long one goes without a hash, which would cost more
 * than sending it. Its CRC is in a header that is signed. */
static bool goes_unsigned(const struct aws_job *job)
{
    const struct uri *uri = &job->state.endpoint.uri;

    return job->c->s3 && job->body.size > HASH_MAX && (uri->tls || uri_host_is_loopback(uri->host));
}

/* What stands for the body in the signature. */
static enum err_code choose_payload(struct aws_job *job, const char **payload, struct err *e)
{
    *payload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    if (job->step != STEP_REQUEST)
        return ERR_OK;
    if (job->r.body_sha256) {
        *payload = job->r.body_sha256;
        return ERR_OK;
    }
    if (!job->body.size)
        return ERR_OK;
    if (goes_unsigned(job)) {
        *payload = SIGV4_UNSIGNED;
        return ERR_OK;
    }
    *payload = job->body_sha256;
    return *job->body_sha256 ? ERR_OK : hash_body(job, e);
}

static enum err_code add_authorization(struct aws_job *job, const char *method, const char *path,
                                       const struct aws_param *query, const char *payload, struct buf *out,
                                       struct err *e)
{
    const struct sigv4_request r = {
        .method = method, .path = path, .query = query, .headers = job->sign, .payload = payload};
    const struct sigv4_key k = {job->used->access_key_id, job->used->secret_access_key, job->used->session_token};
    const struct sigv4_scope s = {job->state.region, job->state.endpoint.signing_name, job->state.now};

    return job->state.endpoint.sigv4a ? sigv4a_authorization(&r, &k, &s, out, e)
                                      : sigv4_authorization(&r, &k, &s, out, e);
}

/* Lays the headers out as lines, in one buffer that zeroes itself. libcurl sends a header with an empty value only when
 * it ends with a semicolon. */
static enum err_code write_lines(struct aws_job *job, struct err *e)
{
    size_t offsets[SIGV4_HEADERS_MAX], n = 0;

    buf_clear(&job->lines);
    for (const struct aws_param *h = job->sign; h->name; h++) {
        if (!h->value)
            continue;
        offsets[n++] = job->lines.len;
        if (*h->value)
            buf_addf(&job->lines, "%s: %s", h->name, h->value);
        else
            buf_addf(&job->lines, "%s;", h->name);
        buf_add_char(&job->lines, '\0');
    }
    enum err_code code = buf_check(&job->lines, "headers", e);
    if (code)
        return code;
    for (size_t i = 0; i < n; i++)
        job->line_list[i] = job->lines.data + offsets[i];
    job->line_list[n] = NULL;
    return ERR_OK;
}

/* The HEAD under way is made as a GET, all else the same. */
static bool explains_key(const struct aws_job *job)
{
    return job->step == STEP_EXPLAIN && job->r.key && *job->r.key;
}

/* The complete list of headers in job->sign, signed, as lines. */
static enum err_code build_headers(struct aws_job *job, const char *method, const char *path,
                                   const struct aws_param *query, struct err *e)
{
    const char *payload;
    char stamp[17];
    BUF(authorization, 65536);
    size_t n = 0;
    enum err_code code = choose_payload(job, &payload, e);

    if (code)
        return code;
    time_format_amz(job->state.now, stamp);
    job->sign[n++] = (struct aws_param){"Host", job->state.endpoint.authority};
    if (job->used) {
        job->sign[n++] = (struct aws_param){"X-Amz-Date", stamp};
        if (job->c->s3)
            job->sign[n++] = (struct aws_param){"X-Amz-Content-Sha256", payload};
        if (job->state.endpoint.sigv4a)
            job->sign[n++] = (struct aws_param){"X-Amz-Region-Set", "*"};
        if (job->used->session_token)
            job->sign[n++] = (struct aws_param){job->with_session ? "X-Amz-S3session-Token" : "X-Amz-Security-Token",
                                                job->used->session_token};
    }
    for (size_t i = 0; (job->step == STEP_REQUEST || explains_key(job)) && i < job->n_headers; i++)
        job->sign[n++] = job->headers[i];
    if (explains_key(job))
        job->sign[n++] = (struct aws_param){"Range", "bytes=0-0"};
    job->sign[n] = (struct aws_param){0};
    if ((code = check_headers(job->sign, e)))
        return code;
    if (job->used) {
        if ((code = add_authorization(job, method, path, query, payload, &authorization, e)))
            return code;
        job->sign[n++] = (struct aws_param){"Authorization", buf_str(&authorization)};
        job->sign[n] = (struct aws_param){0};
    }
    return write_lines(job, e);
}

static enum err_code build(struct aws_job *job, enum http_method method, const char *key, const struct aws_param *query,
                           struct err *e)
{
    const struct endpoint *ep = &job->state.endpoint;
    BUF(path, URL_MAX);
    BUF(text, URL_MAX);
    enum err_code code;

    client_path(ep, key, &path);
    if ((code = buf_check(&path, "URL", e)) || (code = uri_query(&text, query, true, e)))
        return code;
    buf_clear(&job->url);
    buf_addf(&job->url, "%s://%s%s%s%s", ep->uri.tls ? "https" : "http", ep->authority, buf_str(&path),
             text.len ? "?" : "", buf_str(&text));
    if ((code = buf_check(&job->url, "URL", e)))
        return code;
    return build_headers(job, method_names[method], buf_str(&path), query, e);
}

/* A body to be received in pieces, or one that is more than a moment's sending; an answer that may take minutes. */
static enum http_share share_of(const struct aws_job *job)
{
    if (job->step != STEP_REQUEST)
        return HTTP_SHORT;
    if (job->r.data)
        return HTTP_DOWNLOAD;
    if (job->r.slow)
        return HTTP_SLOW;
    return job->r.body && job->r.body->size > SHORT_MAX ? HTTP_UPLOAD : HTTP_SHORT;
}

/* In directory buckets all requests but these go with a session's keys. Source: the SDKs' choice of a signer by
 * operation. */
static bool wants_session(const struct aws_job *job)
{
    if (!job->c->session || job->account || job->step == STEP_FIND_REGION)
        return false;
    if (job->step == STEP_EXPLAIN)
        return true;
    for (size_t i = 0; i < job->n_headers; i++)
        if (str_ieq(job->headers[i].name, "x-amz-copy-source"))
            return false;
    return job->r.method != HTTP_HEAD || (job->r.key && *job->r.key);
}

static enum err_code get_keys(struct aws_job *job, struct err *e)
{
    creds_unref(TAKE(job->used));
    job->with_session = wants_session(job);
    if (job->with_session)
        return client_session_get(job->c, &job->used, e);
    return creds_provider_anonymous(job->c->creds) ? ERR_OK : creds_get(job->c->creds, &job->used, e);
}

enum err_code job_prepare(void *arg, unsigned attempt, struct http_request *out, struct err *e)
{
    static const struct aws_param nothing[] = {{"list-type", "2"}, {"max-keys", "0"}, {0}};
    struct aws_job *job = arg;
    enum http_method method = job->r.method;
    enum err_code code = get_keys(job, e);

    if (code) {
        client_note_trouble(job->c, e);
        return code;
    }
    client_state_get(job->c, &job->state);
    if (job->step == STEP_REQUEST) {
        if (job->r.before_attempt)
            job->r.before_attempt(job->r.arg, attempt, job->headers);
        code = build(job, method, job->r.key, job->query, e);
    } else if (explains_key(job)) {
        method = HTTP_GET;
        code = build(job, method, job->r.key, job->query, e);
    } else {
        method = job->step == STEP_EXPLAIN ? HTTP_GET : HTTP_HEAD;
        code = build(job, method, NULL, job->step == STEP_EXPLAIN ? nothing : NULL, e);
    }
    if (code)
        return err_prefix(e, code, "%s", job->r.what);
    *out = (struct http_request){.method = method,
                                 .url = buf_str(&job->url),
                                 .headers = job->line_list,
                                 .body = job->step == STEP_REQUEST ? job->r.body : NULL,
                                 .reply_max = job->step == STEP_REQUEST ? job->r.reply_max : 0,
                                 .secret = job->r.secret,
                                 .first_byte_ms = job->r.first_byte_ms,
                                 .urgent = job->r.urgent,
                                 .share = share_of(job)};
    return ERR_OK;
}

static bool job_data(void *arg, const struct http_transfer *t, int status, const void *p, size_t len)
{
    struct aws_job *job = arg;

    return job->step != STEP_REQUEST || job->r.data(job->r.arg, t, status, p, len);
}

static void job_done(void *arg, enum err_code code, unsigned attempts, unsigned unanswered, const struct err *e)
{
    CLEANUP(job_free) struct aws_job *job = arg;
    const struct err none = ERR_INIT;

    job->reply.attempts = attempts;
    job->reply.unanswered = unanswered;
    if (!job->reply.body)
        job->reply.body = "";
    if (job->r.done)
        job->r.done(job->r.arg, code, &job->reply, e ? e : &none);
    if (job->ended)
        *job->ended = true;
}

static const struct exchange_ops collecting = {
    .prepare = job_prepare, .part = job_part, .judge = job_judge, .done = job_done};
static const struct exchange_ops streaming = {
    .prepare = job_prepare, .data = job_data, .judge = job_judge, .done = job_done};

static void count(struct aws_client *c, const char *what)
{
    LOCK_SCOPE(&c->counts_lock);
    for (size_t i = 0; i < CLIENT_COUNTS; i++) {
        if (c->counts[i].what && strcmp(c->counts[i].what, what))
            continue;
        c->counts[i].what = what;
        c->counts[i].n++;
        return;
    }
}

/* A job that may be started, with its limits. NULL: `e` says why. */
static struct aws_job *job_begin(struct aws_client *c, const struct aws_request *r, struct exchange_limits *limits,
                                 struct err *e)
{
    struct aws_job *job = job_new(c, r, e);

    if (!job)
        return NULL;
    *limits = c->limits;
    if (r->timeout_ms)
        limits->timeout_ms = r->timeout_ms;
    limits->patience_ms = r->first_byte_ms;
    if (r->max_attempts && (!limits->max_attempts || r->max_attempts < limits->max_attempts))
        limits->max_attempts = r->max_attempts;
    limits->once = r->once;
    count(c, job->r.what);
    return job;
}

static enum err_code start(struct aws_client *c, const struct aws_request *r, bool account, struct cancel *cancel,
                           struct err *e)
{
    struct exchange_limits limits;
    struct err local = ERR_INIT;
    struct aws_job *job = job_begin(c, r, &limits, &local);

    if (!job)
        return err_copy(e, &local);
    job->account = account;
    enum err_code code =
        exchange_start(c->engine, c->budget, r->data ? &streaming : &collecting, job, &limits, cancel, e);
    if (code)
        job_free(job);
    return code;
}

enum err_code aws_send(struct aws_client *c, const struct aws_request *r, struct cancel *cancel, struct err *e)
{
    return start(c, r, false, cancel, e);
}

enum err_code client_send_as_account(struct aws_client *c, const struct aws_request *r, struct cancel *cancel,
                                     struct err *e)
{
    return start(c, r, true, cancel, e);
}

static bool hashed_first(const struct aws_job *job)
{
    return job->body.size > HASH_MAX && !job->r.body_sha256 && !goes_unsigned(job);
}

enum err_code aws_call(struct aws_client *c, const struct aws_request *r, struct cancel *cancel, struct err *e)
{
    struct exchange_limits limits;
    struct err local = ERR_INIT;
    struct aws_job *job = job_begin(c, r, &limits, &local);
    bool ended = false;

    if (!job)
        return err_copy(e, &local);
    job->ended = &ended;
    client_state_get(c, &job->state);
    /* A long body is hashed here: the engine's thread has all other transfers to serve. */
    enum err_code code = hashed_first(job) ? hash_body(job, e) : ERR_OK;
    if (!code)
        code = exchange_run(c->engine, c->budget, r->data ? &streaming : &collecting, job, &limits, cancel, e);
    if (!ended)
        job_free(job);
    return code;
}
