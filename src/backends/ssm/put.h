/* Writing one parameter, for put and copy. */
#ifndef SSM_PUT_H
#define SSM_PUT_H

#include "awsfs/store.h"
#include "backends/ssm/names.h"

struct ssm;

struct put_job {
    struct ssm *s;
    const struct ssm_name *name;
    const char *value; /* secret memory */
    size_t len;
    const struct store_cond *cond;
    const struct store_call *call;
    const struct store_meta *meta; /* what was prepared for a new one; NULL: nothing */
    /* What a new parameter is to be like; NULL: as the options say. An existing one keeps what it has. */
    const struct ssm_described *like;
    const char *tags_of; /* a parameter whose tags a new one gets; NULL: none */
    bool policies; /* those of `like` replace what there is; an overwrite keeps them otherwise */
};

/* Puts the value of version `base` once more, as `job->like` says: a new version. */
enum err_code put_job_again(struct put_job *job, int64_t base, struct store_version *out, struct err *e) MUST_CHECK;

/* Puts it. There is no conditional write in this API, so a condition is best effort: what is there is read first. An
 * equal value is not sent again: `out` is then the version that is there. When PutParameter's reply shows that somebody
 * else wrote between that read and the write, the write stands, a warning is logged, and the other's value is the
 * version before it (name@N). A write without an answer counts as done when the value is there. Errors as store_put().
 */
enum err_code put_job_run(struct put_job *job, struct store_version *out, struct err *e) MUST_CHECK;

#endif
