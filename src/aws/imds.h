/*
 * The metadata service of an EC2 instance, version 2 with the fallback to version 1 that the SDKs have. All questions
 * of one `struct imds` together take at most IMDS_TOTAL_MS, so that a machine without the service is not slow.
 */
#ifndef AWS_IMDS_H
#define AWS_IMDS_H

#include "aws/profile.h"
#include "awsfs/err.h"
#include "util/buf.h"

#include <stdint.h>

enum { IMDS_TOTAL_MS = 2000, IMDS_REPLY_MAX = 65536 };

struct http_engine;
struct cancel;

struct imds {
    struct http_engine *engine;
    struct cancel *cancel; /* may be NULL */
    char base[600];        /* "http://169.254.169.254", without a slash at the end */
    bool v1_allowed;
    unsigned attempt_ms, attempts;
    uint64_t deadline_ms;
    bool asked_token;
    struct buf token; /* empty: version 1 */
};

/* In the caller's storage; release it. Reads the settings, asks nothing. ERR_NOT_FOUND: switched off by
 * AWS_EC2_METADATA_DISABLED. ERR_INVAL: a malformed endpoint setting. The 2 s begin here. */
enum err_code imds_init(struct imds *m, struct http_engine *engine, const struct profiles *profiles,
                        struct cancel *cancel, struct err *e) MUST_CHECK;
void imds_release(struct imds *m);

/* GET of `path` ("latest/meta-data/..."), appended to `out` on status 200. Blocks. ERR_NOT_FOUND: there is no such
 * service or no such path; else why it did not answer. */
enum err_code imds_get(struct imds *m, const char *path, struct buf *out, struct err *e) MUST_CHECK;

#endif
