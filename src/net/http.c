/* The public calls of the HTTP engine and its life; http_internal.h has the map of the other files. */
#include "net/http_internal.h"

#include "net/url.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/secret.h"
#include "util/str.h"

#include <assert.h>
#include <signal.h>
#include <string.h>

#define EXPECT_BYTES (1024 * 1024)

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

/* libcurl copies headers and bodies, which may hold secrets: nothing of them stays in memory that it gives back. */
static void init_curl(void)
{
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, secret_wiping_free, secret_wiping_realloc, strdup, calloc);
}

void engine_unref(struct http_engine *h)
{
    if (!h || atomic_fetch_sub(&h->refs, 1) != 1)
        return;
    for (unsigned i = 0; i < h->idle_n; i++)
        curl_easy_cleanup(h->idle[i]);
    if (h->multi)
        curl_multi_cleanup(h->multi);
    lock_release(&h->lock);
    http_env_release(&h->env);
    free(h->user_agent);
    free(h->sockets);
    free(h->idle);
    free(h);
}
CLEANUP_DEFINE(struct http_engine, engine_unref)

static struct http_engine *engine_alloc(void)
{
    struct http_engine *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    atomic_init(&h->refs, 1);
    lock_init(&h->lock, "http engine", LOCK_NET);
    TAILQ_INIT(&h->tasks);
    for (unsigned i = 0; i < HTTP_SHARES; i++) {
        TAILQ_INIT(&h->waiting[0][i]);
        TAILQ_INIT(&h->waiting[1][i]);
    }
    TAILQ_INIT(&h->running);
    return h;
}

/* The thread takes no signal: those are the main thread's, and a SIGPIPE of OpenSSL's must not end the process. */
static enum err_code start_thread(struct http_engine *h, struct err *e)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&h->thread, NULL, engine_main, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        return err_sys(e, rc, "the HTTP thread");
    pthread_setname_np(h->thread, "awsfs-http");
    return ERR_OK;
}

struct http_engine *http_engine_new(const struct http_config *config, struct err *e)
{
    pthread_once(&curl_once, init_curl);
    CLEANUP(engine_unref) struct http_engine *h = engine_alloc();
    if (!h) {
        err_set(e, ERR_NOMEM, "no memory for the HTTP engine");
        return NULL;
    }
    h->max_parallel = config->max_parallel ? config->max_parallel : 64;
    h->max_slow = (h->max_parallel + 1) / 2;
    h->connect_ms = config->connect_ms ? config->connect_ms : 5000;
    h->first_byte_ms = config->first_byte_ms ? config->first_byte_ms : 20000;
    h->stall_ms = config->stall_ms ? config->stall_ms : 20000;
    h->insecure_tls = config->insecure_tls;
    if (http_env_init(&h->env, config->ca_bundle, e) != ERR_OK)
        return NULL;
    h->user_agent = str_printf("%s", config->user_agent ? config->user_agent : "awsfs/" AWSFS_VERSION);
    h->idle = calloc(h->max_parallel, sizeof(*h->idle));
    h->multi = curl_multi_init();
    if (!h->user_agent || !h->idle || !h->multi ||
        curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)(h->max_parallel + h->max_slow)) != CURLM_OK) {
        err_set(e, ERR_NOMEM, "no memory for the HTTP engine");
        return NULL;
    }
    if (h->insecure_tls)
        LOG_WARN("http", "insecure_tls: the identity of servers is not verified");
    if (start_thread(h, e) != ERR_OK)
        return NULL;
    return TAKE(h);
}

void http_engine_free(struct http_engine *h)
{
    if (!h)
        return;
    assert(!pthread_equal(pthread_self(), h->thread));
    lock_take(&h->lock);
    h->stop = true;
    curl_multi_wakeup(h->multi);
    lock_drop(&h->lock);
    pthread_join(h->thread, NULL);
    /* Connections end now, whatever references to transfers are still held. */
    for (unsigned i = 0; i < h->idle_n; i++)
        curl_easy_cleanup(h->idle[i]);
    h->idle_n = 0;
    curl_multi_cleanup(TAKE(h->multi));
    engine_unref(h);
}

static void wipe_headers(struct curl_slist *list)
{
    for (struct curl_slist *s = list; s; s = s->next)
        secret_wipe(s->data, strlen(s->data));
    curl_slist_free_all(list);
}

void http_transfer_unref(struct http_transfer *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    reply_release(&t->reply);
    wipe_headers(t->headers);
    free(t->url);
    free(t->authority);
    engine_unref(t->h);
    free(t);
}
CLEANUP_DEFINE(struct http_transfer, http_transfer_unref)

