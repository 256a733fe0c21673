/* One transfer: what libcurl is told, its callbacks, and what its end means. The engine's thread only. */
#include "net/http_internal.h"

#include "util/log.h"
#include "util/secret.h"

#include <assert.h>
#include <string.h>

/* libcurl takes the buffer for receiving anew for each transfer. Below malloc()'s threshold for mappings it is memory that was
 * touched before, and it fits into the processor's second cache beside what is copied out of it. */
#define RECEIVE_BYTES (64L * 1024)
#define SEND_BYTES    (256L * 1024) /* a quarter for short bodies, for the same reason */

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct http_transfer *t = arg;
    if (reply_line(&t->reply, p, size * n, &t->err) != ERR_OK) {
        err_prefix(&t->err, ERR_PROTO, "%s", t->authority);
        return 0;
    }
    if (t->progress.phase != PHASE_RECEIVE && t->reply.status >= 200)
        progress_phase(t, PHASE_RECEIVE);
    else
        progress_moved(t, false);
    return size * n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct http_transfer *t = arg;
    size_t len = size * n;
    progress_moved(t, true);
    t->reply.received += len;
    /* Nobody else writes it, so it needs no bus lock for each piece. */
    uint64_t before = atomic_load_explicit(&t->h->bytes_in, memory_order_relaxed);
    atomic_store_explicit(&t->h->bytes_in, before + len, memory_order_relaxed);
    if (t->req.data && t->reply.status < 300) {
        if (t->req.data(t->req.arg, t, t->reply.status, p, len))
            return len;
        err_set(&t->err, ERR_CANCELED, "%s: the receiver ended the transfer", t->authority);
        return 0;
    }
    buf_add(&t->reply.body, p, len);
    if (t->req.part && t->reply.status < 300)
        t->req.part(t->req.arg, p, len);
    if (t->req.secret) /* libcurl keeps its buffer for later transfers; these bytes of it are done with */
        secret_wipe(p, len);
    if (!t->reply.body.failed)
        return len;
    err_set(&t->err, ERR_PROTO, "%s: reply of status %d longer than %zu bytes", t->authority, t->reply.status,
            t->reply.body.max);
    return 0;
}

static size_t on_read(char *p, size_t size, size_t n, void *arg)
{
    struct http_transfer *t = arg;
    struct progress *g = &t->progress;
    uint64_t left = t->body.size - g->body_at;
    size_t want = size * n < left ? size * n : (size_t)left;
    if (want == 0)
        return 0;
    ssize_t got = t->body.read(t->body.arg, g->body_at, p, want);
    if (got != (ssize_t)want) {
        err_set(&t->err, ERR_IO, "%s: the body to send could not be read at offset %llu", t->authority,
                (unsigned long long)g->body_at);
        return CURL_READFUNC_ABORT;
    }
    g->body_at += want;
    return want;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct http_transfer *t = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > t->body.size)
        return CURL_SEEKFUNC_FAIL;
    t->progress.body_at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

#define SET(t, rc, option, value)                                                                                      \
    do {                                                                                                               \
        if (!(rc))                                                                                                     \
            (rc) = curl_easy_setopt((t)->easy, (option), (value));                                                     \
    } while (0)

static CURLcode set_method(struct http_transfer *t)
{
    CURLcode rc = CURLE_OK;
    switch (t->req.method) {
    case HTTP_GET:
        break;
    case HTTP_HEAD:
        SET(t, rc, CURLOPT_NOBODY, 1L);
        break;
    case HTTP_POST:
        SET(t, rc, CURLOPT_CUSTOMREQUEST, "POST");
        break;
    case HTTP_DELETE:
        SET(t, rc, CURLOPT_CUSTOMREQUEST, "DELETE");
        break;
    case HTTP_PUT:
        break;
    }
    if (t->req.method == HTTP_PUT || t->req.method == HTTP_POST || t->body.size > 0) {
        SET(t, rc, CURLOPT_UPLOAD, 1L);
        SET(t, rc, CURLOPT_INFILESIZE_LARGE, (curl_off_t)t->body.size);
        SET(t, rc, CURLOPT_UPLOAD_BUFFERSIZE, t->body.size < SEND_BYTES / 2 ? SEND_BYTES / 4 : SEND_BYTES);
    }
    return rc;
}

