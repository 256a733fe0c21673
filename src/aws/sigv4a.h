/*
 * AWS Signature Version 4A: a signature for several regions, which multi-region access points want. The canonical
 * request is that of Version 4 with the header X-Amz-Region-Set; the key is an ECDSA pair on P-256 derived from the
 * secret access key. Checked against the vectors that AWS publishes with its C implementation (aws-c-auth).
 */
#ifndef AWS_SIGV4A_H
#define AWS_SIGV4A_H

#include "aws/sigv4.h"
#include "util/ecdsa.h"

/* The key pair of an access key: a key derivation in counter mode (NIST SP 800-108) with HMAC-SHA-256. */
struct ecdsa_key *sigv4a_key(const struct sigv4_key *k, struct err *e);

/* The string to sign; `s->region` does not matter. */
enum err_code sigv4a_string_to_sign(const struct buf *canonical, const struct sigv4_scope *s, struct buf *out,
                                    struct err *e) MUST_CHECK;

/* The value of the Authorization header. X-Amz-Date with the time of `s` and X-Amz-Region-Set ("*" or a list of
 * regions) must be among the headers. */
enum err_code sigv4a_authorization(const struct sigv4_request *r, const struct sigv4_key *k,
                                   const struct sigv4_scope *s, struct buf *out, struct err *e) MUST_CHECK;

#endif
