#include "ops.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "request.h"
#include "ssm.h"

#define OP_TEXT(name) #name,
static const char *const names[] = {S3_OPERATIONS(OP_TEXT) SSM_OPERATIONS(OP_TEXT)};

const char *op_name(enum op op)
{
    return names[op];
}

enum scope { ON_SERVICE, ON_BUCKET, ON_OBJECT };

/* A request is the first row whose method and scope agree, whose parameter (if any) it has and whose
 * header (if any) it carries. */
static const struct route {
    const char *method;
    enum scope scope;
    const char *param;
    const char *header;
    enum op op;
} routes[] = {
    {"GET", ON_SERVICE, NULL, NULL, OP_ListBuckets},
    {"GET", ON_BUCKET, "location", NULL, OP_GetBucketLocation},
    {"GET", ON_BUCKET, "versioning", NULL, OP_GetBucketVersioning},
    {"GET", ON_BUCKET, "ownershipControls", NULL, OP_GetBucketOwnershipControls},
    {"PUT", ON_BUCKET, "ownershipControls", NULL, OP_PutBucketOwnershipControls},
    {"GET", ON_BUCKET, "acl", NULL, OP_GetBucketAcl},
    {"GET", ON_BUCKET, "session", NULL, OP_CreateSession},
    {"GET", ON_BUCKET, "uploads", NULL, OP_ListMultipartUploads},
    {"GET", ON_BUCKET, "list-type", NULL, OP_ListObjectsV2},
    {"GET", ON_BUCKET, NULL, NULL, OP_ListObjects},
    {"POST", ON_BUCKET, "delete", NULL, OP_DeleteObjects},
    {"PUT", ON_BUCKET, NULL, NULL, OP_CreateBucket},
    {"DELETE", ON_BUCKET, NULL, NULL, OP_DeleteBucket},
    {"HEAD", ON_BUCKET, NULL, NULL, OP_HeadBucket},
    {"PUT", ON_OBJECT, "renameObject", NULL, OP_RenameObject},
    {"PUT", ON_OBJECT, "annotation", NULL, OP_PutObjectAnnotation},
    {"GET", ON_OBJECT, "annotation", NULL, OP_GetObjectAnnotation},
    {"DELETE", ON_OBJECT, "annotation", NULL, OP_DeleteObjectAnnotation},
    {"GET", ON_OBJECT, "tagging", NULL, OP_GetObjectTagging},
    {"PUT", ON_OBJECT, "tagging", NULL, OP_PutObjectTagging},
    {"DELETE", ON_OBJECT, "tagging", NULL, OP_DeleteObjectTagging},
    {"GET", ON_OBJECT, "acl", NULL, OP_GetObjectAcl},
    {"PUT", ON_OBJECT, "acl", NULL, OP_PutObjectAcl},
    {"PUT", ON_OBJECT, "uploadId", "x-amz-copy-source", OP_UploadPartCopy},
    {"PUT", ON_OBJECT, "uploadId", NULL, OP_UploadPart},
    {"GET", ON_OBJECT, "uploadId", NULL, OP_ListParts},
    {"DELETE", ON_OBJECT, "uploadId", NULL, OP_AbortMultipartUpload},
    {"POST", ON_OBJECT, "uploadId", NULL, OP_CompleteMultipartUpload},
    {"POST", ON_OBJECT, "uploads", NULL, OP_CreateMultipartUpload},
    {"PUT", ON_OBJECT, NULL, "x-amz-copy-source", OP_CopyObject},
    {"PUT", ON_OBJECT, NULL, NULL, OP_PutObject},
    {"GET", ON_OBJECT, NULL, NULL, OP_GetObject},
    {"HEAD", ON_OBJECT, NULL, NULL, OP_HeadObject},
    {"DELETE", ON_OBJECT, NULL, NULL, OP_DeleteObject},
};

/* Parameters that do not choose an operation. Everything else that the chosen row does not name is a
 * sub-resource that this server does not have, and never falls back to the plain operation. */
static bool is_plain_param(const char *name)
{
    static const char *const plain[] = {
        "x-id",          "prefix",      "delimiter",        "max-keys",    "start-after",   "continuation-token",
        "encoding-type", "fetch-owner", "marker",           "partNumber",  "max-parts",     "part-number-marker",
        "max-uploads",   "key-marker",  "upload-id-marker", "max-buckets", "bucket-region", "AWSAccessKeyId",
        "Expires",       "Signature",
    };

    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (strcmp(name, plain[i]) == 0)
            return true;
    return strncasecmp(name, "x-amz-", 6) == 0;
}

static bool params_allowed(const struct request *r, const struct route *route)
{
    for (size_t i = 0; i < r->param_count; i++) {
        const struct pair *p = &r->params[i];

        if ((route->param && strcmp(p->name, route->param) == 0) || is_plain_param(p->name))
            continue;
        if (strcmp(p->name, "versionId") == 0 && strcmp(p->value, "null") == 0)
            continue;
        return false;
    }
    return true;
}

enum op op_of_request(const struct request *r)
{
    const char *target = request_header(r, "x-amz-target");

    if (r->ssm)
        return ssm_op_of_target(target);
    enum scope scope = r->key ? ON_OBJECT : r->bucket ? ON_BUCKET : ON_SERVICE;

    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *route = &routes[i];

        if (route->scope != scope || strcmp(r->method, route->method) != 0)
            continue;
        if (route->param && !request_param(r, route->param))
            continue;
        if (route->header && !request_header(r, route->header))
            continue;
        return params_allowed(r, route) ? route->op : OP_Unknown;
    }
    return OP_Unknown;
}
