#include "aws/errors.h"

#include "util/buf.h"
#include "util/json.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <string.h>

struct rule {
    const char *service; /* NULL: any */
    const char *code;
    enum err_code err;
    enum aws_class class;
    const char *text;
};

static const struct rule rules[] = {
    /* asked to slow down: the SDKs' standard list */
    {NULL, "Throttling", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "ThrottlingException", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "ThrottledException", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "RequestThrottledException", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "RequestThrottled", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "TooManyRequestsException", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "ProvisionedThroughputExceededException", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "RequestLimitExceeded", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "BandwidthLimitExceeded", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "LimitExceededException", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "PriorRequestNotComplete", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "EC2ThrottledException", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "SlowDown", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {NULL, "ServiceUnavailable", ERR_THROTTLED, AWS_THROTTLED, NULL},
    {"ssm", "TooManyUpdates", ERR_THROTTLED, AWS_THROTTLED, NULL},

    {NULL, "RequestTimeout", ERR_TIMEOUT, AWS_TRANSIENT, NULL},
    {NULL, "RequestTimeoutException", ERR_TIMEOUT, AWS_TRANSIENT, NULL},
    {NULL, "InternalError", ERR_IO, AWS_TRANSIENT, NULL},
    {NULL, "InternalServerError", ERR_IO, AWS_TRANSIENT, NULL},
    {NULL, "InternalFailure", ERR_IO, AWS_TRANSIENT, NULL},
    {"sts", "IDPCommunicationError", ERR_IO, AWS_TRANSIENT, NULL},
    {"s3", "IncompleteBody", ERR_IO, AWS_TRANSIENT, NULL},
    {"s3", "BadDigest", ERR_IO, AWS_TRANSIENT, "the bytes that arrived have another checksum"},
    {"s3", "XAmzContentSHA256Mismatch", ERR_IO, AWS_TRANSIENT, "the bytes that arrived have another checksum"},
    {"s3", "XAmzContentChecksumMismatch", ERR_IO, AWS_TRANSIENT, "the bytes that arrived have another checksum"},
    {"s3", "OperationAborted", ERR_CONFLICT, AWS_TRANSIENT, NULL},
    {"s3", "ConditionalRequestConflict", ERR_CONFLICT, AWS_TRANSIENT, NULL},

    {NULL, "RequestTimeTooSkewed", ERR_AUTH, AWS_SKEW, "the clock of this machine is wrong"},
    {NULL, "RequestInTheFuture", ERR_AUTH, AWS_SKEW, "the clock of this machine is wrong"},
    {NULL, "RequestExpired", ERR_AUTH, AWS_SKEW, "the clock of this machine is wrong"},

    {NULL, "ExpiredToken", ERR_AUTH, AWS_EXPIRED, "the credentials have expired"},
    {NULL, "ExpiredTokenException", ERR_AUTH, AWS_EXPIRED, "the credentials have expired"},
    {NULL, "TokenRefreshRequired", ERR_AUTH, AWS_EXPIRED, "the credentials have expired"},
    {NULL, "InvalidToken", ERR_AUTH, AWS_EXPIRED, "the session token is not valid"},
    {NULL, "InvalidAccessKeyId", ERR_AUTH, AWS_EXPIRED, "the server does not know the access key"},
    {NULL, "InvalidClientTokenId", ERR_AUTH, AWS_EXPIRED, "the server does not know the access key"},
    {"s3", "XAdminUserNotFound", ERR_AUTH, AWS_EXPIRED, "the server does not know the access key"}, /* versitygw */
    {NULL, "UnrecognizedClientException", ERR_AUTH, AWS_EXPIRED, "the server does not know the access key"},
    {NULL, "SignatureDoesNotMatch", ERR_AUTH, AWS_FINAL, "the signature is not right: is the secret access key?"},
    {NULL, "InvalidSignatureException", ERR_AUTH, AWS_FINAL, "the signature is not right: is the secret access key?"},
    {NULL, "IncompleteSignature", ERR_AUTH, AWS_FINAL, NULL},
    {NULL, "MissingAuthenticationToken", ERR_AUTH, AWS_FINAL, "the request must be signed"},

    {"s3", "PermanentRedirect", ERR_IO, AWS_REGION, "the bucket is in another region"},
    {"s3", "TemporaryRedirect", ERR_IO, AWS_REGION, "the bucket is in another region"},
    {"s3", "AuthorizationHeaderMalformed", ERR_AUTH, AWS_REGION, NULL},
    {"s3", "IllegalLocationConstraintException", ERR_INVAL, AWS_REGION, NULL},

    {"s3", "NoSuchKey", ERR_NOT_FOUND, AWS_FINAL, NULL},
    {"s3", "NoSuchVersion", ERR_NOT_FOUND, AWS_FINAL, NULL},
    {"s3", "NoSuchUpload", ERR_NOT_FOUND, AWS_FINAL, NULL},
    /* A bucket that is gone must never look like a file that is gone. */
    {"s3", "NoSuchBucket", ERR_IO, AWS_FINAL, "no such bucket"},
    {"s3", "AllAccessDisabled", ERR_ACCESS, AWS_FINAL, NULL},
    {"s3", "AccessDenied", ERR_ACCESS, AWS_FINAL, NULL},
    {"s3", "InvalidObjectState", ERR_ACCESS, AWS_FINAL,
     "the object is archived and must be restored before it can be read"},
    {"s3", "PreconditionFailed", ERR_CONFLICT, AWS_FINAL, NULL},
    {"s3", "NotModified", ERR_CONFLICT, AWS_FINAL, NULL},
    {"s3", "InvalidRange", ERR_RANGE, AWS_FINAL, NULL},
    {"s3", "EntityTooLarge", ERR_TOO_BIG, AWS_FINAL, NULL},
    {"s3", "MaxMessageLengthExceeded", ERR_TOO_BIG, AWS_FINAL, NULL},
    {"s3", "MetadataTooLarge", ERR_NOSPC, AWS_FINAL, "the metadata is larger than 2 KB"},
    {"s3", "KeyTooLongError", ERR_NAME_TOO_LONG, AWS_FINAL, NULL},
    {"s3", "NotImplemented", ERR_UNSUPPORTED, AWS_FINAL, NULL},
    {"s3", "MethodNotAllowed", ERR_UNSUPPORTED, AWS_FINAL, NULL},
    {"s3", "BucketAlreadyExists", ERR_EXISTS, AWS_FINAL, NULL},
    {"s3", "BucketAlreadyOwnedByYou", ERR_EXISTS, AWS_FINAL, NULL},
    {"s3", "BucketNotEmpty", ERR_NOT_EMPTY, AWS_FINAL, NULL},
    {"s3", "TooManyBuckets", ERR_QUOTA, AWS_FINAL, NULL},
    {"s3", "KMS.DisabledException", ERR_KEY_REJECTED, AWS_FINAL, NULL},
    {"s3", "KMS.NotFoundException", ERR_KEY_REJECTED, AWS_FINAL, NULL},
    {"s3", "KMS.KMSInvalidStateException", ERR_KEY_REJECTED, AWS_FINAL, NULL},
    {"s3", "InvalidBucketName", ERR_INVAL, AWS_FINAL, NULL},

    {"ssm", "ParameterNotFound", ERR_NOT_FOUND, AWS_FINAL, NULL},
    {"ssm", "ParameterVersionNotFound", ERR_NOT_FOUND, AWS_FINAL, NULL},
    {"ssm", "InvalidResourceId", ERR_NOT_FOUND, AWS_FINAL, NULL}, /* of a tag's parameter */
    {"ssm", "ParameterAlreadyExists", ERR_EXISTS, AWS_FINAL, NULL},
    {"ssm", "AccessDeniedException", ERR_ACCESS, AWS_FINAL, NULL},
    {"ssm", "ParameterLimitExceeded", ERR_QUOTA, AWS_FINAL, NULL},
    {"ssm", "ParameterMaxVersionLimitExceeded", ERR_QUOTA, AWS_FINAL, NULL},
    {"ssm", "ParameterVersionLabelLimitExceeded", ERR_QUOTA, AWS_FINAL, NULL},
    {"ssm", "PoliciesLimitExceededException", ERR_QUOTA, AWS_FINAL, NULL},
    {"ssm", "ValidationException", ERR_INVAL, AWS_FINAL, NULL},
    {"ssm", "ParameterPatternMismatchException", ERR_INVAL, AWS_FINAL, NULL},
    {"ssm", "InvalidAllowedPatternException", ERR_INVAL, AWS_FINAL, NULL},
    {"ssm", "UnsupportedParameterType", ERR_INVAL, AWS_FINAL, NULL},
    {"ssm", "InvalidFilterKey", ERR_INVAL, AWS_FINAL, NULL},
    {"ssm", "InvalidFilterValue", ERR_INVAL, AWS_FINAL, NULL},
    {"ssm", "InvalidFilterOption", ERR_INVAL, AWS_FINAL, NULL},
    {"ssm", "InvalidNextToken", ERR_INVAL, AWS_FINAL, NULL},
    {"ssm", "HierarchyLevelLimitExceededException", ERR_NAME_TOO_LONG, AWS_FINAL, NULL},
    {"ssm", "HierarchyTypeMismatchException", ERR_PERM, AWS_FINAL, NULL},
    {"ssm", "InvalidKeyId", ERR_KEY_REJECTED, AWS_FINAL, NULL},

    {"sts", "AccessDenied", ERR_ACCESS, AWS_FINAL, NULL},
    {"sts", "RegionDisabledException", ERR_ACCESS, AWS_FINAL, NULL},
};

struct status_rule {
    int status;
    enum err_code err;
    enum aws_class class;
};

static const struct status_rule status_rules[] = {
    {301, ERR_IO, AWS_REGION},           {302, ERR_IO, AWS_REGION},           {304, ERR_CONFLICT, AWS_FINAL},
    {307, ERR_IO, AWS_REGION},           {308, ERR_IO, AWS_REGION},           {400, ERR_INVAL, AWS_FINAL},
    {401, ERR_AUTH, AWS_FINAL},          {403, ERR_ACCESS, AWS_FINAL},        {404, ERR_NOT_FOUND, AWS_FINAL},
    {405, ERR_UNSUPPORTED, AWS_FINAL},   {408, ERR_TIMEOUT, AWS_TRANSIENT},   {409, ERR_CONFLICT, AWS_FINAL},
    {411, ERR_INVAL, AWS_FINAL},         {412, ERR_CONFLICT, AWS_FINAL},      {413, ERR_TOO_BIG, AWS_FINAL},
    {414, ERR_NAME_TOO_LONG, AWS_FINAL}, {416, ERR_RANGE, AWS_FINAL},         {429, ERR_THROTTLED, AWS_THROTTLED},
    {501, ERR_UNSUPPORTED, AWS_FINAL},   {503, ERR_THROTTLED, AWS_THROTTLED},
};

static void copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text ? text : "");
}

