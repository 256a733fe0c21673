#include "backends/ssm/watch.h"

#include "aws/client.h"
#include "backends/ssm/names.h"
#include "util/buf.h"
#include "util/cancel.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/json.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_S        20     /* of a long poll, the service's most */
#define FIRST_BYTE_MS 30000  /* of its reply */
#define TIMEOUT_MS    45000
#define PAUSE_MAX_MS  60000
#define MESSAGES_MAX  10     /* of one reply, the service's most */
#define REPLY_MAX     (4 << 20)
#define BODY_MAX      (512 << 10)

struct watch {
    struct aws_client *client;
    char *queue, *path;
    void (*changed)(void *arg, const char *key, bool listed);
    void *arg;
    struct cancel *stop;
    struct pool *pool;
    struct lock lock; /* for the wait between failures */
    struct cond stopped;
    bool failing;
};

/* ---- What a message says */

static bool take_event(const struct json *v, struct watch_event *out)
{
    const char *source = json_get_str(v, "source"), *kind = json_get_str(v, "detail-type");
    const struct json *detail = json_get(v, "detail");
    const char *name = json_get_str(detail, "name"), *operation = json_get_str(detail, "operation");
    if (source == NULL || strcmp(source, "aws.ssm") != 0 || kind == NULL || !str_starts(kind, "Parameter Store "))
        return false;
    if (name == NULL || strlen(name) + 2 > sizeof(out->name))
        return false;
    snprintf(out->name, sizeof(out->name), "%s%s", name[0] == '/' ? "" : "/", name);
    out->listed = operation == NULL || strcmp(operation, "Update") != 0;
    return true;
}

bool watch_parse(const char *body, size_t len, struct watch_event *out)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(body, len, NULL);
    if (doc == NULL)
        return false;
    if (take_event(json_root(doc), out))
        return true;
    const char *wrapped = json_get_str(json_root(doc), "Message");
    CLEANUP(json_doc_free) struct json_doc *inner = wrapped ? json_parse(wrapped, strlen(wrapped), NULL) : NULL;
    return inner != NULL && take_event(json_root(inner), out);
}

/* ---- Asking */

struct answer {
    struct buf body;
};

static void keep(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct answer *a = arg;
    if (code == ERR_OK && r != NULL)
        buf_add(&a->body, r->body, r->body_len);
}

static enum err_code call_queue(struct aws_client *client, struct cancel *cancel, const char *op, const struct buf *request,
                                struct buf *out, struct err *e)
{
    char target[64];
    snprintf(target, sizeof(target), "AmazonSQS.%s", op);
    const struct aws_param headers[] = {{"Content-Type", "application/x-amz-json-1.0"}, {"X-Amz-Target", target}, {0}};
    const struct http_body body = {.size = request->len, .read = buf_read, .arg = (void *)request};
    struct answer a = {0};
    buf_init(&a.body, REPLY_MAX);
    const struct aws_request r = {
        .method = HTTP_POST,
        .what = op,
        .headers = headers,
        .body = &body,
        .timeout_ms = TIMEOUT_MS,
        .first_byte_ms = FIRST_BYTE_MS,
        .slow = true,
        .reply_max = REPLY_MAX,
        .done = keep,
        .arg = &a,
    };
    enum err_code code = buf_check(request, op, e);
    if (code == ERR_OK)
        code = aws_call(client, &r, cancel, e);
    if (code == ERR_OK)
        code = buf_check(&a.body, op, e);
    if (code == ERR_OK)
        *out = a.body;
    else
        buf_release(&a.body);
    return code;
}

static void begin_request(struct buf *out, const char *queue)
{
    buf_add_str(out, "{\"QueueUrl\":");
    json_quote(out, queue, strlen(queue));
}

enum err_code watch_try(struct aws_client *client, const char *queue, bool removal, const struct store_call *call, struct err *e)
{
    BUF(request, BODY_MAX);
    begin_request(&request, queue);
    buf_add_str(&request, removal ? ",\"Entries\":[{\"Id\":\"0\",\"ReceiptHandle\":\"none\"}]}"
                                  : ",\"MaxNumberOfMessages\":1,\"WaitTimeSeconds\":0,\"VisibilityTimeout\":0}");
    CLEANUP_RELEASE(buf_release) struct buf reply = {0};
    return call_queue(client, call->cancel, removal ? "DeleteMessageBatch" : "ReceiveMessage", &request, &reply, e);
}

static void tell(struct watch *w, const char *body, size_t len)
{
    struct watch_event event;
    if (body == NULL || !watch_parse(body, len, &event))
        return;
    const char *key = ssm_key_of(w->path, event.name);
    if (key != NULL)
        w->changed(w->arg, key, event.listed);
}

