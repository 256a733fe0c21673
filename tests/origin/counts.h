/* What was asked of the server: counters by kind and key, and the last requests. */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct request;

enum { LOG_SIZE = 10000 };

struct counts {
    json_t *by_kind;
    json_t *by_key;
    json_int_t total;
    json_int_t bytes_in;
    json_int_t bytes_out;
    json_int_t connections;
    json_int_t parallel;
    json_int_t max_parallel;
    json_int_t throttled; /* 503 for the rate of their prefix */
    uint64_t next_sequence;
    json_t *log[LOG_SIZE]; /* by sequence modulo LOG_SIZE */
};

void counts_init(struct counts *c);
void counts_release(struct counts *c);

/* "bucket/key", or "bucket/prefix" for listings, "bucket/" for other requests on a bucket, "" for the service.
 * The caller owns it. */
char *request_target(const struct request *r);

/* Counts and logs a request whose head was parsed; sets r->sequence. */
void counts_begin(struct counts *c, struct request *r);

/* The request is over, with status 0 when it got no reply; the bytes are those of the bodies received and sent. */
void counts_end(struct counts *c, const struct request *r, int status, uint64_t bytes_in, uint64_t bytes_out);

/* Zeroes the counters and empties the log; requests under way stay in parallel and max_parallel. */
void counts_reset(struct counts *c);

/* The replies of GET /-/counts and GET /-/log; the caller owns them. */
json_t *counts_json(const struct counts *c);
json_t *counts_log_json(const struct counts *c);