static bool is_header(const char *line, const char *name)
{
    size_t len = strlen(name);
    return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

/* A line end in a value would be a header of its own, or a second request. */
static enum err_code check_header(const char *line, struct err *e)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    size_t name_len = strspn(line, token);
    bool empty = line[name_len] == ';' && line[name_len + 1] == '\0';
    if (name_len == 0 || (line[name_len] != ':' && !empty))
        return err_set(e, ERR_INVAL, "malformed request header name");
    for (const char *p = line + name_len; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return err_set(e, ERR_INVAL, "control character in the request header %.*s", (int)name_len, line);
    return ERR_OK;
}

static enum err_code add_header(struct http_transfer *t, const char *line, struct err *e)
{
    struct curl_slist *list = curl_slist_append(t->headers, line);
    if (!list)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    t->headers = list;
    return ERR_OK;
}

static enum err_code copy_headers(struct http_transfer *t, const char *const *lines, struct err *e)
{
    bool expect = false;
    enum err_code code = ERR_OK;
    for (; lines && *lines && code == ERR_OK; lines++) {
        expect |= is_header(*lines, "Expect");
        code = check_header(*lines, e);
        if (code == ERR_OK)
            code = add_header(t, *lines, e);
    }
    /* Asking first is worth its round trip only where a refusal spares a long body. For those libcurl adds the header
     * itself, and leaves it out when it goes again after a 417. */
    if (code == ERR_OK && !expect && t->body.size <= EXPECT_BYTES)
        code = add_header(t, "Expect:", e);
    return code;
}

static enum err_code fill(struct http_transfer *t, const struct http_request *r, struct err *e)
{
    const char *authority;
    size_t authority_len;
    enum err_code code = url_check_request(r->url, &authority, &authority_len, e);
    if (code != ERR_OK)
        return code;
    if (r->body && r->body->size > 0 && (r->method == HTTP_GET || r->method == HTTP_HEAD || r->body->size > INT64_MAX))
        return err_set(e, ERR_INVAL, "a request of this kind has no such body");
    if (r->body)
        t->body = *r->body;
    t->url = str_printf("%s", r->url);
    t->authority = str_ndup(authority, authority_len);
    if (!t->url || !t->authority)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    return copy_headers(t, r->headers, e);
}

struct http_transfer *http_start(struct http_engine *h, const struct http_request *r, struct err *e)
{
    CLEANUP(http_transfer_unref) struct http_transfer *t = calloc(1, sizeof(*t));
    if (!t) {
        err_set(e, ERR_NOMEM, "no memory for a request");
        return NULL;
    }
    atomic_init(&t->refs, 1);
    atomic_fetch_add(&h->refs, 1);
    t->h = h;
    t->req = *r;
    t->req.url = NULL;
    t->req.headers = NULL;
    t->req.body = NULL;
    t->start_task = (struct task){.fn = transfer_enqueue, .arg = t};
    t->cancel_task = (struct task){.fn = transfer_cancel, .arg = t};
    reply_init(&t->reply, r->reply_max, r->secret);
    if (fill(t, r, e) != ERR_OK)
        return NULL;

    atomic_fetch_add(&t->refs, 1); /* the engine's, until done has returned */
    atomic_fetch_add(&h->count_queued, 1);
    if (engine_post(h, &t->start_task) == POST_CLOSED) {
        atomic_fetch_sub(&h->count_queued, 1);
        atomic_fetch_sub(&t->refs, 1);
        err_set(e, ERR_CANCELED, "shutting down");
        return NULL;
    }
    atomic_fetch_add(&h->started, 1);
    return TAKE(t);
}

void http_cancel(struct http_transfer *t)
{
    atomic_fetch_add(&t->refs, 1);
    if (engine_post(t->h, &t->cancel_task) != POST_DONE)
        http_transfer_unref(t);
}

/* One http_engine_after(). */
struct later {
    struct task task;
    struct due due;
    struct http_engine *h;
    unsigned delay_ms;
    void (*fn)(void *arg);
    void *arg;
};

static void later_run(void *arg)
{
    struct later *l = arg;
    l->fn(l->arg);
    free(l);
}

static void later_arm(void *arg)
{
    struct later *l = arg;
    due_arm(&l->h->due, &l->due, clock_mono_ms() + l->delay_ms);
}

enum err_code http_engine_after(struct http_engine *h, unsigned delay_ms, void (*fn)(void *arg), void *arg,
                                struct err *e)
{
    struct later *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(e, ERR_NOMEM, "no memory for a timer");
    l->task = (struct task){.fn = later_arm, .arg = l};
    l->due = (struct due){.fn = later_run, .arg = l};
    l->h = h;
    l->delay_ms = delay_ms;
    l->fn = fn;
    l->arg = arg;
    if (engine_post(h, &l->task) == POST_CLOSED) {
        free(l);
        return err_set(e, ERR_CANCELED, "shutting down");
    }
    return ERR_OK;
}

void http_engine_counters(struct http_engine *h, struct http_counters *out)
{
    *out = (struct http_counters){
        .started = atomic_load(&h->started),
        .ended_ok = atomic_load(&h->ended_ok),
        .failed = atomic_load(&h->failed),
        .bytes_in = atomic_load(&h->bytes_in),
        .bytes_out = atomic_load(&h->bytes_out),
        .connections = atomic_load(&h->connections),
        .running = atomic_load(&h->count_running),
        .queued = atomic_load(&h->count_queued),
    };
}
