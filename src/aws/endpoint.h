/*
 * Which host a request goes to: AWS's own rules for S3 and the services of one host per region, or an endpoint that was
 * configured. Checked against the rules that the SDKs for Python evaluate.
 */
#ifndef AWS_ENDPOINT_H
#define AWS_ENDPOINT_H

#include "aws/client.h"
#include "aws/profile.h"
#include "aws/region.h"
#include "aws/uri.h"
#include "awsfs/err.h"

#include <stdbool.h>

struct endpoint_query {
    const char *service; /* "s3", "ssm", "sts" */
    const char *region;  /* valid: see aws_region_valid() */
    const char *bucket;  /* its name, or the ARN of an access point; NULL: none */
    const char *custom;  /* URL, or NULL for AWS's own */
    enum aws_addressing addressing;
    bool addressing_asked; /* by option: what it does not fit is an error, where the SDKs ignore the profile's */
    bool dualstack, fips, accelerate;
    bool global;            /* the old hosts of one name for many regions: s3.amazonaws.com, sts.amazonaws.com */
    bool own_region_only;   /* an ARN of another region is an error */
    bool no_multi_region, no_session;
};

struct endpoint {
    struct uri uri; /* with the bucket in its host or at the end of its path; the path is as on the wire */
    char authority[URI_HOST_MAX + 8]; /* "host" or "host:port", the Host header */
    bool custom;
    bool path_style; /* the bucket is in the path */
    bool fixed;      /* of one region for good: an access point, a directory bucket */
    bool sigv4a;     /* to be signed for all regions */
    bool session;    /* a directory bucket, which wants keys of CreateSession */
    char region[AWS_REGION_SIZE]; /* to sign for */
    char signing_name[24];        /* "s3", "s3express", "ssm" */
};

/* Pure. ERR_INVAL names the option that is wrong or contradicts another; ERR_UNSUPPORTED: a kind of access point that is
 * none of those above. */
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

/* A directory bucket (or its access point): "NAME--ZONE--x-s3". */
bool bucket_is_directory(const char *name);

/* "aws", "aws-cn", "aws-us-gov", ...: what an ARN of that region begins with behind "arn:". Static. */
const char *region_partition(const char *region);

/* Both are regions of one partition (aws, aws-cn, ...), which share no accounts and no names. */
bool region_same_partition(const char *a, const char *b);

#endif