void aws_error_set_code(struct aws_error *error, const char *type)
{
    const char *hash = strrchr(type, '#');
    const char *begin = hash ? hash + 1 : type;

    snprintf(error->code, sizeof(error->code), "%.*s", (int)strcspn(begin, ":; "), begin);
}

/* S3's <Error>, and the <ErrorResponse><Error> of the query services. */
static void parse_xml(const char *body, size_t len, struct aws_error *out)
{
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(body, len, NULL);
    const struct xml_node *root = doc ? xml_root(doc) : NULL, *error = root;

    if (!root)
        return;
    if (strcmp(xml_name(root), "Error"))
        error = xml_child(root, "Error");
    if (!error)
        return;
    out->recognised = true;
    copy_text(out->code, sizeof(out->code), xml_child_text(error, "Code"));
    copy_text(out->message, sizeof(out->message), xml_child_text(error, "Message"));
    copy_text(out->region, sizeof(out->region), xml_child_text(error, "Region"));
    copy_text(out->request_id, sizeof(out->request_id), xml_child_text(error, "RequestId"));
    if (!*out->request_id)
        copy_text(out->request_id, sizeof(out->request_id), xml_child_text(root, "RequestId"));
}

static void parse_json(const char *body, size_t len, struct aws_error *out)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(body, len, NULL);
    const struct json *root = doc ? json_root(doc) : NULL;
    const char *type = json_get_str(root, "__type");

    if (!type)
        type = json_get_str(root, "code");
    if (!type)
        return;
    out->recognised = true;
    aws_error_set_code(out, type);
    const char *message = json_get_str(root, "message");
    copy_text(out->message, sizeof(out->message), message ? message : json_get_str(root, "Message"));
}

