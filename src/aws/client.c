#include "aws/client_impl.h"

#include "aws/sigv4.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_MAX = 16384 };

void aws_client_free(struct aws_client *c)
{
    if (!c)
        return;
    client_session_free(c->session);
    retry_budget_free(c->budget);
    lock_release(&c->lock);
    lock_release(&c->counts_lock);
    free(c->service);
    free(c->bucket);
    free(c->custom);
    free(c);
}

struct aws_client *aws_client_new(struct http_engine *engine, struct creds_provider *creds,
                                  const struct aws_client_config *config, struct err *e)
{
    CLEANUP(aws_client_free) struct aws_client *c = calloc(1, sizeof(*c));
    struct err local = ERR_INIT;

    if (!c) {
        err_set(e, ERR_NOMEM, "no memory for a client");
        return NULL;
    }
    lock_init(&c->lock, "aws client", LOCK_AWS_CLIENT);
    lock_init(&c->counts_lock, "aws counts", LOCK_LEAF);
    c->engine = engine;
    c->creds = creds;
    c->s3 = !strcmp(config->service, "s3");
    c->budget = retry_budget_new();
    if (!c->budget)
        err_set(&local, ERR_NOMEM, "no memory for a client");
    if (!c->budget || client_configure(c, config, &local)) {
        err_copy(e, &local);
        return NULL;
    }
    if (c->endpoint.session && !creds_provider_anonymous(creds) && 
        !(c->session = client_session_new(config->session_sse, config->session_sse_key, e)))
        return NULL;
    return TAKE(c);
}

void aws_client_endpoint(struct aws_client *c, char *out, size_t size)
{
    LOCK_SCOPE(&c->lock);
    snprintf(out, size, "%s://%s", c->endpoint.uri.tls ? "https" : "http", c->endpoint.authority);
}

void aws_client_region(struct aws_client *c, char *out, size_t size)
{
    LOCK_SCOPE(&c->lock);
    snprintf(out, size, "%s", c->endpoint.region);
}

void aws_client_why(struct aws_client *c, struct aws_client_why *out)
{
    LOCK_SCOPE(&c->lock);
    snprintf(out->region, sizeof(out->region), "%s", c->endpoint.region);
    snprintf(out->region_why, sizeof(out->region_why), "%s", c->region_why);
    snprintf(out->endpoint, sizeof(out->endpoint), "%s://%s%s", c->endpoint.uri.tls ? "https" : "http",
             c->endpoint.authority, c->endpoint.uri.path);
    snprintf(out->endpoint_why, sizeof(out->endpoint_why), "%s", c->endpoint_why);
}

bool aws_client_is_aws(struct aws_client *c)
{
    LOCK_SCOPE(&c->lock);
    return !c->custom || str_ends(c->endpoint.uri.host, ".amazonaws.com") ||
           str_ends(c->endpoint.uri.host, ".amazonaws.com.cn") || str_ends(c->endpoint.uri.host, ".amazonaws.eu");
}

bool aws_client_has_session(const struct aws_client *c)
{
    return c->session != NULL;
}

bool aws_client_move_bucket(struct aws_client *c, bool in_host)
{
    struct endpoint moved;

    LOCK_SCOPE(&c->lock);
    const enum aws_addressing before = c->query.addressing;
    if ((before != AWS_ADDRESSING_AUTO && !c->moved) || !c->custom || !c->bucket || c->endpoint.path_style == !in_host)
        return false;
    c->query.addressing = in_host ? AWS_ADDRESSING_VIRTUAL : AWS_ADDRESSING_PATH;
    if (client_resolve(c, c->region, &moved, NULL) || moved.path_style == in_host) {
        c->query.addressing = before;
        return false;
    }
    c->endpoint = moved;
    return c->moved = true;
}

void client_state_get(struct aws_client *c, struct client_state *out)
{
    LOCK_SCOPE(&c->lock);
    out->endpoint = c->endpoint;
    out->region_confirmed = c->region_confirmed;
    out->now = clock_now().tv_sec + c->clock_offset_s;
    memcpy(out->region, c->endpoint.region, sizeof(out->region));
}

