#include "aws/arn.h"

#include "util/cleanup.h"
#include "util/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Where parsing stands; `whole` is for messages. */
struct reading {
    const char *whole, *at;
};

static enum err_code wrong(const struct reading *r, struct err *e, const char *what)
{
    return err_set(e, ERR_INVAL, "the ARN '%.200s': %s", r->whole, what);
}

/* Copies what stands before one of `ends` and moves behind that. Where none of them comes, all that is left is taken.
 */
static enum err_code take(struct reading *r, const char *ends, char *out, size_t size, struct err *e)
{
    size_t len = strcspn(r->at, ends);

    if (len >= size)
        return err_set(e, ERR_INVAL, "the ARN '%.200s': '%.80s...' is too long", r->whole, r->at);
    memcpy(out, r->at, len);
    out[len] = '\0';
    r->at += len + (r->at[len] != '\0');
    return ERR_OK;
}

static bool is_label(const char *s)
{
    size_t len = strlen(s);

    if (!len || len > 63 || s[0] == '-' || s[len - 1] == '-')
        return false;
    for (; *s; s++)
        if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '-')
            return false;
    return true;
}

static enum err_code check_account(const struct reading *r, const struct arn *a, struct err *e)
{
    if (strlen(a->account) == 12 && strspn(a->account, "0123456789") == 12)
        return ERR_OK;
    return err_set(e, ERR_INVAL, "the ARN '%.200s': the account '%s' is not 12 digits", r->whole, a->account);
}

static enum err_code check_name(const struct reading *r, struct arn *a, struct err *e)
{
    char alias[64];
    size_t len = strlen(a->name);

    if (!len)
        return wrong(r, e, "the name of the access point is missing");
    memcpy(alias, a->name, sizeof(alias));
    if (a->kind == ARN_MULTI_REGION && len > 5)
        alias[len - 5] = '\0';
    if (!is_label(alias))
        return err_set(
            e, ERR_INVAL,
            "the ARN '%.200s': '%s' is no name of an access point: lower-case letters, digits and '-' are legal",
            r->whole, a->name);
    return ERR_OK;
}

/* "arn:PARTITION:SERVICE:REGION:ACCOUNT:" */
static enum err_code read_head(struct reading *r, struct arn *a, char *service, size_t size, struct err *e)
{
    char scheme[8], account[64];
    enum err_code code;

    if ((code = take(r, ":", scheme, sizeof(scheme), e)) ||
        (code = take(r, ":", a->partition, sizeof(a->partition), e)) || (code = take(r, ":", service, size, e)) ||
        (code = take(r, ":", a->region, sizeof(a->region), e)) || (code = take(r, ":", account, sizeof(account), e)))
        return code;
    if (strcmp(a->partition, "aws") && !str_starts(a->partition, "aws-"))
        return err_set(e, ERR_INVAL, "the ARN '%.200s': '%s' is no partition, like aws, aws-cn or aws-us-gov", r->whole,
                       a->partition);
    snprintf(a->account, sizeof(a->account), "%.12s", account);
    if (strlen(account) > 12)
        return err_set(e, ERR_INVAL, "the ARN '%.200s': the account '%s' is not 12 digits", r->whole, account);
    if (*a->region && !aws_region_valid(a->region))
        return err_set(e, ERR_INVAL, "the ARN '%.200s': '%s' is no region", r->whole, a->region);
    return ERR_OK;
}

static enum err_code read_kind(const struct reading *r, struct arn *a, const char *service, struct err *e)
{
    if (!strcmp(service, "s3"))
        a->kind = ARN_ACCESS_POINT;
    else if (!strcmp(service, "s3-object-lambda"))
        a->kind = ARN_OBJECT_LAMBDA;
    else if (!strcmp(service, "s3-outposts"))
        a->kind = ARN_OUTPOST;
    else
        return err_set(e, ERR_INVAL,
                       "the ARN '%.200s': the service is '%s'; s3, s3-object-lambda and s3-outposts are legal",
                       r->whole, service);
    return ERR_OK;
}

/* "outpost/op-ID/" */
static enum err_code read_outpost(struct reading *r, struct arn *a, struct err *e)
{
    char type[32];
    enum err_code code;

    if ((code = take(r, ":/", type, sizeof(type), e)) || (code = take(r, ":/", a->outpost, sizeof(a->outpost), e)))
        return code;
    if (strcmp(type, "outpost") || !str_starts(a->outpost, "op-") || !is_label(a->outpost))
        return wrong(r, e, "behind the account outpost/op-ID/accesspoint/NAME must follow");
    return ERR_OK;
}

/* The one with an empty region is the multi-region one. */
static enum err_code settle_region(const struct reading *r, struct arn *a, struct err *e)
{
    if (*a->region)
        return str_ends(a->name, ".mrap") ? wrong(r, e, "a multi-region access point (.mrap) has an empty region")
                                          : ERR_OK;
    if (a->kind != ARN_ACCESS_POINT)
        return wrong(r, e, "the region is missing");
    if (!str_ends(a->name, ".mrap"))
        return wrong(r, e,
                     "the region is missing; only the alias of a multi-region access point, which ends in .mrap, has "
                     "none");
    a->kind = ARN_MULTI_REGION;
    return ERR_OK;
}

bool arn_is(const char *text)
{
    return str_starts(text, "arn:");
}

enum err_code arn_parse(const char *text, struct arn *out, size_t *len, struct err *e)
{
    struct reading r = {text, text};
    struct arn a = {0};
    char service[32], type[32];
    enum err_code code;

    if ((code = read_head(&r, &a, service, sizeof(service), e)) || (code = read_kind(&r, &a, service, e)))
        return code;
    if (a.kind == ARN_ACCESS_POINT && !*a.region && !*a.account && *r.at)
        return wrong(&r, e, "this is the ARN of a bucket: write the bucket's name alone, as in s3://bucket");
    if ((code = check_account(&r, &a, e)) || (a.kind == ARN_OUTPOST && (code = read_outpost(&r, &a, e))) ||
        (code = take(&r, ":/", type, sizeof(type), e)))
        return code;
    if (strcmp(type, "accesspoint"))
        return err_set(e, *type ? ERR_UNSUPPORTED : ERR_INVAL,
                       "the ARN '%.200s': '%s' stands where accesspoint/NAME must follow", text, type);
    /* What follows the name is not the ARN's: its '/' stays. */
    size_t name = strcspn(r.at, ":/");
    if (name >= sizeof(a.name))
        return wrong(&r, e, "the name of the access point is longer than 63 characters");
    memcpy(a.name, r.at, name);
    r.at += name;
    if ((code = settle_region(&r, &a, e)) || (code = check_name(&r, &a, e)))
        return code;
    if (*r.at == ':' || (!len && *r.at))
        return wrong(&r, e, "nothing may follow the access point's name");
    if (len)
        *len = (size_t)(r.at - text);
    *out = a;
    return ERR_OK;
}
