/* The Parameter Store backend: the parameters below a path as a store. */
#ifndef BACKENDS_SSM_H
#define BACKENDS_SSM_H

#include "awsfs/store.h"

struct aws_client;

struct ssm_options {
    const char *path;      /* "/prod/app" or "/": keys of the store are below it */
    const char *type;      /* of new parameters: "SecureString" (NULL), "String", "StringList" */
    const char *key_id;    /* KMS key of new SecureStrings; NULL: the account's default */
    const char *tier;      /* "Standard" (NULL), "Advanced", "Intelligent-Tiering" */
    unsigned rate;         /* requests a second, bursts of 40; 0: 10 */
    bool read_only;
};

/* The client outlives the store. No request is sent. ERR_INVAL names the option. */
struct store *ssm_store_new(struct aws_client *client, const struct ssm_options *o, struct err *e);

#endif
