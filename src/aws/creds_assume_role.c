#include "aws/creds_source.h"

#include "aws/client_impl.h"
#include "aws/region.h"
#include "util/clock.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <string.h>

/* A chain of profiles: each assumes its role with the credentials of the next; the last has keys. */
enum { CHAIN_MAX = 8, STS_TIMEOUT_MS = 20000 };

struct role_call {
    const char *profile, *role_arn;
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

static enum err_code decode(const struct aws_reply *r, struct role_call *call)
{
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(r->body, r->body_len, NULL);
    const struct xml_node *root = doc ? xml_root(doc) : NULL;
    const struct xml_node *found = xml_child(xml_child(root, "AssumeRoleResult"), "Credentials");
    struct timespec expires;
    char source[96];

    if (!found || !time_parse_iso8601(xml_child_text(found, "Expiration"), &expires))
        return err_set(&call->err, ERR_PROTO, "AssumeRole: the reply is malformed");
    snprintf(source, sizeof(source), "role %.60s (profile %.15s)", call->role_arn, call->profile);
    call->creds = creds_new(xml_child_text(found, "AccessKeyId"), xml_child_text(found, "SecretAccessKey"),
                            xml_child_text(found, "SessionToken"), expires.tv_sec, source, &call->err);
    return call->creds ? ERR_OK : err_set(&call->err, ERR_PROTO, "AssumeRole: the reply has malformed keys");
}

static void call_done(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct role_call *call = arg;

    if (code)
        call->code = err_copy(&call->err, e);
    else
        call->code = decode(r, call);
}

static ssize_t read_body(void *arg, uint64_t offset, void *out, size_t len)
{
    const struct buf *body = arg;

    if (offset >= body->len)
        return 0;
    if (len > body->len - offset)
        len = body->len - (size_t)offset;
    memcpy(out, body->data + offset, len);
    return (ssize_t)len;
}

static void build_body(const struct creds_context *ctx, const struct role_call *call, struct buf *body)
{
    const char *name = profiles_get(ctx->profiles, call->profile, "role_session_name", NULL);
    const char *duration = profiles_get(ctx->profiles, call->profile, "duration_seconds", NULL);
    char fallback[40];
    uint64_t seconds;

    snprintf(fallback, sizeof(fallback), "awsfs-session-%lld", (long long)clock_now().tv_sec);
    buf_add_str(body, "Action=AssumeRole&Version=2011-06-15");
    add_form(body, "RoleArn", call->role_arn);
    add_form(body, "RoleSessionName", name ? name : fallback);
    add_form(body, "ExternalId", profiles_get(ctx->profiles, call->profile, "external_id", NULL));
    /* A value that is no number is ignored, as in the SDKs. */
    if (duration && str_parse_u64(duration, &seconds))
        add_form(body, "DurationSeconds", duration);
}

/* Any region's STS will do where none is configured. */
static const char *choose_region(const struct creds_context *ctx, struct aws_region *found)
{
    return aws_region_find(ctx->profiles, ctx->region, NULL, NULL, found, NULL) ? "us-east-1" : found->name;
}

/* One AssumeRole signed with `with`. */
static enum err_code assume(const struct creds_context *ctx, const char *profile, struct creds *with,
                            struct creds **out, struct err *e)
{
    struct role_call call = {.profile = profile, .role_arn = profiles_get(ctx->profiles, profile, "role_arn", NULL)};
    static const struct aws_param headers[] = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
                                               {0}};
    struct aws_region found;
    struct client_state state;
    BUF(text, 16384);

    build_body(ctx, &call, &text);
    enum err_code code = buf_check(&text, "AssumeRole request", e);
    if (code)
        return code;
    CLEANUP(creds_provider_free) struct creds_provider *provider = creds_provider_static(with, e);
    const struct aws_client_config config = {
        .service = "sts",
        .region = choose_region(ctx, &found),
        .profile = profiles_explicit(ctx->profiles) ? profiles_active(ctx->profiles) : NULL,
        .timeout_ms = STS_TIMEOUT_MS};
    CLEANUP(aws_client_free)
    struct aws_client *client = provider ? aws_client_new(ctx->engine, provider, &config, e) : NULL;
    if (!client)
        return e ? e->code : ERR_AUTH;
    const struct http_body body = {text.len, read_body, &text};
    const struct aws_request request = {.method = HTTP_POST,
                                        .what = "AssumeRole",
                                        .headers = headers,
                                        .body = &body,
                                        .reply_max = 65536,
                                        .secret = true,
                                        .done = call_done,
                                        .arg = &call};
    code = aws_call(client, &request, ctx->cancel, e);
    if (!code && call.code)
        code = err_copy(e, &call.err);
    if (code)
        return err_prefix(e, code, "profile %s", profile);
    /* By our clock, which may be wrong. */
    client_state_get(client, &state);
    call.creds->expires -= state.now - clock_now().tv_sec;
    *out = call.creds;
    return ERR_OK;
}

