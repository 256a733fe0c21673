/*
 * Signed requests to one AWS service at one endpoint: builds the URL, signs each attempt, decodes errors, corrects the clock,
 * follows a bucket to its region, refreshes refused credentials. What a reply means beyond that is the caller's.
 */
#ifndef AWS_CLIENT_H
#define AWS_CLIENT_H

#include "aws/creds.h"
#include "aws/param.h"
#include "awsfs/err.h"
#include "net/exchange.h"
#include "util/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum aws_addressing { AWS_ADDRESSING_AUTO, AWS_ADDRESSING_PATH, AWS_ADDRESSING_VIRTUAL };

/* An option that need not be given: then environment and profile decide (aws/settings.h). */
enum aws_choice { AWS_AS_SET, AWS_YES, AWS_NO };

struct aws_client_config {
    const char *service;        /* "s3", "ssm", "sts": signing name and endpoint prefix */
    const char *endpoint;       /* URL, or NULL: AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the profile's, AWS's own */
    const char *region;         /* NULL: aws_region_find()'s */
    const char *bucket;         /* for s3: a name, or the ARN of an access point; NULL for others */
    const char *profile;
    enum aws_addressing addressing; /* AUTO: as the profile has it */
    enum aws_choice dualstack, fips;
    const char *session_sse;     /* of a directory bucket: x-amz-server-side-encryption of CreateSession; NULL: the bucket's */
    const char *session_sse_key; /* with "aws:kms": the key, which S3 wants named there; else NULL */
    unsigned timeout_ms;        /* design.md section 9: timeout=; 0: 60,000 */
    unsigned max_attempts;      /* 0: AWS_MAX_ATTEMPTS or the profile's, else no limit */
};

struct aws_client;

/* Strings are copied; engine and creds outlive it. ERR_INVAL names the option that is wrong. */
struct aws_client *aws_client_new(struct http_engine *engine, struct creds_provider *creds,
                                  const struct aws_client_config *config, struct err *e);
void aws_client_free(struct aws_client *c);
CLEANUP_DEFINE(struct aws_client, aws_client_free)

/* For messages: "https://host:port" and the region in use (which a redirect may have changed). Copied into `out`. */
void aws_client_endpoint(struct aws_client *c, char *out, size_t size);
void aws_client_region(struct aws_client *c, char *out, size_t size);

/* What was chosen and where that stands, for people: "eu-west-1", "AWS_REGION", "https://bucket.s3.eu-west-1.amazonaws.com",
 * "AWS's own". */
struct aws_client_why {
    char region[64], region_why[96];
    char endpoint[800], endpoint_why[96];
};

/* What it is now: a reply may have told another region. Any thread. */
void aws_client_why(struct aws_client *c, struct aws_client_why *out);

/* True for AWS's own endpoints, also where they were configured as an URL. */
bool aws_client_is_aws(struct aws_client *c);

/* True where requests go with the keys of a session (directory buckets): what is stored is then encrypted as that was asked for,
 * and requests other than copies may not ask for anything else. Source: S3's API reference, CreateSession and PutObject. */
bool aws_client_has_session(const struct aws_client *c);

/* With addressing=auto and an endpoint that was configured, which may want a bucket's name where others do not: puts it into the
 * host (`in_host`) or the path. False, and nothing changes, where it is there already, may not be moved or cannot. Not while
 * requests are under way. */
bool aws_client_move_bucket(struct aws_client *c, bool in_host);

/* The decoded reply. Borrowed for the callback. */
struct aws_reply {
    int status;
    const char *body; /* collected body (no sink, or an error), "" if there is none */
    size_t body_len;
    char error_code[64]; /* S3 <Code>, SSM __type without its prefix; "" if none */
    char request_id[64];
    unsigned attempts, unanswered; /* as in net/exchange.h */
    const struct http_transfer *transfer; /* for http_reply_header(); NULL where no reply was the answer (deadline, cancel) */
};

