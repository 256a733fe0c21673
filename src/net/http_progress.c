/*
 * Whether a transfer still gets on. One timer each, armed for the time at which its phase's limit would pass; when it
 * fires and there was life since, it is only moved.
 */
#include "net/http_internal.h"

#include "util/clock.h"

#include <string.h>

#define LOOK_MS 1000u /* the longest time between two looks at the send queue of a quiet upload */

static unsigned limit_ms(const struct http_transfer *t)
{
    const struct http_engine *h = t->h;
    switch (t->progress.phase) {
    case PHASE_CONNECT:
        return h->connect_ms;
    case PHASE_REPLY:
        return t->req.first_byte_ms ? t->req.first_byte_ms : h->first_byte_ms;
    case PHASE_SEND:
    case PHASE_RECEIVE:
        break;
    }
    return t->req.stall_ms ? t->req.stall_ms : h->stall_ms;
}

static bool uploading(const struct http_transfer *t)
{
    return t->body.size > 0 && (t->progress.phase == PHASE_SEND || t->progress.phase == PHASE_REPLY);
}

/* Later is left to the timer itself. */
static void arm_if_earlier(struct http_transfer *t, uint64_t now)
{
    struct progress *p = &t->progress;
    unsigned limit = limit_ms(t), look = limit / 4 < LOOK_MS ? limit / 4 : LOOK_MS;
    uint64_t at = p->moved_ms + limit;
    if (uploading(t) && now + look < at)
        at = now + look;
    if (!p->due.armed || at < p->due.at_ms)
        due_arm(&t->h->due, &p->due, at);
}

static void time_out(struct http_transfer *t)
{
    static const char *const what[] = {
        [PHASE_CONNECT] = "no connection",
        [PHASE_SEND] = "the request was not taken",
        [PHASE_REPLY] = "no reply",
        [PHASE_RECEIVE] = "the reply stopped",
    };
    err_set(&t->err, ERR_TIMEOUT, "%s: %s for %u ms", t->authority, what[t->progress.phase], limit_ms(t));
    transfer_finish(t);
}

static void on_due(void *transfer)
{
    struct http_transfer *t = transfer;
    struct progress *p = &t->progress;
    uint64_t now = clock_mono_ms();
    if (uploading(t)) {
        int unsent = socket_unsent(t);
        if (unsent >= 0 && p->unsent > unsent)
            p->moved_ms = p->body_moved_ms = t->h->moved_ms = now;
        p->unsent = unsent;
    }
    if (now >= p->moved_ms + limit_ms(t))
        time_out(t);
    else
        arm_if_earlier(t, now);
}

void progress_start(struct http_transfer *t)
{
    struct progress *p = &t->progress;
    p->moved_ms = clock_mono_ms();
    p->body_moved_ms = t->h->moved_ms;
    p->unsent = -1;
    p->phase = PHASE_CONNECT;
    p->due.fn = on_due;
    p->due.arg = t;
    arm_if_earlier(t, p->moved_ms);
}

void progress_moved(struct http_transfer *t, bool body)
{
    struct progress *p = &t->progress;
    p->moved_ms = t->h->now_ms; /* thousands of pieces a second: the turn's time is exact enough */
    if (body)
        p->body_moved_ms = t->h->moved_ms = p->moved_ms;
}

void progress_phase(struct http_transfer *t, enum transfer_phase phase)
{
    t->progress.phase = phase;
    t->progress.moved_ms = clock_mono_ms();
    arm_if_earlier(t, t->progress.moved_ms);
}

uint64_t transfer_alive_ms(const struct http_transfer *t)
{
    return t->state == TRANSFER_WAITING ? t->h->moved_ms : t->progress.body_moved_ms;
}

/* Request bytes that were really written, of all connections (and of CONNECT to a proxy). */
static long request_bytes(struct http_transfer *t)
{
    long n = 0;
    return curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &n) == CURLE_OK ? n : 0;
}

void progress_end(struct http_transfer *t)
{
    if (t->progress.ready && request_bytes(t) > t->progress.mark)
        t->progress.sent = true;
}

/*
 * Called before a request goes out on a connection. A second time: libcurl found the reused connection closed before
 * any reply and takes another. Where the request may have been executed that must not happen behind our back (a PUT
 * with If-None-Match would meet its own object), except after a 417, with which the server says that it did nothing.
 */
int transfer_ready(void *transfer, char *remote_ip, char *local_ip, int remote_port, int local_port)
{
    struct http_transfer *t = transfer;
    struct progress *p = &t->progress;
    (void)local_ip;
    long bytes = request_bytes(t);
    if (p->ready && bytes > p->mark) {
        p->sent = true;
        bool harmless = t->req.method == HTTP_GET || t->req.method == HTTP_HEAD || t->reply.status == 417;
        if (!harmless) {
            err_set(&t->err, ERR_NET, "%s: the connection was closed before a reply came", t->authority);
            return CURL_PREREQFUNC_ABORT;
        }
    }
    reply_restart(&t->reply);
    p->ready = true;
    p->mark = bytes;
    p->unsent = -1;
    p->local_port = local_port;
    p->remote_port = remote_port;
    p->remote_ip[0] = '\0';
    if (remote_ip && strlen(remote_ip) < sizeof(p->remote_ip))
        memcpy(p->remote_ip, remote_ip, strlen(remote_ip) + 1);
    progress_phase(t, t->body.size > 0 ? PHASE_SEND : PHASE_REPLY);
    return CURL_PREREQFUNC_OK;
}

int transfer_progress(void *transfer, curl_off_t dl_total, curl_off_t dl_now, curl_off_t ul_total, curl_off_t ul_now)
{
    struct http_transfer *t = transfer;
    struct progress *p = &t->progress;
    (void)dl_total, (void)dl_now, (void)ul_total;
    if (ul_now <= 0 || (uint64_t)ul_now == p->body_sent)
        return 0;
    if ((uint64_t)ul_now > p->body_sent)
        atomic_fetch_add(&t->h->bytes_out, (uint64_t)ul_now - p->body_sent);
    p->body_sent = (uint64_t)ul_now;
    progress_moved(t, true);
    if (p->phase == PHASE_SEND && p->body_sent >= t->body.size)
        progress_phase(t, PHASE_REPLY);
    return 0;
}
