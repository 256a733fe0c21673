#include "reply.h"

#include <stdlib.h>
#include <string.h>

const char s3_namespace[] = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

static const struct {
    const char *code;
    int status;
    const char *message;
} errors[] = {
    {"AccessControlListNotSupported", 400, "The bucket does not allow ACLs"},
    {"AccessDenied", 403, "Access Denied"},
    {"BadDigest", 400, "The Content-MD5 or checksum value that you specified did not match what the server received."},
    {"BadRequest", 400, "Bad Request"},
    {"BucketAlreadyExists", 409, "The requested bucket name is not available"},
    {"BucketAlreadyOwnedByYou", 409,
     "Your previous request to create the named bucket succeeded and you already own it."},
    {"BucketNotEmpty", 409, "The bucket you tried to delete is not empty"},
    {"EntityTooLarge", 400, "Your proposed upload exceeds the maximum allowed size"},
    {"EntityTooSmall", 400, "Your proposed upload is smaller than the minimum allowed size"},
    {"ExpiredToken", 400, "The provided token has expired."},
    {"IllegalLocationConstraintException", 400,
     "The location constraint is incompatible for the region specific endpoint this request was sent to."},
    {"InternalError", 500, "We encountered an internal error. Please try again."},
    {"InvalidArgument", 400, "Invalid Argument"},
    {"InvalidBucketName", 400, "The specified bucket is not valid."},
    {"InvalidDigest", 400, "The Content-MD5 you specified was invalid."},
    {"InvalidObjectState", 403, "The operation is not valid for the object's storage class"},
    {"InvalidPart", 400,
     "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified "
     "entity tag may not match the part's entity tag."},
    {"InvalidPartOrder", 400, "The list of parts was not in ascending order. Parts must be ordered by part number."},
    {"InvalidRange", 416, "The requested range is not satisfiable"},
    {"InvalidRequest", 400, "The request is not valid."},
    {"InvalidStorageClass", 400, "The storage class you specified is not valid"},
    {"InvalidToken", 400, "The provided token is malformed or otherwise not valid."},
    {"InvalidTag", 400, "The tag provided was not a valid tag."},
    {"InvalidURI", 400, "Couldn't parse the specified URI."},
    {"KeyTooLongError", 400, "Your key is too long"},
    {"MalformedACLError", 400,
     "The XML you provided was not well-formed or did not validate against our published schema"},
    {"MalformedXML", 400, "The XML you provided was not well-formed or did not validate against our published schema"},
    {"MetadataTooLarge", 400, "Your metadata headers exceed the maximum allowed metadata size"},
    {"MethodNotAllowed", 405, "The specified method is not allowed against this resource."},
    {"MissingContentLength", 411, "You must provide the Content-Length HTTP header."},
    {"NoSuchBucket", 404, "The specified bucket does not exist"},
    {"NoSuchKey", 404, "The specified key does not exist."},
    {"NoSuchUpload", 404,
     "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
     "completed."},
    {"NotImplemented", 501, "A header you provided implies functionality that is not implemented"},
    {"PermanentRedirect", 301,
     "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future "
     "requests to this endpoint."},
    {"PreconditionFailed", 412, "At least one of the pre-conditions you specified did not hold"},
    {"RequestHeaderSectionTooLarge", 400, "Your request header section exceeds the maximum allowed size."},
    {"RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large."},
    {"SecondLevelDomainForbidden", 403, "Please use virtual hosted style to access."},
    {"ServiceUnavailable", 503, "Service is unable to handle request."},
    {"SlowDown", 503, "Please reduce your request rate."},
    {"TemporaryRedirect", 307,
     "Please re-send this request to the specified temporary endpoint. Continue to use the original request endpoint "
     "for future requests."},
    {"XAmzContentSHA256Mismatch", 400, "The provided 'x-amz-content-sha256' header does not match what was computed."},
};

int error_status(const char *code, const char **message)
{
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strcmp(code, errors[i].code) == 0) {
            *message = errors[i].message;
            return errors[i].status;
        }
    }
    *message = NULL;
    return 0;
}

void reply_release(struct reply *p)
{
    buf_release(&p->headers);
    buf_release(&p->text);
    body_unref(p->body);
    memset(p, 0, sizeof(*p));
}

void reply_header(struct reply *p, const char *name, const char *format, ...)
{
    char *value = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&value, format, args) < 0)
        abort();
    va_end(args);
    buf_addf(&p->headers, "%s: %s\r\n", name, value);
    free(value);
}

void reply_error_text(struct reply *p, const struct request *r, const char *code, const char *message)
{
    const char *standard;
    int status = error_status(code, &standard);

    reply_release(p);
    if (r->ssm) {
        reply_json(p, strcmp(code, "InternalServerError") == 0 ? 500 : 400,
                   json_pack("{s:s, s:s}", "__type", code, "message", message ? message : "Error"));
        p->content_type = "application/x-amz-json-1.1";
        return;
    }
    reply_xml(p);
    p->status = status ? status : 500;
    buf_adds(&p->text, "<Error>");
    buf_add_element(&p->text, "Code", code);
    buf_add_element(&p->text, "Message", message ? message : standard ? standard : code);
    if (r->key)
        buf_add_element(&p->text, "Key", r->key);
    else if (r->bucket)
        buf_add_element(&p->text, "BucketName", r->bucket);
    buf_add_element(&p->text, "RequestId", r->id);
    buf_adds(&p->text, "<HostId>origin</HostId></Error>");
}

void reply_error(struct reply *p, const struct request *r, const char *code)
{
    reply_error_text(p, r, code, NULL);
}

void reply_xml(struct reply *p)
{
    p->status = 200;
    p->content_type = "application/xml";
    buf_adds(&p->text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
}

void reply_json(struct reply *p, int status, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);

    p->status = status;
    p->content_type = "application/json";
    buf_adds(&p->text, text ? text : "null");
    free(text);
    json_decref(json);
}

uint64_t reply_length(const struct reply *p)
{
    return p->body ? p->length : p->text.len;
}

static const char *reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {{200, "OK"},
                   {204, "No Content"},
                   {206, "Partial Content"},
                   {301, "Moved Permanently"},
                   {304, "Not Modified"},
                   {307, "Temporary Redirect"},
                   {400, "Bad Request"},
                   {403, "Forbidden"},
                   {404, "Not Found"},
                   {405, "Method Not Allowed"},
                   {409, "Conflict"},
                   {411, "Length Required"},
                   {412, "Precondition Failed"},
                   {416, "Requested Range Not Satisfiable"},
                   {500, "Internal Server Error"},
                   {501, "Not Implemented"},
                   {503, "Slow Down"}};

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].text;
    return "Status";
}

void reply_head(const struct reply *p, const struct request *r, struct buf *out)
{
    char date[32];

    http_date_format(time(NULL) + (time_t)r->plan.skew_s, date);
    buf_addf(out, "HTTP/1.1 %d %s\r\n", p->status, reason(p->status));
    buf_addf(out, "x-amz-request-id: %s\r\nx-amz-id-2: origin\r\nDate: %s\r\nServer: AmazonS3\r\n", r->id, date);
    if (p->headers.len)
        buf_add(out, p->headers.data, p->headers.len);
    if (p->content_type && p->text.len)
        buf_addf(out, "Content-Type: %s\r\n", p->content_type);
    if (!p->no_length)
        buf_addf(out, "Content-Length: %lld\r\n", (long long)reply_length(p) + (long long)r->plan.lie_length);
    if (r->close)
        buf_adds(out, "Connection: close\r\n");
    buf_adds(out, "\r\n");
}
