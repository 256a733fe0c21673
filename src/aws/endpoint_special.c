/* The hosts of access points, directory buckets and buckets on Outposts. Source of all rules: the endpoint rule set of
 * S3 that the SDKs share. */
#include "aws/arn.h"
#include "aws/endpoint_impl.h"

#include "util/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Sets the host; of a custom endpoint it becomes "LABEL.HOST", else "LABEL.REST". */
__attribute__((format(printf, 4, 5))) static enum err_code set_host(struct endpoint *out, const char *label,
                                                                    struct err *e, const char *rest, ...)
{
    char host[URI_HOST_MAX], tail[URI_HOST_MAX];
    va_list ap;

    va_start(ap, rest);
    vsnprintf(tail, sizeof(tail), rest, ap);
    va_end(ap);
    if (out->custom && out->uri.ip)
        return err_set(e, ERR_INVAL, "%s needs an endpoint with a name, not an address", label);
    const char *end = out->custom ? out->uri.host : tail;
    if (snprintf(host, sizeof(host), "%s.%s", label, end) >= (int)sizeof(host))
        return err_set(e, ERR_INVAL, "the endpoint of '%s' is too long", label);
    memcpy(out->uri.host, host, sizeof(host));
    return ERR_OK;
}

/* What a kind of bucket does not go with. */
static enum err_code refuse(const struct endpoint_query *q, const char *kind, bool dualstack, bool fips, struct err *e)
{
    if (q->accelerate)
        return err_set(e, ERR_INVAL, "use_accelerate_endpoint: %s cannot be accelerated: '%s'", kind, q->bucket);
    if (dualstack && q->dualstack)
        return err_set(e, ERR_INVAL, "dualstack: %s have no dual-stack endpoints: '%s'", kind, q->bucket);
    if (fips && q->fips)
        return err_set(e, ERR_INVAL, "fips: %s have no FIPS endpoints: '%s'", kind, q->bucket);
    return ERR_OK;
}

static enum err_code check_arn(const struct endpoint_query *q, const struct arn *a, struct err *e)
{
    const struct partition *own = partition_of(q->region), *of = partition_of(*a->region ? a->region : q->region);

    if (q->addressing == AWS_ADDRESSING_PATH && q->addressing_asked)
        return err_set(e, ERR_INVAL, "option addressing=path: an access point goes by its host only: '%s'", q->bucket);
    if (strcmp(a->partition, of->name))
        return err_set(e, ERR_INVAL, "the ARN '%.200s' is of partition %s, the region %s of %s", q->bucket,
                       a->partition, *a->region ? a->region : q->region, of->name);
    if (own != of)
        return err_set(e, ERR_INVAL, "the ARN '%.200s' is of partition %s, the region in use (%s) of %s", q->bucket,
                       a->partition, q->region, own->name);
    if (*a->region && q->own_region_only && strcmp(a->region, q->region))
        return err_set(e, ERR_INVAL, "the ARN '%.200s' is of another region than %s, and use_arn_region is false",
                       q->bucket, q->region);
    return ERR_OK;
}

static enum err_code of_multi_region(const struct endpoint_query *q, const struct arn *a, struct endpoint *out,
                                     struct err *e)
{
    enum err_code code = refuse(q, "multi-region access points", true, true, e);

    if (code)
        return code;
    if (q->no_multi_region)
        return err_set(e, ERR_INVAL, "s3_disable_multiregion_access_points is true: '%s' is not used", q->bucket);
    if (q->custom)
        return err_set(e, ERR_INVAL, "a multi-region access point is reached by AWS's own endpoint only: '%s'", q->bucket);
    out->sigv4a = true;
    return set_host(out, a->name, e, "accesspoint.s3-global.%s", partition_of(q->region)->suffix);
}

enum err_code endpoint_of_arn(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    struct arn a;
    char label[160];
    enum err_code code = arn_parse(q->bucket, &a, NULL, e);

    if (code || (code = check_arn(q, &a, e)))
        return code;
    const char *suffix = partition_of(q->region)->suffix;
    const char *fips = q->fips ? "-fips" : "", *dual = q->dualstack ? ".dualstack" : "";
    out->fixed = true;
    if (*a.region)
        snprintf(out->region, sizeof(out->region), "%s", a.region);
    snprintf(label, sizeof(label), "%s-%s", a.name, a.account);
    switch (a.kind) {
    case ARN_ACCESS_POINT:
        code = refuse(q, "access points", false, !strcmp(a.partition, "aws-cn"), e);
        return code ? code : set_host(out, label, e, "s3-accesspoint%s%s.%s.%s", fips, dual, a.region, suffix);
    case ARN_MULTI_REGION:
        return of_multi_region(q, &a, out, e);
    case ARN_OBJECT_LAMBDA:
        snprintf(out->signing_name, sizeof(out->signing_name), "s3-object-lambda");
        code = refuse(q, "Object Lambda access points", true, !strcmp(a.partition, "aws-cn"), e);
        return code ? code : set_host(out, label, e, "s3-object-lambda%s.%s.%s", fips, a.region, suffix);
    case ARN_OUTPOST:
        break;
    }
    snprintf(out->signing_name, sizeof(out->signing_name), "s3-outposts");
    snprintf(label, sizeof(label), "%s-%s.%s", a.name, a.account, a.outpost);
    code = refuse(q, "access points of Outposts", true, true, e);
    return code ? code : set_host(out, label, e, "s3-outposts.%s.%s", a.region, suffix);
}

