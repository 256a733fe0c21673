#include "aws/creds_source.h"

#include "util/clock.h"

static const char *session_token(void)
{
    const char *token = env_get("AWS_SECURITY_TOKEN");

    return token ? token : env_get("AWS_SESSION_TOKEN");
}

enum err_code creds_env_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    const char *id = env_get("AWS_ACCESS_KEY_ID"), *secret = env_get("AWS_SECRET_ACCESS_KEY");
    const char *expiration = env_get("AWS_CREDENTIAL_EXPIRATION");
    struct timespec expires = {0};
    struct err local = ERR_INIT;

    if (!ctx->use_env)
        return err_set(e, ERR_NOT_FOUND, "not asked, profile= is given");
    if (!id)
        return err_set(e, ERR_NOT_FOUND, "AWS_ACCESS_KEY_ID is not set");
    if (!secret)
        return err_set(e, ERR_AUTH, "AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not");
    if (expiration && !time_parse_iso8601(expiration, &expires))
        return err_set(e, ERR_INVAL, "AWS_CREDENTIAL_EXPIRATION is no ISO 8601 time");
    *out = creds_new(id, secret, session_token(), expires.tv_sec, "environment (AWS_ACCESS_KEY_ID)", &local);
    return *out ? ERR_OK : err_copy(e, &local);
}
