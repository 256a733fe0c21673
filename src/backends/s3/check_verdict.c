/* What an answer says about a permission. Authorization comes before everything else (S3's order), so whatever else a
 * server objects to, it has allowed the request. */
#include "backends/s3/check.h"
#include "util/str.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* By enum s3_try. */
static const char *const own_action[S3_TRIES] = {
    [S3_TRY_LIST] = "s3:ListBucket",
    [S3_TRY_READ] = "s3:GetObject",
    [S3_TRY_THERE] = "s3:GetObject",
    [S3_TRY_DELETE] = "s3:DeleteObject",
    [S3_TRY_ABORT] = "s3:AbortMultipartUpload",
    [S3_TRY_PARTS] = "s3:ListMultipartUploadParts",
    [S3_TRY_GET_TAGS] = "s3:GetObjectTagging",
    [S3_TRY_PUT] = "s3:PutObject",
    [S3_TRY_CREATE] = "s3:PutObject",
    [S3_TRY_PUT_TAGS] = "s3:PutObjectTagging",
};

/* Copies the characters of `text` up to the first that is not of `legal`. */
static void take(const char *text, const char *legal, char *out, size_t size)
{
    size_t n = 0;

    while (n < size - 1 && text[n] && (isalnum((unsigned char)text[n]) || strchr(legal, text[n])))
        n++;
    memcpy(out, text, n);
    out[n] = 0;
}

void s3_denial_parse(const char *message, char action[CHECK_ACTION_SIZE], char resource[CHECK_RESOURCE_SIZE])
{
    static const char before[] = "not authorized to perform: ", on[] = " on resource: ";
    const char *at = strstr(message, before), *of = at != NULL ? strstr(at, on) : NULL;
    action[0] = resource[0] = 0;
    if (at == NULL)
        return;
    take(at + strlen(before), "-:", action, CHECK_ACTION_SIZE);
    const char *colon = strchr(action, ':');
    if (colon == NULL || colon == action || colon[1] == 0 || strchr(colon + 1, ':') != NULL)
        action[0] = 0;
    if (of == NULL || action[0] == 0)
        return;
    of += strlen(on);
    take(*of == '"' ? of + 1 : of, ":/_.*-", resource, CHECK_RESOURCE_SIZE);
    if (!str_starts(resource, "arn:"))
        resource[0] = 0;
}

static bool is_denial(const struct s3_outcome *o)
{
    return o->status == 403 && (o->error[0] == 0 || strcmp(o->error, "AccessDenied") == 0 ||
                                strcmp(o->error, "AllAccessDisabled") == 0 || strcmp(o->error, "Forbidden") == 0);
}

/* Whether S3 says 403 where there is nothing and the user may not list. */
static bool hides_absence(enum s3_try what)
{
    return what == S3_TRY_READ || what == S3_TRY_GET_TAGS || what == S3_TRY_PUT_TAGS;
}

static enum check_verdict of_denial(enum s3_try what, const struct s3_outcome *o, bool may_list)
{
    if (strcmp(o->action, own_action[what]) == 0)
        return CHECK_NO;
    /* There is nothing under that name, and only that is what may not be told. */
    if (what != S3_TRY_LIST && strcmp(o->action, "s3:ListBucket") == 0)
        return CHECK_YES;
    if (o->action[0] == 0 && hides_absence(what) && !may_list)
        return CHECK_UNKNOWN;
    return CHECK_NO;
}

enum check_verdict s3_allowed(enum s3_try what, const struct s3_outcome *o, bool may_list)
{
    if (!o->tried || o->status == 0)
        return CHECK_UNKNOWN;
    if (is_denial(o))
        return of_denial(what, o, may_list);
    if (o->code == ERR_KEY_REJECTED || o->status == 501 || o->status == 405)
        return CHECK_NO;
    if (strcmp(o->error, "InvalidObjectState") == 0)
        return CHECK_YES;
    if (strcmp(o->error, "NoSuchBucket") == 0)
        return CHECK_UNKNOWN;
    switch (o->status) {
    case 404:
        return o->code == ERR_NOT_FOUND ? CHECK_YES : CHECK_UNKNOWN;
    case 304:
    case 409:
    case 412:
    case 416:
        return CHECK_YES;
    case 400:
        return strcmp(o->error, "BadDigest") == 0 ? CHECK_YES : CHECK_UNKNOWN;
    default:
        return o->status < 300 ? CHECK_YES : CHECK_UNKNOWN;
    }
}
