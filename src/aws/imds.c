#include "aws/imds.h"

#include "aws/fetch.h"
#include "aws/uri.h"
#include "util/clock.h"
#include "util/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The environment's value, else that of the active profile. */
static const char *setting(const struct profiles *p, const char *variable, const char *key)
{
    const char *value = env_get(variable);

    return value || !p ? value : profiles_get(p, profiles_active(p), key, NULL);
}

static unsigned number_setting(const char *variable, unsigned fallback, unsigned max)
{
    const char *text = env_get(variable);
    uint64_t value;

    if (!text || !str_parse_u64(text, &value) || !value)
        return fallback;
    return value > max ? max : (unsigned)value;
}

static enum err_code choose_base(struct imds *m, const struct profiles *p, struct err *e)
{
    const char *mode = setting(p, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode");
    const char *url = setting(p, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint");
    bool v6 = mode ? str_ieq(mode, "ipv6") : config_is_true(env_get("AWS_IMDS_USE_IPV6"));
    struct uri u;

    if (mode && !v6 && !str_ieq(mode, "ipv4"))
        return err_set(e, ERR_INVAL, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is '%s', legal are IPv4 and IPv6", mode);
    if (!url)
        url = v6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
    enum err_code code = uri_parse(url, &u, e);
    if (code)
        return err_prefix(e, code, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    int n = snprintf(m->base, sizeof(m->base), "%s://%s", u.tls ? "https" : "http", u.host);
    if (u.port)
        n += snprintf(m->base + n, sizeof(m->base) - (size_t)n, ":%u", u.port);
    if ((size_t)n + strlen(u.path) >= sizeof(m->base))
        return err_set(e, ERR_INVAL, "AWS_EC2_METADATA_SERVICE_ENDPOINT is too long");
    memcpy(m->base + n, u.path, strlen(u.path) + 1);
    return ERR_OK;
}

enum err_code imds_init(struct imds *m, struct http_engine *engine, const struct profiles *profiles,
                        struct cancel *cancel, struct err *e)
{
    *m = (struct imds){.engine = engine, .cancel = cancel};
    buf_init_secret(&m->token, 4096);
    if (config_is_true(env_get("AWS_EC2_METADATA_DISABLED")))
        return err_set(e, ERR_NOT_FOUND, "switched off by AWS_EC2_METADATA_DISABLED");
    m->v1_allowed = !config_is_true(setting(profiles, "AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled"));
    m->attempt_ms = 1000 * number_setting("AWS_METADATA_SERVICE_TIMEOUT", 1, IMDS_TOTAL_MS / 1000);
    m->attempts = number_setting("AWS_METADATA_SERVICE_NUM_ATTEMPTS", 1, 10);
    m->deadline_ms = clock_mono_ms() + IMDS_TOTAL_MS;
    return choose_base(m, profiles, e);
}

void imds_release(struct imds *m)
{
    buf_release(&m->token);
}

static enum err_code ask_once(struct imds *m, enum http_method method, const char *path, const char *header,
                              struct fetch_reply *reply, struct err *e)
{
    BUF(url, 2048);
    const char *headers[] = {header, NULL};
    uint64_t now = clock_mono_ms();

    *reply = (struct fetch_reply){0};
    if (now >= m->deadline_ms)
        return err_set(e, ERR_TIMEOUT, "no answer within %d ms", IMDS_TOTAL_MS);
    buf_addf(&url, "%s/%s", m->base, path);
    enum err_code code = buf_check(&url, "metadata URL", e);
    if (code)
        return code;
    unsigned left = (unsigned)(m->deadline_ms - now);
    struct fetch f = {.method = method,
                      .url = buf_str(&url),
                      .headers = headers,
                      .timeout_ms = left < m->attempt_ms ? left : m->attempt_ms,
                      .reply_max = IMDS_REPLY_MAX,
                      .secret = true,
                      .direct = true};
    return fetch_run(m->engine, &f, m->cancel, reply, e);
}

/* Again while there is no answer or a 5xx, as often as configured and as time allows. */
static enum err_code ask(struct imds *m, enum http_method method, const char *path, const char *header,
                         struct fetch_reply *reply, struct err *e)
{
    enum err_code code = ask_once(m, method, path, header, reply, e);

    for (unsigned n = 1; n < m->attempts && clock_mono_ms() < m->deadline_ms; n++) {
        if (code == ERR_CANCELED || (!code && reply->status < 500))
            break;
        fetch_reply_release(reply);
        code = ask_once(m, method, path, header, reply, e);
    }
    return code;
}

/* A token goes into a header: printable text only. */
static bool take_token(struct imds *m, const struct buf *body)
{
    for (size_t i = 0; i < body->len; i++)
        if (!isgraph((unsigned char)body->data[i]))
            return false;
    buf_add(&m->token, body->data, body->len);
    return body->len && !m->token.failed;
}

static enum err_code get_token(struct imds *m, struct err *e)
{
    CLEANUP_RELEASE(fetch_reply_release) struct fetch_reply reply = {0};
    enum err_code code = ask(m, HTTP_PUT, "latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600", &reply, e);

    if (code && !(code == ERR_TIMEOUT && reply.sent))
        return code == ERR_CANCELED ? code : err_set(e, ERR_NOT_FOUND, "no answer from %s", m->base);
    if (!code && reply.status == 200) {
        if (take_token(m, &reply.body))
            return ERR_OK;
        return err_set(e, ERR_PROTO, "%s answered with a malformed token", m->base);
    }
    if (!code && reply.status != 403 && reply.status != 404 && reply.status != 405)
        return err_set(e, ERR_NET, "%s refused a token with status %d", m->base, reply.status);
    if (!m->v1_allowed)
        return err_set(e, ERR_ACCESS, "%s gives no token, and version 1 is switched off", m->base);
    return ERR_OK;
}

enum err_code imds_get(struct imds *m, const char *path, struct buf *out, struct err *e)
{
    CLEANUP_RELEASE(fetch_reply_release) struct fetch_reply reply = {0};
    BUF_SECRET(header, 8192);
    enum err_code code;

    if (!m->asked_token) {
        if ((code = get_token(m, e)))
            return code;
        m->asked_token = true;
    }
    if (m->token.len)
        buf_addf(&header, "X-aws-ec2-metadata-token: %s", buf_str(&m->token));
    if ((code = ask(m, HTTP_GET, path, m->token.len ? buf_str(&header) : NULL, &reply, e)))
        return code;
    if (reply.status == 404)
        return err_set(e, ERR_NOT_FOUND, "%s has no %s", m->base, path);
    if (reply.status != 200)
        return err_set(e, ERR_NET, "%s answered with status %d", m->base, reply.status);
    buf_add(out, buf_str(&reply.body), reply.body.len);
    return buf_check(out, "metadata", e);
}
