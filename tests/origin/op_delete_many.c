/* DeleteObjects, with the ETag condition of each object. */
#include <stdlib.h>
#include <string.h>

#include "keyspace.h"
#include "s3.h"
#include "xml.h"

enum { DELETE_MAX = 1000 };

struct entry {
    char *key;
    char *version;
    char *etag;
};

static void entry_release(struct entry *e)
{
    free(e->key);
    free(e->version);
    free(e->etag);
}

static const char *delete_one(struct store *s, struct bucket *b, const struct entry *e)
{
    struct object *o = keyspace_object(s, b, e->key);

    if (strlen(e->key) > 1024)
        return "KeyTooLongError";
    if (e->version && strcmp(e->version, "null") != 0)
        return "NotImplemented";
    if (e->etag && (!o || !etag_listed(e->etag, o->etag)))
        return "PreconditionFailed";
    keyspace_delete(b, e->key);
    return NULL;
}

static void report(struct reply *p, const struct entry *e, const char *code, bool quiet)
{
    const char *message;

    if (!code) {
        if (quiet)
            return;
        buf_adds(&p->text, "<Deleted>");
        buf_add_element(&p->text, "Key", e->key);
        buf_adds(&p->text, "</Deleted>");
        return;
    }
    error_status(code, &message);
    buf_adds(&p->text, "<Error>");
    buf_add_element(&p->text, "Key", e->key);
    buf_add_element(&p->text, "Code", code);
    buf_add_element(&p->text, "Message", message);
    buf_adds(&p->text, "</Error>");
}

static size_t count_entries(const xmlNode *root)
{
    size_t count = 0;

    for (xmlNode *n = xml_child(root, "Object"); n; n = xml_next(n, "Object"))
        count++;
    return count;
}

static void delete_all(struct server *s, struct bucket *b, const xmlNode *root, struct reply *p)
{
    char *quiet = xml_child_text(root, "Quiet");
    bool match = !lacks_ignores(&s->lacks, "delete-many-if-match");

    for (xmlNode *n = xml_child(root, "Object"); n; n = xml_next(n, "Object")) {
        struct entry e = {xml_child_text(n, "Key"), xml_child_text(n, "VersionId"), xml_child_text(n, "ETag")};

        if (!match) {
            free(e.etag);
            e.etag = NULL;
        }
        if (e.key)
            report(p, &e, delete_one(&s->store, b, &e), quiet && strcmp(quiet, "true") == 0);
        entry_release(&e);
    }
    free(quiet);
}

static bool has_digest(const struct request *r)
{
    enum sum_alg alg;
    const char *value;
    struct reply scratch = {0};
    bool ok = checksum_header(r, &scratch, &alg, &value);

    reply_release(&scratch);
    return request_header(r, "content-md5") || !ok || alg != SUM_ALGS;
}

enum op_result op_DeleteObjects(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    xmlDoc *doc;
    enum sum_alg alg;
    size_t count;

    if (!b)
        return OP_DONE;
    if (!has_digest(r)) {
        reply_error_text(p, r, "InvalidRequest", "Missing required header for this request: Content-MD5");
        return OP_DONE;
    }
    if (!verify_payload(r, p, &alg))
        return OP_DONE;
    doc = xml_of_payload(r, "Delete");
    count = doc ? count_entries(xmlDocGetRootElement(doc)) : 0;
    if (count == 0 || count > DELETE_MAX) {
        xmlFreeDoc(doc);
        reply_error(p, r, "MalformedXML");
        return OP_DONE;
    }
    reply_xml(p);
    buf_addf(&p->text, "<DeleteResult %s>", s3_namespace);
    delete_all(s, b, xmlDocGetRootElement(doc), p);
    buf_adds(&p->text, "</DeleteResult>");
    xmlFreeDoc(doc);
    return OP_DONE;
}
