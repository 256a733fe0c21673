#include <errno.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "conn.h"
#include "ssm.h"

enum { CHUNK = 256 << 10, HASH_SLICE = 4 << 20 };

void conn_watch(struct server *s, struct conn *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};

    if (c->watching == events)
        return;
    epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->watching = events;
}

static void link_in(struct conn **list, struct conn *c)
{
    c->prev = NULL;
    c->next = *list;
    if (c->next)
        c->next->prev = c;
    *list = c;
}

static void link_out(struct conn **list, struct conn *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        *list = c->next;
    if (c->next)
        c->next->prev = c->prev;
}

void conn_wake_at(struct server *s, struct conn *c, uint64_t at_ns)
{
    timer_set(&s->timers, &c->timer, at_ns);
}

void conn_open(struct server *s, int fd)
{
    struct conn *c = x_alloc(sizeof(*c));
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

    c->fd = fd;
    c->watching = EPOLLIN;
    c->opened_ns = now_ns();
    link_in(&s->conns, c);
    epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &e);
}

void conn_request_over(struct server *s, struct conn *c)
{
    if (c->begun)
        counts_end(&s->counts, &c->request,
                   c->state == STATE_SEND || c->state == STATE_STALL || c->state == STATE_DRAIN ? c->reply.status : 0,
                   c->request.sink.total, c->body_sent);
    c->begun = false;
    sums_release(&c->hash);
    request_release(&c->request);
    reply_release(&c->reply);
    buf_release(&c->out);
    c->out_sent = 0;
    c->body_sent = 0;
    c->granted = c->booked = 0;
    c->hashed = 0;
    timer_set(&s->timers, &c->timer, 0);
}

void conn_close(struct server *s, struct conn *c)
{
    conn_request_over(s, c);
    if (c->counted)
        counts_disconnected(&s->counts);
    close(c->fd);
    c->fd = -1;
    link_out(&s->conns, c);
    link_in(&s->closed, c);
}

void conn_reset(struct server *s, struct conn *c)
{
    struct linger now = {.l_onoff = 1};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    conn_close(s, c);
}

static enum op_result perform(struct server *s, struct request *r, struct reply *p)
{
    if (!r->ssm)
        return s3_perform(s, r, p);
    ssm_perform(s, r, p);
    return OP_DONE;
}

static void run(struct server *s, struct conn *c)
{
    struct request *r = &c->request;
    enum op_result result = OP_DONE;

    if (r->control)
        control_perform(s, r, &c->reply);
    else if (r->network.throttled)
        reply_error(&c->reply, r, "SlowDown");
    else if (!fault_answers(r, &c->reply))
        result = perform(s, r, &c->reply);
    if (result == OP_AGAIN) {
        c->state = STATE_HASH;
        c->hashed = 0;
        s->hashing = true;
        sums_init(&c->hash, r->hash_want);
        conn_watch(s, c, 0);
        return;
    }
    if (r->op == OP_GetObject && !r->control && c->reply.body && (c->reply.status == 200 || c->reply.status == 206))
        counts_range(&s->counts, r, c->reply.offset, c->reply.length);
    fault_spoils(r, &c->reply);
    if (r->plan.execute_then_reset || c->gone)
        conn_reset(s, c);
    else
        send_start(s, c);
}

/* When the request, all of which is here, is performed; 0 for at once. A connection takes its time before the first. */
static uint64_t perform_at(const struct server *s, const struct conn *c)
{
    const struct request *r = &c->request;
    uint64_t now = now_ns();
    uint64_t connected = r->control ? 0 : c->opened_ns + s->network.connect_ns;
    uint64_t at = (connected > now ? connected : now) + r->network.latency_ns + r->plan.delay_ms * 1000000;

    return at > now ? at : 0;
}

