/*
 * What the service's replies say, from their bytes: bounded, and refused (ERR_PROTO) when a member is missing or is not
 * what it must be. Values are in secret memory, and no error text has any of a reply's contents. Pure; any thread.
 * util/json.h wants json_init() once at the start of the process.
 */
#ifndef SSM_REPLIES_H
#define SSM_REPLIES_H

#include "awsfs/err.h"
#include "backends/ssm/requests.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One parameter with its value. */
struct ssm_param {
    char *name;
    char *type;
    char *arn;       /* "" when not told */
    char *data_type; /* "" when not told */
    char *selector;  /* ":3"; "" without */
    char *value;     /* secret memory, with a NUL behind it; NULL: of a reply that has no values */
    size_t len;
    bool sealed; /* its value is not told: `value` is "" */
    int64_t version;
    int64_t modified_ms; /* UTC since the epoch; 0 when not told */
};

/* Frees what it holds and zeroes it. */
void ssm_param_release(struct ssm_param *p);

/* Forgets the value, which is cipher text. */
void ssm_param_seal(struct ssm_param *p);

/* Of GetParameter. */
enum err_code ssm_parse_param(const char *reply, size_t len, struct ssm_param *out, struct err *e) MUST_CHECK;

struct ssm_page {
    struct ssm_param params[SSM_PAGE_MAX];
    size_t n;
    char *next; /* NULL at the end */
};
void ssm_page_release(struct ssm_page *p);

/* Of GetParametersByPath. */
enum err_code ssm_parse_page(const char *reply, size_t len, struct ssm_page *out, struct err *e) MUST_CHECK;

/* Of DescribeParameters, all that it lists: they are sealed, their `value` is NULL. */
enum err_code ssm_parse_names(const char *reply, size_t len, struct ssm_page *out, struct err *e) MUST_CHECK;

/* Of PutParameter: the version that the value now has. */
enum err_code ssm_parse_put(const char *reply, size_t len, int64_t *version, struct err *e) MUST_CHECK;

/* What is known of one version of a parameter beside its value; strings are "" when not told. */
struct ssm_described {
    int64_t version;
    char *type;
    char *tier;
    char *key_id;
    char *data_type;
    char *description;
    char *allowed_pattern;
    char *policies; /* a JSON array of policies; "" for none */
    char *user; /* who changed it last */
};
void ssm_described_free(struct ssm_described *d);
CLEANUP_DEFINE(struct ssm_described, ssm_described_free)

/* An own copy, NULL without memory (or of NULL). */
struct ssm_described *ssm_described_copy(const struct ssm_described *d);

/* Of DescribeParameters: the one that is called `name`. NULL in `out` when the page does not have it; *next is the next
 * page's token or NULL. */
enum err_code ssm_parse_described(const char *reply, size_t len, const char *name, struct ssm_described **out,
                                  char **next, struct err *e) MUST_CHECK;

struct ssm_tag {
    char *key, *value;
};
struct ssm_tags {
    struct ssm_tag tags[SSM_TAGS_MAX];
    size_t n;
};
void ssm_tags_release(struct ssm_tags *t);

/* Of ListTagsForResource. */
enum err_code ssm_parse_tags(const char *reply, size_t len, struct ssm_tags *out, struct err *e) MUST_CHECK;

/* Of DeleteParameters: sets gone[i] for each of the names that the reply has, as deleted or as not there. */
enum err_code ssm_parse_deleted(const char *reply, size_t len, const char *const *names, size_t n, bool *gone,
                                struct err *e) MUST_CHECK;

#endif