static CURLcode set_callbacks(struct http_transfer *t)
{
    CURLcode rc = CURLE_OK;
    SET(t, rc, CURLOPT_PRIVATE, t);
    SET(t, rc, CURLOPT_ERRORBUFFER, t->curl_msg);
    SET(t, rc, CURLOPT_HEADERFUNCTION, on_header);
    SET(t, rc, CURLOPT_HEADERDATA, t);
    SET(t, rc, CURLOPT_WRITEFUNCTION, on_body);
    SET(t, rc, CURLOPT_WRITEDATA, t);
    SET(t, rc, CURLOPT_READFUNCTION, on_read);
    SET(t, rc, CURLOPT_READDATA, t);
    SET(t, rc, CURLOPT_SEEKFUNCTION, on_seek);
    SET(t, rc, CURLOPT_SEEKDATA, t);
    SET(t, rc, CURLOPT_PREREQFUNCTION, transfer_ready);
    SET(t, rc, CURLOPT_PREREQDATA, t);
    SET(t, rc, CURLOPT_XFERINFOFUNCTION, transfer_progress);
    SET(t, rc, CURLOPT_XFERINFODATA, t);
    SET(t, rc, CURLOPT_NOPROGRESS, 0L);
    SET(t, rc, CURLOPT_OPENSOCKETFUNCTION, socket_open);
    SET(t, rc, CURLOPT_OPENSOCKETDATA, t->h);
    SET(t, rc, CURLOPT_CLOSESOCKETFUNCTION, socket_close);
    SET(t, rc, CURLOPT_CLOSESOCKETDATA, t->h);
    return rc;
}

