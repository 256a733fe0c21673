/* A connection, shared by conn.c (receiving, waiting, running) and send.c (replying). Its life:
 *
 *   HEAD -> BODY -> [HANG | DELAY] -> run -> [HASH -> run] -> SEND -> [STALL -> SEND] -> HEAD
 *                                                                  -> [DRAIN ->] closed
 *
 * HEAD   collects the request's head        BODY   receives its body into the sink
 * HANG   waits for release, or the client leaves (then the operation is never performed)
 * DELAY  waits for its timer; the operation is performed even if the client has left by then (at once when it leaves, where
 *        it is only the network that takes its time)
 * HASH   computes checksums of a stored body, a slice per turn of the loop, then runs the operation again
 * SEND   writes head and body               STALL  has sent what the fault allows, waits for release
 * DRAIN  waits until the client has received everything, then resets
 *
 * A closed connection keeps its memory (fd is -1) until the end of the turn, since events may still name it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "network.h"
#include "server.h"
#include "timers.h"

enum state { STATE_HEAD, STATE_BODY, STATE_HANG, STATE_DELAY, STATE_HASH, STATE_SEND, STATE_STALL, STATE_DRAIN };

struct conn {
    struct conn *next, *prev; /* of those open, or of those closed in this turn */
    struct timer timer;
    uint64_t opened_ns;
    int fd;
    enum state state;
    uint32_t watching;
    bool counted; /* as a connection */
    bool begun;   /* the request was counted and is not over */
    bool gone;    /* the client has left, only the operation is still to be performed */
    struct buf in;
    struct request request;
    struct reply reply;
    struct buf out;
    size_t out_sent;
    uint64_t body_sent;
    uint64_t body_end; /* bytes of the body to send before what `end` says */
    enum { END_KEEP, END_CLOSE, END_RESET, END_STALL } end;
    struct pace pace;
    uint64_t granted; /* bytes of the body that may go out, where there is a limit to their rate */
    uint64_t booked;  /* what is granted when the timer is due */
    struct sums hash;
    uint64_t hashed;
};

/* Waits for these epoll events from now on; none but errors when 0. */
void conn_watch(struct server *s, struct conn *c, uint32_t events);

/* Wakes it at that time of the monotonic clock, and at no other. */
void conn_wake_at(struct server *s, struct conn *c, uint64_t at_ns);

/* Ends the request under way, if any: counts it and frees what it held. */
void conn_request_over(struct server *s, struct conn *c);

/* Closes in order; closes with a RST. Both end the request. */
void conn_close(struct server *s, struct conn *c);
void conn_reset(struct server *s, struct conn *c);

/* Goes on with the next request after a reply, from what was received already. */
void conn_next(struct server *s, struct conn *c);

/* Starts sending c->reply; writes what the socket takes; sends the rest of a stalled reply. */
void send_start(struct server *s, struct conn *c);
void send_more(struct server *s, struct conn *c);
void send_resume(struct server *s, struct conn *c);
