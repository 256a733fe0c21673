/*
 * What the files of the HTTP engine share; private to src/net, and the only header here that shows libcurl.
 *
 * A transfer: WAITING (for its turn) -> RUNNING (libcurl has it) -> ENDED. http_start() posts it to the engine's
 * thread; everything after that happens there, so only the task queue has a lock (LOCK_NET). A running transfer's phase
 * decides which limit holds: CONNECT (connect_ms) -> SEND (stall_ms) -> REPLY (first_byte_ms) -> RECEIVE (stall_ms); a
 * connection that libcurl replaces (see transfer_ready in http_progress.c) starts again at CONNECT.
 */
#ifndef NET_HTTP_INTERNAL_H
#define NET_HTTP_INTERNAL_H

#include "net/due.h"
#include "net/http.h"
#include "util/buf.h"
#include "util/lock.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

/* Work for the engine's thread, in the caller's storage. */
struct task {
    void (*fn)(void *arg);
    void *arg;
    TAILQ_ENTRY(task) link;
    bool queued; /* under the engine's lock */
};

TAILQ_HEAD(task_list, task);
TAILQ_HEAD(transfer_list, http_transfer);

/* What the environment says, read once. Strings are owned; NULL where nothing is said. */
struct http_env {
    char *ca_file, *ca_dir;
    char *plain_proxy; /* HTTP_PROXY in capitals, which libcurl itself does not read */
};

struct http_engine {
    _Atomic unsigned refs; /* the owner's and one for each transfer: it outlives both */

    /* Constant once the thread runs. */
    unsigned max_parallel, max_slow, connect_ms, first_byte_ms, stall_ms;
    bool insecure_tls;
    char *user_agent;
    struct http_env env;
    CURLM *multi;
    pthread_t thread;

    struct lock lock; /* holds: tasks, woken, stop, closed */
    struct task_list tasks;
    bool woken;  /* a wake-up is on its way */
    bool stop;   /* http_engine_free() was called */
    bool closed; /* nothing can be posted any more */

    /* The engine's thread only. */
    struct due_heap due;
    struct transfer_list waiting[2][HTTP_SHARES], running; /* waiting[0] is urgent */
    CURL **idle;                                           /* easy handles to be used again, at most max_parallel */
    unsigned idle_n, running_n;
    unsigned running_of[HTTP_SHARES]; /* their sum is running_n */
    uint64_t turns;                   /* given out so far */
    uint64_t now_ms;                  /* at the beginning of this turn of the loop */
    uint64_t moved_ms;                /* when a body byte of any transfer moved last */
    bool draining;                    /* ending: every transfer is canceled */
    int *sockets;                     /* those that libcurl has open */
    unsigned sockets_n, sockets_cap;

    _Atomic uint64_t started, ended_ok, failed, bytes_in, bytes_out, connections;
    _Atomic unsigned count_running, count_queued;
};

enum transfer_state { TRANSFER_WAITING, TRANSFER_RUNNING, TRANSFER_ENDED };
enum transfer_phase { PHASE_CONNECT, PHASE_SEND, PHASE_REPLY, PHASE_RECEIVE };

struct progress {
    enum transfer_phase phase;
    struct due due;
    uint64_t moved_ms;      /* the last sign of life, of any kind */
    uint64_t body_moved_ms; /* when a body byte moved last, or its turn came; 0 while waiting */
    uint64_t body_at;       /* the offset of the next byte to be read from the body */
    uint64_t body_sent;     /* what went into the socket */
    long mark;              /* request bytes sent before the present connection was ready */
    bool ready;             /* a connection was ready at least once */
    bool sent;
    int unsent; /* bytes in the socket's send queue when last looked; -1: not yet */
    int local_port, remote_port;
    char remote_ip[INET6_ADDRSTRLEN];
};

struct reply {
    int status; /* of the last status line, also 1xx; 0 before */
    bool ended; /* the final header block is complete */
    bool has_length, chunked;
    uint64_t length;
    size_t header_bytes; /* of all blocks and trailers */
    struct buf headers;  /* NAME NUL VALUE NUL ... */
    struct buf body;
    uint64_t received;
};

