/*
 * What environment and profile say about endpoints, retries and TLS beside region and URL. For each: the variable of
 * the environment, then the profile, then the default; options go before all of them, which is the caller's business.
 * docs/endpoints.md lists them.
 */
#ifndef AWS_SETTINGS_H
#define AWS_SETTINGS_H

#include "aws/client.h"
#include "aws/profile.h"
#include "awsfs/err.h"

#include <stdbool.h>

struct aws_settings {
    enum aws_addressing addressing; /* s3 = addressing_style */
    bool dualstack, fips, s3_dualstack, accelerate;
    bool foreign_arn_region; /* an ARN may name another region than the one configured (the default) */
    bool s3_global;          /* us-east-1 by its old host s3.amazonaws.com */
    bool sts_global;         /* sts.amazonaws.com for the regions that were there before regional endpoints */
    bool no_multi_region;    /* multi-region access points are not to be used */
    bool no_session;         /* directory buckets without CreateSession */
    unsigned max_attempts;   /* 0: not set */
    unsigned connect_ms;     /* of defaults_mode; 0: not set */
};

/* ERR_INVAL names the variable or the profile's key, its value and what is legal. Pure. */
enum err_code aws_settings_read(const struct profiles *p, struct aws_settings *out, struct err *e) MUST_CHECK;

/* Appends the path of the certificates to trust: AWS_CA_BUNDLE, the profile's ca_bundle, REQUESTS_CA_BUNDLE. Nothing where
 * none is set. */
void aws_settings_ca_bundle(const struct profiles *p, struct buf *out);

#endif
