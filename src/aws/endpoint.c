#include "aws/endpoint.h"

#include "util/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct partition {
    const char *prefix; /* of its regions' names; the first that fits */
    const char *suffix;
    const char *dual_suffix; /* for services with one host per region */
    bool no_fips_s3;
};

static const struct partition partitions[] = {
    {"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", true},
    {"eusc-", "amazonaws.eu", "api.amazonwebservices.eu", false},
    {"us-isob-", "sc2s.sgov.gov", "api.aws.scloud", false},
    {"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", false},
    {"us-iso-", "c2s.ic.gov", "api.aws.ic.gov", false},
    {"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", false},
    {"us-gov-", "amazonaws.com", "api.aws", false},
    {"", "amazonaws.com", "api.aws", false},
};

static const struct partition *partition_of(const char *region)
{
    const struct partition *p = partitions;

    while (!str_starts(region, p->prefix))
        p++;
    return p;
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
    if (str_starts(name, "arn:"))
        return err_set(e, ERR_UNSUPPORTED, "access points by ARN are not supported: '%s'", name);
    for (const char *p = name; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr(".-_", *p))
            return err_set(e, ERR_INVAL,
                           "bucket name '%s' has the character '%c': letters, digits, '.', '-' and '_' are legal", name,
                           *p);
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return err_set(e, ERR_INVAL, "'%s' is no bucket name", name);
    if (str_ends(name, "--x-s3") || str_ends(name, "--xa-s3"))
        return err_set(e, ERR_UNSUPPORTED, "directory buckets are not supported: '%s'", name);
    if (str_ends(name, "--op-s3") || str_ends(name, ".mrap"))
        return err_set(e, ERR_UNSUPPORTED, "this kind of access point is not supported: '%s'", name);
    return ERR_OK;
}

/* Whether a bucket's name can be a label of a host's name (or several labels, with `dots`). */
static bool fits_host(const char *name, bool dots)
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

/* Puts the bucket into the host or the path of `out->uri`. */
static enum err_code place_bucket(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    bool fits = fits_host(q->bucket, !out->uri.tls);
    bool want = q->addressing == AWS_ADDRESSING_VIRTUAL || (q->addressing == AWS_ADDRESSING_AUTO && !out->custom);
    char host[URI_HOST_MAX];
    size_t len = strlen(out->uri.path);

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
    if (q->fips || q->dualstack)
        return err_set(e, ERR_INVAL, "option %s contradicts endpoint=: it chooses among AWS's own endpoints",
                       q->fips ? "fips" : "dualstack");
    enum err_code code = uri_parse(q->custom, &out->uri, e);
    return code ? err_prefix(e, code, "endpoint") : ERR_OK;
}

static enum err_code resolve_s3(const struct endpoint_query *q, const struct partition *p, char *host, struct err *e)
{
    if (q->fips && p->no_fips_s3)
        return err_set(e, ERR_INVAL, "option fips: S3 has no FIPS endpoints in %s", q->region);
    snprintf(host, URI_HOST_MAX, "s3%s%s.%s.%s", q->fips ? "-fips" : "", q->dualstack ? ".dualstack" : "", q->region,
             p->suffix);
    return ERR_OK;
}

/* In us-gov the ordinary hosts of ssm and sts are the FIPS ones, dual-stack excepted. */
static void resolve_regional(const struct endpoint_query *q, const struct partition *p, char *host)
{
    bool named = q->fips && (q->dualstack || strcmp(p->prefix, "us-gov-"));

    snprintf(host, URI_HOST_MAX, "%s%s.%s.%s", q->service, named ? "-fips" : "", q->region,
             q->dualstack ? p->dual_suffix : p->suffix);
}

enum err_code endpoint_resolve(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    struct endpoint found = {0};
    const struct partition *p = partition_of(q->region);
    enum err_code code = q->bucket ? bucket_name_check(q->bucket, e) : ERR_OK;

    if (code)
        return code;
    if (q->custom) {
        if ((code = resolve_custom(q, &found, e)))
            return code;
    } else {
        found.uri.tls = true;
        if (strcmp(q->service, "s3"))
            resolve_regional(q, p, found.uri.host);
        else if ((code = resolve_s3(q, p, found.uri.host, e)))
            return code;
    }
    if (q->bucket && (code = place_bucket(q, &found, e)))
        return code;
    if (found.uri.port)
        snprintf(found.authority, sizeof(found.authority), "%s:%u", found.uri.host, found.uri.port);
    else
        snprintf(found.authority, sizeof(found.authority), "%s", found.uri.host);
    *out = found;
    return ERR_OK;
}

/* "AWS_ENDPOINT_URL_SSM" */
static const char *service_variable(const char *service)
{
    static const char *const names[][2] = {
        {"s3", "AWS_ENDPOINT_URL_S3"}, {"ssm", "AWS_ENDPOINT_URL_SSM"}, {"sts", "AWS_ENDPOINT_URL_STS"}};

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
