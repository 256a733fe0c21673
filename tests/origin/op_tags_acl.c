/* Tagging and access control lists of objects. */
#include <stdlib.h>
#include <string.h>

#include "s3.h"
#include "xml.h"

enum op_result op_GetObjectTagging(struct server *s, struct request *r, struct reply *p)
{
    struct object *o = need_object(s, r, p);

    if (!o)
        return OP_DONE;
    reply_xml(p);
    buf_addf(&p->text, "<Tagging %s><TagSet>", s3_namespace);
    for (size_t i = 0; i < o->tags.count; i++) {
        buf_adds(&p->text, "<Tag>");
        buf_add_element(&p->text, "Key", o->tags.list[i].name);
        buf_add_element(&p->text, "Value", o->tags.list[i].value);
        buf_adds(&p->text, "</Tag>");
    }
    buf_adds(&p->text, "</TagSet></Tagging>");
    return OP_DONE;
}

static bool read_tags(const struct request *r, struct attrs *tags)
{
    xmlDoc *doc = xml_of_payload(r, "Tagging");
    xmlNode *set = doc ? xml_child(xmlDocGetRootElement(doc), "TagSet") : NULL;
    bool ok = set != NULL;

    for (xmlNode *t = set ? xml_child(set, "Tag") : NULL; t && ok; t = xml_next(t, "Tag")) {
        char *key = xml_child_text(t, "Key");
        char *value = xml_child_text(t, "Value");

        ok = key && value;
        if (ok)
            attrs_set(tags, key, value);
        free(key);
        free(value);
    }
    xmlFreeDoc(doc);
    return ok;
}

enum op_result op_PutObjectTagging(struct server *s, struct request *r, struct reply *p)
{
    struct object *o = need_own_object(s, r, p);
    struct attrs tags = {0};
    enum sum_alg alg;

    if (!o || !verify_payload(r, p, &alg))
        return OP_DONE;
    if (!read_tags(r, &tags) || !tags_valid(&tags)) {
        reply_error(p, r, tags.count > 10 ? "BadRequest" : tags.count ? "InvalidTag" : "MalformedXML");
        attrs_release(&tags);
        return OP_DONE;
    }
    attrs_release(&o->tags);
    o->tags = tags;
    p->status = 200;
    return OP_DONE;
}

enum op_result op_DeleteObjectTagging(struct server *s, struct request *r, struct reply *p)
{
    struct object *o = need_own_object(s, r, p);

    if (!o)
        return OP_DONE;
    attrs_release(&o->tags);
    p->status = 204;
    p->no_length = true;
    return OP_DONE;
}

#define ALL_USERS     "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\""
#define AUTHENTICATED "uri=\"http://acs.amazonaws.com/groups/global/AuthenticatedUsers\""
#define OWNER         "id=\"origin\""

static bool canned_acl(const char *name, struct attrs *grants)
{
    static const struct {
        const char *name;
        const char *grantee;
        const char *permission;
    } canned[] = {
        {"private", NULL, NULL},
        {"bucket-owner-full-control", NULL, NULL},
        {"bucket-owner-read", NULL, NULL},
        {"public-read", ALL_USERS, "READ"},
        {"public-read-write", ALL_USERS, "READ"},
        {"public-read-write", ALL_USERS, "WRITE"},
        {"authenticated-read", AUTHENTICATED, "READ"},
        {"aws-exec-read", "id=\"aws-exec\"", "READ"},
    };
    bool known = false;

    for (size_t i = 0; i < sizeof(canned) / sizeof(canned[0]); i++) {
        if (strcmp(name, canned[i].name) != 0)
            continue;
        if (!known)
            attrs_set(grants, "FULL_CONTROL", OWNER);
        known = true;
        if (canned[i].grantee)
            attrs_set(grants, canned[i].permission, canned[i].grantee);
    }
    return known;
}

/* 'id="a", uri="b"' into one grant each. */
static bool grant_header(const char *permission, const char *value, struct attrs *grants)
{
    while (*value) {
        size_t len;
        char *grantee;

        value += strspn(value, " ,");
        len = strcspn(value, ",");
        if (strncmp(value, "id=", 3) != 0 && strncmp(value, "uri=", 4) != 0 && strncmp(value, "emailAddress=", 13) != 0)
            return false;
        grantee = x_strndup(value, len);
        attrs_set(grants, permission, grantee);
        free(grantee);
        value += len;
    }
    return true;
}

static bool read_acl_headers(const struct request *r, struct attrs *grants)
{
    static const struct {
        const char *header;
        const char *permission;
    } headers[] = {{"x-amz-grant-full-control", "FULL_CONTROL"},
                   {"x-amz-grant-read", "READ"},
                   {"x-amz-grant-write", "WRITE"},
                   {"x-amz-grant-read-acp", "READ_ACP"},
                   {"x-amz-grant-write-acp", "WRITE_ACP"}};
    const char *canned = request_header(r, "x-amz-acl");

    if (canned && !canned_acl(canned, grants))
        return false;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        const char *value = request_header(r, headers[i].header);

        if (value && (canned || !grant_header(headers[i].permission, value, grants)))
            return false;
    }
    return true;
}

