#include "aws/creds_source.h"

#include "aws/imds.h"
#include "util/clock.h"
#include "util/json.h"

#include <stdio.h>
#include <string.h>

#define ROLE_PATH "latest/meta-data/iam/security-credentials/"

/* The instance's role: one name on the first line. It becomes part of a URL. */
static enum err_code get_role(struct imds *m, char *role, size_t size, struct err *e)
{
    static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+=,.@_-";
    BUF(text, 4096);
    enum err_code code = imds_get(m, ROLE_PATH, &text, e);

    if (code == ERR_NOT_FOUND && m->asked_token)
        return err_set(e, ERR_NOT_FOUND, "the instance has no role");
    if (code)
        return code;
    size_t len = strcspn(buf_str(&text), "\r\n");
    if (!len)
        return err_set(e, ERR_NOT_FOUND, "the instance has no role");
    if (len >= size || strspn(buf_str(&text), legal) < len)
        return err_set(e, ERR_PROTO, "the metadata service names a malformed role");
    memcpy(role, text.data, len);
    role[len] = '\0';
    return ERR_OK;
}

static enum err_code decode(const struct buf *body, const char *role, struct creds **out, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(buf_str(body), body->len, NULL);
    const struct json *root = doc ? json_root(doc) : NULL;
    const char *status = json_get_str(root, "Code"), *id = json_get_str(root, "AccessKeyId");
    const char *secret = json_get_str(root, "SecretAccessKey"), *expiration = json_get_str(root, "Expiration");
    struct timespec expires;
    struct err local = ERR_INIT;
    char source[96];

    if (status && strcmp(status, "Success"))
        return err_set(e, ERR_AUTH, "role %s: the metadata service says %.40s", role, status);
    if (!id || !secret || !expiration || !time_parse_iso8601(expiration, &expires))
        return err_set(e, ERR_PROTO, "role %s: the metadata service's answer is malformed", role);
    time_t now = clock_now().tv_sec, expiry = expires.tv_sec;
    if (expiry - now < CREDS_ADVISORY_S)
        expiry = creds_extended_expiry(now);
    snprintf(source, sizeof(source), "role %.64s of the instance (IMDS)", role);
    *out = creds_new(id, secret, json_get_str(root, "Token"), expiry, source, &local);
    return *out ? ERR_OK : err_copy(e, &local);
}

enum err_code creds_imds_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    CLEANUP_RELEASE(imds_release) struct imds m = {0};
    BUF_SECRET(body, IMDS_REPLY_MAX);
    char role[128], path[sizeof(ROLE_PATH) + sizeof(role)];
    enum err_code code = imds_init(&m, ctx->engine, ctx->profiles, ctx->cancel, e);

    if (code || (code = get_role(&m, role, sizeof(role), e)))
        return code;
    snprintf(path, sizeof(path), ROLE_PATH "%s", role);
    if ((code = imds_get(&m, path, &body, e)))
        return code;
    return decode(&body, role, out, e);
}
