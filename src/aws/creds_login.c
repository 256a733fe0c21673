/*
 * The login of `aws login`: a cached set of short-lived keys with a refresh token that is bound to a key of its own,
 * which signs a proof for each refresh (DPoP, RFC 9449).
 */
#include "aws/creds_source.h"

#include "aws/fetch.h"
#include "aws/region.h"
#include "aws/token_cache.h"
#include "util/clock.h"
#include "util/ecdsa.h"
#include "util/log.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

#define CACHE_DIR "~/.aws/login/cache"

/* The keys live 15 minutes, and the provider looks for fresh ones after half of that: what is left then must be too
 * little. */
enum { REFRESH_S = 8 * 60, TIMEOUT_MS = 10000, REPLY_MAX = 65536, URL_MAX = 512, PROOF_MAX = 4096 };

struct login {
    const struct creds_context *ctx;
    const char *path;
    const struct json *token; /* as cached */
};

static enum err_code login_needed(const struct creds_context *ctx, const char *what, struct err *e)
{
    return err_set(e, ERR_AUTH,
                   "%s: run `aws login --profile %s` (with --remote where no browser is), awsfs never opens one", what,
                   ctx->profile);
}

static void add_base64url(struct buf *out, const void *p, size_t len)
{
    BUF(plain, 2 * PROOF_MAX);

    base64_encode(&plain, p, len);
    for (const char *s = buf_str(&plain); *s && *s != '='; s++)
        buf_add_char(out, *s == '+' ? '-' : *s == '/' ? '_' : *s);
}

