/*
 * The Parameter Store backend: the parameters below a path as a store. A key is the rest of a parameter's name; "KEY@3" and
 * "KEY@LABEL" are one of its versions, read only. What differs from a store of objects:
 *
 * - A listing brings the values, ten a request, in order only inside a page (STORE_UNORDERED). The service has no delimiter:
 *   one is applied to each page of the whole subtree, so a common prefix may come again on a later page.
 * - Conditions are best effort, for the service has none but "must not exist": what is there is read first, and a write of
 *   others that falls between that and ours is overwritten, logged, and kept by the service as the version before ours.
 * - An equal value is not written again. An overwrite keeps type, key, tier, data type, description and allowed pattern; a
 *   copy to a new name takes them along. Tags and policies are not copied.
 * - A name or value that the service would refuse costs no request; a read of such a name is ERR_NOT_FOUND.
 * - No mode, owner, time or user attribute is kept: `meta` of a put is ignored.
 * - All requests share one rate limit. A wait for it is part of the call's time-out (60 s where the call names none), so a call
 *   may end with ERR_THROTTLED before it sent anything.
 *
 * Values are kept in secret memory (util/secret.h). util/json.h's json_init() must have been called once, before any reply.
 */
#ifndef BACKENDS_SSM_H
#define BACKENDS_SSM_H

#include "awsfs/store.h"

struct aws_client;

/* What becomes of a newline at the end of a value. The sizes that the store tells and takes are those of the bytes shown.
 * KEEP: values are exact. CHOMP: one newline at the end of what is put is not stored. ADD: likewise, and a value that does
 * not end in a newline is shown with one: what is shown may be put again and leaves the value as it is. */
enum ssm_newline { SSM_NEWLINE_KEEP, SSM_NEWLINE_CHOMP, SSM_NEWLINE_ADD };

struct ssm_options {
    const char *path;      /* "/prod/app" or "/": keys of the store are below it */
    const char *type;      /* of new parameters: "SecureString" (NULL), "String", "StringList" */
    const char *key_id;    /* KMS key of new SecureStrings; NULL: the account's default */
    const char *tier;      /* "Standard" (NULL), "Advanced", "Intelligent-Tiering" */
    const char *rules;     /* "GLOB:TYPE GLOB:TYPE": the type of new parameters by their names; NULL: none */
    const char *queue;     /* URL of an SQS queue with "Parameter Store Change" events, for this store alone; NULL: none */
    struct aws_client *queue_client; /* for service "sqs"; outlives the store */
    bool seal;             /* SecureStrings are decrypted for those who open them (stat with `unseal`), not listed with their values */
    bool rename_copy;      /* hierarchies are renamed also where that loses older versions */
    unsigned rate;         /* requests a second, bursts of 40; 0: 10 */
    enum ssm_newline newline;
    bool read_only;
};

/* `client` is for service "ssm", and outlives the store; options are copied. No request is sent. NULL: ERR_INVAL names the
 * option, ERR_NOMEM. */
struct store *ssm_store_new(struct aws_client *client, const struct ssm_options *o, struct err *e);

#endif
