/*
 * What `awsfs check` tries in a bucket, and what the answers mean. Nothing tried lasts: objects are named by a random
 * scratch name and written under a condition that never holds; an upload is begun only where it may be aborted.
 */
#ifndef S3_CHECK_H
#define S3_CHECK_H

#include "awsfs/check.h"
#include "backends/s3/impl.h"

enum s3_try {
    S3_TRY_LIST,
    S3_TRY_READ,   /* GET of the scratch name */
    S3_TRY_THERE,  /* GET of the first byte of an object that is there */
    S3_TRY_DELETE, /* with If-Match */
    S3_TRY_ABORT,  /* of an upload that was never begun */
    S3_TRY_PARTS,  /* ListParts of such an upload */
    S3_TRY_GET_TAGS,
    S3_TRY_PUT,    /* with If-Match */
    S3_TRY_CREATE, /* CreateMultipartUpload, aborted at once */
    S3_TRY_PUT_TAGS,
    S3_TRIES
};

/* What came of one. */
struct s3_outcome {
    bool tried;
    enum err_code code;
    int status; /* 0: no answer */
    unsigned unanswered;
    char error[64];                     /* <Code> */
    char action[CHECK_ACTION_SIZE];     /* that the server names as missing; "" */
    char resource[CHECK_RESOURCE_SIZE]; /* that it names with it; "" */
    bool express;                       /* the server says that a policy forbids it */
    char version_id[256];               /* of what was made or marked as deleted; "" */
    bool delete_marker;                 /* a DELETE left one */
    bool echoes_checksum;               /* CreateMultipartUpload: the server takes part in the checksums */
    bool refused_checksum;
    char upload_id[STORE_ID_SIZE]; /* that is still to be aborted; "" */
    char msg[ERR_MSG_SIZE];
};

enum { S3_SCRATCH_SIZE = 48, S3_CHECK_ATTEMPTS = 4 };

/* All that the trials share. */
struct s3_check {
    struct s3_store *s;
    struct s3_outcome o[S3_TRIES];
    char scratch[S3_SCRATCH_SIZE]; /* for what cannot make an object */
    char made[S3_SCRATCH_SIZE], tagged[S3_SCRATCH_SIZE], upload[S3_SCRATCH_SIZE];
    char *there;  /* key of an object that is there; NULL: none is known */
    bool guarded; /* nothing could be deleted afterwards: the PUT is given a digest that is not right */
    struct check_report *report;
    char left[ERR_MSG_SIZE]; /* what could not be removed */
};

/* The action that "... is not authorized to perform: ACTION on resource: ARN ..." names, and the resource; "" without.
 * Pure; only what has the form of an action and of an ARN is taken. */
void s3_denial_parse(const char *message, char action[CHECK_ACTION_SIZE], char resource[CHECK_RESOURCE_SIZE]);

/* What the answer says about the permission that `what` needs. Whoever may not list is told 403 instead of 404, so what
 * hides an absence is UNKNOWN then (`may_list`). Pure. */
enum check_verdict s3_allowed(enum s3_try what, const struct s3_outcome *o, bool may_list);

/* The rows of `o`, by enum s3_try. Pure but for `left` (text about what could not be removed; ""). */
void s3_check_rows(const struct s3_store *s, const struct s3_outcome o[S3_TRIES], const char *left, bool read_only,
                   struct check_report *out);

/* Whether something was, or may have been, made; and removes it, noting in `left` what it cannot. For trials_run(). */
bool s3_check_must_clean(const struct s3_check *c);
void s3_check_clean(void *check, const struct store_call *call);

/* store_try(). */
enum err_code s3_check(void *impl, const struct check_limits *limits, struct check_report *out,
                       struct err *e) MUST_CHECK;

#endif
