#include "aws/creds_source.h"

#include <stdio.h>

/* The keys that a profile has in one file. */
static enum err_code profile_keys(const struct profiles *p, enum profile_file file, const char *profile,
                                  struct creds **out, struct err *e)
{
    const char *id = profiles_get_from(p, file, profile, "aws_access_key_id");
    const char *secret = profiles_get_from(p, file, profile, "aws_secret_access_key");
    const char *token = profiles_get_from(p, file, profile, "aws_security_token");
    const char *path = profiles_path(p, file);
    struct err local = ERR_INIT;
    char source[96];

    if (profiles_unreadable(p, file))
        return err_set(e, ERR_ACCESS, "%s cannot be read", path);
    if (!id && *profiles_problem(p, file))
        return err_set(e, ERR_NOT_FOUND, "%s %s", path, profiles_problem(p, file));
    if (!id)
        return err_set(e, ERR_NOT_FOUND, "profile %s in %s has no aws_access_key_id", profile, path);
    if (!secret)
        return err_set(e, ERR_AUTH, "profile %s in %s has aws_access_key_id but no aws_secret_access_key", profile,
                       path);
    if (!token)
        token = profiles_get_from(p, file, profile, "aws_session_token");
    snprintf(source, sizeof(source), "profile %.30s of %s", profile, path);
    *out = creds_new(id, secret, token, 0, source, &local);
    return *out ? ERR_OK : err_copy(e, &local);
}

enum err_code creds_shared_file_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    return profile_keys(ctx->profiles, PROFILE_CREDENTIALS, ctx->profile, out, e);
}

enum err_code creds_config_file_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    return profile_keys(ctx->profiles, PROFILE_CONFIG, ctx->profile, out, e);
}
