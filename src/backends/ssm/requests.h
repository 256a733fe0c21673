/* The JSON bodies of requests, appended to a buffer. Pure; any thread. What was not encodable shows in buf_check(). */
#ifndef SSM_REQUESTS_H
#define SSM_REQUESTS_H

#include "util/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SSM_PAGE_MAX  10 /* parameters of a GetParametersByPath, and names of a DeleteParameters */
#define SSM_TAGS_MAX  50 /* of a parameter */
#define SSM_TOKEN_MAX 8192
#define SSM_BODY_MAX  (128 << 10)

/* `path` "" is the root; `token` NULL: from the beginning. */
void ssm_request_by_path(struct buf *out, const char *path, unsigned max, bool decrypt, const char *token);

/* The first page, with or without decryption: what may be listed and what may be decrypted are permissions of their own. */
void ssm_request_page(struct buf *out, const char *path, unsigned max, bool decrypt);

/* `name` may have a selector. `decrypt` false: of a SecureString the cipher text. */
void ssm_request_get(struct buf *out, const char *name, bool decrypt);

/* At most SSM_PAGE_MAX names, decrypted; each may have a selector. */
void ssm_request_get_many(struct buf *out, const char *const *names, size_t n, bool decrypt);

/* `token` NULL: from the beginning. */
void ssm_request_history(struct buf *out, const char *name, unsigned max, bool decrypt, const char *token);

/* Of LabelParameterVersion and UnlabelParameterVersion. */
void ssm_request_labels(struct buf *out, const char *name, int64_t number, const char *const *labels, size_t n);

/* Of one name; `token` NULL: from the beginning. */
void ssm_request_describe(struct buf *out, const char *name, const char *token);

/* Of all below `path` ("": of all), `max` a page. */
void ssm_request_describe_below(struct buf *out, const char *path, unsigned max, const char *token);

struct ssm_put {
    const char *name;
    const void *value;
    size_t len;
    bool overwrite;
    const char *type; /* what follows is not sent when NULL or "" */
    const char *key_id;
    const char *tier;
    const char *data_type;
    const char *description;
    const char *allowed_pattern;
    const char *policies;
    bool tell_empty; /* description and pattern are sent also when "", which takes away what there was */
};
void ssm_request_put(struct buf *out, const struct ssm_put *p);

void ssm_request_delete(struct buf *out, const char *name);
void ssm_request_delete_many(struct buf *out, const char *const *names, size_t n);

struct ssm_tags;
void ssm_request_tags(struct buf *out, const char *name);
void ssm_request_add_tags(struct buf *out, const char *name, const struct ssm_tags *tags);
void ssm_request_remove_tag(struct buf *out, const char *name, const char *tag);

#endif
