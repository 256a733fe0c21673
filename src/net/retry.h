/*
 * What decides when a request is tried again; private to src/net. Times are given, not taken, so that tests need no
 * clock. A budget of NULL stands for one without limits. All functions are thread-safe and never block for long
 * (LOCK_NET_RETRY).
 */
#ifndef NET_RETRY_H
#define NET_RETRY_H

#include "net/exchange.h"

#define RETRY_MAX_MS 20000u

/* Takes what a retry costs: 5, after a time-out 10. Returns the tokens taken; 0 when there are not enough. */
unsigned retry_take(struct retry_budget *b, bool timed_out);

/* An exchange succeeded: gives back what its last retry took, at least 1. */
void retry_succeeded(struct retry_budget *b, unsigned taken, uint64_t now_ms);

unsigned retry_tokens(struct retry_budget *b);

/* The server asked to slow down: from now on attempts start at 0.7 of the rate at which they went, which then grows
 * again (CUBIC, as in the SDKs' adaptive mode); 30 s without another such answer end it. */
void retry_throttled(struct retry_budget *b, uint64_t now_ms);

/* Reserves the start of an attempt. Returns how long to wait for it in ms, at most RETRY_MAX_MS; 0 until a first
 * throttle. */
unsigned retry_pace_ms(struct retry_budget *b, uint64_t now_ms);

/* What the server's headers ask for, in ms: Retry-After (seconds, or a date relative to `date`, its own Date, else to
 * `now_s`), x-amz-retry-after (ms, held between `own_ms` and 5 s more). Each may be NULL. Never less than `own_ms`. */
unsigned retry_hint_ms(unsigned own_ms, const char *retry_after, const char *amz_retry_after, const char *date,
                       int64_t now_s);

#endif
