/* The S3 backend: a bucket, or the part of it below a prefix, as a store. */
#ifndef BACKENDS_S3_H
#define BACKENDS_S3_H

#include "awsfs/store.h"

struct aws_client;

enum s3_sse { S3_SSE_DEFAULT, S3_SSE_S3, S3_SSE_KMS, S3_SSE_C };

enum { S3_SSE_C_KEY = 32 };

struct s3_options {
    const char *bucket;
    const char *prefix; /* "" or "path/": keys of the store are below it */
    bool requester_pays;
    enum s3_sse sse;           /* for new objects; others keep theirs */
    const char *sse_kms_key;   /* NULL: the bucket's or the account's default key */
    const uint8_t *sse_c_key;    /* S3_SSE_C_KEY bytes, copied into secret memory; with S3_SSE_C only */
    const char *storage_class; /* for new objects; NULL: the bucket's default */
    const char *acl;           /* canned ACL for new objects; NULL: none sent */
    bool read_only;
    const char *servers_dir; /* private; what servers can do is remembered there. NULL: nowhere */
    uint64_t copy_max; /* bytes of the largest object copied in one request, at least 5 MiB; 0: 5 GiB */
};

/* The client outlives the store. No request is sent. ERR_INVAL names the option. */
struct store *s3_store_new(struct aws_client *client, const struct s3_options *o, struct err *e);

/* What the store of a whole general purpose bucket can do; without a name. */
void s3_bucket_caps(struct store_caps *out);

#endif
