#include "aws/endpoint_impl.h"

#include "aws/arn.h"
#include "util/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct partition partitions[] = {
    {"aws-cn", "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    {"aws-eusc", "eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
    {"aws-iso-b", "us-isob-", "sc2s.sgov.gov", "api.aws.scloud"},
    {"aws-iso-f", "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"},
    {"aws-iso", "us-iso-", "c2s.ic.gov", "api.aws.ic.gov"},
    {"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"},
    {"aws-us-gov", "us-gov-", "amazonaws.com", "api.aws"},
    {"aws", "", "amazonaws.com", "api.aws"},
};

const struct partition *partition_of(const char *region)
{
    const struct partition *p = partitions;

    while (!str_starts(region, p->prefix))
        p++;
    return p;
}

const char *region_partition(const char *region)
{
    return partition_of(region)->name;
}

bool region_same_partition(const char *a, const char *b)
{
    return partition_of(a) == partition_of(b);
}

enum err_code bucket_name_check(const char *name, struct err *e)
{
    size_t len = strlen(name);

    if (!len)
        return err_set(e, ERR_INVAL, "the bucket's name is empty");
    if (len > 255)
        return err_set(e, ERR_INVAL, "the bucket's name has %zu characters, at most 255 are legal", len);
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(".-_", *p))
            return err_set(e, ERR_INVAL,
                           "bucket name '%s' has the character '%c': letters, digits, '.', '-' and '_' are legal", name,
                           *p);
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return err_set(e, ERR_INVAL, "'%s' is no bucket name", name);
    if (str_ends(name, ".mrap"))
        return err_set(
            e, ERR_INVAL,
            "'%s' is the alias of a multi-region access point: write its ARN, arn:aws:s3::ACCOUNT:accesspoint/%s", name,
            name);
    return ERR_OK;
}

bool bucket_fits_host(const char *name, bool dots)
{
    size_t len = strlen(name);
    struct uri u;
    char url[80];

    if (len < 3 || len > 63)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool edge = i == 0 || i == len - 1 || name[i - 1] == '.' || name[i + 1] == '.';

        if (islower((unsigned char)name[i]) || isdigit((unsigned char)name[i]))
            continue;
        if (edge || (name[i] != '-' && !(dots && name[i] == '.')))
            return false;
    }
    snprintf(url, sizeof(url), "http://%s", name);
    return !uri_parse(url, &u, NULL) && !u.ip;
}

static enum err_code too_long(const struct endpoint_query *q, struct err *e)
{
    return err_set(e, ERR_INVAL, "the endpoint of bucket '%s' is too long", q->bucket ? q->bucket : "");
}

static enum err_code cannot_be_virtual(const struct endpoint_query *q, bool tls, struct err *e)
{
    if (tls && bucket_fits_host(q->bucket, true))
        return err_set(
            e, ERR_INVAL,
            "option addressing=virtual: the dots of '%s' do not fit a certificate; over https it goes by path",
            q->bucket);
    return err_set(e, ERR_INVAL, "option addressing=virtual: '%s' cannot be part of a host's name", q->bucket);
}

/* Puts the bucket into the host or the path of `out->uri`. */
static enum err_code place_bucket(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    bool fits = bucket_fits_host(q->bucket, !out->uri.tls);
    bool want = q->addressing == AWS_ADDRESSING_VIRTUAL || (q->addressing == AWS_ADDRESSING_AUTO && !out->custom);
    char host[URI_HOST_MAX];
    size_t len = strlen(out->uri.path);

    if (want && !fits && q->addressing == AWS_ADDRESSING_VIRTUAL && q->addressing_asked)
        return cannot_be_virtual(q, out->uri.tls, e);
    out->path_style = !want || !fits || out->uri.ip;
    if (!out->path_style) {
        if ((size_t)snprintf(host, sizeof(host), "%s.%s", q->bucket, out->uri.host) >= sizeof(host))
            return too_long(q, e);
        memcpy(out->uri.host, host, sizeof(host));
        return ERR_OK;
    }
    if ((size_t)snprintf(out->uri.path + len, URI_PATH_MAX - len, "/%s", q->bucket) >= URI_PATH_MAX - len)
        return too_long(q, e);
    return ERR_OK;
}

