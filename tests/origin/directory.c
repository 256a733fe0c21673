#include "directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3.h"

#define SSE     "x-amz-server-side-encryption"
#define SSE_KEY "x-amz-server-side-encryption-aws-kms-key-id"

enum { SESSION_MS = 300000 };

void directories_release(struct directories *d)
{
    for (size_t i = 0; i < RENAMES_MAX; i++) {
        free(d->renames[i].token);
        free(d->renames[i].from);
        free(d->renames[i].to);
    }
    memset(d, 0, sizeof(*d));
}

bool is_directory_bucket(const char *bucket)
{
    size_t len = bucket ? strlen(bucket) : 0, end = strlen("--x-s3");

    return len > end && strcmp(bucket + len - end, "--x-s3") == 0;
}

void directory_expire(struct server *s)
{
    for (size_t i = 0; i < SESSIONS_MAX; i++)
        s->directories.sessions[i].until_ms = 0;
}

static bool refuse(const struct request *r, struct reply *p, const char *code, const char *why)
{
    reply_error_text(p, r, code, why);
    return false;
}

/* With the keys of the account, whatever else the request is. */
static bool is_of_account(const struct request *r)
{
    switch (r->op) {
    case OP_CreateBucket:
    case OP_DeleteBucket:
    case OP_HeadBucket:
    case OP_CreateSession:
    case OP_CopyObject:
    case OP_UploadPartCopy:
        return true;
    default:
        return false;
    }
}

/* "Credential=ID/20260131/REGION/s3express/aws4_request": copies the ID. */
static bool read_scope(const struct request *r, char *id, size_t size)
{
    const char *authorization = request_header(r, "authorization");
    const char *at = authorization ? strstr(authorization, "Credential=") : NULL;
    size_t len = at ? strcspn(at, ",") : 0;
    const char *service = "/s3express/aws4_request";

    if (len < strlen(service) || strncmp(at + len - strlen(service), service, strlen(service)) != 0)
        return false;
    at += strlen("Credential=");
    snprintf(id, size, "%.*s", (int)strcspn(at, "/"), at);
    return true;
}

/* What a request asks for must be what the session was made with. Source: S3's API reference, PutObject. */
static bool takes_encryption(struct request *r, const struct session *known, struct reply *p)
{
    const char *sse = request_header(r, SSE), *key = request_header(r, SSE_KEY);

    if ((sse && strcmp(sse, known->sse) != 0) || (key && strcmp(key, known->sse_key) != 0))
        return refuse(r, p, "InvalidRequest", "The encryption settings are not those of the session");
    r->session_sse = known->sse;
    r->session_sse_key = known->sse_key;
    return true;
}

static bool session_allows(struct server *s, struct request *r, const char *id, const char *token, struct reply *p)
{
    if (!token)
        return refuse(r, p, "AccessDenied", "The request has no x-amz-s3session-token");
    if (request_header(r, "x-amz-security-token"))
        return refuse(r, p, "AccessDenied", "A session's token does not go into x-amz-security-token");
    for (size_t i = 0; i < SESSIONS_MAX; i++) {
        const struct session *known = &s->directories.sessions[i];

        if (strcmp(known->token, token) != 0 || !*token)
            continue;
        if (strcmp(known->bucket, r->bucket) != 0 || strcmp(known->key_id, id) != 0)
            return refuse(r, p, "AccessDenied", "The session is of another bucket or has another key");
        if (known->until_ms <= now_ms())
            return refuse(r, p, "ExpiredToken", "The provided token has expired.");
        return takes_encryption(r, known, p);
    }
    return refuse(r, p, "InvalidToken", "The provided token is not known.");
}

/* What S3 does not have in directory buckets. */
static bool is_known_there(const struct request *r, struct reply *p)
{
    static const char *const headers[] = {"x-amz-acl", "x-amz-tagging", "x-amz-tagging-directive", "x-amz-grant-read"};
    const char *prefix = request_param(r, "prefix"), *delimiter = request_param(r, "delimiter");

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        if (request_header(r, headers[i]))
            return refuse(r, p, "NotImplemented", "Directory buckets have neither tags nor ACLs");
    switch (r->op) {
    case OP_GetObjectTagging:
    case OP_PutObjectTagging:
    case OP_DeleteObjectTagging:
    case OP_GetObjectAcl:
    case OP_PutObjectAcl:
    case OP_GetBucketAcl:
    case OP_GetBucketVersioning:
    case OP_ListObjects:
        return refuse(r, p, "NotImplemented", "Directory buckets do not have this operation");
    case OP_ListObjectsV2:
        if (request_param(r, "start-after"))
            return refuse(r, p, "NotImplemented", "Directory buckets have no start-after");
        if ((prefix && *prefix && prefix[strlen(prefix) - 1] != '/') || (delimiter && strcmp(delimiter, "/") != 0))
            return refuse(r, p, "InvalidArgument", "In directory buckets a prefix ends with the delimiter, which is /");
        return true;
    default:
        return true;
    }
}

