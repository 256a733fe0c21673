/* From options, environment and profile to a client's endpoint, region and limits. */
#include "aws/arn.h"
#include "aws/client_impl.h"
#include "aws/settings.h"
#include "util/log.h"

#include <stdio.h>
#include <string.h>

static enum err_code copy(char **out, const char *text, struct err *e)
{
    if (text && !(*out = strdup(text)))
        return err_set(e, ERR_NOMEM, "no memory for a client");
    return ERR_OK;
}

static bool choose(enum aws_choice option, bool setting)
{
    return option == AWS_AS_SET ? setting : option == AWS_YES;
}

/* What chooses among AWS's own endpoints is ignored where there is another one, unless it was asked for by option. */
static void take_settings(struct aws_client *c, const struct aws_client_config *config, const struct aws_settings *s)
{
    bool own = !c->custom;

    c->query = (struct endpoint_query){
        .service = c->service,
        .bucket = c->bucket,
        .custom = c->custom,
        .addressing = config->addressing,
        .addressing_asked = config->addressing != AWS_ADDRESSING_AUTO,
        .dualstack = choose(config->dualstack, own && (s->dualstack || (c->s3 && s->s3_dualstack))),
        .fips = choose(config->fips, own && s->fips),
        .accelerate = c->s3 && s->accelerate,
        .global = c->s3 ? s->s3_global : s->sts_global,
        .own_region_only = !s->foreign_arn_region,
        .no_multi_region = s->no_multi_region,
        .no_session = s->no_session,
    };
    if (c->s3 && !c->query.addressing_asked)
        c->query.addressing = s->addressing;
    c->limits = (struct exchange_limits){.timeout_ms = config->timeout_ms,
                                         .max_attempts = config->max_attempts ? config->max_attempts : s->max_attempts};
}

static enum err_code take_region(struct aws_client *c, const char *name, const char *why)
{
    snprintf(c->region, sizeof(c->region), "%s", name);
    snprintf(c->region_why, sizeof(c->region_why), "%s", why);
    return ERR_OK;
}

/* S3 can do without: a wrong region is corrected by the bucket's, and an access point's ARN has its own. So can an
 * endpoint that is not AWS's, which needs a region only for the signature. In these cases the instance's metadata are
 * not asked. */
static enum err_code choose_region(struct aws_client *c, const struct profiles *p, const char *option, struct err *e)
{
    struct aws_region found;
    struct arn arn = {0};
    struct err local = ERR_INIT;
    enum err_code code;

    if (c->bucket && arn_is(c->bucket) && (code = arn_parse(c->bucket, &arn, NULL, e)))
        return code;
    code = aws_region_find(p, option, c->custom || *arn.region ? NULL : c->engine, NULL, &found, &local);
    if (code == ERR_NOT_FOUND && *arn.region)
        return take_region(c, arn.region, "the access point's ARN");
    if (code == ERR_NOT_FOUND && (c->s3 || c->custom))
        return take_region(c, "us-east-1", c->s3 ? "none is set; the bucket's own is found out" : "none is set");
    if (code)
        return err_set(e, code == ERR_NOT_FOUND ? ERR_INVAL : code, "%s", local.msg);
    return take_region(c, found.name, found.why);
}

enum err_code client_resolve(const struct aws_client *c, const char *region, struct endpoint *out, struct err *e)
{
    struct endpoint_query q = c->query;

    q.region = region;
    return endpoint_resolve(&q, out, e);
}

enum err_code client_configure(struct aws_client *c, const struct aws_client_config *config, struct err *e)
{
    CLEANUP(profiles_free) struct profiles *p = profiles_load(config->profile, e);
    struct aws_settings settings;
    const char *url, *why;
    enum err_code code;

    if (!p)
        return e->code;
    if ((code = aws_settings_read(p, &settings, e)) ||
        (code = endpoint_configured(p, config->service, config->endpoint, &url, &why, e)) ||
        (code = copy(&c->custom, url, e)) || (code = copy(&c->service, config->service, e)) ||
        (code = copy(&c->bucket, config->bucket, e)))
        return code;
    take_settings(c, config, &settings);
    if ((code = choose_region(c, p, config->region, e)))
        return code;
    if ((code = client_resolve(c, c->region, &c->endpoint, e)))
        return c->custom ? err_prefix(e, code, "%s", why) : code;
    snprintf(c->endpoint_why, sizeof(c->endpoint_why), "%s", why);
    if (strcmp(c->region, c->endpoint.region))
        snprintf(c->region_why, sizeof(c->region_why), "%s",
                 c->bucket && arn_is(c->bucket) ? "the access point's ARN" : "the only one of that endpoint");
    LOG_DEBUG("aws", "%s: endpoint %s (%s), region %s (%s)", c->service, c->endpoint.authority, why, c->endpoint.region,
              c->region_why);
    return ERR_OK;
}
