/* Tags of an object, as text "key=value&key=value", percent-encoded: the form of x-amz-tagging. */
#include "backends/s3/impl.h"
#include "util/digest.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdlib.h>
#include <string.h>

enum { TAGS_MAX_BYTES = 64 * 1024 };

/* They are known to be there, so they are worth some retries; but without them a write still goes on. */
enum { ASK_MS = 10000 };

static const struct aws_param query[] = {{"tagging", NULL}, {NULL, NULL}};

static enum err_code parse(const struct s3_answer *a, struct buf *out, struct err *e)
{
    struct err local = ERR_INIT;
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(buf_str(&a->body), a->body.len, &local);
    if (doc == NULL)
        return err_copy(e, &local);
    if (strcmp(xml_name(xml_root(doc)), "Tagging") != 0)
        return err_set(e, ERR_PROTO, "GetObjectTagging: the reply is a %.40s", xml_name(xml_root(doc)));
    const struct xml_node *tag = xml_child(xml_child(xml_root(doc), "TagSet"), "Tag");
    for (bool first = true; tag != NULL; tag = xml_next(tag, "Tag"), first = false) {
        const char *key = xml_child_text(tag, "Key"), *value = xml_child_text(tag, "Value");
        if (!first)
            buf_add_char(out, '&');
        uri_encode(out, key, strlen(key), false);
        buf_add_char(out, '=');
        uri_encode(out, value, strlen(value), false);
    }
    return buf_check(out, "tags", e);
}

static enum err_code fetch(struct s3_store *s, struct s3_request *r, struct buf *out, struct err *e)
{
    S3_ANSWER(a);
    r->method = HTTP_GET;
    r->what = "GetObjectTagging";
    r->query = query;
    enum err_code code = s3_call(s, r, &a, e);
    return code == ERR_OK ? parse(&a, out, e) : code;
}

enum err_code s3_tags_get(struct s3_store *s, const char *key, const struct store_call *call, struct buf *out,
                          struct err *e)
{
    return fetch(s, &(struct s3_request){.key = key, .call = call}, out, e);
}

enum err_code s3_add_tags(struct s3_store *s, const char *from, const struct store_meta *meta,
                          const struct store_call *call, struct params *h, struct err *e)
{
    uint64_t count;
    const char *told = store_meta_prop(meta, "tagging-count", NULL);
    BUF(tags, TAGS_MAX_BYTES);
    if (told == NULL || !str_parse_u64(told, &count) || count == 0 ||
        s3_traits_get(s->traits, S3_TAGS) == S3_REFUSES)
        return ERR_OK;
    struct err local = ERR_INIT;
    enum err_code code = fetch(s, &(struct s3_request){.key = from, .call = call, .timeout_ms = ASK_MS}, &tags, &local);
    if (code == ERR_CANCELED)
        return err_copy(e, &local);
    if (code == ERR_OK && tags.len > 0)
        params_add(h, "x-amz-tagging", buf_str(&tags));
    if (code != ERR_OK && code != ERR_NOT_FOUND)
        s3_warn_lost(&s->lost_tags, "tags", from, &local);
    return ERR_OK;
}

/* One "key=value" as XML. */
static bool write_tag(const char *p, size_t len, struct buf *xml)
{
    BUF(key, 1024);
    BUF(value, 2048);
    const char *eq = memchr(p, '=', len);
    size_t key_len = eq != NULL ? (size_t)(eq - p) : len;
    if (key_len == 0 || !uri_decode(&key, p, key_len, true) ||
        (eq != NULL && !uri_decode(&value, eq + 1, len - key_len - 1, true)) || key.failed || value.failed ||
        !utf8_valid(buf_str(&key), key.len) || !utf8_valid(buf_str(&value), value.len))
        return false;
    buf_add_str(xml, "<Tag><Key>");
    xml_escape(xml, buf_str(&key), key.len);
    buf_add_str(xml, "</Key><Value>");
    xml_escape(xml, buf_str(&value), value.len);
    buf_add_str(xml, "</Value></Tag>");
    return true;
}

static enum err_code write_xml(const char *text, struct buf *xml, struct err *e)
{
    buf_add_str(xml, "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet>");
    for (const char *p = text; *p != 0;) {
        size_t len = strcspn(p, "&\n");
        if (len > 0 && !write_tag(p, len, xml))
            return err_set(e, ERR_INVAL, "tags are key=value&key=value, percent-encoded");
        p += len + (p[len] != 0);
    }
    buf_add_str(xml, "</TagSet></Tagging>");
    return buf_check(xml, "tags", e);
}

enum err_code s3_tags_set(struct s3_store *s, const char *key, const char *text, const struct store_call *call,
                          struct err *e)
{
    S3_ANSWER(a);
    PARAMS(headers);
    BUF(xml, TAGS_MAX_BYTES);
    BUF(md5, 64);
    uint8_t sum[DIGEST_MAX];
    struct s3_request r = {
        .method = HTTP_DELETE, .what = "DeleteObjectTagging", .key = key, .query = query, .call = call};
    if (text != NULL) {
        enum err_code code = write_xml(text, &xml, e);
        if (code == ERR_OK)
            code = digest_once(DIGEST_MD5, xml.data, xml.len, sum, e);
        if (code != ERR_OK)
            return code;
        base64_encode(&md5, sum, 16);
        params_add(&headers, "Content-MD5", buf_str(&md5));
        params_add(&headers, "Content-Type", "application/xml");
        r.method = HTTP_PUT;
        r.what = "PutObjectTagging";
        r.headers = &headers;
        r.text = &xml;
    }
    return s3_call(s, &r, &a, e);
}
