#include "aws/creds_source.h"

#include "aws/endpoint.h"
#include "aws/region.h"
#include "aws/token_cache.h"
#include "util/clock.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

const char *creds_setting(const struct creds_context *ctx, const char *key)
{
    return profiles_get(ctx->profiles, ctx->profile, key, NULL);
}

enum err_code creds_service_url(const struct creds_context *ctx, const char *id, const char *own, struct buf *out,
                                struct err *e)
{
    const char *configured, *why;
    struct uri u;
    enum err_code code = endpoint_configured(ctx->profiles, id, NULL, &configured, &why, e);

    if (code)
        return code;
    if (!configured) {
        buf_add_str(out, own);
        return buf_check(out, "URL", e);
    }
    code = uri_parse(configured, &u, e);
    if (code)
        return err_prefix(e, code, "%s", why);
    buf_addf(out, "%s://%s", u.tls ? "https" : "http", u.host);
    if (u.port)
        buf_addf(out, ":%u", u.port);
    buf_add_str(out, u.path);
    return buf_check(out, "URL", e);
}

bool token_time(const char *text, time_t *out)
{
    struct timespec t;
    char plain[40];
    size_t len = text ? strlen(text) : 0;

    if (!len || len >= sizeof(plain))
        return false;
    memcpy(plain, text, len + 1);
    if (str_ends(plain, "UTC"))
        memcpy(plain + len - 3, "Z", 2);
    if (!time_parse_iso8601(plain, &t))
        return false;
    *out = t.tv_sec;
    return true;
}

void token_format_time(time_t t, char out[24])
{
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm))
        out[0] = '\0';
}

enum err_code token_path(const char *directory, const char *name, enum digest_alg alg, struct buf *out, struct err *e)
{
    char hex[2 * DIGEST_MAX + 1];
    enum err_code code = digest_hex(alg, name, strlen(name), hex, e);

    if (code)
        return code;
    profile_expand_path(out, directory);
    buf_addf(out, "/%s.json", hex);
    return buf_check(out, "the token's path", e);
}

enum err_code token_load(const char *path, struct json_doc **out, struct err *e)
{
    BUF_SECRET(text, SECRET_FILE_MAX);
    enum err_code code = secret_file_read(path, true, &text, e);

    if (code)
        return code;
    *out = json_parse(buf_str(&text), text.len, NULL);
    return *out ? ERR_OK : err_set(e, ERR_PROTO, "%s is no JSON", path);
}

void token_add(struct buf *out, const char *name, const char *value)
{
    if (!value)
        return;
    buf_addf(out, "%s\"%s\": ", out->len > 1 && out->data[out->len - 1] != '{' ? ", " : "", name);
    json_quote(out, value, strlen(value));
}
