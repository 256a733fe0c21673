/*
 * How fast requests may follow one another: a token bucket whose rate gives way when the service throttles (halved) and
 * comes back slowly (additive), because the quota belongs to the whole account and others use it too. Pure in time: the
 * clock is passed in, in ms, and must not go back. Not thread-safe.
 *
 * Invariant: tokens <= burst; 0 < pace <= full. Tokens may be negative: taken in advance by those who wait for their
 * turn.
 */
#ifndef SSM_RATE_H
#define SSM_RATE_H

#include <stdint.h>

struct rate {
    double full;  /* requests a second when nobody throttles */
    double pace;  /* and now */
    double burst; /* tokens at most */
    double tokens;
    uint64_t at_ms;     /* of `tokens` */
    uint64_t slowed_ms; /* when `pace` was halved last; 0: never */
};

/* A full bucket. */
void rate_init(struct rate *r, unsigned per_second, unsigned burst, uint64_t now_ms);

/* Takes a token; returns how many ms to wait before it may be used. */
uint64_t rate_take(struct rate *r, uint64_t now_ms);

/* The same for who leaves half a burst to others: takes a token where more than that is left and returns 0, else takes none and
 * returns after how many ms (at least 1) to ask again. */
uint64_t rate_take_spare(struct rate *r, uint64_t now_ms);

/* Gives a token back that was not used. */
void rate_give_back(struct rate *r, uint64_t now_ms);

/* The service throttled a request: half the pace, and what was saved up is gone. Several within a second count as one:
 * they were under way together. */
void rate_throttled(struct rate *r, uint64_t now_ms);

#endif
