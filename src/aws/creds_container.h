/* Where a container asks for its credentials. Private to the credentials' files. */
#ifndef AWS_CREDS_CONTAINER_H
#define AWS_CREDS_CONTAINER_H

#include "awsfs/err.h"
#include "util/buf.h"

/* The URL to ask, appended: `relative` (or NULL) below http://169.254.170.2, else `full`. Pure. ERR_INVAL: not of that
 * form, or plain HTTP to a host that is neither the machine itself nor one of AWS's link-local addresses, since the
 * answer is a secret and the request may carry one. */
enum err_code creds_container_url(const char *relative, const char *full, struct buf *out, struct err *e) MUST_CHECK;

#endif