/* ERR_OK when profile `p` can assume a role without further questions; *source is the profile it uses. */
static enum err_code check_profile(const struct profiles *p, const char *profile, const char **source, struct err *e)
{
    *source = profiles_get(p, profile, "source_profile", NULL);
    if (profiles_get(p, profile, "mfa_serial", NULL))
        return err_set(e, ERR_UNSUPPORTED, "profile %s wants an MFA code (mfa_serial), and a mount has nobody to ask",
                       profile);
    if (profiles_get(p, profile, "credential_source", NULL))
        return *source ? err_set(e, ERR_INVAL, "profile %s has both source_profile and credential_source", profile)
                       : err_set(e, ERR_UNSUPPORTED, "profile %s: credential_source is not supported", profile);
    if (!*source)
        return err_set(e, ERR_INVAL, "profile %s has role_arn but no source_profile", profile);
    if (!profiles_has(p, *source))
        return err_set(e, ERR_INVAL, "profile %s has source_profile = %s, which does not exist", profile, *source);
    return ERR_OK;
}

static enum err_code static_keys(const struct profiles *p, const char *profile, struct creds **out, struct err *e)
{
    enum err_code code = creds_profile_keys(p, PROFILE_CREDENTIALS, profile, out, e);

    return code == ERR_NOT_FOUND ? creds_profile_keys(p, PROFILE_CONFIG, profile, out, e) : code;
}

/* Fills chain[0..*n) with the profiles whose roles are assumed, the one that was asked for first, and *keys with what
 * the first call is signed with. A profile that has keys ends the chain even where it has a role as well. */
static enum err_code build_chain(const struct profiles *p, const char **chain, size_t *n, struct creds **keys,
                                 struct err *e)
{
    const char *profile = profiles_active(p), *source;

    for (*n = 0;; profile = source) {
        for (size_t i = 0; i < *n; i++)
            if (!strcmp(chain[i], profile) && !(i == *n - 1 && !static_keys(p, profile, keys, NULL)))
                return err_set(e, ERR_INVAL, "source_profile goes in a circle: profile %s leads back to itself",
                               profile);
        if (*keys)
            return ERR_OK;
        if (*n && !profiles_get(p, profile, "role_arn", NULL)) {
            enum err_code code = static_keys(p, profile, keys, e);
            return code == ERR_NOT_FOUND ? err_set(e, ERR_AUTH, "profile %s, the source_profile of %s, has no keys",
                                                   profile, chain[*n - 1])
                                         : code;
        }
        if (*n && !static_keys(p, profile, keys, NULL))
            return ERR_OK;
        if (*n == CHAIN_MAX)
            return err_set(e, ERR_INVAL, "source_profile: more than %d roles in a chain", CHAIN_MAX);
        chain[(*n)++] = profile;
        enum err_code code = check_profile(p, profile, &source, e);
        if (code)
            return code;
    }
}

enum err_code creds_assume_role_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    const char *profile = profiles_active(ctx->profiles), *chain[CHAIN_MAX];
    CLEANUP(creds_unref) struct creds *keys = NULL;
    struct err local = ERR_INIT;
    size_t n;

    if (!profiles_get(ctx->profiles, profile, "role_arn", NULL))
        return err_set(e, ERR_NOT_FOUND, "profile %s has no role_arn", profile);
    if (profiles_get(ctx->profiles, profile, "web_identity_token_file", NULL))
        return err_set(e, ERR_NOT_FOUND, "profile %s has web_identity_token_file", profile);
    enum err_code code = build_chain(ctx->profiles, chain, &n, &keys, &local);
    while (!code && n) {
        struct creds *next = NULL;

        code = assume(ctx, chain[--n], keys, &next, &local);
        if (!code) {
            creds_unref(keys);
            keys = next;
        }
    }
    /* Configured and failed: never "not configured". */
    if (code == ERR_NOT_FOUND)
        code = local.code = ERR_AUTH;
    if (code)
        return err_copy(e, &local);
    *out = TAKE(keys);
    return ERR_OK;
}