static void random_id(char out[37])
{
    uint8_t r[16];
    char hex[33];

    random_bytes(r, sizeof(r));
    r[6] = (uint8_t)((r[6] & 0x0f) | 0x40);
    r[8] = (uint8_t)((r[8] & 0x3f) | 0x80);
    hex_encode(r, sizeof(r), hex);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* Appends the proof for a POST of `url`. */
static enum err_code add_proof(const struct ecdsa_key *key, const char *url, struct buf *out, struct err *e)
{
    uint8_t x[ECDSA_SCALAR], y[ECDSA_SCALAR], signature[2 * ECDSA_SCALAR];
    BUF(header, 1024);
    BUF(payload, 2048);
    BUF(proof, PROOF_MAX);
    char id[37];
    enum err_code code;

    ecdsa_public(key, x, y);
    buf_add_str(&header, "{\"typ\":\"dpop+jwt\",\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\",\"x\":\"");
    add_base64url(&header, x, sizeof(x));
    buf_add_str(&header, "\",\"y\":\"");
    add_base64url(&header, y, sizeof(y));
    buf_add_str(&header, "\",\"crv\":\"P-256\"}}");
    random_id(id);
    buf_add_str(&payload, "{\"htm\":\"POST\",\"htu\":");
    json_quote(&payload, url, strlen(url));
    buf_addf(&payload, ",\"iat\":%lld,\"jti\":\"%s\"}", (long long)clock_now().tv_sec, id);
    add_base64url(&proof, buf_str(&header), header.len);
    buf_add_char(&proof, '.');
    add_base64url(&proof, buf_str(&payload), payload.len);
    if ((code = buf_check(&proof, "proof", e)) ||
        (code = ecdsa_sign_numbers(key, buf_str(&proof), proof.len, signature, e)))
        return code;
    buf_add_char(&proof, '.');
    add_base64url(&proof, signature, sizeof(signature));
    buf_addf(out, "DPoP: %s", buf_str(&proof));
    return buf_check(out, "proof", e);
}

/* The sign-in service has domains of its own; source: the endpoint rules in the SDK for Python. */
static enum err_code add_url(const struct creds_context *ctx, struct buf *out, struct err *e)
{
    static const char *const domains[][2] = {{"cn-", "amazonaws.cn"},
                                             {"us-gov-", "amazonaws-us-gov.com"},
                                             {"eusc-", "amazonaws-eusc.eu"},
                                             {"us-isob-", "sc2shome.sgov.gov"},
                                             {"us-isof-", "csphome.hci.ic.gov"},
                                             {"us-iso-", "c2shome.ic.gov"},
                                             {"eu-isoe-", "csphome.adc-e.uk"},
                                             {"", "aws.amazon.com"}};
    struct aws_region region;
    struct err local = ERR_INIT;
    char own[AWS_REGION_SIZE + 64];
    size_t i = 0;
    enum err_code code = aws_region_find(ctx->profiles, ctx->region, NULL, NULL, &region, &local);

    if (code)
        return err_set(e, ERR_AUTH, "%s", local.msg);
    while (!str_starts(region.name, domains[i][0]))
        i++;
    snprintf(own, sizeof(own), "https://%s.signin.%s", region.name, domains[i][1]);
    if ((code = creds_service_url(ctx, "signin", own, out, e)))
        return code;
    buf_add_str(out, "/v1/token");
    return buf_check(out, "URL", e);
}

/* CreateOAuth2Token. */
static enum err_code ask(const struct login *l, struct fetch_reply *reply, struct err *e)
{
    const char *pem = json_get_str(l->token, "dpopKey");
    CLEANUP(ecdsa_key_free) struct ecdsa_key *key = pem ? ecdsa_key_read(pem, e) : NULL;
    BUF_SECRET(body, SECRET_FILE_MAX);
    BUF(url, URL_MAX);
    BUF(proof, PROOF_MAX + 16);
    enum err_code code;

    if (!key || !json_get_str(l->token, "refreshToken") || !json_get_str(l->token, "clientId"))
        return err_set(e, ERR_AUTH, "the cached login cannot be refreshed");
    if ((code = add_url(l->ctx, &url, e)) || (code = add_proof(key, buf_str(&url), &proof, e)))
        return code;
    buf_add_str(&body, "{");
    token_add(&body, "clientId", json_get_str(l->token, "clientId"));
    token_add(&body, "refreshToken", json_get_str(l->token, "refreshToken"));
    token_add(&body, "grantType", "refresh_token");
    buf_add_str(&body, "}");
    if ((code = buf_check(&body, "the refresh", e)))
        return code;
    const char *headers[] = {"Content-Type: application/json", buf_str(&proof), NULL};
    const struct fetch f = {.method = HTTP_POST,
                            .url = buf_str(&url),
                            .headers = headers,
                            .body = &body,
                            .timeout_ms = TIMEOUT_MS,
                            .reply_max = REPLY_MAX,
                            .secret = true};
    return fetch_run(l->ctx->engine, &f, l->ctx->cancel, reply, e);
}

/* The cache's new text. */
static void compose(const struct login *l, const struct json *fresh, time_t expires, struct buf *out)
{
    const struct json *keys = json_get(fresh, "accessToken");
    char when[24];

    token_format_time(expires, when);
    buf_add_str(out, "{\"accessToken\": {");
    token_add(out, "accessKeyId", json_get_str(keys, "accessKeyId"));
    token_add(out, "secretAccessKey", json_get_str(keys, "secretAccessKey"));
    token_add(out, "sessionToken", json_get_str(keys, "sessionToken"));
    token_add(out, "accountId", json_get_str(json_get(l->token, "accessToken"), "accountId"));
    token_add(out, "expiresAt", when);
    buf_add_str(out, "}");
    token_add(out, "tokenType", json_get_str(l->token, "tokenType"));
    token_add(out, "refreshToken", json_get_str(fresh, "refreshToken"));
    token_add(out, "idToken", json_get_str(l->token, "idToken"));
    token_add(out, "clientId", json_get_str(l->token, "clientId"));
    token_add(out, "dpopKey", json_get_str(l->token, "dpopKey"));
    buf_add_str(out, "}\n");
}

static enum err_code make(const struct creds_context *ctx, const struct json *keys, time_t expires, struct creds **out,
                          struct err *e)
{
    const char *id = json_get_str(keys, "accessKeyId"), *secret = json_get_str(keys, "secretAccessKey");
    char source[96];

    if (!id || !secret)
        return err_set(e, ERR_PROTO, "the login has no keys");
    snprintf(source, sizeof(source), "login of profile %.60s", ctx->profile);
    *out = creds_new(id, secret, json_get_str(keys, "sessionToken"), expires, source, e);
    return *out ? ERR_OK : ERR_PROTO;
}

static enum err_code refresh(const struct login *l, struct creds **out, struct err *e)
{
    CLEANUP_RELEASE(fetch_reply_release) struct fetch_reply reply = {0};
    BUF_SECRET(text, SECRET_FILE_MAX);
    struct err unsaved = ERR_INIT;
    int64_t lasts_s;
    enum err_code code = ask(l, &reply, e);

    if (code)
        return code;
    if (reply.status != 200)
        return err_set(e, creds_status_code(reply.status), "the sign-in service answers with status %d", reply.status);
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(buf_str(&reply.body), reply.body.len, NULL);
    const struct json *fresh = doc ? json_root(doc) : NULL;
    if (!json_get_str(fresh, "refreshToken") || !json_int(json_get(fresh, "expiresIn"), &lasts_s) || lasts_s <= 0 ||
        lasts_s > INT32_MAX)
        return err_set(e, ERR_PROTO, "the sign-in service answers something that is no token");
    time_t expires = clock_now().tv_sec + (time_t)lasts_s;
    if ((code = make(l->ctx, json_get(fresh, "accessToken"), expires, out, e)))
        return code;
    compose(l, fresh, expires, &text);
    if (buf_check(&text, l->path, &unsaved) || secret_file_write(l->path, &text, &unsaved))
        LOG_WARN("aws", "the refreshed login could not be kept: %s", unsaved.msg);
    return ERR_OK;
}

static enum err_code load(const struct creds_context *ctx, const char *path, struct json_doc **doc, time_t *expires,
                          struct err *e)
{
    struct err local = ERR_INIT;
    enum err_code code = token_load(path, doc, &local);
    char what[ERR_MSG_SIZE];

    if (code == ERR_NOT_FOUND)
        return login_needed(ctx, "there is no login", e);
    if (code == ERR_PROTO ||
        (!code && !token_time(json_get_str(json_get(json_root(*doc), "accessToken"), "expiresAt"), expires))) {
        snprintf(what, sizeof(what), "%s holds no login", path);
        return login_needed(ctx, what, e);
    }
    return code ? err_copy(e, &local) : ERR_OK;
}

/* As long as they hold; another program may have refreshed them meanwhile. */
static enum err_code take_old(const struct creds_context *ctx, const char *path, const struct err *why,
                              struct creds **out, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = NULL;
    char what[ERR_MSG_SIZE + 32];
    time_t expires;
    enum err_code code = load(ctx, path, &doc, &expires, e);

    if (code)
        return code;
    if (expires > clock_now().tv_sec)
        return make(ctx, json_get(json_root(doc), "accessToken"), expires, out, e);
    if (creds_may_pass(why->code))
        return err_set(e, why->code, "the login has expired: %s", why->msg);
    snprintf(what, sizeof(what), "the login has expired%s%s", *why->msg ? ", " : "", why->msg);
    return login_needed(ctx, what, e);
}

enum err_code creds_login_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    const char *session = creds_setting(ctx, "login_session"), *directory = env_get("AWS_LOGIN_CACHE_DIRECTORY");
    CLEANUP(json_doc_free) struct json_doc *doc = NULL;
    BUF(path, 8192);
    struct err local = ERR_INIT, why = ERR_INIT;
    time_t expires;

    if (!session)
        return err_set(e, ERR_NOT_FOUND, "profile %s has no login_session", ctx->profile);
    enum err_code code = token_path(directory ? directory : CACHE_DIR, session, DIGEST_SHA256, &path, &local);
    if (code || load(ctx, buf_str(&path), &doc, &expires, &local))
        return err_copy(e, &local);
    if (expires - clock_now().tv_sec < REFRESH_S) {
        const struct login l = {ctx, buf_str(&path), json_root(doc)};

        if (!refresh(&l, out, &why))
            return ERR_OK;
        LOG_WARN("aws", "a login could not be refreshed: %s", why.msg);
    }
    return take_old(ctx, buf_str(&path), &why, out, &local) ? err_copy(e, &local) : ERR_OK;
}
