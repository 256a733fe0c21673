/*
 * AWS Signature Version 4, in headers and in the query. Pure: the clock, the credentials and the region come from
 * outside. S3 signs the path as it is on the wire; all other services normalise it and encode it once more (a service
 * whose name begins with "s3" decides).
 */
#ifndef AWS_SIGV4_H
#define AWS_SIGV4_H

#include "aws/param.h"
#include "awsfs/err.h"
#include "util/buf.h"

#include <time.h>

#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"

enum { SIGV4_HEADERS_MAX = 256, SIGV4_CANONICAL_MAX = 1 << 20 };

struct sigv4_request {
    const char *method;
    const char *path;              /* as on the wire, begins with '/' */
    const struct aws_param *query; /* not encoded; may be NULL */
    const struct aws_param
        *headers;        /* with Host; those that must not be signed are left out here; value NULL: not sent */
    const char *payload; /* hex SHA-256 of the body, or SIGV4_UNSIGNED */
};

struct sigv4_key {
    const char *access_key_id;
    const char *secret_access_key;
    const char *session_token; /* NULL if there is none; for headers the caller sends X-Amz-Security-Token itself */
};

struct sigv4_scope {
    const char *region, *service;
    time_t when; /* UTC */
};

/* The canonical request to `out` and "host;x-amz-date" to `signed_headers`. */
enum err_code sigv4_canonical(const struct sigv4_request *r, const struct sigv4_scope *s, struct buf *out,
                              struct buf *signed_headers, struct err *e) MUST_CHECK;

enum err_code sigv4_string_to_sign(const struct buf *canonical, const struct sigv4_scope *s, struct buf *out,
                                   struct err *e) MUST_CHECK;

/* The value of the Authorization header. X-Amz-Date must be among the headers with the time of `s`. */
enum err_code sigv4_authorization(const struct sigv4_request *r, const struct sigv4_key *k, const struct sigv4_scope *s,
                                  struct buf *out, struct err *e) MUST_CHECK;

/* The complete query of a presigned URL, without '?': r->query, the X-Amz-* parameters, the signature at the end.
 * ERR_INVAL unless `seconds` is 1 to 604,800. */
enum err_code sigv4_presign(const struct sigv4_request *r, const struct sigv4_key *k, const struct sigv4_scope *s,
                            unsigned seconds, struct buf *out, struct err *e) MUST_CHECK;

#endif
