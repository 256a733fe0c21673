/*
 * A small HTTP server inside the test: one thread a connection, what it answers is a function of the test. It listens
 * on 127.0.0.1, on a port that the kernel chooses.
 */
#ifndef TESTS_NET_SERVER_H
#define TESTS_NET_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;
struct server_conn;

struct server_request {
    char method[16];
    char target[2048];
    const char *head; /* the whole head, as it came */
    const char *body; /* unless `raw_body` */
    size_t body_len;
    unsigned number;  /* of all requests, from 1 */
    unsigned on_conn; /* of those on this connection, from 1 */
};

struct server_options {
    /* Answers. Runs on the connection's thread. Returns whether the connection stays open. */
    bool (*answer)(struct server_conn *c, const struct server_request *r, void *arg);
    void *arg;
    bool tls;
    bool small_buffer;       /* the kernel takes little that was not read */
    bool raw_body;           /* the function reads the body itself */
    unsigned refuse_expects; /* so many requests with Expect get a 417 and nothing else */
};

struct server *server_start(const struct server_options *o);

/* Ends all connections and waits for the threads. */
void server_stop(struct server *s);

/* "http://127.0.0.1:PORT" or https. */
const char *server_url(const struct server *s);
unsigned server_port(const struct server *s);

/* The server's self-signed certificate in a file, for a CA bundle. */
const char *server_ca_file(const struct server *s);

unsigned server_connections(struct server *s);
unsigned server_requests(struct server *s);
/* The most requests that were being answered at once. */
unsigned server_peak(struct server *s);

/* For the answering function. */
void server_send(struct server_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void server_send_bytes(struct server_conn *c, const void *p, size_t len);
void server_reply(struct server_conn *c, int status, const char *body);
/* Bytes read; 0 at the end. */
size_t server_read(struct server_conn *c, void *p, size_t len);
/* Sleeps; false when the server is being stopped. */
bool server_sleep(struct server_conn *c, unsigned ms);
/* Until the client closes or the server is stopped. */
void server_hang(struct server_conn *c);
/* The connection will end with a RST. */
void server_reset(struct server_conn *c);

#endif
