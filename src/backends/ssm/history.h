/* Versions of a parameter, with what belongs to each. Calls block as ssm_call() does, and take no lock. */
#ifndef SSM_HISTORY_H
#define SSM_HISTORY_H

#include "awsfs/store.h"
#include "backends/ssm/replies.h"

struct ssm;

#define SSM_HISTORY_PAGE 50
#define SSM_LABELS_MAX   10 /* of one version */
#define SSM_LABELS_BYTES 2048
#define SSM_TOLD         5
#define SSM_TOLD_BYTES   4096

struct ssm_version {
    struct ssm_param param;
    char *labels;         /* "a,b"; NULL: none */
    char *told[SSM_TOLD]; /* NULL where there is nothing; ssm_version_told() */
};
void ssm_version_release(struct ssm_version *v);

struct ssm_history {
    struct ssm_version *versions; /* in no order */
    size_t n;
    char *next; /* the service's token; NULL at the end */
};
void ssm_history_release(struct ssm_history *h);

/* Of GetParameterHistory. Pure. ERR_PROTO. */
enum err_code ssm_parse_history(const char *reply, size_t len, struct ssm_history *out, struct err *e) MUST_CHECK;

/* One version. ERR_NOT_FOUND also where the parameter is there and has no such version. Up to 2 requests. */
enum err_code ssm_history_find(struct ssm *s, const char *name, int64_t number, const struct store_call *call,
                               struct ssm_version *out, struct err *e) MUST_CHECK;

/* "labels", "tier", "key_id", "description", "allowed_pattern", "last_modified_user"; borrowed, NULL: not told. */
const char *ssm_version_told(const struct ssm_version *v, const char *name);

/* store_list() below "NAME@history/". Nothing, where there is no such parameter. */
enum err_code ssm_history_list(struct ssm *s, const struct store_list *l, const struct store_call *call,
                               struct store_page *out, struct err *e) MUST_CHECK;

#endif
