/* IAM Identity Center (SSO): what the two files of it share. */
#ifndef AWS_CREDS_SSO_H
#define AWS_CREDS_SSO_H

#include "aws/creds_source.h"
#include "util/buf.h"

enum { SSO_TIMEOUT_MS = 10000, SSO_ATTEMPTS = 3, SSO_PAUSE_MS = 500, SSO_REPLY_MAX = 65536 };

struct sso {
    const char *profile;
    const char *session; /* of [sso-session NAME]; NULL: the older form without one */
    const char *start_url, *region, *account, *role;
};

/* Appends the access token of the login: the cached one, refreshed before where it ends soon and can be (only sessions
 * can). ERR_AUTH says what to run. Blocks (disk, network). */
enum err_code sso_token(const struct creds_context *ctx, const struct sso *sso, struct buf *token,
                        struct err *e) MUST_CHECK;

/* Sets ERR_AUTH "WHAT: run ...". */
enum err_code sso_login_needed(const struct sso *sso, const char *what, struct err *e);

/* The URL of a service of IAM Identity Center: `id` as for endpoints, `prefix` of its host. */
enum err_code sso_url(const struct creds_context *ctx, const struct sso *sso, const char *id, const char *prefix,
                      struct buf *out, struct err *e) MUST_CHECK;

#endif
