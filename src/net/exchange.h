/*
 * One request with its retries: the only place that decides when to try again. The caller says how an attempt looks
 * (prepare: sign anew, ask for the rest of a range) and what a reply means (judge); this module keeps the deadline, the
 * back-off and the retry tokens. Attempts go on until the deadline; the tokens slow them down and never end them.
 *
 * States: WAITING (for its time) -> RUNNING (a transfer is under way) -> WAITING | ENDED. Cancel leads to ENDED from any.
 *
 * The deadline counts while no byte moves: every byte of a body that is delivered, or taken for the first time, starts it
 * again. While a body is sent once more, a reply is collected, or the transfer waits for its turn and others get on, it
 * stands still.
 *
 * Where the server may be silent for long (`patience_ms`), that is granted to the attempts under way, not to trying again:
 * new ones are started until `timeout_ms` after the first was answered or failed.
 */
#ifndef NET_EXCHANGE_H
#define NET_EXCHANGE_H

#include "net/http.h"

struct cancel;

enum verdict {
    VERDICT_DONE,      /* the reply is the answer (also where it says 404): done() gets ERR_OK or what judge() put in `e` */
    VERDICT_RETRY,     /* transient: try again after back-off */
    VERDICT_THROTTLED, /* the server asked to slow down: longer back-off, and the shared pace slows */
    VERDICT_AGAIN,     /* something was learnt (clock offset, region, fresh credentials): once more, at once; at most 4 times,
                          then as VERDICT_RETRY */
};

struct exchange_ops {
    /* Fills `out` (but data/done/arg, which this module sets from `data` below). Strings must live until the next prepare or
     * done. `attempt` counts from 1. ERR_AGAIN: not possible yet (credentials are being fetched), ask again soon. Any other
     * error ends the exchange with it. Engine thread. */
    enum err_code (*prepare)(void *arg, unsigned attempt, struct http_request *out, struct err *e);

    /* Body bytes of a 2xx reply; NULL: collected. Returns false to abort. Engine thread. */
    bool (*data)(void *arg, const struct http_transfer *t, int status, const void *p, size_t len);

    /* Told of each piece of a 2xx reply's body that is collected; the pieces of one attempt follow its prepare(). NULL: nobody is.
     * Engine thread. */
    void (*part)(void *arg, const void *p, size_t len);

    /* Decides about a reply or a failed transfer (r->code != ERR_OK). `r` and what it points to live for the call and, with
     * VERDICT_DONE, until done() has returned, so that done() may use it. With VERDICT_DONE, `e` says the outcome (left at ERR_OK
     * for success); with the others, `e` says what the error will be if the deadline comes first (a time-out or 5xx becomes
     * ERR_TIMEOUT or ERR_IO with that message). Engine thread. */
    enum verdict (*judge)(void *arg, const struct http_reply_view *r, struct err *e);

    /* The end, exactly once. `unanswered` counts attempts that may have been executed although no answer came that says so (a
     * cut connection, a time-out, a 500, 502 or 504): a following 412 or 404 may be our own doing. Engine thread. */
    void (*done)(void *arg, enum err_code code, unsigned attempts, unsigned unanswered, const struct err *e);
};

struct exchange_limits {
    unsigned timeout_ms;    /* 0: 60,000 */
    unsigned patience_ms;   /* how long attempts under way may take in all where that is more than timeout_ms; 0: no longer */
    unsigned max_attempts;  /* 0: no limit (the user's AWS_MAX_ATTEMPTS otherwise) */
    bool once;              /* never repeated (probes) */
};

/* Retry tokens and pace shared by all exchanges with one service; thread-safe. As in the SDKs' standard mode: 500 tokens, a
 * retry costs 5 (10 after a time-out), success refunds; without tokens the delay is the maximum (20 s) instead of none. */
struct retry_budget;
struct retry_budget *retry_budget_new(void);
void retry_budget_free(struct retry_budget *b);
CLEANUP_DEFINE(struct retry_budget, retry_budget_free)

/* The delay in ms before attempt `attempt` (2, 3, ...), without Retry-After: random in [0, min(2^(attempt-2), 20) s), so that those who
 * were refused together do not come back together. `random` is uniform in [0, 2^32). Pure. */
unsigned retry_delay_ms(unsigned attempt, uint32_t random);

/* Starts. `ops` must be static; `limits` is copied; `budget` must outlive it (NULL: none); `cancel` may be NULL (its firing
 * ends the exchange with ERR_CANCELED). Any thread, never blocks. On an error nothing was started and done is not called. */
enum err_code exchange_start(struct http_engine *h, struct retry_budget *budget, const struct exchange_ops *ops, void *arg,
                             const struct exchange_limits *limits, struct cancel *cancel, struct err *e) MUST_CHECK;

/* The same, and waits for the end (after done has returned). Not on the engine's thread. Returns done's code. */
enum err_code exchange_run(struct http_engine *h, struct retry_budget *budget, const struct exchange_ops *ops, void *arg,
                           const struct exchange_limits *limits, struct cancel *cancel, struct err *e) MUST_CHECK;

#endif