static CURLcode set_connection(struct http_transfer *t)
{
    CURLcode rc = CURLE_OK;
    SET(t, rc, CURLOPT_URL, t->url);
    SET(t, rc, CURLOPT_PATH_AS_IS, 1L);
    SET(t, rc, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(t, rc, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(t, rc, CURLOPT_FOLLOWLOCATION, 0L);
    SET(t, rc, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(t, rc, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(t, rc, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(t, rc, CURLOPT_HTTPHEADER, t->headers);
    SET(t, rc, CURLOPT_USERAGENT, t->h->user_agent);
    SET(t, rc, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    SET(t, rc, CURLOPT_CONNECTTIMEOUT_MS, (long)t->h->connect_ms);
    SET(t, rc, CURLOPT_TCP_NODELAY, 1L);
    SET(t, rc, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(t, rc, CURLOPT_TCP_KEEPIDLE, 30L);
    SET(t, rc, CURLOPT_TCP_KEEPINTVL, 10L);
    SET(t, rc, CURLOPT_NOSIGNAL, 1L);
    /* Otherwise the end of a transfer whose name is being resolved waits for the resolver's thread. */
    SET(t, rc, CURLOPT_QUICK_EXIT, 1L);
    return rc ? rc : http_env_apply(t);
}

enum err_code transfer_begin(struct http_transfer *t)
{
    struct http_engine *h = t->h;
    t->easy = h->idle_n > 0 ? h->idle[--h->idle_n] : curl_easy_init();
    if (!t->easy)
        return err_set(&t->err, ERR_IO, "%s: no memory for a transfer", t->authority);
    CURLcode rc = set_connection(t);
    if (!rc)
        rc = set_method(t);
    if (!rc)
        rc = set_callbacks(t);
    if (rc)
        return err_set(&t->err, ERR_IO, "%s: libcurl refuses its settings: %s", t->authority, curl_easy_strerror(rc));
    if (curl_multi_add_handle(h->multi, t->easy) != CURLM_OK)
        return err_set(&t->err, ERR_IO, "%s: no memory for a transfer", t->authority);
    progress_start(t);
    return ERR_OK;
}

static enum err_code map_result(const struct http_transfer *t, CURLcode rc)
{
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9 */
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_FILESIZE_EXCEEDED:
    case CURLE_HTTP2:
#if CURL_AT_LEAST_VERSION(8, 6, 0)
    case CURLE_TOO_LARGE: /* a header line longer than libcurl's limit */
#endif
        return ERR_PROTO;
    case CURLE_OUT_OF_MEMORY: /* before 8.6 also a header line longer than libcurl's limit */
        return t->progress.ready ? ERR_PROTO : ERR_IO;
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_READ_ERROR:
        return ERR_IO;
    default:
        return ERR_NET;
    }
}

/* libcurl checks lengths too; that it was told the truth is too important to rest on one check. */
static void check_complete(struct http_transfer *t)
{
    const struct reply *r = &t->reply;
    bool bodiless = t->req.method == HTTP_HEAD || r->status == 204 || r->status == 304;
    if (!r->ended) /* libcurl takes an end of the connection among the headers for the end of the reply */
        err_set(&t->err, ERR_NET, "%s: reply cut off in its headers", t->authority);
    else if (r->status < 200)
        err_set(&t->err, ERR_PROTO, "%s: a reply without a final status", t->authority);
    else if (!bodiless && r->has_length && !r->chunked && r->received != r->length)
        err_set(&t->err, ERR_NET, "%s: reply cut off after %llu of %llu bytes", t->authority,
                (unsigned long long)r->received, (unsigned long long)r->length);
}

void transfer_outcome(struct http_transfer *t, CURLcode rc)
{
    if (t->err.code != ERR_OK)
        return;
    if (rc == CURLE_OK)
        check_complete(t);
    else
        err_set(&t->err, map_result(t, rc), "%s: %s", t->authority,
                t->curl_msg[0] ? t->curl_msg : curl_easy_strerror(rc));
}

static void give_back_easy(struct http_transfer *t)
{
    struct http_engine *h = t->h;
    if (!t->easy)
        return;
    progress_end(t);
    long opened = 0;
    if (curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &opened) == CURLE_OK && opened > 0)
        atomic_fetch_add(&h->connections, (uint64_t)opened);
    curl_multi_remove_handle(h->multi, t->easy);
    /* A handle whose transfer failed may keep a buffer (one that failed to resolve a name does), and then refuses to be set up
     * again. */
    if (t->err.code == ERR_OK && h->idle_n < h->max_parallel) {
        curl_easy_reset(t->easy);
        h->idle[h->idle_n++] = t->easy;
    } else {
        curl_easy_cleanup(t->easy);
    }
    t->easy = NULL;
}

static const char *method_name(enum http_method m)
{
    static const char *const names[] = {
        [HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_PUT] = "PUT", [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE"};
    return names[m];
}

/* Neither headers nor a query (presigned URLs): both hold secrets; nor the path at a metadata endpoint. */
static void log_end(const struct http_transfer *t)
{
    const char *path = t->req.no_proxy ? "" : strstr(t->url, "://") + 3 + strlen(t->authority);
    const char *id = http_reply_header(t, "x-amz-request-id");
    LOG_DEBUG("http", "%s %s%.*s: %d%s%s, %llu bytes in, %llu out, request id %s", method_name(t->req.method),
              t->authority, (int)strcspn(path, "?"), path, t->reply.status, t->err.code ? ", " : "",
              t->err.code ? t->err.msg : "", (unsigned long long)t->reply.received,
              (unsigned long long)t->progress.body_sent, id ? id : "-");
}

static void leave_list(struct http_transfer *t)
{
    struct http_engine *h = t->h;
    if (t->state == TRANSFER_RUNNING) {
        TAILQ_REMOVE(&h->running, t, link);
        h->running_n--;
        h->running_of[t->req.share]--;
        atomic_fetch_sub(&h->count_running, 1);
    } else {
        TAILQ_REMOVE(&h->waiting[!t->req.urgent][t->req.share], t, link);
        atomic_fetch_sub(&h->count_queued, 1);
    }
}

void transfer_finish(struct http_transfer *t)
{
    assert(t->state != TRANSFER_ENDED);
    leave_list(t);
    due_disarm(&t->h->due, &t->progress.due);
    give_back_easy(t);
    t->state = TRANSFER_ENDED;
    atomic_fetch_add(t->err.code == ERR_OK ? &t->h->ended_ok : &t->h->failed, 1);
    log_end(t);

    struct http_reply_view view = {
        .code = t->err.code,
        .msg = t->err.msg,
        .status = t->reply.status,
        .body = buf_str(&t->reply.body),
        .body_len = t->reply.body.len,
        .received = t->reply.received,
        .sent = t->progress.sent,
        .transfer = t,
    };
    t->req.done(t->req.arg, &view);
    reply_release(&t->reply);
    http_transfer_unref(t);
}