void aws_error_parse(const char *body, size_t len, struct aws_error *out)
{
    size_t blank = strspn(body, " \t\r\n");

    *out = (struct aws_error){.recognised = blank == len};
    if (body[blank] == '<')
        parse_xml(body, len, out);
    else if (body[blank] == '{')
        parse_json(body, len, out);
}

/* Families of codes that come with any suffix. */
static bool decide_family(const char *service, const struct aws_error *error, struct aws_decision *out)
{
    if (!strcmp(error->code, "InvalidSignatureException") &&
        (strstr(error->message, "Signature expired") || strstr(error->message, "Signature not yet current")))
        *out = (struct aws_decision){ERR_AUTH, AWS_SKEW, "the clock of this machine is wrong"};
    else if (str_starts(error->code, "KMS") || strstr(error->code, ".KMS"))
        *out = (struct aws_decision){ERR_KEY_REJECTED, AWS_FINAL, NULL};
    else if (!strcmp(service, "ssm") &&
             (str_ends(error->code, "LimitExceeded") || str_ends(error->code, "LimitExceededException")) &&
             str_starts(error->code, "Parameter"))
        *out = (struct aws_decision){ERR_QUOTA, AWS_FINAL, NULL};
    else
        return false;
    return true;
}

static struct aws_decision decide_status(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(status_rules); i++)
        if (status_rules[i].status == status)
            return (struct aws_decision){status_rules[i].err, status_rules[i].class, NULL};
    if (status >= 500)
        return (struct aws_decision){ERR_IO, AWS_TRANSIENT, NULL};
    return (struct aws_decision){status >= 400 ? ERR_INVAL : ERR_PROTO, AWS_FINAL, NULL};
}

/* Whether a 404 is about the object. A proxy, a captive portal, or a server that does not know the user answer with 404
 * too; services other than S3 always name what is absent, by a code of the table. */
static bool is_absence(const char *service, const struct aws_error *error)
{
    if (strcmp(service, "s3") || !error->recognised)
        return false;
    return !*error->code || str_starts(error->code, "NoSuch") || !strcmp(error->code, "NotFound");
}

struct aws_decision aws_error_decide(const char *service, int status, const struct aws_error *error)
{
    struct aws_decision out;

    if (*error->code) {
        if (decide_family(service, error, &out))
            return out;
        for (size_t i = 0; i < ARRAY_LEN(rules); i++)
            if (!strcmp(rules[i].code, error->code) && (!rules[i].service || !strcmp(rules[i].service, service)))
                return (struct aws_decision){rules[i].err, rules[i].class, rules[i].text};
    }
    out = decide_status(status);
    if (out.code == ERR_NOT_FOUND && !is_absence(service, error))
        out = (struct aws_decision){*error->code ? ERR_IO : ERR_PROTO, AWS_FINAL, NULL};
    return out;
}