bool directory_allows(struct server *s, struct request *r, struct reply *p)
{
    const char *token = request_header(r, "x-amz-s3session-token");
    char id[33];

    if (!is_directory_bucket(r->bucket)) {
        if (token || r->op == OP_CreateSession || r->op == OP_RenameObject)
            return refuse(r, p, "NotImplemented", "The bucket is no directory bucket");
        return true;
    }
    if (r->op == OP_CreateBucket)
        return true;
    if (!read_scope(r, id, sizeof(id)))
        return refuse(r, p, "AccessDenied", "The request is not signed for s3express");
    if (is_of_account(r) && token)
        return refuse(r, p, "AccessDenied", "This operation takes the account's keys, not a session's");
    if (!is_of_account(r) && !session_allows(s, r, id, token, p))
        return false;
    return is_known_there(r, p);
}

enum op_result op_CreateSession(struct server *s, struct request *r, struct reply *p)
{
    struct directories *d = &s->directories;
    uint64_t life_ms = d->session_ms ? d->session_ms : SESSION_MS;
    char date[32], secret[33];

    const char *sse = request_header(r, SSE), *key = request_header(r, SSE_KEY);

    if (!need_bucket(s, r, p))
        return OP_DONE;
    if (sse && strcmp(sse, "aws:kms") == 0 && !key) {
        reply_error(p, r, "InvalidArgument");
        return OP_DONE;
    }
    struct session *fresh = &d->sessions[d->next_session++ % SESSIONS_MAX];
    snprintf(fresh->bucket, sizeof(fresh->bucket), "%s", r->bucket);
    snprintf(fresh->sse, sizeof(fresh->sse), "%s", sse ? sse : "");
    snprintf(fresh->sse_key, sizeof(fresh->sse_key), "%s", key ? key : "");
    fresh_id(s, fresh->key_id);
    fresh_id(s, fresh->token);
    fresh_id(s, secret);
    fresh->until_ms = now_ms() + life_ms;
    iso_date(time(NULL) + (time_t)(life_ms / 1000), date);
    reply_xml(p);
    buf_addf(&p->text, "<CreateSessionResult %s><Credentials>", s3_namespace);
    buf_add_element(&p->text, "SessionToken", fresh->token);
    buf_add_element(&p->text, "SecretAccessKey", secret);
    buf_add_element(&p->text, "AccessKeyId", fresh->key_id);
    buf_add_element(&p->text, "Expiration", date);
    buf_adds(&p->text, "</Credentials></CreateSessionResult>");
    return OP_DONE;
}

void opaque_etag(struct server *s, const struct request *r, struct object *o)
{
    const char *sse = attrs_get(&o->headers, SSE);
    bool by_kms = sse && strcmp(sse, "aws:kms") == 0;
    char id[33];

    if (!is_directory_bucket(r->bucket) && !by_kms)
        return;
    fresh_id(s, id);
    snprintf(o->etag, ETAG_SIZE, "\"%s\"", id);
}

/* Whether the rename with that token was done before. */
static bool is_repeated(const struct directories *d, const char *token, const char *from, const char *to)
{
    for (size_t i = 0; token && i < RENAMES_MAX; i++)
        if (d->renames[i].token && strcmp(d->renames[i].token, token) == 0)
            return strcmp(d->renames[i].from, from) == 0 && strcmp(d->renames[i].to, to) == 0;
    return false;
}

static void remember(struct directories *d, const char *token, const char *from, const char *to)
{
    struct renamed *place = &d->renames[d->next_rename++ % RENAMES_MAX];

    free(place->token);
    free(place->from);
    free(place->to);
    *place = (struct renamed){x_strdup(token ? token : ""), x_strdup(from), x_strdup(to)};
}

/* NULL, or the error's code. */
static const char *rename_object(const struct bucket *b, const struct request *r, const char *from)
{
    const char *match = request_header(r, "x-amz-rename-source-if-match");
    struct object *o = map_get(b->objects, from);
    const char *wrong = cond_write(r, map_get(b->objects, r->key));

    if (!o)
        return "NoSuchKey";
    if (match && !etag_listed(match, o->etag))
        return "PreconditionFailed";
    if (wrong)
        return strcmp(wrong, "NoSuchKey") == 0 ? "PreconditionFailed" : wrong;
    if (strcmp(from, r->key) != 0)
        map_put(b->objects, r->key, map_take(b->objects, from));
    return NULL;
}

enum op_result op_RenameObject(struct server *s, struct request *r, struct reply *p)
{
    const struct bucket *b = need_bucket(s, r, p);
    const char *source = request_header(r, "x-amz-rename-source");
    const char *token = request_header(r, "x-amz-client-token");
    char *from = source ? x_strdup(source) : NULL;
    const char *wrong = NULL;

    if (b && (!from || !percent_decode(from, false) || from[strlen(from) - (*from != 0)] == '/' ||
              r->key[strlen(r->key) - 1] == '/'))
        wrong = "InvalidArgument";
    else if (b && !is_repeated(&s->directories, token, from, r->key))
        wrong = rename_object(b, r, from);
    if (b && wrong) {
        reply_error(p, r, wrong);
    } else if (b) {
        remember(&s->directories, token, from, r->key);
        p->status = 200;
    }
    free(from);
    return OP_DONE;
}
