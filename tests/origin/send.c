/* Writing a reply, and what faults do to its bytes on the wire. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "conn.h"

enum { SEND_SLICE = 4 << 20 };

static void set_limits(struct conn *c)
{
    const struct fault_plan *plan = &c->request.plan;
    bool no_body = strcmp(c->request.method ? c->request.method : "", "HEAD") == 0 || c->reply.no_length;

    c->body_end = no_body ? 0 : reply_length(&c->reply);
    c->end = c->request.close || (plan->lie_length && !no_body) ? END_CLOSE : END_KEEP;
    if (plan->has_cut_after) {
        c->end = END_CLOSE;
        c->body_end = plan->cut_after < c->body_end ? plan->cut_after : c->body_end;
    } else if (plan->has_reset_after) {
        c->end = END_RESET;
        c->body_end = plan->reset_after < c->body_end ? plan->reset_after : c->body_end;
    } else if (plan->has_stall_after && plan->stall_after < c->body_end) {
        c->end = END_STALL;
        c->body_end = plan->stall_after;
    }
}

void send_start(struct server *s, struct conn *c)
{
    struct reply *p = &c->reply;

    reply_head(p, &c->request, &c->out);
    set_limits(c);
    if (!p->body && p->text.len) {
        p->length = p->text.len;
        p->body = body_new_bytes(buf_take(&p->text), p->length);
    }
    c->state = STATE_SEND;
    if (c->pace.booked_ns < now_ns())
        c->pace.booked_ns = now_ns();
    conn_watch(s, c, EPOLLOUT);
    send_more(s, c); /* before what else is due is rendered */
}

void send_resume(struct server *s, struct conn *c)
{
    c->request.plan.has_stall_after = false;
    set_limits(c);
    c->state = STATE_SEND;
    conn_watch(s, c, EPOLLOUT);
}

/* The rate of this body: a fault's, else the network's; 0: none of its own. */
static uint64_t rate(const struct conn *c)
{
    return c->request.plan.trickle_bps ? c->request.plan.trickle_bps : c->request.network.bps;
}

static bool is_paced(const struct server *s, const struct conn *c)
{
    return !c->request.control && network_paces(&s->network, rate(c));
}

/* How many bytes of the body may go out now; 0 when a timer was set for the next ones. */
static uint64_t send_allowance(struct server *s, struct conn *c)
{
    uint64_t left = c->body_end - c->body_sent;
    uint64_t now, at, piece;

    if (!is_paced(s, c))
        return left;
    if (c->granted)
        return c->granted < left ? c->granted : left;
    now = now_ns();
    piece = network_grant(&s->network, &c->pace, rate(c), left, now, &at);
    if (at <= now)
        return c->granted = piece;
    c->booked = piece;
    conn_wake_at(s, c, at);
    return 0;
}

static ssize_t send_some(struct conn *c, uint64_t max)
{
    const struct fault_plan *plan = &c->request.plan;
    uint64_t at = c->reply.offset + c->body_sent;
    unsigned char byte;

    if (max > SEND_SLICE)
        max = SEND_SLICE;
    if (!plan->has_corrupt_at || plan->corrupt_at < c->body_sent)
        return body_send(c->reply.body, at, max, c->fd);
    if (plan->corrupt_at > c->body_sent) {
        if (max > plan->corrupt_at - c->body_sent)
            max = plan->corrupt_at - c->body_sent;
        return body_send(c->reply.body, at, max, c->fd);
    }
    if (!body_read(c->reply.body, at, &byte, 1))
        return -1;
    byte ^= 0xFF;
    return send(c->fd, &byte, 1, MSG_NOSIGNAL);
}

static void sent(struct server *s, struct conn *c)
{
    switch (c->end) {
    case END_KEEP:
        conn_request_over(s, c);
        conn_next(s, c);
        break;
    case END_CLOSE:
        conn_close(s, c);
        break;
    case END_RESET:
        c->state = STATE_DRAIN;
        conn_wake_at(s, c, now_ns() + 1000000);
        conn_watch(s, c, 0);
        break;
    case END_STALL:
        c->state = STATE_STALL;
        conn_watch(s, c, EPOLLRDHUP);
        break;
    }
}

void send_more(struct server *s, struct conn *c)
{
    while (c->out_sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->out_sent, c->out.len - c->out_sent,
                         MSG_NOSIGNAL | (c->body_end && !is_paced(s, c) ? MSG_MORE : 0));

        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            conn_close(s, c);
            return;
        }
        c->out_sent += (size_t)n;
    }
    for (uint64_t slice = 0; c->body_sent < c->body_end && slice < SEND_SLICE;) {
        uint64_t max = send_allowance(s, c);
        ssize_t n;

        if (max == 0) {
            conn_watch(s, c, 0);
            return;
        }
        n = send_some(c, max);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            conn_close(s, c);
            return;
        }
        c->body_sent += (uint64_t)n;
        c->granted -= c->granted < (uint64_t)n ? c->granted : (uint64_t)n;
        slice += (uint64_t)n;
    }
    if (c->body_sent == c->body_end)
        sent(s, c);
}
