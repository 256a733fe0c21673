/* What an object is besides its bytes, as request and reply headers carry it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys.h"
#include "s3.h"

enum { METADATA_MAX = 2048, TAGS_MAX = 10 };

static bool fail(struct reply *p, const struct request *r, const char *code)
{
    reply_error(p, r, code);
    return false;
}

bool take_metadata(const struct request *r, struct object *o, struct reply *p)
{
    static const char *const content[] = {"content-type",
                                          "cache-control",
                                          "content-encoding",
                                          "content-disposition",
                                          "content-language",
                                          "expires",
                                          "x-amz-website-redirect-location"};
    size_t metadata = 0;

    for (size_t i = 0; i < r->header_count; i++) {
        const struct pair *h = &r->headers[i];
        bool keep = strncmp(h->name, "x-amz-meta-", 11) == 0;

        if (keep)
            metadata += strlen(h->name) - 11 + strlen(h->value);
        for (size_t n = 0; n < sizeof(content) / sizeof(content[0]); n++)
            keep = keep || strcmp(h->name, content[n]) == 0;
        if (!keep)
            continue;
        if (strcmp(h->name, "content-encoding") == 0 && strstr(h->value, "aws-chunked"))
            return fail(p, r, "NotImplemented");
        attrs_set(&o->headers, h->name, h->value);
    }
    return metadata <= METADATA_MAX || fail(p, r, "MetadataTooLarge");
}

bool take_encryption(const struct request *r, struct object *o, struct reply *p)
{
    static const char *const names[] = {"x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
                                        "x-amz-server-side-encryption-bucket-key-enabled"};

    if (!key_take(r, o, p))
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (request_header(r, names[i]))
            attrs_set(&o->headers, names[i], request_header(r, names[i]));
    if (r->session_sse && *r->session_sse)
        attrs_set(&o->headers, names[0], r->session_sse);
    if (r->session_sse_key && *r->session_sse_key)
        attrs_set(&o->headers, names[1], r->session_sse_key);
    return true;
}

bool tags_valid(const struct attrs *tags)
{
    if (tags->count > TAGS_MAX)
        return false;
    for (size_t i = 0; i < tags->count; i++) {
        const struct attr *t = &tags->list[i];

        if (!*t->name || strlen(t->name) > 128 * 4 || strlen(t->value) > 256 * 4)
            return false;
        for (size_t n = 0; n < i; n++)
            if (strcmp(tags->list[n].name, t->name) == 0)
                return false;
    }
    return true;
}

bool take_tagging_header(const struct request *r, struct object *o, struct reply *p)
{
    const char *header = request_header(r, "x-amz-tagging");
    char *copy = header ? x_strdup(header) : NULL;
    char *save = NULL;
    bool ok = true;

    for (char *t = copy ? strtok_r(copy, "&", &save) : NULL; t && ok; t = strtok_r(NULL, "&", &save)) {
        char *value = strchr(t, '=');

        if (value)
            *value++ = 0;
        else
            value = t + strlen(t);
        ok = percent_decode(t, true) && percent_decode(value, true);
        if (ok)
            attrs_set(&o->tags, t, value);
    }
    free(copy);
    if (!ok)
        return fail(p, r, "InvalidArgument");
    if (o->tags.count > TAGS_MAX)
        return fail(p, r, "BadRequest");
    return tags_valid(&o->tags) || fail(p, r, "InvalidTag");
}

static const char *storage_class(const char *name)
{
    static const char *const known[] = {"STANDARD",     "REDUCED_REDUNDANCY",  "STANDARD_IA",
                                        "ONEZONE_IA",   "INTELLIGENT_TIERING", "GLACIER",
                                        "DEEP_ARCHIVE", "GLACIER_IR"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(name, known[i]) == 0)
            return known[i];
    return NULL;
}

bool take_storage_and_acl(struct server *s, const struct request *r, struct object *o, struct reply *p)
{
    const char *class = request_header(r, "x-amz-storage-class");

    if (is_directory_bucket(r->bucket))
        o->storage_class = !class || strcmp(class, "EXPRESS_ONEZONE") == 0 ? "EXPRESS_ONEZONE" : NULL;
    else if (class)
        o->storage_class = storage_class(class);
    if (!o->storage_class)
        return fail(p, r, "InvalidStorageClass");
    return take_acl_headers(s, r, &o->grants, p);
}

bool object_from_headers(struct server *s, const struct request *r, struct object *o, struct reply *p)
{
    return take_metadata(r, o, p) && take_encryption(r, o, p) && take_tagging_header(r, o, p) &&
           take_storage_and_acl(s, r, o, p);
}

const char *told_etag(const struct request *r, const char *etag)
{
    return r->plan.lie_etag ? r->plan.lie_etag : etag;
}

void reply_checksum(struct reply *p, const struct checksum *c)
{
    char name[32] = "x-amz-checksum-";
    size_t len = strlen(name);

    if (c->alg == SUM_ALGS)
        return;
    for (const char *n = sum_name(c->alg); *n; n++)
        name[len++] = *n >= 'A' && *n <= 'Z' ? (char)(*n + 32) : *n;
    reply_header(p, name, "%s", c->value);
    reply_header(p, "x-amz-checksum-type", "%s", c->composite ? "COMPOSITE" : "FULL_OBJECT");
}

void reply_encryption(struct reply *p, const struct object *o)
{
    const char *sse = attrs_get(&o->headers, "x-amz-server-side-encryption");

    key_reply(p, o);
    if (attrs_get(&o->headers, "x-amz-server-side-encryption-customer-key-md5"))
        return;
    if (!sse)
        reply_header(p, "x-amz-server-side-encryption", "AES256");
    for (size_t i = 0; i < o->headers.count; i++)
        if (strncmp(o->headers.list[i].name, "x-amz-server-side-encryption", 28) == 0)
            reply_header(p, o->headers.list[i].name, "%s", o->headers.list[i].value);
}

void iso_date(time_t t, char *out)
{
    struct tm tm;

    gmtime_r(&t, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
}
