/* Who one is for AWS: STS GetCallerIdentity, which needs no permission. */
#ifndef AWS_IDENTITY_H
#define AWS_IDENTITY_H

#include "awsfs/err.h"

#include <stddef.h>
#include <time.h>

struct aws_client;
struct cancel;

struct aws_identity {
    char account[16]; /* 12 digits */
    time_t server_time; /* UTC, of the reply; 0: not told */
    char arn[256];    /* "arn:aws:iam::123456789012:user/alice" */
};

/* Asks. `sts` is a client for service "sts". Blocks at most `timeout_ms`, less once `cancel` (may be NULL) fires; not
 * on the HTTP engine's thread. ERR_PROTO: not an answer of STS; the errors of aws_call(). */
enum err_code aws_identity_get(struct aws_client *sts, unsigned timeout_ms, struct cancel *cancel,
                               struct aws_identity *out, struct err *e) MUST_CHECK;

/* The reply's body. ERR_PROTO: malformed, or an account or ARN that has not the form of one. Pure. */
enum err_code aws_identity_parse(const char *body, size_t len, struct aws_identity *out, struct err *e) MUST_CHECK;

#endif