struct aws_request {
    enum http_method method;
    const char *what;              /* "GetObject", for messages and counters; static */
    const char *key;               /* object key, not encoded; NULL or "" for the bucket / service root */
    const struct aws_param *query; /* not encoded; ends with name NULL; may be NULL */
    const struct aws_param *headers; /* ends with name NULL; may be NULL; x-amz-* and all others are signed */
    const struct http_body *body;
    const char *body_sha256;       /* hex of the body; NULL: computed here when the body is at most 1 MiB in one read, else
                                      UNSIGNED-PAYLOAD over https or to a loopback address, and computed over other http */
    unsigned timeout_ms;           /* 0: the client's */
    unsigned first_byte_ms;        /* 0: the engine's; completes and copies use 300,000, which is then also how long an
                                      attempt under way may take beyond timeout_ms */
    bool slow;                     /* it may well take that long: has its turn among its like (HTTP_SLOW of net/http.h) */
    unsigned max_attempts;         /* 0: the client's */
    size_t reply_max;              /* collected reply; 0: 1 MiB */
    bool secret;                   /* body and reply hold secrets */
    bool urgent, once;
    bool xml_error_in_200;         /* a 200 whose body is an <Error> or no XML counts as 500 (copy, complete, DeleteObjects) */

    /* Called before each attempt to change headers, e.g. a Range that begins where the last attempt ended: `value` of the
     * given header may be replaced by a pointer that lives until done. May be NULL. Engine thread. */
    void (*before_attempt)(void *arg, unsigned attempt, struct aws_param *headers);
    /* Body bytes of a 2xx reply in order. `t` for its headers. False aborts. NULL: collected. Engine thread. */
    bool (*data)(void *arg, const struct http_transfer *t, int status, const void *p, size_t len);
    /* Told of each piece of a 2xx reply that is collected; those of an attempt follow its before_attempt(). NULL: nobody is. Engine
     * thread. */
    void (*part)(void *arg, const void *p, size_t len);
    /* Asked before a 2xx reply counts as success, and about one that data() aborted: ERR_PROTO here (short body, contradicting
     * header) makes it a retry. May be NULL. Engine thread. */
    enum err_code (*accept)(void *arg, const struct aws_reply *r, struct err *e);
    /* The end. `code`: ERR_OK for 2xx; else decoded by the tables of aws/errors.h. Engine thread. */
    void (*done)(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e);
    void *arg;
};

/* Starts; strings, headers and query are copied, body->arg and arg must live until done. Any thread, never blocks. */
enum err_code aws_send(struct aws_client *c, const struct aws_request *r, struct cancel *cancel, struct err *e) MUST_CHECK;

/* Sends, waits, and returns done's code; `r->done` may be NULL. Where a reply's body or headers are wanted, `done` copies
 * them. Not on the engine's thread. */
enum err_code aws_call(struct aws_client *c, const struct aws_request *r, struct cancel *cancel, struct err *e) MUST_CHECK;

/* A presigned GET URL (SigV4 in the query), valid for `seconds` (1 to 604,800). `query`: parameters that are signed along, as
 * in an aws_request; may be NULL. */
enum err_code aws_presign(struct aws_client *c, const char *key, const struct aws_param *query, unsigned seconds,
                          struct buf *out, struct err *e) MUST_CHECK;

/* The unsigned URL of a key. */
enum err_code aws_url(struct aws_client *c, const char *key, struct buf *out, struct err *e) MUST_CHECK;

/* Why the last attempt of a request was no answer (it is made again), or what it waits for before it can be made. False: it
 * was one, or none has ended yet. Any thread. */
bool aws_client_trouble(struct aws_client *c, struct err *out);

/* Requests by kind since the start, for status: calls fn(arg, what, count) for each. */
void aws_client_each_count(struct aws_client *c, void (*fn)(void *arg, const char *what, uint64_t count), void *arg);

#endif