/* Buckets with BucketOwnerEnforced take no ACL but full control for the bucket's owner. */
static bool acl_allowed(const struct server *s, const struct request *r, const struct attrs *grants)
{
    const char *canned = request_header(r, "x-amz-acl");
    const struct bucket *b = store_bucket(&s->store, r->bucket);

    if (grants->count == 0 || !b || strcmp(bucket_ownership(s, b), "BucketOwnerEnforced") != 0)
        return true;
    if (canned)
        return strcmp(canned, "bucket-owner-full-control") == 0;
    return grants->count == 1 && strcmp(grants->list[0].name, "FULL_CONTROL") == 0;
}

bool take_acl_headers(struct server *s, const struct request *r, struct attrs *grants, struct reply *p)
{
    if (!read_acl_headers(r, grants)) {
        reply_error(p, r, "InvalidArgument");
        return false;
    }
    if (acl_allowed(s, r, grants))
        return true;
    reply_error(p, r, "AccessControlListNotSupported");
    return false;
}

static void add_grant(struct buf *out, const char *permission, const char *grantee)
{
    const char *value = strchr(grantee, '=') + 1;
    bool uri = strncmp(grantee, "uri=", 4) == 0;
    bool mail = strncmp(grantee, "emailAddress=", 13) == 0;
    size_t quote = *value == '"';
    char *plain = x_strndup(value + quote, strcspn(value + quote, "\""));

    buf_addf(out, "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"%s\">",
             uri    ? "Group"
             : mail ? "AmazonCustomerByEmail"
                    : "CanonicalUser");
    buf_add_element(out, uri ? "URI" : mail ? "EmailAddress" : "ID", plain);
    buf_adds(out, "</Grantee>");
    buf_add_element(out, "Permission", permission);
    buf_adds(out, "</Grant>");
    free(plain);
}

static void reply_acl(struct reply *p, const struct attrs *grants)
{
    reply_xml(p);
    buf_addf(&p->text,
             "<AccessControlPolicy %s><Owner><ID>origin</ID><DisplayName>origin</DisplayName></Owner>"
             "<AccessControlList>",
             s3_namespace);
    if (!grants || grants->count == 0)
        add_grant(&p->text, "FULL_CONTROL", OWNER);
    for (size_t i = 0; grants && i < grants->count; i++)
        add_grant(&p->text, grants->list[i].name, grants->list[i].value);
    buf_adds(&p->text, "</AccessControlList></AccessControlPolicy>");
}

enum op_result op_GetObjectAcl(struct server *s, struct request *r, struct reply *p)
{
    struct object *o = need_object(s, r, p);

    if (o)
        reply_acl(p, &o->grants);
    return OP_DONE;
}

enum op_result op_GetBucketAcl(struct server *s, struct request *r, struct reply *p)
{
    if (need_bucket(s, r, p))
        reply_acl(p, NULL);
    return OP_DONE;
}

static bool read_grant(const xmlNode *grant, struct attrs *grants)
{
    xmlNode *grantee = xml_child(grant, "Grantee");
    char *permission = xml_child_text(grant, "Permission");
    char *id = grantee ? xml_child_text(grantee, "ID") : NULL;
    char *uri = grantee ? xml_child_text(grantee, "URI") : NULL;
    bool ok = permission && (id || uri);
    struct buf value = {0};

    if (ok) {
        buf_addf(&value, "%s=\"%s\"", id ? "id" : "uri", id ? id : uri);
        attrs_set(grants, permission, value.data);
    }
    buf_release(&value);
    free(permission);
    free(id);
    free(uri);
    return ok;
}

static bool read_acl_body(const struct request *r, struct attrs *grants)
{
    xmlDoc *doc = xml_of_payload(r, "AccessControlPolicy");
    xmlNode *list = doc ? xml_child(xmlDocGetRootElement(doc), "AccessControlList") : NULL;
    bool ok = list != NULL;

    for (xmlNode *g = list ? xml_child(list, "Grant") : NULL; g && ok; g = xml_next(g, "Grant"))
        ok = read_grant(g, grants);
    xmlFreeDoc(doc);
    return ok;
}

enum op_result op_PutObjectAcl(struct server *s, struct request *r, struct reply *p)
{
    struct object *o = need_own_object(s, r, p);
    struct attrs grants = {0};
    enum sum_alg alg;

    if (!o || !verify_payload(r, p, &alg))
        return OP_DONE;
    if (r->payload->size && !read_acl_body(r, &grants))
        reply_error(p, r, "MalformedACLError");
    else if (r->payload->size && !acl_allowed(s, r, &grants))
        reply_error(p, r, "AccessControlListNotSupported");
    else if (r->payload->size || take_acl_headers(s, r, &grants, p))
        p->status = 200;
    if (p->status != 200) {
        attrs_release(&grants);
        return OP_DONE;
    }
    attrs_release(&o->grants);
    o->grants = grants;
    return OP_DONE;
}
