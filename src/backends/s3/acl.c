#include "backends/s3/acl.h"

#include "backends/s3/impl.h"
#include "util/log.h"
#include "util/str.h"
#include "util/xml.h"

#include <string.h>

enum { ACL_MAX_BYTES = 256 * 1024 };

static const char *const canned[] = {
    "private",       "public-read",       "public-read-write",         "authenticated-read",
    "aws-exec-read", "bucket-owner-read", "bucket-owner-full-control", NULL};

static const struct {
    const char *permission, *header;
} grants[] = {
    {"FULL_CONTROL", "x-amz-grant-full-control"},
    {"READ", "x-amz-grant-read"},
    {"READ_ACP", "x-amz-grant-read-acp"},
    {"WRITE_ACP", "x-amz-grant-write-acp"},
};

/* What stands between quotes in a header or a line: no quote, no control character. */
static bool is_grantee(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (s[i] == '"' || (unsigned char)s[i] < ' ' || s[i] == 0x7f)
            return false;
    return len > 0;
}

static enum err_code add_grant(const struct xml_node *grant, const char *owner, struct buf *out, bool *is_default,
                               struct err *e)
{
    const struct xml_node *grantee = xml_child(grant, "Grantee");
    const char *id = xml_child_text(grantee, "ID"), *uri = xml_child_text(grantee, "URI");
    const char *permission = xml_child_text(grant, "Permission"), *who = uri[0] != 0 ? uri : id;
    if (!is_grantee(who, strlen(who)) || strspn(permission, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != strlen(permission) ||
        permission[0] == 0)
        return err_set(e, ERR_PROTO, "GetObjectAcl: a grant that is none");
    if (uri[0] != 0 || strcmp(id, owner) != 0 || strcmp(permission, "FULL_CONTROL") != 0)
        *is_default = false;
    buf_addf(out, "%s%s=\"%s\" %s", out->len > 0 ? "\n" : "", uri[0] != 0 ? "uri" : "id", who, permission);
    return ERR_OK;
}

enum err_code s3_acl_parse(const char *xml, size_t len, struct buf *out, bool *is_default, struct err *e)
{
    struct err local = ERR_INIT;
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(xml, len, &local);
    if (doc == NULL)
        return err_copy(e, &local);
    const struct xml_node *root = xml_root(doc);
    if (strcmp(xml_name(root), "AccessControlPolicy") != 0)
        return err_set(e, ERR_PROTO, "GetObjectAcl: the reply is a %.40s", xml_name(root));
    const char *owner = xml_child_text(xml_child(root, "Owner"), "ID");
    const struct xml_node *grant = xml_child(xml_child(root, "AccessControlList"), "Grant");
    enum err_code code = ERR_OK;
    *is_default = true;
    for (; grant != NULL && code == ERR_OK; grant = xml_next(grant, "Grant"))
        code = add_grant(grant, owner, out, is_default, e);
    return code == ERR_OK ? buf_check(out, "ACL", e) : code;
}

/* One line `id="..." READ` onto the header of its permission. */
static bool collect(const char *line, size_t len, struct buf values[ARRAY_LEN(grants)])
{
    const char *quote = memchr(line, '"', len);
    const char *end = quote != NULL ? memchr(quote + 1, '"', len - (size_t)(quote + 1 - line)) : NULL;
    if (end == NULL || !is_grantee(quote + 1, (size_t)(end - quote - 1)) ||
        !((quote - line == 3 && memcmp(line, "id=", 3) == 0) || (quote - line == 4 && memcmp(line, "uri=", 4) == 0)))
        return false;
    const char *permission = end + 1;
    size_t left = len - (size_t)(permission - line);
    while (left > 0 && *permission == ' ') {
        permission++;
        left--;
    }
    for (size_t i = 0; i < ARRAY_LEN(grants); i++) {
        if (strlen(grants[i].permission) != left || memcmp(grants[i].permission, permission, left) != 0)
            continue;
        if (values[i].len > 0)
            buf_add_str(&values[i], ", ");
        buf_add(&values[i], line, (size_t)(end + 1 - line));
        return true;
    }
    /* Buckets have WRITE; an object's grant of it means nothing and cannot be sent. */
    return left == 5 && memcmp(permission, "WRITE", 5) == 0;
}

enum err_code s3_acl_headers(const char *text, struct params *out, struct err *e)
{
    struct buf values[ARRAY_LEN(grants)];
    bool ok = true;
    for (size_t i = 0; canned[i] != NULL; i++) {
        if (strcmp(canned[i], text) == 0) {
            params_add(out, "x-amz-acl", text);
            return ERR_OK;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(grants); i++)
        buf_init(&values[i], ACL_MAX_BYTES);
    for (const char *p = text; *p != 0 && ok;) {
        size_t len = strcspn(p, "\n");
        ok = len == 0 || collect(p, len, values);
        p += len + (p[len] != 0);
    }
    bool any = false;
    for (size_t i = 0; i < ARRAY_LEN(grants); i++) {
        if (ok && values[i].len > 0)
            params_add(out, grants[i].header, buf_str(&values[i]));
        any |= values[i].len > 0;
        buf_release(&values[i]);
    }
    if (!ok || !any)
        return err_set(e, ERR_INVAL, "an acl is private, public-read, ... or lines like id=\"...\" READ");
    return params_check(out, "acl", e);
}

/* ---- asking the server */

static const struct aws_param acl_query[] = {{"acl", NULL}, {NULL, NULL}};

/* What is only to be kept must not keep a write waiting. */
enum { ASK_MS = 3000, ASK_ATTEMPTS = 2 };

void s3_warn_lost(atomic_bool *said, const char *what, const char *key, const struct err *why)
{
    if (!atomic_exchange(said, true))
        LOG_WARN("s3", "%s may not be kept when objects change, first of all of %s: %s", what, key, why->msg);
}

static enum err_code fetch(struct s3_store *s, struct s3_request *r, struct buf *out, bool *is_default, struct err *e)
{
    S3_ANSWER(a);
    r->method = HTTP_GET;
    r->what = "GetObjectAcl";
    r->query = acl_query;
    enum err_code code = s3_call(s, r, &a, e);
    return code == ERR_OK ? s3_acl_parse(buf_str(&a.body), a.body.len, out, is_default, e) : code;
}

enum err_code s3_acl_get(struct s3_store *s, const char *key, const struct store_call *call, struct buf *out,
                         struct err *e)
{
    bool is_default;
    struct s3_request r = {.key = key, .call = call};
    return fetch(s, &r, out, &is_default, e);
}

enum err_code s3_acl_set(struct s3_store *s, const char *key, const char *text, const struct store_call *call,
                         struct err *e)
{
    PARAMS(headers);
    S3_ANSWER(a);
    enum err_code code = s3_acl_headers(text, &headers, e);
    const struct s3_request r = {
        .method = HTTP_PUT, .what = "PutObjectAcl", .key = key, .query = acl_query, .headers = &headers, .call = call};
    return code == ERR_OK ? s3_call(s, &r, &a, e) : code;
}

/* May not, or cannot, and will not next time. */
static bool is_refused(enum err_code code)
{
    return code == ERR_ACCESS || code == ERR_UNSUPPORTED || code == ERR_INVAL;
}

/* Whether objects of this bucket can have ACLs at all: asked once, again only where no answer came. Who may not ask may
 * still be one who may read an object's ACL. */
static enum err_code find_out(struct s3_store *s, const struct store_call *call, struct err *e)
{
    static const struct aws_param query[] = {{"ownershipControls", NULL}, {NULL, NULL}};
    S3_ANSWER(a);
    struct err local = ERR_INIT;
    const struct s3_request r = {.method = HTTP_GET,
                                 .what = "GetBucketOwnershipControls",
                                 .query = query,
                                 .call = call,
                                 .timeout_ms = ASK_MS,
                                 .max_attempts = ASK_ATTEMPTS};
    if (s3_traits_get(s->traits, S3_ACLS) != S3_UNKNOWN)
        return ERR_OK;
    enum err_code code = s3_call(s, &r, &a, &local);
    if (code == ERR_CANCELED)
        return err_copy(e, &local);
    if (code == ERR_OK && strstr(buf_str(&a.body), "BucketOwnerEnforced") != NULL)
        s3_traits_set(s->traits, S3_ACLS, S3_REFUSES, true);
    else if (code == ERR_OK || is_refused(code) || strcmp(a.code, "OwnershipControlsNotFoundError") == 0)
        s3_traits_set(s->traits, S3_ACLS, S3_YES, true);
    return ERR_OK;
}

static bool has_acls(const struct s3_store *s)
{
    enum s3_verdict v = s3_traits_get(s->traits, S3_ACLS);
    return v == S3_UNKNOWN || v == S3_YES;
}

enum err_code s3_add_acl(struct s3_store *s, const char *from, const struct store_call *call, struct params *h,
                         struct err *e)
{
    BUF(text, ACL_MAX_BYTES);
    bool is_default = true;
    if (from == NULL || s->directory_bucket) {
        if (s->acl != NULL && !s->directory_bucket)
            params_add(h, "x-amz-acl", s->acl);
        return ERR_OK;
    }
    enum err_code code = find_out(s, call, e);
    if (code != ERR_OK || !has_acls(s))
        return code;
    struct err local = ERR_INIT;
    struct s3_request r = {.key = from, .call = call, .timeout_ms = ASK_MS, .max_attempts = ASK_ATTEMPTS};
    code = fetch(s, &r, &text, &is_default, &local);
    if (code == ERR_CANCELED)
        return err_copy(e, &local);
    if (is_refused(code))
        s3_traits_set(s->traits, S3_ACLS, S3_REFUSES, true);
    if (code == ERR_OK && !is_default)
        code = s3_acl_headers(buf_str(&text), h, &local);
    /* A new name with what is told of another. */
    if (code == ERR_NOT_FOUND && s->acl != NULL)
        params_add(h, "x-amz-acl", s->acl);
    if (code != ERR_OK && code != ERR_NOT_FOUND)
        s3_warn_lost(&s->lost_acl, "ACLs", from, &local);
    return ERR_OK;
}