/* The region of "Authorization: AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/..." or of a presigned URL. */
static char *signed_region(const struct request *r)
{
    const char *p = request_header(r, "authorization");

    p = p ? strstr(p, "Credential=") : request_param(r, "X-Amz-Credential");
    for (int slashes = 0; p && slashes < 2; slashes++) {
        p = strchr(p, '/');
        p = p ? p + 1 : NULL;
    }
    return p ? x_strndup(p, strcspn(p, "/, ")) : x_strdup("");
}

static void begin(struct server *s, struct conn *c)
{
    struct request *r = &c->request;
    char *target = request_target(r);
    char *region = signed_region(r);
    struct fault_target about = {.target = target, .region = region};

    r->op = op_of_request(r);
    about.kind = op_name(r->op);
    if (!c->counted)
        counts_connected(&s->counts);
    c->counted = true;
    counts_begin(&s->counts, r);
    c->begun = true;
    faults_select(&s->faults, &about, &r->plan);
    network_select(&s->network, &about, strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0, now_ns(),
                   &r->network);
    s->counts.throttled += r->network.throttled;
    free(target);
    free(region);
}

static void received(struct server *s, struct conn *c)
{
    const struct fault_plan *plan = &c->request.plan;
    uint64_t at;

    c->request.payload = sink_finish(&c->request.sink);
    c->request.receiving = false;
    if (c->request.ssm) {
        ssm_prepare(&c->request);
        begin(s, c);
    }
    at = perform_at(s, c);
    if (plan->reset) {
        conn_reset(s, c);
    } else if (plan->hang) {
        c->state = STATE_HANG;
        conn_watch(s, c, EPOLLRDHUP);
    } else if (at) {
        c->state = STATE_DELAY;
        conn_wake_at(s, c, at);
        conn_watch(s, c, plan->delay_ms ? 0 : EPOLLRDHUP);
    } else {
        run(s, c);
    }
}