bool bucket_is_directory(const char *name)
{
    return str_ends(name, "--x-s3") || str_ends(name, "--xa-s3");
}

/* "BASE--ZONE--x-s3": the zone's id, "" when there is none. */
static void zone_of(const char *bucket, char *out, size_t size)
{
    size_t end = strlen(bucket) - (str_ends(bucket, "--xa-s3") ? strlen("--xa-s3") : strlen("--x-s3"));
    size_t from = end;

    while (from > 1 && strncmp(bucket + from - 2, "--", 2) != 0)
        from--;
    if (from <= 2 || from == end || end - from >= size)
        from = end;
    snprintf(out, size, "%.*s", (int)(end - from), bucket + from);
}

enum err_code endpoint_of_directory(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    char zone[64];
    size_t len = strlen(out->uri.path);
    enum err_code code = refuse(q, "directory buckets", false, !strcmp(partition_of(q->region)->name, "aws-cn"), e);

    if (code)
        return code;
    zone_of(q->bucket, zone, sizeof(zone));
    if (!*zone || !bucket_fits_host(q->bucket, false))
        return err_set(e, ERR_INVAL, "'%s' is no name of a directory bucket, like name--use1-az4--x-s3", q->bucket);
    out->fixed = true;
    out->session = !q->no_session;
    snprintf(out->signing_name, sizeof(out->signing_name), "s3express");
    if (!out->custom && q->addressing == AWS_ADDRESSING_PATH && q->addressing_asked)
        return err_set(e, ERR_INVAL, "option addressing=path: a directory bucket goes by its host only: '%s'",
                       q->bucket);
    out->path_style = out->custom && (out->uri.ip || (q->addressing == AWS_ADDRESSING_PATH && q->addressing_asked));
    if (!out->path_style)
        return set_host(out, q->bucket, e, "s3express%s-%s%s.%s.%s", q->fips ? "-fips" : "", zone,
                        q->dualstack ? ".dualstack" : "", q->region, partition_of(q->region)->suffix);
    if ((size_t)snprintf(out->uri.path + len, URI_PATH_MAX - len, "/%s", q->bucket) >= URI_PATH_MAX - len)
        return err_set(e, ERR_INVAL, "the endpoint of bucket '%s' is too long", q->bucket);
    return ERR_OK;
}

/* "NAME-" (a letter for the hardware) "o" or "e", 17 characters of the Outpost's id, more, "--op-s3"; the letter is the
 * 50th character from the end. */
enum err_code endpoint_of_outpost_alias(const struct endpoint_query *q, struct endpoint *out, struct err *e)
{
    enum { TAIL = 50, ID = 17 };
    char id[ID + 1];
    size_t len = strlen(q->bucket);
    enum err_code code = refuse(q, "buckets on Outposts", true, true, e);

    if (code)
        return code;
    if (len <= TAIL || !bucket_fits_host(q->bucket, false) || !strchr("eo", q->bucket[len - TAIL]))
        return err_set(e, ERR_INVAL, "'%s' is no alias of an access point of an Outpost", q->bucket);
    snprintf(id, sizeof(id), "%s", q->bucket + len - TAIL + 1);
    out->fixed = true;
    snprintf(out->signing_name, sizeof(out->signing_name), "s3-outposts");
    if (out->custom)
        return err_set(e, ERR_INVAL, "an alias of an Outpost is reached by AWS's own endpoint only: '%s'", q->bucket);
    const char *suffix = partition_of(q->region)->suffix;
    if (q->bucket[len - TAIL] == 'e')
        return set_host(out, q->bucket, e, "ec2.s3-outposts.%s.%s", q->region, suffix);
    return set_host(out, q->bucket, e, "op-%s.s3-outposts.%s.%s", id, q->region, suffix);
}