static enum err_code resolve_custom(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    out->custom = true;
    if (q->fips || q->dualstack || q->accelerate)
        return err_set(e, ERR_INVAL, "option %s contradicts endpoint=: it chooses among AWS's own endpoints",
                       q->fips        ? "fips"
                       : q->dualstack ? "dualstack"
                                      : "use_accelerate_endpoint");
    enum err_code code = uri_parse(q->custom, &out->uri, e);
    return code ? err_prefix(e, code, "endpoint") : ERR_OK;
}

/* Accelerated buckets are the same for all regions and by host only. */
static enum err_code resolve_accelerated(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    const struct partition *p = partition_of(q->region);

    if (q->fips)
        return err_set(e, ERR_INVAL, "option fips: accelerated endpoints have no FIPS ones");
    if (!strcmp(p->name, "aws-cn"))
        return err_set(e, ERR_INVAL, "use_accelerate_endpoint: there are no accelerated endpoints in %s", q->region);
    if (!bucket_fits_host(q->bucket, false))
        return err_set(e, ERR_INVAL, "use_accelerate_endpoint: '%s' cannot be part of a host's name", q->bucket);
    if (q->addressing == AWS_ADDRESSING_PATH && q->addressing_asked)
        return err_set(e, ERR_INVAL, "option addressing=path contradicts use_accelerate_endpoint");
    if (snprintf(out->uri.host, URI_HOST_MAX, "%s.s3-accelerate%s.%s", q->bucket, q->dualstack ? ".dualstack" : "",
                 p->suffix) >= URI_HOST_MAX)
        return too_long(q, e);
    return ERR_OK;
}

static enum err_code resolve_s3(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    const struct partition *p = partition_of(q->region);

    if (q->bucket && arn_is(q->bucket))
        return endpoint_of_arn(q, out, e);
    if (q->bucket && bucket_is_directory(q->bucket))
        return endpoint_of_directory(q, out, e);
    if (q->bucket && str_ends(q->bucket, "--op-s3"))
        return endpoint_of_outpost_alias(q, out, e);
    if (out->custom)
        return q->bucket ? place_bucket(q, out, e) : ERR_OK;
    if (q->fips && !strcmp(p->name, "aws-cn"))
        return err_set(e, ERR_INVAL, "option fips: S3 has no FIPS endpoints in %s", q->region);
    if (q->accelerate && q->bucket)
        return resolve_accelerated(q, out, e);
    if (q->global && !q->fips && !q->dualstack && !strcmp(q->region, "us-east-1"))
        snprintf(out->uri.host, URI_HOST_MAX, "s3.%s", p->suffix);
    else
        snprintf(out->uri.host, URI_HOST_MAX, "s3%s%s.%s.%s", q->fips ? "-fips" : "", q->dualstack ? ".dualstack" : "",
                 q->region, p->suffix);
    return q->bucket ? place_bucket(q, out, e) : ERR_OK;
}

/* The regions whose requests sts.amazonaws.com takes. */
static bool has_global_sts(const char *region)
{
    static const char *const regions[] = {
        "ap-northeast-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2", "aws-global", "ca-central-1",
        "eu-central-1",   "eu-north-1", "eu-west-1",      "eu-west-2",      "eu-west-3",  "sa-east-1",
        "us-east-1",      "us-east-2",  "us-west-1",      "us-west-2",
    };

    for (size_t i = 0; i < ARRAY_LEN(regions); i++)
        if (!strcmp(regions[i], region))
            return true;
    return false;
}

