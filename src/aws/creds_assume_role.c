#include "aws/creds_sts.h"

#include "util/str.h"

#include <stdio.h>
#include <string.h>

/* A chain of profiles: each assumes its role with the credentials of the next; the last has credentials of its own. */
enum { CHAIN_MAX = 8 };

struct chain {
    const char *profiles[CHAIN_MAX];
    size_t n;
};

/* One AssumeRole signed with `with`. */
static enum err_code assume(const struct creds_context *ctx, const char *profile, struct creds *with,
                            struct creds **out, struct err *e)
{
    const struct profiles *p = ctx->profiles;
    const char *duration = profiles_get(p, profile, "duration_seconds", NULL);
    const char *role = profiles_get(p, profile, "role_arn", NULL);
    uint64_t seconds;
    char label[96];

    /* A value that is no number is ignored, as in the SDKs. */
    if (duration && !str_parse_u64(duration, &seconds))
        duration = NULL;
    snprintf(label, sizeof(label), "role %.60s (profile %.15s)", role, profile);
    const struct aws_param form[] = {
        {"ExternalId", profiles_get(p, profile, "external_id", NULL)}, {"DurationSeconds", duration}, {0}};
    const struct sts_call call = {.action = "AssumeRole",
                                  .role_arn = role,
                                  .session_name = profiles_get(p, profile, "role_session_name", NULL),
                                  .form = form,
                                  .with = with,
                                  .label = label};
    enum err_code code = sts_assume(ctx, &call, out, e);
    return code ? err_prefix(e, code, "profile %s", profile) : ERR_OK;
}

static bool has_keys(const struct profiles *p, const char *profile)
{
    return profiles_get(p, profile, "aws_access_key_id", NULL) ||
           profiles_get(p, profile, "aws_secret_access_key", NULL);
}

static bool has_role(const struct profiles *p, const char *profile)
{
    return profiles_get(p, profile, "role_arn", NULL) && !profiles_get(p, profile, "web_identity_token_file", NULL);
}

/* What a profile has beside roles: its sources in the order of the chain. */
static enum err_code from_profile(const struct creds_context *ctx, const char *profile, const char *user,
                                  struct creds **out, struct err *e)
{
    struct creds_context nested = *ctx;

    nested.profile = profile;
    nested.use_env = false;
    for (size_t i = 0; i < creds_sources_count; i++) {
        const struct creds_source *s = &creds_sources[i];
        struct err local = ERR_INIT;
        enum err_code code = s->of_profile ? s->load(&nested, out, &local) : ERR_NOT_FOUND;

        if (code != ERR_NOT_FOUND)
            return code ? err_set(e, code, "profile %s, the source_profile of %s: %s", profile, user, local.msg)
                        : ERR_OK;
    }
    return err_set(e, ERR_AUTH, "profile %s, the source_profile of %s, has no credentials", profile, user);
}

static enum err_code from_source(const struct creds_context *ctx, const char *profile, const char *name,
                                 struct creds **out, struct err *e)
{
    struct creds_context nested = *ctx;
    struct err local = ERR_INIT;

    /* The keys of the environment are what was asked for here, whoever chose the profile. */
    nested.use_env = true;
    for (size_t i = 0; i < creds_sources_count; i++) {
        const struct creds_source *s = &creds_sources[i];

        if (!s->canonical || strcmp(s->canonical, name))
            continue;
        enum err_code code = s->load(&nested, out, &local);
        return code ? err_set(e, code == ERR_NOT_FOUND ? ERR_AUTH : code, "profile %s: credential_source = %s: %s",
                              profile, name, local.msg)
                    : ERR_OK;
    }
    return err_set(e, ERR_INVAL,
                   "profile %s: credential_source = %s is unknown, legal are Environment, Ec2InstanceMetadata and "
                   "EcsContainer",
                   profile, name);
}

/* ERR_OK when the profile can assume its role without further questions. */
static enum err_code check_profile(const struct profiles *p, const char *profile, struct err *e)
{
    const char *source = profiles_get(p, profile, "source_profile", NULL);
    const char *named = profiles_get(p, profile, "credential_source", NULL);

    if (profiles_get(p, profile, "mfa_serial", NULL))
        return err_set(e, ERR_UNSUPPORTED,
                       "profile %s wants an MFA code (mfa_serial), and a mount has nobody to ask: get a session first, "
                       "such as by aws sts get-session-token, and name the profile that holds it",
                       profile);
    if (source && named)
        return err_set(e, ERR_INVAL, "profile %s has both source_profile and credential_source", profile);
    if (!source && !named)
        return err_set(e, ERR_INVAL, "profile %s has role_arn but no source_profile and no credential_source", profile);
    if (source && !profiles_has(p, source))
        return err_set(e, ERR_INVAL, "profile %s has source_profile = %s, which does not exist", profile, source);
    return ERR_OK;
}

/* "a -> b -> a" */
static enum err_code circle(const struct chain *c, const char *profile, struct err *e)
{
    BUF(path, 2048);

    for (size_t i = 0; i < c->n; i++)
        buf_addf(&path, "%.40s -> ", c->profiles[i]);
    buf_addf(&path, "%.40s", profile);
    return err_set(e, ERR_INVAL, "source_profile goes in a circle: %s", buf_str(&path));
}

static bool was_visited(const struct chain *c, const char *profile)
{
    for (size_t i = 0; i < c->n; i++)
        if (!strcmp(c->profiles[i], profile))
            return true;
    return false;
}

/* Fills `c` with the profiles whose roles are assumed, the one that was asked for first, and *keys with what the first
 * call is signed with. A profile with keys ends the chain even where it has a role as well; so it may be its own
 * source. */
static enum err_code build_chain(const struct creds_context *ctx, struct chain *c, struct creds **keys, struct err *e)
{
    const struct profiles *p = ctx->profiles;
    const char *profile = ctx->profile;

    for (;;) {
        if (c->n == CHAIN_MAX)
            return err_set(e, ERR_INVAL, "source_profile: more than %d roles in a chain", CHAIN_MAX);
        enum err_code code = check_profile(p, profile, e);
        if (code)
            return code;
        c->profiles[c->n++] = profile;
        const char *named = profiles_get(p, profile, "credential_source", NULL);
        if (named)
            return from_source(ctx, profile, named, keys, e);
        const char *source = profiles_get(p, profile, "source_profile", NULL);
        if (was_visited(c, source) && (strcmp(source, profile) || !has_keys(p, source)))
            return circle(c, source, e);
        if (has_keys(p, source) || !has_role(p, source))
            return from_profile(ctx, source, profile, keys, e);
        profile = source;
    }
}

enum err_code creds_assume_role_load(const struct creds_context *ctx, struct creds **out, struct err *e)
{
    CLEANUP(creds_unref) struct creds *keys = NULL;
    struct err local = ERR_INIT;
    struct chain c = {0};

    if (!creds_setting(ctx, "role_arn"))
        return err_set(e, ERR_NOT_FOUND, "profile %s has no role_arn", ctx->profile);
    if (creds_setting(ctx, "web_identity_token_file"))
        return err_set(e, ERR_NOT_FOUND, "the role of profile %s is one for web identity", ctx->profile);
    enum err_code code = build_chain(ctx, &c, &keys, &local);
    while (!code && c.n) {
        struct creds *next = NULL;

        code = assume(ctx, c.profiles[--c.n], keys, &next, &local);
        if (!code) {
            creds_unref(keys);
            keys = next;
        }
    }
    if (code)
        return err_copy(e, &local);
    *out = TAKE(keys);
    return ERR_OK;
}
