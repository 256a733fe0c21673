/* What the S3 operations share. Every op_* performs one operation on a request whose bucket and key are those
 * of the operation's scope (not NULL), with the whole payload received, and fills the reply. */
#pragma once
#include <stdbool.h>

#include "server.h"

#define DECLARE_OP(name) enum op_result op_##name(struct server *s, struct request *r, struct reply *p);
S3_OPERATIONS(DECLARE_OP)
#undef DECLARE_OP

/* True when an If-Match or If-None-Match list names the ETag, with or without quotes, or is "*". */
bool etag_listed(const char *list, const char *etag);

enum cond { COND_TRUE, COND_NOT_MODIFIED, COND_FAILED };

/* The conditions of GET and HEAD on an object; those of x-amz-copy-source-if-* (never COND_NOT_MODIFIED). */
enum cond cond_read(const struct request *r, const struct object *o);
enum cond cond_copy_source(const struct request *r, const struct object *o);

/* The conditions of a write on the present object (NULL: none): NULL, or the error code. */
const char *cond_write(const struct request *r, const struct object *present);

/* Looks the request's bucket or object up; NULL after putting NoSuchBucket or NoSuchKey into p. */
struct bucket *need_bucket(struct server *s, const struct request *r, struct reply *p);
struct object *need_object(struct server *s, const struct request *r, struct reply *p);

/* need_object for operations that change the object they find. */
struct object *need_own_object(struct server *s, const struct request *r, struct reply *p);

/* Looks the copy source of the request up and evaluates its conditions; NULL after putting the error into p. */
struct object *need_copy_source(struct server *s, const struct request *r, struct reply *p);

/* Verifies payload against Content-MD5, x-amz-content-sha256 and x-amz-checksum-*; *alg becomes the algorithm
 * whose value the client sent (SUM_ALGS for none). False after putting the error into p. */
bool verify_payload(const struct request *r, struct reply *p, enum sum_alg *alg);

/* The checksum header of the request: its algorithm (SUM_ALGS for none) and value. False when there are several
 * or one that is not supported, after putting the error into p. */
bool checksum_header(const struct request *r, struct reply *p, enum sum_alg *alg, const char **value);

/* Takes content headers, metadata, encryption, storage class, tags and ACL from the request into o. False after
 * putting the error into p. */
bool object_from_headers(struct server *s, const struct request *r, struct object *o, struct reply *p);
bool take_metadata(const struct request *r, struct object *o, struct reply *p);
bool take_tagging_header(const struct request *r, struct object *o, struct reply *p);
bool take_storage_and_acl(struct server *s, const struct request *r, struct object *o, struct reply *p);
/* The encryption headers alone. */
bool take_encryption(const struct request *r, struct object *o, struct reply *p);

/* Reads x-amz-acl and x-amz-grant-* into grants. False with the error in p. */
bool take_acl_headers(struct server *s, const struct request *r, struct attrs *grants, struct reply *p);

/* At most 10 tags, keys of 1 to 128 characters that differ, values of at most 256. */
bool tags_valid(const struct attrs *tags);

/* The ownership setting that holds for the bucket. */
const char *bucket_ownership(const struct server *s, const struct bucket *b);

/* The ETag to tell the client: the object's, or the fault's lie. */
const char *told_etag(const struct request *r, const char *etag);

/* Headers of an object's checksum, of its encryption. */
void reply_checksum(struct reply *p, const struct checksum *c);
void reply_encryption(struct reply *p, const struct object *o);

/* "2026-01-31T12:00:00.000Z" into 32 bytes. */
void iso_date(time_t t, char *out);

/* A fresh 32-digit hexadecimal identifier, 33 bytes with its NUL. */
void fresh_id(struct server *s, char *out);

/* The whole payload as text, owned by the caller; NULL when it exceeds 4 MiB. */
char *payload_text(const struct request *r);

/* Asks for checksums of a body unless all are known or it is a large synthetic one (whose MD5 then becomes
 * a stand-in). True when the operation must answer OP_AGAIN. */
bool need_sums(struct request *r, struct body *b, unsigned want);
