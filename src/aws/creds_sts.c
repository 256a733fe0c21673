#include "aws/creds_sts.h"

#include "aws/client_impl.h"
#include "aws/region.h"
#include "util/clock.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <string.h>

/* A token of an identity provider has at most 20,000 characters, each of which may be escaped. */
enum { STS_TIMEOUT_MS = 20000, FORM_MAX = 1 << 17 };

struct pending {
    const struct sts_call *call;
    struct creds *creds;
    enum err_code code;
    struct err err;
};

static void add_form(struct buf *body, const char *name, const char *value)
{
    if (!value)
        return;
    buf_addf(body, "&%s=", name);
    uri_encode(body, value, strlen(value), false);
}

static enum err_code build_form(const struct sts_call *call, struct buf *body, struct err *e)
{
    char made_up[40];

    snprintf(made_up, sizeof(made_up), "awsfs-session-%lld", (long long)clock_now().tv_sec);
    buf_addf(body, "Action=%s&Version=2011-06-15", call->action);
    add_form(body, "RoleArn", call->role_arn);
    add_form(body, "RoleSessionName", call->session_name ? call->session_name : made_up);
    for (const struct aws_param *p = call->form; p->name; p++)
        add_form(body, p->name, p->value);
    return buf_check(body, call->action, e);
}

static enum err_code decode(const struct aws_reply *r, struct pending *p)
{
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(r->body, r->body_len, NULL);
    const struct xml_node *root = doc ? xml_root(doc) : NULL;
    struct timespec expires;
    char result[64];

    snprintf(result, sizeof(result), "%sResult", p->call->action);
    const struct xml_node *found = xml_child(xml_child(root, result), "Credentials");
    if (!found || !time_parse_iso8601(xml_child_text(found, "Expiration"), &expires))
        return err_set(&p->err, ERR_PROTO, "%s: the reply is malformed", p->call->action);
    p->creds = creds_new(xml_child_text(found, "AccessKeyId"), xml_child_text(found, "SecretAccessKey"),
                         xml_child_text(found, "SessionToken"), expires.tv_sec, p->call->label, &p->err);
    return p->creds ? ERR_OK : err_set(&p->err, ERR_PROTO, "%s: the reply has malformed keys", p->call->action);
}

static void call_done(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct pending *p = arg;

    p->code = code ? err_copy(&p->err, e) : decode(r, p);
}

/* Any region's STS will do where none is configured. */
static const char *choose_region(const struct creds_context *ctx, struct aws_region *found)
{
    return aws_region_find(ctx->profiles, ctx->region, NULL, NULL, found, NULL) ? "us-east-1" : found->name;
}

static enum err_code send_call(struct aws_client *client, const struct buf *text, struct pending *p,
                               struct cancel *cancel, struct err *e)
{
    static const struct aws_param headers[] = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
                                               {0}};
    const struct http_body body = {text->len, buf_read, (void *)text};
    const struct aws_request request = {.method = HTTP_POST,
                                        .what = p->call->action,
                                        .headers = headers,
                                        .body = &body,
                                        .reply_max = 65536,
                                        .secret = true,
                                        .done = call_done,
                                        .arg = p};
    enum err_code code = aws_call(client, &request, cancel, e);

    return !code && p->code ? err_copy(e, &p->err) : code;
}

enum err_code sts_assume(const struct creds_context *ctx, const struct sts_call *call, struct creds **out,
                         struct err *e)
{
    const struct creds_options nobody = {.anonymous = true};
    struct pending p = {.call = call};
    struct aws_region found;
    struct client_state state;
    struct err local = ERR_INIT;
    BUF_SECRET(text, FORM_MAX);
    enum err_code code = build_form(call, &text, e);

    if (code)
        return code;
    CLEANUP(creds_provider_free)
    struct creds_provider *provider =
        call->with ? creds_provider_static(call->with, &local) : creds_provider_new(ctx->engine, &nobody, &local);
    const struct aws_client_config config = {
        .service = "sts",
        .region = choose_region(ctx, &found),
        .profile = profiles_explicit(ctx->profiles) ? profiles_active(ctx->profiles) : NULL,
        .timeout_ms = STS_TIMEOUT_MS};
    CLEANUP(aws_client_free)
    struct aws_client *client = provider ? aws_client_new(ctx->engine, provider, &config, &local) : NULL;
    if (!client)
        return err_copy(e, &local);
    code = send_call(client, &text, &p, ctx->cancel, &local);
    if (code)
        return err_set(e, code == ERR_NOT_FOUND ? ERR_AUTH : code, "%s", local.msg);
    client_state_get(client, &state);
    p.creds->expires -= state.now - clock_now().tv_sec;
    *out = p.creds;
    return ERR_OK;
}
