/* STS: one role's credentials. Private to the credentials' files. */
#ifndef AWS_CREDS_STS_H
#define AWS_CREDS_STS_H

#include "aws/creds_source.h"
#include "aws/param.h"

struct sts_call {
    const char *action; /* "AssumeRole", "AssumeRoleWithWebIdentity" */
    const char *role_arn;
    const char *session_name;     /* NULL: one is made up */
    const struct aws_param *form; /* more parameters; those without value are left out; ends with name NULL */
    struct creds *with;           /* signs; NULL: not signed */
    const char *label;            /* of the set, for people */
};

/* Blocks, at most 20 s. The expiry is by our clock, also where that is wrong. Never ERR_NOT_FOUND. */
enum err_code sts_assume(const struct creds_context *ctx, const struct sts_call *call, struct creds **out,
                         struct err *e) MUST_CHECK;

#endif
