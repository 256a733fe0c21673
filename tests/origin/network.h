/* What lies between client and server: latency, bandwidth, and the rate of requests that a prefix bears. All of it is
 * off until the control endpoint sets it. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"

struct map;

/* What one connection or all of them may send at a rate: booked is the time at which all that was granted is through.
 */
struct pace {
    uint64_t booked_ns;
};

/* Requests that match have this latency and rate. */
struct network_rule {
    char *kind;
    char *key;
    uint64_t latency_ns;
    uint64_t connection_bps;
};

struct network {
    json_t *given; /* what GET /-/network answers */
    uint64_t latency_ns;
    uint64_t connect_ns;
    uint64_t connection_bps;
    uint64_t total_bps;
    uint64_t gets_per_s;
    uint64_t puts_per_s;
    uint64_t burst;
    struct network_rule *rules;
    size_t rule_count;
    struct pace total;
    struct map *prefixes; /* prefix to the requests it still bears */
};

/* One request's share. bps 0: no limit of its own. */
struct network_plan {
    uint64_t latency_ns;
    uint64_t bps;
    bool throttled; /* its prefix bears no more: 503 SlowDown */
};

/* Starts without any limit; frees all; returns to no limit. */
void network_init(struct network *n);
void network_release(struct network *n);
void network_clear(struct network *n);

/* Sets what is given for all, or, with "key" or "kind", adds a rule. NULL, or a static text that says what is wrong. */
const char *network_set(struct network *n, const json_t *in);

/* What was set; the caller owns it. */
json_t *network_json(const struct network *n);

/* Decides for a request that arrives now, counting it against the rate of its prefix. */
void network_select(struct network *n, const struct fault_target *about, bool reads, uint64_t now_ns,
                    struct network_plan *plan);

/* True when bodies are sent in grants. */
bool network_paces(const struct network *n, uint64_t bps);

/* Books the next piece of at most left bytes: returns its size, and in *at_ns the time at which it may be sent. */
uint64_t network_grant(struct network *n, struct pace *own, uint64_t bps, uint64_t left, uint64_t now_ns,
                       uint64_t *at_ns);
