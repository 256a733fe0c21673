/*
 * An object's headers and its metadata. Properties (struct store_meta's props) of an object are:
 *
 *   content-type, cache-control, content-encoding, content-disposition, content-language, expires, website-redirect
 *                          as the headers of those names
 *   storage-class          always set when a reply told the object ("STANDARD" where the header is absent), so its
 * presence says that the rest is known too sse, sse-kms-key-id, sse-bucket-key    encryption; sse is "c" for SSE-C and "none" where the
 * reply told none tagging-count, version-id sha512                 128 hex digits: x-amz-meta-awsimple-sha512, a hint,
 * or what the server computed checksum-sha512        128 hex digits that the server computed over the whole object
 *   checksum-crc32, checksum-crc32c, checksum-crc64nvme, checksum-sha1, checksum-sha256
 *                          base64 of what the server computed over the whole object, or BASE64-N: over the sums of its N parts
 *   symlink-target         geesefs: the target of an empty object that is a symbolic link
 *   aws-posix              "1": carries the AWS family's POSIX attributes, which are kept up to date
 *   meta.NAME              other user metadata, decoded
 *   xattr.NAME             stored extended attributes that are not user.*
 */
#ifndef S3_HEADERS_H
#define S3_HEADERS_H

#include "awsfs/store.h"
#include "backends/s3/params.h"

/* Metadata from the headers of a HEAD or GET; `key` decides between file and directory where nothing else does. Values
 * that are malformed are left out. Pure. ERR_NOMEM, ERR_TOO_BIG. */
enum err_code s3_meta_read(const struct params *headers, const char *key, struct store_meta **out,
                           struct err *e) MUST_CHECK;

/* Last-Modified has whole seconds and is of the request's beginning: two of the same second, of which the later one is still under
 * way when the first is seen, cannot be told apart. A put or a copy onto itself takes less than S3_SETTLE_S and a second for each
 * S3_SETTLE_BYTES of the object; what is older is settled. */
#define S3_SETTLE_S     3
#define S3_SETTLE_BYTES (16ull << 20)

/* ETag (without quotes), size and Last-Modified. `size` is Content-Range's total where there is one, else
 * Content-Length. ERR_PROTO when one is missing or malformed. */
enum err_code s3_version_read(const struct params *headers, struct store_version *out, struct err *e) MUST_CHECK;

/* Copies an ETag without quotes and W/. False when empty or too long. */
bool s3_etag_copy(char out[STORE_ETAG_SIZE], const char *etag);

/* "bytes FIRST-LAST/TOTAL". False when it is nothing like that. */
bool s3_content_range(const char *s, uint64_t *first, uint64_t *last, uint64_t *total);

enum {
    S3_WRITE_SAME_BYTES = 1, /* what describes the bytes goes along */
};

/* Appends what a PUT, CopyObject or CreateMultipartUpload sends for this metadata: content headers and user metadata,
 * but not storage class, encryption, tags and ACL. `meta` may be NULL. ERR_NOSPC when the user metadata are more than
 * S3 holds (2 KB); the hash of the bytes, which is only a hint, is left out where that makes them fit. */
enum err_code s3_meta_write(const struct store_meta *meta, const char *key, const uint8_t *sha512, unsigned flags,
                            struct params *out, struct err *e) MUST_CHECK;

/* True for a NAME of meta.NAME that holds what this filesystem keeps as attributes. */
bool s3_meta_is_reserved(const char *name);

#endif