struct http_transfer {
    _Atomic unsigned refs;
    struct http_engine *h; /* referenced */

    /* Constant after http_start(). */
    struct http_request req; /* its url, headers and body are copied to: */
    char *url, *authority;
    struct curl_slist *headers;
    struct http_body body; /* size 0 where there is none */
    struct task start_task, cancel_task;

    /* The engine's thread only. */
    enum transfer_state state;
    TAILQ_ENTRY(http_transfer) link;
    uint64_t turn; /* among those that wait: by arrival */
    CURL *easy;
    char curl_msg[CURL_ERROR_SIZE];
    struct progress progress;
    struct reply reply;
    struct err err; /* what we decided ourselves; goes before libcurl's result */
};

/* ---- http.c ---- */

void engine_unref(struct http_engine *h);

/* ---- http_env.c ---- */

/* Reads the environment; `ca_bundle` may be NULL and goes before it. ERR_INVAL when that file cannot be read. */
enum err_code http_env_init(struct http_env *env, const char *ca_bundle, struct err *e) MUST_CHECK;
void http_env_release(struct http_env *env);

/* Sets TLS verification and proxies of one transfer. */
CURLcode http_env_apply(const struct http_transfer *t);

/* ---- http_loop.c ---- */

/* The thread's main function. */
void *engine_main(void *engine);

/* Queues a task, in order; does nothing when it is queued already. False when the engine has ended: it will not run.
 * Any thread, never blocks. */
enum post { POST_DONE, POST_ALREADY, POST_CLOSED };
enum post engine_post(struct http_engine *h, struct task *task);

/* Takes it out again if it is still queued. The engine's thread. */
void engine_unpost(struct http_engine *h, struct task *task);

/* The start_task and cancel_task of a transfer. */
void transfer_enqueue(void *transfer);
void transfer_cancel(void *transfer);

/* ---- http_transfer.c: the engine's thread ---- */

/* Gives it to libcurl. On failure t->err is set. */
enum err_code transfer_begin(struct http_transfer *t) MUST_CHECK;

/* Sets t->err to what libcurl's result and our own findings come to. */
void transfer_outcome(struct http_transfer *t, CURLcode rc);

/* Ends it with t->err (ERR_OK there: a complete reply) and calls done. */
void transfer_finish(struct http_transfer *t);

/* ---- http_progress.c: the engine's thread ---- */

void progress_start(struct http_transfer *t);

/* A sign of life; `body`: of a body byte, in either direction. */
void progress_moved(struct http_transfer *t, bool body);
void progress_phase(struct http_transfer *t, enum transfer_phase phase);

/* Takes the last values from libcurl; call before the easy handle is reset. */
void progress_end(struct http_transfer *t);

/* The last time at which a body byte of `t` moved or, while it waits for its turn, one of any transfer. 0: never. */
uint64_t transfer_alive_ms(const struct http_transfer *t);

/* libcurl's callbacks: a connection is ready for the request; counters of body bytes. */
int transfer_ready(void *transfer, char *remote_ip, char *local_ip, int remote_port, int local_port);
int transfer_progress(void *transfer, curl_off_t dl_total, curl_off_t dl_now, curl_off_t ul_total, curl_off_t ul_now);

/* ---- http_socket.c: the engine's thread ---- */

curl_socket_t socket_open(void *engine, curlsocktype purpose, struct curl_sockaddr *addr);
int socket_close(void *engine, curl_socket_t fd);

/* Bytes in the send queue of the transfer's connection, which the peer has not acknowledged; -1 when unknown. */
int socket_unsent(const struct http_transfer *t);

/* ---- http_reply.c: the engine's thread ---- */

void reply_init(struct reply *r, size_t max_body, bool secret);
void reply_release(struct reply *r);

/* Forgets the headers of an earlier attempt. */
void reply_restart(struct reply *r);

/* Takes one line of the header block, with its line end. ERR_PROTO: too much of it, or it contradicts itself. */
enum err_code reply_line(struct reply *r, const char *p, size_t len, struct err *e) MUST_CHECK;

#endif