static void parsed(struct server *s, struct conn *c, int refused)
{
    static const char proceed[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct request *r = &c->request;
    const char *expect;

    snprintf(r->id, sizeof(r->id), "%08lX%08llX", (unsigned long)time(NULL) & 0xFFFFFFFFUL,
             (unsigned long long)++s->ids);
    if (refused) {
        r->close = true;
        reply_error(&c->reply, r, refused == 501 ? "NotImplemented" : "InvalidURI");
        send_start(s, c);
        return;
    }
    if (!r->control && !r->ssm)
        begin(s, c);
    if (r->content_length > S3_BODY_MAX) {
        r->close = true;
        reply_error(&c->reply, r, "EntityTooLarge");
        send_start(s, c);
        return;
    }
    sink_init(&r->sink, r->control ? 0 : s3_sums_wanted(r));
    r->receiving = true;
    c->state = STATE_BODY;
    expect = request_header(r, "expect");
    if (expect && strcasecmp(expect, "100-continue") == 0 && r->content_length && !c->in.len)
        (void)!send(c->fd, proceed, sizeof(proceed) - 1, MSG_NOSIGNAL);
}

/* Takes what is in c->in as far as the state allows. True when the state changed. */
static bool consume(struct server *s, struct conn *c)
{
    struct request *r = &c->request;
    uint64_t missing;

    if (c->state == STATE_HEAD) {
        char *end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n\r\n", 4) : NULL;
        char *head;
        size_t len;

        if (!end && c->in.len > HEAD_MAX) {
            conn_close(s, c);
            return false;
        }
        if (!end)
            return false;
        len = (size_t)(end - c->in.data) + 4;
        head = x_strndup(c->in.data, len);
        buf_consume(&c->in, len);
        parsed(s, c, request_parse(r, head));
        return true;
    }
    if (c->state != STATE_BODY)
        return false;
    missing = r->content_length - r->sink.total;
    if (c->in.len && missing) {
        size_t n = c->in.len < missing ? c->in.len : (size_t)missing;

        sink_write(&r->sink, c->in.data, n);
        buf_consume(&c->in, n);
        missing -= n;
    }
    if (missing)
        return false;
    received(s, c);
    return true;
}

void conn_next(struct server *s, struct conn *c)
{
    c->state = STATE_HEAD;
    conn_watch(s, c, EPOLLIN);
    while (c->fd >= 0 && consume(s, c))
        ;
}

static void receive(struct server *s, struct conn *c)
{
    static char chunk[CHUNK];
    struct request *r = &c->request;
    size_t want = sizeof(chunk);
    ssize_t n;

    if (c->state == STATE_BODY && r->content_length - r->sink.total < want)
        want = (size_t)(r->content_length - r->sink.total);
    n = recv(c->fd, chunk, want, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(s, c);
        return;
    }
    if (c->state == STATE_BODY && !sink_write(&r->sink, chunk, (size_t)n)) {
        conn_reset(s, c);
        return;
    }
    if (c->state == STATE_HEAD)
        buf_add(&c->in, chunk, (size_t)n);
    while (c->fd >= 0 && consume(s, c))
        ;
}

void conn_event(struct server *s, struct conn *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (c->state == STATE_DELAY && !c->request.plan.delay_ms) {
        c->gone = true;
        run(s, c);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        c->gone = true;
        if (c->state == STATE_DELAY)
            epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
        else
            conn_close(s, c);
    } else if (c->state == STATE_HEAD || c->state == STATE_BODY) {
        receive(s, c);
    } else if (c->state == STATE_SEND) {
        send_more(s, c);
    } else if (events & EPOLLRDHUP) {
        conn_close(s, c);
    }
}

static void hash_some(struct server *s, struct conn *c)
{
    static char slice[HASH_SLICE];
    struct request *r = &c->request;
    uint64_t left = r->to_hash->size - c->hashed;
    size_t n = left < sizeof(slice) ? (size_t)left : sizeof(slice);

    if (!body_read(r->to_hash, c->hashed, slice, n)) {
        conn_reset(s, c);
        return;
    }
    sums_update(&c->hash, slice, n);
    c->hashed += n;
    if (c->hashed < r->to_hash->size)
        return;
    sums_final(&c->hash, &r->to_hash->sums);
    body_unref(r->to_hash);
    r->to_hash = NULL;
    run(s, c);
}

static void release(struct server *s, struct conn *c)
{
    if (c->state == STATE_HANG) {
        run(s, c);
    } else if (c->state == STATE_STALL) {
        send_resume(s, c);
    }
}

static void wake(struct server *s, struct conn *c)
{
    int unsent = 0;

    if (c->state == STATE_DELAY) {
        run(s, c);
    } else if (c->state == STATE_SEND) {
        c->granted += c->booked;
        c->booked = 0;
        conn_watch(s, c, EPOLLOUT);
        send_more(s, c);
    } else if (c->state == STATE_DRAIN) {
        if (ioctl(c->fd, SIOCOUTQ, &unsent) == 0 && unsent)
            conn_wake_at(s, c, now_ns() + 1000000);
        else
            conn_reset(s, c);
    }
}

static void free_closed(struct server *s)
{
    struct conn *c;

    while ((c = s->closed)) {
        link_out(&s->closed, c);
        buf_release(&c->in);
        free(c);
    }
}

static void release_all(struct server *s)
{
    s->release_hanging = false;
    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        release(s, c);
    }
}

static void hash_all(struct server *s)
{
    bool left = false;

    for (struct conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == STATE_HASH) {
            hash_some(s, c);
            left = true;
        }
    }
    s->hashing = left;
}

int conns_turn(struct server *s)
{
    uint64_t now = now_ns();
    struct timer *due;

    if (s->release_hanging)
        release_all(s);
    while ((due = timers_due(&s->timers, now)))
        wake(s, (struct conn *)((char *)due - offsetof(struct conn, timer)));
    if (s->hashing)
        hash_all(s);
    timers_arm(&s->timers);
    free_closed(s);
    return s->hashing ? 0 : -1;
}

void conns_close(struct server *s)
{
    while (s->conns)
        conn_close(s, s->conns);
    free_closed(s);
}