/* Tells of all messages, and asks for the deletion of what was told. */
static enum err_code take_messages(struct watch *w, const struct json *list, struct err *e)
{
    BUF(request, BODY_MAX);
    begin_request(&request, w->queue);
    buf_add_str(&request, ",\"Entries\":[");
    for (size_t i = 0; i < json_len(list) && i < MESSAGES_MAX; i++) {
        const struct json *m = json_at(list, i);
        const char *receipt = json_get_str(m, "ReceiptHandle");
        size_t len = 0;
        const char *body = json_str(json_get(m, "Body"), &len);
        tell(w, body, len);
        if (receipt == NULL)
            return err_set(e, ERR_PROTO, "a message without a ReceiptHandle");
        buf_addf(&request, "%s{\"Id\":\"%zu\",\"ReceiptHandle\":", i > 0 ? "," : "", i);
        json_quote(&request, receipt, strlen(receipt));
        buf_add_char(&request, '}');
    }
    buf_add_str(&request, "]}");
    CLEANUP_RELEASE(buf_release) struct buf reply = {0};
    return call_queue(w->client, w->stop, "DeleteMessageBatch", &request, &reply, e);
}

static enum err_code poll_once(struct watch *w, struct err *e)
{
    BUF(request, BODY_MAX);
    begin_request(&request, w->queue);
    buf_addf(&request, ",\"MaxNumberOfMessages\":%d,\"WaitTimeSeconds\":%d}", MESSAGES_MAX, WAIT_S);
    CLEANUP_RELEASE(buf_release) struct buf reply = {0};
    enum err_code code = call_queue(w->client, w->stop, "ReceiveMessage", &request, &reply, e);
    if (code != ERR_OK)
        return code;
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(buf_str(&reply), reply.len, e);
    if (doc == NULL)
        return ERR_PROTO;
    const struct json *list = json_get(json_root(doc), "Messages");
    return json_len(list) > 0 ? take_messages(w, list, e) : ERR_OK;
}

/* ---- The thread */

static void wake(void *arg)
{
    struct watch *w = arg;
    LOCK_SCOPE(&w->lock);
    cond_broadcast(&w->stopped);
}

static void pause_ms(struct watch *w, uint64_t ms)
{
    struct cancel_hook hook = {0};
    uint64_t until = clock_mono_ms() + ms;
    cancel_hook_add(w->stop, &hook, wake, w);
    lock_take(&w->lock);
    while (!cancel_fired(w->stop) && clock_mono_ms() < until)
        cond_wait(&w->stopped, &w->lock, until);
    lock_drop(&w->lock);
    cancel_hook_remove(w->stop, &hook);
}

/* Once when it begins to fail, once when it is over. */
static void report(struct watch *w, enum err_code code, const struct err *e)
{
    if (code != ERR_OK && !w->failing)
        LOG_WARN("ssm", "%s: %s: changes are seen by ttl= only until it answers", w->queue, e->msg);
    else if (code == ERR_OK && w->failing)
        LOG_INFO("ssm", "%s: answers again", w->queue);
    w->failing = code != ERR_OK;
}

unsigned watch_pause_ms(unsigned failures, uint32_t random)
{
    uint64_t most = failures < 7 ? (uint64_t)1000 << failures : PAUSE_MAX_MS;
    return (unsigned)((most < PAUSE_MAX_MS ? most : PAUSE_MAX_MS) * random >> 32);
}

static void pause_after(struct watch *w, unsigned failures)
{
    uint32_t random;
    random_bytes(&random, sizeof(random));
    pause_ms(w, watch_pause_ms(failures, random));
}

static void run(void *arg)
{
    struct watch *w = arg;
    unsigned failures = 0;
    pause_after(w, 0);
    while (!cancel_fired(w->stop)) {
        struct err e = ERR_INIT;
        enum err_code code = poll_once(w, &e);
        if (cancel_fired(w->stop))
            return;
        report(w, code, &e);
        failures = code == ERR_OK ? 0 : failures + 1;
        if (failures > 0)
            pause_after(w, failures);
    }
}

void watch_stop(struct watch *w)
{
    if (w == NULL)
        return;
    if (w->stop != NULL)
        cancel_fire(w->stop);
    pool_free(w->pool);
    cancel_unref(w->stop);
    cond_release(&w->stopped);
    lock_release(&w->lock);
    free(w->queue);
    free(w->path);
    free(w);
}

struct watch *watch_start(struct aws_client *client, const char *queue, const char *path, void (*changed)(void *arg, const char *key, bool listed),
                          void *arg, struct err *e)
{
    struct watch *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        (void)err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    lock_init(&made->lock, "ssm watch", LOCK_STORE);
    cond_init(&made->stopped);
    CLEANUP(watch_stop) struct watch *w = made;
    w->client = client;
    w->changed = changed;
    w->arg = arg;
    w->queue = strdup(queue);
    w->path = strdup(path);
    w->stop = cancel_new();
    w->pool = pool_new("ssm watch", 1, e);
    if (w->queue == NULL || w->path == NULL || w->stop == NULL || w->pool == NULL) {
        (void)err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    return pool_submit(w->pool, run, w, e) == ERR_OK ? TAKE(w) : NULL;
}
