/* What `awsfs check` tries in a Parameter Store, and what the answers mean. */
#ifndef SSM_CHECK_H
#define SSM_CHECK_H

#include "awsfs/check.h"

#include <stdint.h>

enum ssm_try {
    SSM_TRY_PAGE,   /* GetParametersByPath with values decrypted, as a mount lists */
    /* Of a name that is not there: */
    SSM_TRY_GET,
    SSM_TRY_GET_MANY,
    SSM_TRY_HISTORY,
    SSM_TRY_TAGS,
    SSM_TRY_TAG,
    SSM_TRY_UNTAG,
    SSM_TRY_DELETE,
    SSM_TRY_DELETE_MANY,
    SSM_TRY_DESCRIBE,
    SSM_TRY_RECEIVE, /* of the queue with changes */
    SSM_TRY_FORGET,
    SSM_TRY_PAGE_PLAIN, /* without decryption; where the first was refused */
    SSM_TRY_ROOT,       /* GetParameter of the path itself; likewise */
    SSM_TRY_LABEL,      /* of a version that a name that is there has not */
    SSM_TRY_UNLABEL,
    SSM_TRY_PUT,        /* without Overwrite, onto a name that is there */
    SSM_TRY_ENCRYPT,    /* likewise, of a SecureString */
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

/* Whether values may be encrypted: told where a put of a SecureString is refused that is not refused of a String. The service may
 * find that the name exists before it asks for the key: then nothing tells. Pure. */
enum check_verdict ssm_encrypt_verdict(const struct ssm_outcome o[SSM_TRIES]);

/* How a mount would be. */
struct ssm_check_mount {
    const char *path; /* "" is the root */
    const char *queue; /* URL; NULL: none is watched */
    enum check_need writes;   /* what rows about writing mean for it */
    enum check_need describe; /* and what DescribeParameters does: without it a SecureString can be overwritten only with ssm_key= */
};

/* The rows of `o`, by enum ssm_try. Pure. */
void ssm_check_rows(const struct ssm_outcome o[SSM_TRIES], const struct ssm_check_mount *m, struct check_report *out);

/* store_try(). */
enum err_code ssm_check_try(void *impl, const struct check_limits *limits, struct check_report *out,
                            struct err *e) MUST_CHECK;

#endif
