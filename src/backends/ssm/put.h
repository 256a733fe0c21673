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
    /* What a new parameter is to be like; NULL: as the options say. An existing one keeps what it has. */
    const struct ssm_described *like;
};

/* Puts it. There is no conditional write in this API, so a condition is best effort: what is there is read first. An
 * equal value is not sent again: `out` is then the version that is there. When PutParameter's reply shows that somebody
 * else wrote between that read and the write, the write stands, a warning is logged, and the other's value is the
 * version before it (name@N). A write without an answer counts as done when the value is there. Errors as store_put().
 */
enum err_code put_job_run(struct put_job *job, struct store_version *out, struct err *e) MUST_CHECK;

#endif
