/* Operations on the service and on buckets, other than listings of objects. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "s3.h"
#include "xml.h"

static const char owner[] = "<Owner><ID>origin</ID><DisplayName>origin</DisplayName></Owner>";

static bool listed_bucket(const struct request *r, const struct bucket *b)
{
    const char *prefix = request_param(r, "prefix");
    const char *region = request_param(r, "bucket-region");

    return !b->foreign && (!prefix || strncmp(b->name, prefix, strlen(prefix)) == 0) &&
           (!region || strcmp(region, b->region) == 0);
}

/* The continuation token is the name of the bucket that the page starts with. */
enum op_result op_ListBuckets(struct server *s, struct request *r, struct reply *p)
{
    const char *token = request_param(r, "continuation-token");
    const char *max_text = request_param(r, "max-buckets");
    uint64_t left = 10000;
    const char *next = NULL;
    char date[32];

    if (max_text && (!parse_u64(max_text, &left) || left == 0 || left > 10000)) {
        reply_error(p, r, "InvalidArgument");
        return OP_DONE;
    }
    reply_xml(p);
    buf_addf(&p->text, "<ListAllMyBucketsResult %s>%s<Buckets>", s3_namespace, owner);
    for (struct map_node *n = map_seek(s->store.buckets, token ? token : ""); n && !next; n = n->next[0]) {
        const struct bucket *b = n->value;

        if (!listed_bucket(r, b))
            continue;
        if (left-- == 0) {
            next = b->name;
            break;
        }
        iso_date(b->created, date);
        buf_adds(&p->text, "<Bucket>");
        buf_add_element(&p->text, "Name", b->name);
        buf_add_element(&p->text, "CreationDate", date);
        buf_add_element(&p->text, "BucketRegion", b->region);
        buf_adds(&p->text, "</Bucket>");
    }
    buf_adds(&p->text, "</Buckets>");
    buf_add_element(&p->text, "ContinuationToken", next);
    buf_add_element(&p->text, "Prefix", request_param(r, "prefix"));
    buf_adds(&p->text, "</ListAllMyBucketsResult>");
    return OP_DONE;
}

static bool valid_name(const char *name)
{
    size_t len = strlen(name);

    if (len < 3 || len > 63 || !isalnum((unsigned char)name[0]) || !isalnum((unsigned char)name[len - 1]) ||
        strstr(name, ".."))
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

enum op_result op_CreateBucket(struct server *s, struct request *r, struct reply *p)
{
    xmlDoc *doc = r->payload->size ? xml_of_payload(r, "CreateBucketConfiguration") : NULL;
    char *region = doc ? xml_child_text(xmlDocGetRootElement(doc), "LocationConstraint") : NULL;
    const struct bucket *present = store_bucket(&s->store, r->bucket);

    if (r->payload->size && !doc) {
        reply_error(p, r, "MalformedXML");
    } else if (!valid_name(r->bucket)) {
        reply_error(p, r, "InvalidBucketName");
    } else if (region && strcmp(region, "us-east-1") == 0) {
        reply_error(p, r, "IllegalLocationConstraintException");
    } else if (present && present->foreign) {
        reply_error(p, r, "BucketAlreadyExists");
    } else if (present && strcmp(present->region, "us-east-1") != 0) {
        reply_error(p, r, "BucketAlreadyOwnedByYou");
    } else {
        if (!present)
            store_add_bucket(&s->store, r->bucket, region ? region : s->region);
        p->status = 200;
        reply_header(p, "Location", "/%s", r->bucket);
    }
    xmlFreeDoc(doc);
    free(region);
    return OP_DONE;
}

enum op_result op_DeleteBucket(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);

    if (!b)
        return OP_DONE;
    if (map_count(b->objects) || b->family_count) {
        reply_error(p, r, "BucketNotEmpty");
        return OP_DONE;
    }
    map_del(s->store.buckets, r->bucket);
    p->status = 204;
    p->no_length = true;
    return OP_DONE;
}

enum op_result op_HeadBucket(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);

    if (!b)
        return OP_DONE;
    p->status = 200;
    reply_header(p, "x-amz-bucket-region", "%s", b->region);
    reply_header(p, "x-amz-access-point-alias", "false");
    return OP_DONE;
}

enum op_result op_GetBucketLocation(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);

    if (!b)
        return OP_DONE;
    reply_xml(p);
    buf_addf(&p->text, "<LocationConstraint %s>", s3_namespace);
    if (strcmp(b->region, "us-east-1") != 0)
        buf_add_xml(&p->text, b->region);
    buf_adds(&p->text, "</LocationConstraint>");
    return OP_DONE;
}

enum op_result op_GetBucketVersioning(struct server *s, struct request *r, struct reply *p)
{
    if (!need_bucket(s, r, p))
        return OP_DONE;
    reply_xml(p);
    buf_addf(&p->text, "<VersioningConfiguration %s/>", s3_namespace);
    return OP_DONE;
}

enum op_result op_GetBucketOwnershipControls(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);

    if (!b)
        return OP_DONE;
    reply_xml(p);
    buf_addf(&p->text, "<OwnershipControls %s><Rule>", s3_namespace);
    buf_add_element(&p->text, "ObjectOwnership", bucket_ownership(s, b));
    buf_adds(&p->text, "</Rule></OwnershipControls>");
    return OP_DONE;
}

enum op_result op_PutBucketOwnershipControls(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    xmlDoc *doc = b ? xml_of_payload(r, "OwnershipControls") : NULL;
    xmlNode *rule = doc ? xml_child(xmlDocGetRootElement(doc), "Rule") : NULL;
    char *ownership = rule ? xml_child_text(rule, "ObjectOwnership") : NULL;

    xmlFreeDoc(doc);
    if (!b)
        return OP_DONE;
    if (!ownership || (strcmp(ownership, "BucketOwnerEnforced") != 0 &&
                       strcmp(ownership, "BucketOwnerPreferred") != 0 && strcmp(ownership, "ObjectWriter") != 0)) {
        free(ownership);
        reply_error(p, r, "MalformedXML");
        return OP_DONE;
    }
    free(b->ownership);
    b->ownership = ownership;
    p->status = 200;
    return OP_DONE;
}
