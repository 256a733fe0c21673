/* Labels, and what else belongs to one version, as extended attributes. Calls block as ssm_call() does. */
#ifndef SSM_LABELS_H
#define SSM_LABELS_H

#include "awsfs/store.h"

struct buf;
struct ssm;

/* True for "labels" and "label.NAME". */
bool labels_known(const char *name);

/* "labels": those of the version that the key stands for, "a,b". "label.NAME": the number of the version of that label.
 * `number` is the version's where it is known (else 0). ERR_NO_ATTR. Up to 3 requests. */
enum err_code labels_get(struct ssm *s, const char *key, const char *property, int64_t number, const struct store_call *call,
                         struct buf *out, struct err *e) MUST_CHECK;

/* Makes them what `value` says; NULL: removes them. ERR_INVAL before any request for what is no label or no version. */
enum err_code labels_set(struct ssm *s, const char *key, const char *property, const char *value, size_t len,
                         const struct store_call *call, struct err *e) MUST_CHECK;

/* ssm_version_told() of the version that the key stands for; `number` as above. ERR_NO_ATTR. Up to 3 requests. */
enum err_code version_told(struct ssm *s, const char *key, const char *property, int64_t number, const struct store_call *call,
                           struct buf *out, struct err *e) MUST_CHECK;

#endif
