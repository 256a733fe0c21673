/*
 * The HTTP engine: one thread that owns libcurl's multi handle, for any number of requests at once. Connections are kept and
 * reused; a limit on concurrency queues what is over it, in order of arrival within a priority. Downloads, uploads and slow
 * requests have shares of it, so that however many of them are stuck, short requests still find a place. TLS is always verified
 * unless `insecure_tls`; proxies (HTTPS_PROXY, NO_PROXY) and CA bundles (AWS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE) come from the
 * environment. Only http and https; no redirect is followed here.
 *
 * Callbacks run on the engine's thread with no lock held. They must not block, and must not call http_perform().
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct http_engine;
struct http_transfer;
struct http_reply_view;

struct http_config {
    unsigned max_parallel;    /* transfers under way at once, but the slow; 0: 64 */
    unsigned connect_ms;      /* 0: 5,000; includes DNS and TLS */
    unsigned first_byte_ms;   /* from the last byte sent to the first received; 0: 20,000 */
    unsigned stall_ms;        /* no byte in either direction; 0: 20,000 */
    bool insecure_tls;        /* do not verify; a warning is logged once */
    const char *ca_bundle;    /* NULL: environment, then the system's */
    const char *user_agent;
};

/* `config` is copied. Call once per process before threads that use curl. */
struct http_engine *http_engine_new(const struct http_config *config, struct err *e);

/* Cancels what is under way (its done callbacks run with ERR_CANCELED), runs at once what http_engine_after() promised for
 * later, ends the thread. Transfers still referenced may be released afterwards. NULL is fine. Not on the engine's thread. */
void http_engine_free(struct http_engine *h);
CLEANUP_DEFINE(struct http_engine, http_engine_free)

/* Of the transfers under way at once, downloads are at most 3/4 and uploads at most 3/16 (each at least one). The slow, whose
 * server may be silent for minutes and which cost nothing meanwhile, are under way beside those: half as many (at least one). */
enum http_share { HTTP_SHORT, HTTP_DOWNLOAD, HTTP_UPLOAD, HTTP_SLOW, HTTP_SHARES };

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_POST, HTTP_DELETE };

/* What is sent. Read at any offset, because a retry or a rewind starts again: returns the bytes copied (fewer than `len`
 * only at the end), or -1 (the transfer then fails with ERR_IO). Runs on the engine's thread and must not block for long
 * (local files are fine). */
struct http_body {
    uint64_t size;
    ssize_t (*read)(void *arg, uint64_t offset, void *buf, size_t len);
    void *arg;
};

struct http_request {
    enum http_method method;
    const char *url;            /* complete and percent-encoded; sent as it is (no dot removal) */
    const char *const *headers; /* "Name: value", NULL at the end; "Name;" has an empty value, "Name:"
                                     removes one that curl adds */
    const struct http_body *body; /* NULL: none; Content-Length is always sent for PUT and POST */

    /* Body bytes in order, straight from curl's receive buffer of 64 KiB (which libcurl hands on in pieces of at most 16
     * KiB). Called only for the final reply, and only with a status below 300. Return false to abort the transfer
     * (ERR_CANCELED). NULL: the body goes to `reply_max` below. */
    bool (*data)(void *arg, const struct http_transfer *t, int status, const void *p, size_t len);
    /* Bodies that no `data` takes, and every body of a status >= 300, are collected up to this many bytes; longer:
     * ERR_PROTO. 0: 1 MiB. */
    size_t reply_max;
    /* Told of each piece of a body of a status below 300 that is collected, when it has come. NULL: nobody is. */
    void (*part)(void *arg, const void *p, size_t len);
    bool secret; /* the collected reply is kept in zeroed memory */

    unsigned first_byte_ms;     /* 0: the engine's (completes and copies take long) */
    unsigned stall_ms;          /* 0: the engine's */
    bool urgent;                /* goes before others that wait for their turn */
    enum http_share share;
    unsigned char no_proxy;     /* 1: never through a proxy (link-local metadata endpoints) */

    /* Called exactly once, also after a cancel. `r` is borrowed for the call. */
    void (*done)(void *arg, struct http_reply_view *r);
    void *arg;
};

/* How a transfer ended. */
struct http_reply_view {
    enum err_code code;   /* ERR_OK: a complete reply with `status` came, whatever the status; else ERR_NET, ERR_TIMEOUT,
                             ERR_CANCELED, ERR_PROTO, ERR_IO */
    const char *msg;      /* for code != ERR_OK: names the address, never a secret; "" otherwise */
    int status;           /* 0 when no status line came */
    const char *body;     /* what was collected, NUL-terminated; "" if nothing */
    size_t body_len;
    uint64_t received;    /* body bytes received, wherever they went */
    bool sent;            /* at least one byte of the request went out: it may have been executed */
    const struct http_transfer *transfer;
};

/* Starts a transfer; everything in `r` except body->arg and arg is copied. Returns a reference that http_transfer_unref()
 * releases (any time, also in done), or NULL (ERR_NOMEM, ERR_INVAL, while the engine ends ERR_CANCELED): then done is not
 * called. Any thread, never blocks. */
struct http_transfer *http_start(struct http_engine *h, const struct http_request *r, struct err *e) MUST_CHECK;
void http_transfer_unref(struct http_transfer *t);

/* Asks for its end: done follows with ERR_CANCELED unless it ended before. Any thread, never blocks. */
void http_cancel(struct http_transfer *t);

/* A header of the reply by name (any case); NULL when absent. Only valid in `data` and `done`. */
const char *http_reply_header(const struct http_transfer *t, const char *name);

/* Walks all reply headers, to collect a family such as x-amz-meta-*: start with *cursor = 0; false at the end. */
bool http_reply_header_next(const struct http_transfer *t, size_t *cursor, const char **name, const char **value);

/* Runs fn(arg) on the engine's thread after `delay_ms`. Used for retries. Never blocks. */
enum err_code http_engine_after(struct http_engine *h, unsigned delay_ms, void (*fn)(void *arg), void *arg,
                                struct err *e) MUST_CHECK;

/* Counters since the start. */
struct http_counters {
    uint64_t started, ended_ok, failed, bytes_in, bytes_out, connections;
    unsigned running, queued;
};
void http_engine_counters(struct http_engine *h, struct http_counters *out);

#endif
