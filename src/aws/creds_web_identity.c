#include "aws/creds_sts.h"

#include "aws/secret_file.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { TOKEN_MAX = 20000 };

static const char *find(const struct creds_context *ctx, const char *variable, const char *key)
{
    const char *value = ctx->use_env ? env_get(variable) : NULL;

    return value ? value : creds_setting(ctx, key);
}

/* Read anew every time: whoever runs the machine puts a fresh token there before the old one expires. */
static enum err_code read_token(const char *path, struct buf *token, struct err *e)
{
    struct err local = ERR_INIT;
    enum err_code code = secret_file_read(path, false, token, &local);

    if (code)
        return err_set(e, ERR_AUTH, "web_identity_token_file: %s", local.msg);
    while (token->len && isspace((unsigned char)token->data[token->len - 1]))
        token->data[--token->len] = '\0';
    if (!token->len || token->len > TOKEN_MAX || strlen(token->data) != token->len)
        return err_set(e, ERR_AUTH, "web_identity_token_file: %s holds no token", path);
    return ERR_OK;
}

enum err_code creds_web_identity_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    const char *path = find(ctx, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
    const char *role = find(ctx, "AWS_ROLE_ARN", "role_arn");
    BUF_SECRET(token, SECRET_FILE_MAX);
    char label[96];

    if (!path)
        return err_set(e, ERR_NOT_FOUND, "%sprofile %s has no web_identity_token_file",
                       ctx->use_env ? "AWS_WEB_IDENTITY_TOKEN_FILE is not set, and " : "", ctx->profile);
    if (!role)
        return err_set(e, ERR_INVAL, "there is a web identity token file but no role: set AWS_ROLE_ARN or role_arn");
    enum err_code code = read_token(path, &token, e);
    if (code)
        return code;
    snprintf(label, sizeof(label), "role %.70s (web identity)", role);
    const struct aws_param form[] = {{"WebIdentityToken", buf_str(&token)}, {0}};
    const struct sts_call call = {.action = "AssumeRoleWithWebIdentity",
                                  .role_arn = role,
                                  .session_name = find(ctx, "AWS_ROLE_SESSION_NAME", "role_session_name"),
                                  .form = form,
                                  .label = label};
    return sts_assume(ctx, &call, out, e);
}
