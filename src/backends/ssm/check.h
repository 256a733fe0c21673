/* What `awsfs check` tries in a Parameter Store, and what the answers mean. */
#ifndef SSM_CHECK_H
#define SSM_CHECK_H

#include "awsfs/check.h"

#include <stdint.h>

enum ssm_try {
    SSM_TRY_PAGE,   /* GetParametersByPath with values decrypted, as a mount lists */
    SSM_TRY_GET,    /* GetParameter of a name that is not there */
    SSM_TRY_DELETE, /* of such a name */
    SSM_TRY_DELETE_MANY,
    SSM_TRY_DESCRIBE,
    SSM_TRY_PAGE_PLAIN, /* without decryption; where the first was refused */
    SSM_TRY_ROOT,       /* GetParameter of the path itself; likewise */
    SSM_TRY_PUT,        /* without Overwrite, onto a name that is there */
    SSM_TRY_SECRET,     /* GetParameter of a SecureString that is there, decrypted */
    SSM_TRIES
};

struct ssm_outcome {
    bool tried;
    enum err_code code;
    int status;   /* 0: no answer */
    bool secrets; /* of a page: it has SecureStrings */
    char msg[ERR_MSG_SIZE];
};

/* What an answer says about its own permission: everything but a refusal comes after the authorization. Pure. */
enum check_verdict ssm_verdict(const struct ssm_outcome *o);

/* Whether values may be decrypted. Refusals do not say whether they are about the parameter or about its key: what is
 * allowed without decryption and not with it lacks the key. Pure. */
enum check_verdict ssm_decrypt_verdict(const struct ssm_outcome o[SSM_TRIES]);

/* The rows of `o`, by enum ssm_try. `path` "" is the root. `writes` is what rows about writing mean for a mount,
 * `describe` what DescribeParameters does: without it a SecureString can be overwritten only where ssm_key= is given.
 * Pure. */
void ssm_check_rows(const struct ssm_outcome o[SSM_TRIES], const char *path, enum check_need writes,
                    enum check_need describe, struct check_report *out);

/* store_try(). */
enum err_code ssm_check_try(void *impl, const struct check_limits *limits, struct check_report *out,
                            struct err *e) MUST_CHECK;

#endif