/* In us-gov the ordinary hosts of ssm and sts are the FIPS ones, dual-stack excepted. */
static void resolve_regional(const struct endpoint_query *q, struct endpoint *out)
{
    const struct partition *p = partition_of(q->region);
    bool named = q->fips && (q->dualstack || strcmp(p->name, "aws-us-gov"));

    if (out->custom)
        return;
    if (!strcmp(q->service, "sts") && q->global && !q->fips && !q->dualstack && has_global_sts(q->region)) {
        snprintf(out->uri.host, URI_HOST_MAX, "sts.%s", p->suffix);
        snprintf(out->region, sizeof(out->region), "us-east-1");
        return;
    }
    snprintf(out->uri.host, URI_HOST_MAX, "%s%s.%s.%s", q->service, named ? "-fips" : "", q->region,
             q->dualstack ? p->dual_suffix : p->suffix);
}

static enum err_code resolve(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    enum err_code code = q->bucket && !arn_is(q->bucket) ? bucket_name_check(q->bucket, e) : ERR_OK;

    if (code)
        return code;
    out->uri.tls = true;
    snprintf(out->region, sizeof(out->region), "%s", q->region);
    snprintf(out->signing_name, sizeof(out->signing_name), "%s", q->service);
    if (q->custom && (code = resolve_custom(q, out, e)))
        return code;
    if (!strcmp(q->service, "s3"))
        return resolve_s3(q, out, e);
    resolve_regional(q, out);
    return ERR_OK;
}

enum err_code endpoint_resolve(const struct endpoint_query *query, struct endpoint *out, struct err *e)
{
    struct endpoint found = {0};
    struct endpoint_query q = *query;

    /* A name of the SDKs for what has no region. */
    if (!strcmp(q.region, "aws-global")) {
        q.region = "us-east-1";
        q.global = true;
    }
    enum err_code code = resolve(&q, &found, e);
    if (code)
        return code;
    if (found.uri.port)
        snprintf(found.authority, sizeof(found.authority), "%s:%hu", found.uri.host, (unsigned short)found.uri.port);
    else
        snprintf(found.authority, sizeof(found.authority), "%s", found.uri.host);
    *out = found;
    return ERR_OK;
}

/* "AWS_ENDPOINT_URL_SSM" */
static const char *service_variable(const char *service)
{
    static const char *const names[][2] = {{"s3", "AWS_ENDPOINT_URL_S3"},
                                           {"ssm", "AWS_ENDPOINT_URL_SSM"},
                                           {"sts", "AWS_ENDPOINT_URL_STS"},
                                           {"sso", "AWS_ENDPOINT_URL_SSO"},
                                           {"sso_oidc", "AWS_ENDPOINT_URL_SSO_OIDC"},
                                           {"signin", "AWS_ENDPOINT_URL_SIGNIN"}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(names[i][0], service))
            return names[i][1];
    return NULL;
}

static bool are_ignored(const struct profiles *p)
{
    const char *value = env_get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");

    return config_is_true(value ? value : profiles_get(p, profiles_active(p), "ignore_configured_endpoint_urls", NULL));
}

enum err_code endpoint_configured(const struct profiles *p, const char *service, const char *option, const char **url,
                                  const char **why, struct err *e)
{
    const char *profile = profiles_active(p), *variable = service_variable(service), *unused;

    why = why ? why : &unused;
    *url = option;
    *why = option ? "option endpoint=" : "AWS's own";
    if (option || are_ignored(p))
        return ERR_OK;
    *why = variable;
    if (variable && (*url = env_get(variable)))
        return ERR_OK;
    *why = "AWS_ENDPOINT_URL";
    if ((*url = env_get(*why)))
        return ERR_OK;
    *why = "endpoint_url in the profile's [services] section";
    enum err_code code = profiles_service_get(p, profile, service, "endpoint_url", url, e);
    if (code || *url)
        return code;
    *why = "endpoint_url of the profile";
    if (!(*url = profiles_get(p, profile, "endpoint_url", NULL)))
        *why = "AWS's own";
    return ERR_OK;
}
