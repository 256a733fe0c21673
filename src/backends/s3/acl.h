/* An AccessControlPolicy as text, one grant a line: `GRANTEE PERMISSION` with GRANTEE id="..." or uri="...". Pure. */
#ifndef S3_ACL_H
#define S3_ACL_H

#include "backends/s3/params.h"
#include "util/buf.h"

/* Appends the text of a GetObjectAcl reply. *is_default: nobody but the owner has a grant. ERR_PROTO. */
enum err_code s3_acl_parse(const char *xml, size_t len, struct buf *out, bool *is_default, struct err *e) MUST_CHECK;

/* Adds x-amz-grant-* for such a text, or x-amz-acl when it is the name of a canned ACL. ERR_INVAL. */
enum err_code s3_acl_headers(const char *text, struct params *out, struct err *e) MUST_CHECK;

#endif
