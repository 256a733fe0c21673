/*
 * Which host a request goes to: AWS's own rules for S3 and the services of one host per region, or an endpoint that was
 * configured. Checked against the rules that the SDKs for Python evaluate.
 */
#ifndef AWS_ENDPOINT_H
#define AWS_ENDPOINT_H

#include "aws/client.h"
#include "aws/profile.h"
#include "aws/uri.h"
#include "awsfs/err.h"

#include <stdbool.h>

struct endpoint_query {
    const char *service; /* "s3", "ssm", "sts" */
    const char *region;  /* valid: see aws_region_valid() */
    const char *bucket;  /* NULL: none */
    const char *custom;  /* URL, or NULL for AWS's own */
    enum aws_addressing addressing;
    bool dualstack, fips;
};

struct endpoint {
    struct uri uri; /* with the bucket in its host or at the end of its path; the path is as on the wire */
    char authority[URI_HOST_MAX + 8]; /* "host" or "host:port", the Host header */
    bool custom;
    bool path_style; /* the bucket is in the path */
};

/* Pure. ERR_INVAL names the option that is wrong or contradicts another; ERR_UNSUPPORTED: kinds of buckets that need
 * rules of their own. */
enum err_code endpoint_resolve(const struct endpoint_query *q, struct endpoint *out, struct err *e) MUST_CHECK;

/* The configured endpoint: `option`, AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, endpoint_url of the service in the
 * profile's [services X] section, of the profile; NULL for AWS's own. All but the option are ignored where
 * ignore_configured_endpoint_urls (or AWS_IGNORE_CONFIGURED_ENDPOINT_URLS) is true. Borrowed from the arguments or the
 * environment. `why` (may be NULL) takes where it stands. */
enum err_code endpoint_configured(const struct profiles *p, const char *service, const char *option, const char **url,
                                  const char **why, struct err *e) MUST_CHECK;

/* Whether a name can be a bucket's at all: 1 to 255 of a-z A-Z 0-9 . - _, and not "." or "..". ERR_INVAL says what is
 * wrong. */
enum err_code bucket_name_check(const char *name, struct err *e) MUST_CHECK;

/* Both are regions of one partition (aws, aws-cn, ...), which share no accounts and no names. */
bool region_same_partition(const char *a, const char *b);

#endif
