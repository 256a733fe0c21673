/* What files that read replies share. */
#ifndef SSM_REPLIES_IMPL_H
#define SSM_REPLIES_IMPL_H

#include "backends/ssm/replies.h"

struct json;
struct json_doc;

/* A reply that has a list under `name`: `list` is in `doc`, which is the caller's to free. ERR_PROTO, ERR_NOMEM. */
enum err_code ssm_parse_list(const char *reply, size_t len, const char *name, struct json_doc **doc,
                             const struct json **list, struct err *e) MUST_CHECK;

/* One parameter with its value, wherever it stands in a reply. ERR_PROTO, ERR_NOMEM. */
enum err_code ssm_parse_one(const struct json *v, struct ssm_param *out, struct err *e) MUST_CHECK;

/* The reply's NextToken: NULL when there is none (absent, null or ""). */
enum err_code ssm_parse_token(const struct json *root, char **out, struct err *e) MUST_CHECK;

#endif
