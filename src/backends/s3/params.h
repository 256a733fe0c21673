/* A growing list of name and value pairs: request headers or query parameters to be sent, or the headers of a reply.
 * Bounded; an addition that fails marks the list, and builders check once, at the end. */
#ifndef S3_PARAMS_H
#define S3_PARAMS_H

#include "aws/client.h"

struct params {
    struct aws_param *items; /* ends with a NULL name once something was added */
    size_t n, cap, bytes;
    enum err_code failed;
};

/* Both are copied; `value` may be NULL (see struct aws_param). A name longer than 256 bytes, more than 256 pairs or 128
 * KiB in all mark the list as failed with ERR_TOO_BIG. */
void params_add(struct params *p, const char *name, const char *value);
void params_addf(struct params *p, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The first value of that name in any case, or NULL. */
const char *params_get(const struct params *p, const char *name);

/* For an aws_request. Borrowed. Never NULL. */
const struct aws_param *params_list(const struct params *p);

enum err_code params_check(const struct params *p, const char *what, struct err *e) MUST_CHECK;
void params_release(struct params *p);

#define PARAMS(name) CLEANUP_RELEASE(params_release) struct params name = {0}

#endif
