/* What was asked of the server: counters by kind and key, and the last requests. */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "ops.h"
#include "ranges.h"

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
    json_int_t open; /* connections */
    json_int_t max_open;
    struct {
        json_int_t bytes_out, parallel, max_parallel;
    } kinds[OP_COUNT];
    struct ranges ranges;
    json_int_t throttled; /* 503 for the rate of their prefix */
    uint64_t next_sequence;
    json_t *log[LOG_SIZE]; /* by sequence modulo LOG_SIZE */
};

void counts_init(struct counts *c);
void counts_release(struct counts *c);

/* "bucket/key", "ssm:/name" for a parameter or path, "ssm:/one,/two" for several, or "bucket/prefix" for listings, "bucket/" for other requests on a bucket, "" for the service.
 * The caller owns it. */
char *request_target(const struct request *r);

/* Counts and logs a request whose head was parsed; sets r->sequence. */
void counts_begin(struct counts *c, struct request *r);

/* A connection sends its first request; one that did is closed. */
void counts_connected(struct counts *c);
void counts_disconnected(struct counts *c);

/* Notes that a GetObject is answered with these bytes of the object. */
void counts_range(struct counts *c, const struct request *r, uint64_t offset, uint64_t length);

/* The request is over, with status 0 when it got no reply; the bytes are those of the bodies received and sent. */
void counts_end(struct counts *c, const struct request *r, int status, uint64_t bytes_in, uint64_t bytes_out);

/* Zeroes the counters and empties the log; what is under way stays in parallel and open, and in their
 * greatest values. */
void counts_reset(struct counts *c);

/* The replies of GET /-/counts and GET /-/log; the caller owns them. */
json_t *counts_json(const struct counts *c);
json_t *counts_log_json(const struct counts *c);
