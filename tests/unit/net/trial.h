/*
 * Exchanges with a server that follows a script, one step a request. One server, engine and budget at a time:
 * trial_begin() makes them, trial_finish() ends them.
 */
#ifndef TESTS_NET_TRIAL_H
#define TESTS_NET_TRIAL_H

#include "client.h"
#include "net/exchange.h"
#include "server.h"

/* Steps of a script beside statuses. */
enum { CLOSE = -1, HANG = -2, TRICKLE = -3, CUT = -4, SLOW = -5 };

/* The last step is repeated. */
struct script {
    int steps[10];
    const char *header; /* of every reply that is not 200, with its line end */
};

/* One exchange, its ends and what it was asked. */
struct trial {
    char url[128];
    enum http_method method;
    const struct http_body *body;
    unsigned first_byte_ms;
    unsigned not_yet; /* so many times prepare says ERR_AGAIN; the last time `refusal`, if set */
    enum err_code refusal;
    bool refuse_data;
    unsigned prepared, judged;

    pthread_mutex_t lock; /* holds the rest */
    pthread_cond_t cond;
    unsigned ended, attempts, unanswered;
    enum err_code code, seen; /* seen: the code of the last transfer */
    char msg[ERR_MSG_SIZE];
    size_t received;
};

extern struct server *server;
extern struct http_engine *engine;
extern struct retry_budget *budget;

/* Bodies are collected, or go to a receiver. */
extern const struct exchange_ops collecting, streaming;

void trial_begin(struct script s, struct http_config config);
void trial_finish(void);
void trial_init(struct trial *t);
void trial_start(struct trial *t, const struct exchange_ops *ops, struct exchange_limits limits, struct cancel *cancel);
void trial_wait(struct trial *t);

/* Starts, waits, and returns how long it took in ms. */
uint64_t trial_run(struct trial *t, const struct exchange_ops *ops, struct exchange_limits limits);

#endif
