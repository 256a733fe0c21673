/*
 * All buckets of an account as one store: a key is "bucket/rest". The first level holds buckets only (STORE_CONTAINERS);
 * what is below is given to a store of that bucket, made when it is first used and kept until the end.
 */
#ifndef BACKENDS_BUCKETS_H
#define BACKENDS_BUCKETS_H

#include "awsfs/store.h"

struct aws_client;

struct buckets_options {
    const struct store_caps *caps; /* what a bucket's store can do; copied */
    bool read_only;
    bool anonymous; /* nobody's buckets cannot be listed: their names are looked up only */

    /* A client for one bucket, freed here with aws_client_free(). `region` is where it is, or NULL: not known. */
    struct aws_client *(*client_for)(void *arg, const char *bucket, const char *region, struct err *e);
    /* The store of a bucket on its client, which outlives it; freed here with store_free(). Once for a bucket. */
    struct store *(*store_for)(void *arg, struct aws_client *client, const char *bucket, struct err *e);
    /* Both may be called from any thread, for several buckets at once, with no lock held; they send nothing. */
    void *arg;
};

/* `client` is one without a bucket; it outlives the store, and so does what `o` points to for the callbacks. No request is
 * sent. ERR_NOMEM. */
struct store *buckets_store_new(struct aws_client *client, const struct buckets_options *o, struct err *e);

#endif