bool client_learn_region(struct aws_client *c, const char *region)
{
    struct endpoint moved;

    if (!aws_region_valid(region))
        return false;
    LOCK_SCOPE(&c->lock);
    if (c->endpoint.fixed || !strcmp(c->endpoint.region, region) ||
        (!c->custom && !region_same_partition(c->region, region)) || client_resolve(c, region, &moved, NULL))
        return false;
    LOG_INFO("aws", "bucket %s is in region %s, not %s", c->bucket ? c->bucket : "", region, c->endpoint.region);
    snprintf(c->region, sizeof(c->region), "%s", region);
    snprintf(c->region_why, sizeof(c->region_why), "the bucket's own, as the server told");
    c->endpoint = moved;
    c->region_confirmed = true;
    return true;
}

void client_confirm_region(struct aws_client *c, const char *region)
{
    LOCK_SCOPE(&c->lock);
    c->region_confirmed |= !strcmp(c->endpoint.region, region);
}

void client_note_trouble(struct aws_client *c, const struct err *e)
{
    LOCK_SCOPE(&c->lock);
    if (e)
        c->trouble = *e;
    else
        c->trouble.code = ERR_OK;
}

bool aws_client_trouble(struct aws_client *c, struct err *out)
{
    LOCK_SCOPE(&c->lock);
    if (c->trouble.code)
        *out = c->trouble;
    return c->trouble.code != ERR_OK;
}

void client_learn_clock(struct aws_client *c, time_t server_now)
{
    long long offset = (long long)server_now - clock_now().tv_sec;

    LOCK_SCOPE(&c->lock);
    if (llabs(offset - c->clock_offset_s) > 1)
        LOG_WARN("aws",
                 "the clock of this machine differs from that of %s by %lld s; requests are signed with the latter",
                 c->endpoint.authority, -offset);
    c->clock_offset_s = offset;
}

void client_path(const struct endpoint *ep, const char *key, struct buf *out)
{
    buf_add_str(out, ep->uri.path);
    if (key && *key) {
        buf_add_char(out, '/');
        uri_encode(out, key, strlen(key), true);
    } else if (!*ep->uri.path || !ep->path_style) {
        buf_add_char(out, '/');
    }
}

static void add_origin(const struct endpoint *ep, struct buf *out)
{
    buf_addf(out, "%s://%s", ep->uri.tls ? "https" : "http", ep->authority);
}

enum err_code aws_url(struct aws_client *c, const char *key, struct buf *out, struct err *e)
{
    struct client_state state;

    client_state_get(c, &state);
    add_origin(&state.endpoint, out);
    client_path(&state.endpoint, key, out);
    return buf_check(out, "URL", e);
}

enum err_code aws_presign(struct aws_client *c, const char *key, const struct aws_param *query, unsigned seconds,
                          struct buf *out, struct err *e)
{
    CLEANUP(creds_unref) struct creds *creds = NULL;
    struct client_state state;
    BUF(path, URL_MAX);
    BUF_SECRET(text, URL_MAX);
    enum err_code code = creds_get(c->creds, &creds, e);

    if (code)
        return code;
    client_state_get(c, &state);
    if (state.endpoint.sigv4a)
        return err_set(e, ERR_UNSUPPORTED, "a multi-region access point has no presigned URLs here: %s", c->bucket);
    client_path(&state.endpoint, key, &path);
    if ((code = buf_check(&path, "URL", e)))
        return code;
    const struct aws_param headers[] = {{"host", state.endpoint.authority}, {0}};
    const struct sigv4_request r = {
        .method = "GET", .path = buf_str(&path), .query = query, .headers = headers, .payload = SIGV4_UNSIGNED};
    const struct sigv4_key k = {creds->access_key_id, creds->secret_access_key, creds->session_token};
    const struct sigv4_scope s = {state.region, state.endpoint.signing_name, state.now};
    if ((code = sigv4_presign(&r, &k, &s, seconds, &text, e)))
        return code;
    add_origin(&state.endpoint, out);
    buf_addf(out, "%s?%s", buf_str(&path), buf_str(&text));
    return buf_check(out, "presigned URL", e);
}

void aws_client_each_count(struct aws_client *c, void (*fn)(void *arg, const char *what, uint64_t count), void *arg)
{
    for (size_t i = 0; i < CLIENT_COUNTS; i++) {
        lock_take(&c->counts_lock);
        const char *what = c->counts[i].what;
        uint64_t n = c->counts[i].n;
        lock_drop(&c->counts_lock);
        if (what)
            fn(arg, what, n);
    }
}
