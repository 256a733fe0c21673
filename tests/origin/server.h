/* The server: one thread, one epoll loop. Nothing here is thread-safe. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "counts.h"
#include "directory.h"
#include "fault.h"
#include "lacks.h"
#include "network.h"
#include "reply.h"
#include "request.h"
#include "ssm.h"
#include "store.h"
#include "timers.h"

struct conn;

/* 5 GiB: the largest PUT, part and copy source. */
#define S3_BODY_MAX (5ULL << 30)

struct server {
    int epoll_fd;
    int listen_fd;
    int signal_fd;
    uint16_t port;
    struct conn *conns;
    struct conn *closed; /* in this turn of the loop */
    struct timers timers;
    struct network network;
    struct store store;
    struct faults faults;
    struct counts counts;
    struct directories directories;
    struct lacks lacks;
    struct parameters parameters;
    char *region;    /* of new buckets without a LocationConstraint */
    char *ownership; /* of buckets that have none of their own */
    uint64_t ids;
    bool release_hanging; /* set by POST /-/release, cleared by the loop */
    bool hashing;         /* a connection may be computing checksums */
};

/* Listens on 127.0.0.1:port (0: any free one, then stored in port). False with errno. */
bool server_open(struct server *s, uint16_t port);

/* Serves until SIGTERM or SIGINT. */
void server_run(struct server *s);

/* Closes every connection and frees everything. */
void server_close(struct server *s);

/* Milliseconds and nanoseconds of the monotonic clock. */
uint64_t now_ms(void);
uint64_t now_ns(void);

/* A connection for an accepted socket, which it owns; it adds itself to the server. */
void conn_open(struct server *s, int fd);

/* Handles epoll events of the connection. */
void conn_event(struct server *s, struct conn *c, uint32_t events);

/* Called once per turn of the loop: timers, hashing, releases, and freeing what was closed. Returns the
 * number of milliseconds until it wants to be called again, -1 for at the next event (the timers' among them). */
int conns_turn(struct server *s);

/* Closes and frees every connection. */
void conns_close(struct server *s);

enum op_result {
    OP_DONE,  /* the reply is complete */
    OP_AGAIN, /* compute the checksums hash_want of to_hash, then call the operation again */
};

/* Performs the request's operation. */
enum op_result s3_perform(struct server *s, struct request *r, struct reply *p);

/* Performs a request to /-/. */
void control_perform(struct server *s, struct request *r, struct reply *p);

/* Checksums to compute over the body of a request while it is received. */
unsigned s3_sums_wanted(const struct request *r);

/* True when the fault makes up the reply instead of the operation; then it is in p. */
bool fault_answers(const struct request *r, struct reply *p);

/* Changes the operation's finished reply as the fault says. */
void fault_spoils(const struct request *r, struct reply *p);
