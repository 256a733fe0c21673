/* The access token of an SSO login, from the cache that `aws sso login` writes. */
#include "aws/creds_sso.h"

#include "aws/fetch.h"
#include "aws/token_cache.h"
#include "util/clock.h"
#include "util/log.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define CACHE_DIR "~/.aws/sso/cache"

enum { REFRESH_S = 15 * 60, URL_MAX = 4096 };

/* A token goes into a header: printable text only. */
static bool is_token(const char *s)
{
    if (!s || !*s)
        return false;
    for (; *s; s++)
        if (!isgraph((unsigned char)*s))
            return false;
    return true;
}

static enum err_code load(const struct sso *sso, const char *path, struct json_doc **doc, time_t *expires,
                          struct err *e)
{
    struct err local = ERR_INIT;
    enum err_code code = token_load(path, doc, &local);
    char what[ERR_MSG_SIZE];

    if (code == ERR_NOT_FOUND)
        return sso_login_needed(sso, "there is no SSO login", e);
    if (code == ERR_PROTO || (!code && (!is_token(json_get_str(json_root(*doc), "accessToken")) ||
                                        !token_time(json_get_str(json_root(*doc), "expiresAt"), expires)))) {
        snprintf(what, sizeof(what), "%s holds no token", path);
        return sso_login_needed(sso, what, e);
    }
    return code ? err_copy(e, &local) : ERR_OK;
}

static bool can_refresh(const struct sso *sso, const struct json *token)
{
    time_t registered;

    return sso->session && json_get_str(token, "refreshToken") && json_get_str(token, "clientId") &&
           json_get_str(token, "clientSecret") &&
           token_time(json_get_str(token, "registrationExpiresAt"), &registered) && registered > clock_now().tv_sec;
}

/* CreateToken of SSO's OIDC service. */
static enum err_code ask(const struct creds_context *ctx, const struct sso *sso, const struct json *token,
                         struct fetch_reply *reply, struct err *e)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    BUF_SECRET(body, SECRET_FILE_MAX);
    BUF(url, URL_MAX);
    enum err_code code = sso_url(ctx, sso, "sso_oidc", "oidc", &url, e);

    if (code)
        return code;
    buf_add_str(&url, "/token");
    buf_add_str(&body, "{");
    token_add(&body, "clientId", json_get_str(token, "clientId"));
    token_add(&body, "clientSecret", json_get_str(token, "clientSecret"));
    token_add(&body, "grantType", "refresh_token");
    token_add(&body, "refreshToken", json_get_str(token, "refreshToken"));
    buf_add_str(&body, "}");
    if ((code = buf_check(&url, "URL", e)) || (code = buf_check(&body, "the refresh", e)))
        return code;
    /* A refresh token is good once: asking again after a lost answer could end the login. */
    const struct fetch f = {.method = HTTP_POST,
                            .url = buf_str(&url),
                            .headers = headers,
                            .body = &body,
                            .timeout_ms = SSO_TIMEOUT_MS,
                            .reply_max = SSO_REPLY_MAX,
                            .secret = true};
    return fetch_run(ctx->engine, &f, ctx->cancel, reply, e);
}

/* The cache's new text; the registration stays as it was. */
static void compose(const struct sso *sso, const struct json *old, const struct json *fresh, time_t expires,
                    struct buf *out)
{
    static const char *const kept[] = {"clientId", "clientSecret", "registrationExpiresAt"};
    char when[24];

    token_format_time(expires, when);
    buf_add_str(out, "{");
    token_add(out, "startUrl", sso->start_url);
    token_add(out, "region", sso->region);
    token_add(out, "accessToken", json_get_str(fresh, "accessToken"));
    token_add(out, "expiresAt", when);
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        token_add(out, kept[i], json_get_str(old, kept[i]));
    token_add(out, "refreshToken", json_get_str(fresh, "refreshToken"));
    buf_add_str(out, "}\n");
}

/* On success `token` has the new access token, and the cache too. */
static enum err_code refresh(const struct creds_context *ctx, const struct sso *sso, const char *path,
                             const struct json *old, struct buf *token, struct err *e)
{
    CLEANUP_RELEASE(fetch_reply_release) struct fetch_reply reply = {0};
    BUF_SECRET(text, SECRET_FILE_MAX);
    struct err unsaved = ERR_INIT;
    int64_t lasts_s;
    enum err_code code = ask(ctx, sso, old, &reply, e);

    if (code)
        return code;
    if (reply.status != 200)
        return err_set(e, creds_status_code(reply.status), "a refresh of the SSO login is answered with status %d",
                       reply.status);
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(buf_str(&reply.body), reply.body.len, NULL);
    const struct json *fresh = doc ? json_root(doc) : NULL;
    if (!is_token(json_get_str(fresh, "accessToken")) || !json_int(json_get(fresh, "expiresIn"), &lasts_s) ||
        lasts_s <= 0 || lasts_s > INT32_MAX)
        return err_set(e, ERR_PROTO, "a refresh of the SSO login is answered with something that is no token");
    compose(sso, old, fresh, clock_now().tv_sec + (time_t)lasts_s, &text);
    if (buf_check(&text, path, &unsaved) || secret_file_write(path, &text, &unsaved))
        LOG_WARN("aws", "the refreshed SSO login could not be kept: %s", unsaved.msg);
    buf_add_str(token, json_get_str(fresh, "accessToken"));
    return buf_check(token, "the token", e);
}

/* A refresh that fails is a loss only where the token has ended; another program may also have refreshed it meanwhile.
 */
static enum err_code take_old(const struct sso *sso, const char *path, const struct err *why, struct buf *token,
                              struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = NULL;
    char what[ERR_MSG_SIZE + 32];
    time_t expires;
    enum err_code code = load(sso, path, &doc, &expires, e);

    if (code)
        return code;
    if (expires <= clock_now().tv_sec) {
        if (creds_may_pass(why->code))
            return err_set(e, why->code, "the SSO login has expired: %s", why->msg);
        snprintf(what, sizeof(what), "the SSO login has expired%s%s", *why->msg ? ", " : "", why->msg);
        return sso_login_needed(sso, what, e);
    }
    buf_add_str(token, json_get_str(json_root(doc), "accessToken"));
    return buf_check(token, "the token", e);
}

enum err_code sso_token(const struct creds_context *ctx, const struct sso *sso, struct buf *token, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = NULL;
    BUF(path, 8192);
    struct err why = ERR_INIT;
    time_t expires;
    enum err_code code = token_path(CACHE_DIR, sso->session ? sso->session : sso->start_url, DIGEST_SHA1, &path, e);

    if (code || (code = load(sso, buf_str(&path), &doc, &expires, e)))
        return code;
    if (expires - clock_now().tv_sec < REFRESH_S && can_refresh(sso, json_root(doc))) {
        if (!refresh(ctx, sso, buf_str(&path), json_root(doc), token, &why))
            return ERR_OK;
        LOG_WARN("aws", "%s", why.msg);
        buf_clear(token);
    }
    return take_old(sso, buf_str(&path), &why, token, e);
}
