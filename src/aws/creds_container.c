#include "aws/creds_container.h"

#include "aws/creds_source.h"
#include "aws/fetch.h"
#include "aws/secret_file.h"
#include "aws/uri.h"
#include "util/clock.h"
#include "util/json.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define RELATIVE_URI "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL_URI     "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN        "AWS_CONTAINER_AUTHORIZATION_TOKEN"

enum { TIMEOUT_MS = 2000, ATTEMPTS = 3, PAUSE_MS = 1000, REPLY_MAX = 65536, URL_MAX = 2048 };

static bool may_be_plain(const char *host)
{
    static const char *const known[] = {"localhost", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (!strcmp(host, known[i]))
            return true;
    return uri_host_is_loopback(host);
}

static bool is_text(const char *s)
{
    for (; *s; s++)
        if (!isgraph((unsigned char)*s))
            return false;
    return true;
}

/* The URL is put together anew from the parts that were checked, so that no other reader of it can see another host. */
static enum err_code check_full(const char *full, struct buf *out, struct err *e)
{
    const char *begin = strstr(full, "://"), *path = begin ? begin + 3 + strcspn(begin + 3, "/?#") : NULL;
    char authority[URI_HOST_MAX + 16];
    struct uri u;

    if (!path || (size_t)(path - full) >= sizeof(authority) || !is_text(full) || strchr(full, '#'))
        return err_set(e, ERR_INVAL, FULL_URI " is no http or https URL");
    snprintf(authority, sizeof(authority), "%.*s", (int)(path - full), full);
    enum err_code code = uri_parse(authority, &u, e);
    if (code)
        return err_prefix(e, code, FULL_URI);
    if (!u.tls && !may_be_plain(u.host))
        return err_set(e, ERR_INVAL,
                       FULL_URI " names the host %s over plain http: only https, loopback addresses, 169.254.170.2, "
                                "169.254.170.23 and fd00:ec2::23 are allowed",
                       u.host);
    buf_addf(out, "%s://%s", u.tls ? "https" : "http", u.host);
    if (u.port)
        buf_addf(out, ":%u", u.port);
    buf_addf(out, "%s%s", *path == '/' ? "" : "/", path);
    return buf_check(out, FULL_URI, e);
}

enum err_code creds_container_url(const char *relative, const char *full, struct buf *out, struct err *e)
{
    if (!relative)
        return check_full(full, out, e);
    if (*relative != '/' || !is_text(relative) || strchr(relative, '#'))
        return err_set(e, ERR_INVAL, RELATIVE_URI " is no path that begins with '/'");
    buf_addf(out, "http://169.254.170.2%s", relative);
    return buf_check(out, RELATIVE_URI, e);
}

/* Appends "Authorization: TOKEN" where there is a token; the file is read anew every time. */
static enum err_code add_token(struct buf *header, struct err *e)
{
    const char *path = env_get(TOKEN "_FILE"), *token = env_get(TOKEN);
    BUF_SECRET(text, SECRET_FILE_MAX);
    struct err local = ERR_INIT;

    if (path) {
        enum err_code code = secret_file_read(path, false, &text, &local);
        if (code)
            return err_set(e, ERR_AUTH, TOKEN "_FILE: %s", local.msg);
        token = buf_str(&text);
        if (strlen(token) != text.len)
            return err_set(e, ERR_AUTH, TOKEN "_FILE: %s has a NUL character", path);
    }
    if (!token)
        return ERR_OK;
    for (const char *s = token; *s; s++)
        if (iscntrl((unsigned char)*s))
            return err_set(e, ERR_AUTH, TOKEN "%s has a line break or control character: it must be the token alone",
                           path ? "_FILE" : "");
    if (*token)
        buf_addf(header, "Authorization: %s", token);
    return buf_check(header, TOKEN, e);
}

static enum err_code decode(const struct fetch_reply *r, struct creds **out, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(buf_str(&r->body), r->body.len, NULL);
    const struct json *root = doc ? json_root(doc) : NULL;
    const char *id = json_get_str(root, "AccessKeyId"), *secret = json_get_str(root, "SecretAccessKey");
    const char *expiration = json_get_str(root, "Expiration");
    struct timespec expires = {0};
    struct err local = ERR_INIT;

    if (!id || !secret || !expiration || !time_parse_iso8601(expiration, &expires))
        return err_set(e, ERR_PROTO, "the container's endpoint answers something that is no set of credentials");
    *out = creds_new(id, secret, json_get_str(root, "Token"), expires.tv_sec, "role of the container", &local);
    return *out ? ERR_OK : err_copy(e, &local);
}

enum err_code creds_container_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    const char *relative = env_get(RELATIVE_URI), *full = env_get(FULL_URI);
    CLEANUP_RELEASE(fetch_reply_release) struct fetch_reply reply = {0};
    BUF_SECRET(token, SECRET_FILE_MAX + 64);
    BUF(url, URL_MAX);
    struct err local = ERR_INIT;

    if (!relative && !full)
        return err_set(e, ERR_NOT_FOUND, "neither " RELATIVE_URI " nor " FULL_URI " is set");
    enum err_code code = creds_container_url(relative, full, &url, e);
    if (code || (code = add_token(&token, e)))
        return code;
    const char *headers[] = {"Accept: application/json", token.len ? buf_str(&token) : NULL, NULL};
    const struct fetch f = {.method = HTTP_GET,
                            .url = buf_str(&url),
                            .headers = headers,
                            .timeout_ms = TIMEOUT_MS,
                            .reply_max = REPLY_MAX,
                            .secret = true,
                            .direct = true};
    code = fetch_retry(ctx->engine, &f, ATTEMPTS, PAUSE_MS, ctx->cancel, &reply, &local);
    if (code)
        return err_set(e, code, "the container's endpoint: %s", local.msg);
    if (reply.status != 200)
        return err_set(e, creds_status_code(reply.status), "the container's endpoint answers with status %d",
                       reply.status);
    return decode(&reply, out, e);
}
