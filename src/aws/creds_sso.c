#include "aws/creds_sso.h"

#include "aws/endpoint.h"
#include "aws/fetch.h"
#include "aws/region.h"
#include "aws/settings.h"
#include "aws/token_cache.h"
#include "util/json.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

enum { URL_MAX = 4096, TOKEN_MAX = 32768 };

enum err_code sso_login_needed(const struct sso *sso, const char *what, struct err *e)
{
    return err_set(
        e, ERR_AUTH,
        "%s: run `aws sso login --profile %s` (with --use-device-code where no browser is), awsfs never opens one",
        what, sso->profile);
}

enum err_code sso_url(const struct creds_context *ctx, const struct sso *sso, const char *id, const char *prefix,
                      struct buf *out, struct err *e)
{
    struct aws_settings settings;
    struct endpoint own;
    char url[URI_HOST_MAX + 16];
    enum err_code code = aws_settings_read(ctx->profiles, &settings, e);

    if (code)
        return code;
    const struct endpoint_query q = {
        .service = prefix, .region = sso->region, .fips = settings.fips, .dualstack = settings.dualstack};
    if ((code = endpoint_resolve(&q, &own, e)))
        return code;
    snprintf(url, sizeof(url), "https://%s", own.uri.host);
    return creds_service_url(ctx, id, url, out, e);
}

/* A setting of the profile or of its session; the two must not contradict each other. */
static enum err_code merge(const struct creds_context *ctx, const struct sso *sso, const char *key, const char **out,
                           struct err *e)
{
    const char *of_session = sso->session ? profiles_session_get(ctx->profiles, sso->session, key) : NULL;

    *out = creds_setting(ctx, key);
    if (*out && of_session && strcmp(*out, of_session))
        return err_set(e, ERR_INVAL, "%s differs between profile %s (%s) and [sso-session %s] (%s)", key, sso->profile,
                       *out, sso->session, of_session);
    if (!*out)
        *out = of_session;
    return *out ? ERR_OK : err_set(e, ERR_INVAL, "profile %s is one for SSO but has no %s", sso->profile, key);
}

static enum err_code configure(const struct creds_context *ctx, struct sso *sso, struct err *e)
{
    enum err_code code;

    if (sso->session && !profiles_has_session(ctx->profiles, sso->session))
        return err_set(e, ERR_INVAL, "profile %s has sso_session = %s, but %s has no section [sso-session %s]",
                       sso->profile, sso->session, profiles_path(ctx->profiles, PROFILE_CONFIG), sso->session);
    if ((code = merge(ctx, sso, "sso_start_url", &sso->start_url, e)) ||
        (code = merge(ctx, sso, "sso_region", &sso->region, e)) ||
        (code = merge(ctx, sso, "sso_account_id", &sso->account, e)) ||
        (code = merge(ctx, sso, "sso_role_name", &sso->role, e)))
        return code;
    if (!aws_region_valid(sso->region))
        return err_set(e, ERR_INVAL, "profile %s: sso_region is '%.80s', which is no region", sso->profile,
                       sso->region);
    return ERR_OK;
}

static enum err_code decode(const struct sso *sso, const struct fetch_reply *r, struct creds **out, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(buf_str(&r->body), r->body.len, NULL);
    const struct json *found = doc ? json_get(json_root(doc), "roleCredentials") : NULL;
    const char *id = json_get_str(found, "accessKeyId"), *secret = json_get_str(found, "secretAccessKey");
    char source[96];
    int64_t expires_ms;

    if (!id || !secret || !json_int(json_get(found, "expiration"), &expires_ms) || expires_ms <= 0)
        return err_set(e, ERR_PROTO, "SSO answers something that is no set of credentials");
    snprintf(source, sizeof(source), "SSO role %.30s of account %.14s (profile %.12s)", sso->role, sso->account,
             sso->profile);
    *out = creds_new(id, secret, json_get_str(found, "sessionToken"), (time_t)(expires_ms / 1000), source, e);
    return *out ? ERR_OK : ERR_PROTO;
}

static enum err_code judge(const struct sso *sso, int status, struct err *e)
{
    if (status == 401)
        return sso_login_needed(sso, "SSO does not take the login any more", e);
    if (status == 403 || status == 404)
        return err_set(e, ERR_ACCESS, "SSO does not give you the role %s of account %s", sso->role, sso->account);
    return err_set(e, creds_status_code(status), "SSO answers with status %d", status);
}

/* GetRoleCredentials. */
static enum err_code get_role(const struct creds_context *ctx, const struct sso *sso, const struct buf *token,
                              struct creds **out, struct err *e)
{
    CLEANUP_RELEASE(fetch_reply_release) struct fetch_reply reply = {0};
    BUF_SECRET(header, TOKEN_MAX + 64);
    BUF(url, URL_MAX);
    enum err_code code = sso_url(ctx, sso, "sso", "portal.sso", &url, e);

    if (code)
        return code;
    buf_add_str(&url, "/federation/credentials?role_name=");
    uri_encode(&url, sso->role, strlen(sso->role), false);
    buf_add_str(&url, "&account_id=");
    uri_encode(&url, sso->account, strlen(sso->account), false);
    buf_addf(&header, "x-amz-sso_bearer_token: %s", buf_str(token));
    if ((code = buf_check(&url, "URL", e)) || (code = buf_check(&header, "the login's token", e)))
        return code;
    const char *headers[] = {buf_str(&header), NULL};
    const struct fetch f = {.method = HTTP_GET,
                            .url = buf_str(&url),
                            .headers = headers,
                            .timeout_ms = SSO_TIMEOUT_MS,
                            .reply_max = SSO_REPLY_MAX,
                            .secret = true};
    code = fetch_retry(ctx->engine, &f, SSO_ATTEMPTS, SSO_PAUSE_MS, ctx->cancel, &reply, e);
    if (code)
        return err_prefix(e, code, "SSO");
    return reply.status == 200 ? decode(sso, &reply, out, e) : judge(sso, reply.status, e);
}

enum err_code creds_sso_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    struct sso sso = {.profile = ctx->profile, .session = creds_setting(ctx, "sso_session")};
    BUF_SECRET(token, TOKEN_MAX);
    struct err local = ERR_INIT;

    if (!creds_setting(ctx, "sso_role_name") && !creds_setting(ctx, "sso_account_id"))
        return err_set(e, ERR_NOT_FOUND, "profile %s has no sso_role_name", ctx->profile);
    enum err_code code = configure(ctx, &sso, &local);
    if (!code)
        code = sso_token(ctx, &sso, &token, &local);
    if (!code)
        code = get_role(ctx, &sso, &token, out, &local);
    return code ? err_copy(e, &local) : ERR_OK;
}
