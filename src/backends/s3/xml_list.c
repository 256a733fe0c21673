#include "backends/s3/xml_list.h"

#include "backends/s3/headers.h"
#include "store/meta.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 100000, KEY_MAX = 8192 };

struct parse {
    const char *strip;
    bool url_encoded;
    struct store_page page;
    size_t cap;
};

/* Appends an entry for the key in `text`; NULL in *entry when it is left out. */
static enum err_code add_entry(struct parse *p, const char *text, bool is_prefix, struct store_entry **entry,
                               struct err *e)
{
    BUF(key, KEY_MAX);
    *entry = NULL;
    if (p->url_encoded && !uri_decode(&key, text, strlen(text), true))
        return err_set(e, ERR_PROTO, "listing: the key '%s' is not encoded as told", text);
    if (!p->url_encoded)
        buf_add_str(&key, text);
    if (key.failed || !str_starts(buf_str(&key), p->strip))
        return err_set(e, ERR_PROTO, "listing: the key '%s' does not belong there", text);
    const char *name = buf_str(&key) + strlen(p->strip);
    if (name[0] == 0)
        return ERR_OK;
    if (!utf8_valid(buf_str(&key), key.len)) {
        LOG_WARN("s3", "left out of a listing, not UTF-8: %s", text);
        return ERR_OK;
    }
    if (p->page.n == p->cap) {
        size_t cap = p->cap > 0 ? p->cap * 2 : 128;
        struct store_entry *more = cap <= ENTRIES_MAX * 2 ? realloc(p->page.entries, cap * sizeof(*more)) : NULL;
        if (more == NULL)
            return err_set(e, ERR_NOMEM, "listing");
        p->page.entries = more;
        p->cap = cap;
    }
    struct store_entry *added = &p->page.entries[p->page.n];
    *added = (struct store_entry){.key = strdup(name), .is_prefix = is_prefix};
    if (added->key == NULL)
        return err_set(e, ERR_NOMEM, "listing");
    p->page.n++;
    *entry = added;
    return ERR_OK;
}

static enum err_code add_object(struct parse *p, const struct xml_node *n, struct err *e)
{
    struct store_entry *entry;
    enum err_code code = add_entry(p, xml_child_text(n, "Key"), false, &entry, e);
    if (code != ERR_OK || entry == NULL)
        return code;
    struct store_version *v = &entry->object.version;
    if (!str_parse_u64(xml_child_text(n, "Size"), &v->size) || v->size > INT64_MAX)
        return err_set(e, ERR_PROTO, "listing: '%s' has no size", entry->key);
    if (!time_parse_iso8601(xml_child_text(n, "LastModified"), &v->mtime))
        return err_set(e, ERR_PROTO, "listing: '%s' has no time", entry->key);
    if (!s3_etag_copy(v->etag, xml_child_text(n, "ETag")))
        return err_set(e, ERR_PROTO, "listing: '%s' has no ETag", entry->key);
    return ERR_OK;
}

static enum err_code add_prefixes(struct parse *p, const struct xml_node *n, struct err *e)
{
    struct store_entry *entry;
    enum err_code code = ERR_OK;
    for (const struct xml_node *c = xml_child(n, "Prefix"); c != NULL && code == ERR_OK; c = xml_next(c, "Prefix"))
        code = add_entry(p, xml_text(c), true, &entry, e);
    return code;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct store_entry *)a)->key, ((const struct store_entry *)b)->key);
}

/* Servers list objects and prefixes apart, and some give names that cannot be told apart any more. */
static void merge(struct store_page *page)
{
    size_t kept = 0;
    if (page->n > 1)
        qsort(page->entries, page->n, sizeof(*page->entries), by_key);
    for (size_t i = 0; i < page->n; i++) {
        if (kept > 0 && strcmp(page->entries[kept - 1].key, page->entries[i].key) == 0) {
            LOG_WARN("s3", "listed twice: %s", page->entries[i].key);
            free(page->entries[i].key);
            continue;
        }
        page->entries[kept++] = page->entries[i];
    }
    page->n = kept;
}

static enum err_code read_token(const struct xml_node *root, struct store_page *page, struct err *e)
{
    const char *truncated = xml_child_text(root, "IsTruncated"), *token = xml_child_text(root, "NextContinuationToken");
    if (strcmp(truncated, "true") != 0)
        return ERR_OK;
    if (token[0] == 0)
        return err_set(e, ERR_PROTO, "listing: there is more, but no token");
    page->next = strdup(token);
    return page->next != NULL ? ERR_OK : err_set(e, ERR_NOMEM, "listing");
}

enum err_code s3_list_parse(const char *xml, size_t len, const char *strip, struct store_page *out, struct err *e)
{
    struct err local = ERR_INIT;
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(xml, len, &local);
    if (doc == NULL)
        return err_copy(e, &local);
    const struct xml_node *root = xml_root(doc);
    if (strcmp(xml_name(root), "ListBucketResult") != 0)
        return err_set(e, ERR_PROTO, "listing: the reply is a %.40s", xml_name(root));
    struct parse p = {.strip = strip, .url_encoded = strcmp(xml_child_text(root, "EncodingType"), "url") == 0};
    enum err_code code = ERR_OK;
    for (const struct xml_node *n = xml_first(root); n != NULL && code == ERR_OK; n = xml_following(n)) {
        if (strcmp(xml_name(n), "Contents") == 0)
            code = add_object(&p, n, e);
        else if (strcmp(xml_name(n), "CommonPrefixes") == 0)
            code = add_prefixes(&p, n, e);
    }
    if (code == ERR_OK)
        code = read_token(root, &p.page, e);
    if (code != ERR_OK) {
        store_page_release(&p.page);
        return code;
    }
    merge(&p.page);
    *out = p.page;
    return ERR_OK;
}
