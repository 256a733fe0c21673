/*
 * Extended attributes in one header, x-amz-meta-xattr, as s3fs writes it: urlencode({"name":"base64",...}), names
 * sorted and not escaped. And text in headers: values that are not ASCII, as RFC 2047 words. Pure.
 */
#ifndef S3_XATTR_H
#define S3_XATTR_H

#include "awsfs/store.h"
#include "util/buf.h"

/* Adds what the header holds to `m`: user.* as extended attributes, other names as properties "xattr.NAME" so that they
 * are carried along. A part that is malformed ends the reading; what was read stays. ERR_NOMEM, ERR_TOO_BIG only. */
enum err_code s3_xattr_read(const char *value, struct store_meta *m, struct err *e) MUST_CHECK;

/* Appends the header's value; nothing when there are none. */
void s3_xattr_write(const struct store_meta *m, struct buf *out);

/* Appends a header value decoded: RFC 2047 words in UTF-8 (as S3 answers) become text, anything else stays as it is. */
void s3_text_decode(const char *value, struct buf *out);

/* Appends text as a header value: printable ASCII as it is, other UTF-8 as one RFC 2047 word. What is not UTF-8 stays
 * as it is: it came so from a server. */
void s3_text_encode(const char *text, size_t len, struct buf *out);

#endif
