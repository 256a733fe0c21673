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

/* What an element of a Contents may tell once. */
enum { HAS_KEY = 1, HAS_SIZE = 2, HAS_TIME = 4, HAS_ETAG = 8 };

/* The reply as far as it is read. Keys are as they came until its end tells whether they are encoded. */
struct parse {
    const char *strip;
    bool url_encoded, truncated, in_contents, in_prefixes;
    bool beginning;  /* the rest is read another time */
    unsigned has;   /* of the last entry */
    char *token;
    struct store_page page;
    size_t cap;
};

static enum err_code add_entry(struct parse *p, bool is_prefix, struct err *e)
{
    if (p->page.n == p->cap) {
        size_t cap = p->cap > 0 ? p->cap * 2 : 128;
        struct store_entry *more = cap <= ENTRIES_MAX * 2 ? realloc(p->page.entries, cap * sizeof(*more)) : NULL;
        if (more == NULL)
            return err_set(e, ERR_NOMEM, "listing");
        p->page.entries = more;
        p->cap = cap;
    }
    p->page.entries[p->page.n++] = (struct store_entry){.is_prefix = is_prefix};
    p->has = 0;
    return ERR_OK;
}

static struct store_entry *last(struct parse *p)
{
    return &p->page.entries[p->page.n - 1];
}

static enum err_code set_text(char **to, const char *text, struct err *e)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return err_set(e, ERR_NOMEM, "listing");
    free(*to);
    *to = copy;
    return ERR_OK;
}

static const char *key_of(const struct store_entry *entry)
{
    return entry->key != NULL ? entry->key : "";
}

static enum err_code on_begin(void *arg, unsigned depth, const char *name, struct err *e)
{
    struct parse *p = arg;
    if (depth == 1 && strcmp(name, "ListBucketResult") != 0)
        return err_set(e, ERR_PROTO, "listing: the reply is a %.40s", name);
    if (depth != 2)
        return ERR_OK;
    p->in_contents = strcmp(name, "Contents") == 0;
    p->in_prefixes = strcmp(name, "CommonPrefixes") == 0;
    return p->in_contents ? add_entry(p, false, e) : ERR_OK;
}

/* True the first time. */
static bool is_first(struct parse *p, unsigned what)
{
    bool first = !(p->has & what);
    p->has |= what;
    return first;
}

static enum err_code on_object(struct parse *p, const char *name, const char *text, struct err *e)
{
    struct store_entry *entry = last(p);
    struct store_version *v = &entry->object.version;
    if (strcmp(name, "Key") == 0)
        return is_first(p, HAS_KEY) ? set_text(&entry->key, text, e) : ERR_OK;
    if (strcmp(name, "Size") == 0 && is_first(p, HAS_SIZE) && (!str_parse_u64(text, &v->size) || v->size > INT64_MAX))
        return err_set(e, ERR_PROTO, "listing: '%s' has no size", key_of(entry));
    if (strcmp(name, "LastModified") == 0 && is_first(p, HAS_TIME) && !time_parse_iso8601(text, &v->mtime))
        return err_set(e, ERR_PROTO, "listing: '%s' has no time", key_of(entry));
    if (strcmp(name, "ETag") == 0 && is_first(p, HAS_ETAG) && !s3_etag_copy(v->etag, text))
        return err_set(e, ERR_PROTO, "listing: '%s' has no ETag", key_of(entry));
    return ERR_OK;
}

/* The first of a name counts, as it does in a document. */
static enum err_code on_field(struct parse *p, const char *name, const char *text, struct err *e)
{
    if (strcmp(name, "EncodingType") == 0)
        p->url_encoded = strcmp(text, "url") == 0;
    else if (strcmp(name, "IsTruncated") == 0)
        p->truncated = strcmp(text, "true") == 0;
    else if (strcmp(name, "NextContinuationToken") == 0 && p->token == NULL)
        return set_text(&p->token, text, e);
    return ERR_OK;
}

static enum err_code on_end(void *arg, unsigned depth, const char *name, const char *text, struct err *e)
{
    struct parse *p = arg;
    if (depth == 3 && p->in_contents)
        return on_object(p, name, text, e);
    if (depth == 3 && p->in_prefixes && strcmp(name, "Prefix") == 0) {
        enum err_code code = add_entry(p, true, e);
        return code != ERR_OK ? code : set_text(&last(p)->key, text, e);
    }
    if (depth != 2)
        return ERR_OK;
    if (p->in_contents && (p->has | HAS_KEY) != (HAS_KEY | HAS_SIZE | HAS_TIME | HAS_ETAG))
        return err_set(e, ERR_PROTO, "listing: '%s' has no %s", key_of(last(p)),
                       !(p->has & HAS_SIZE) ? "size" : !(p->has & HAS_TIME) ? "time" : "ETag");
    return p->in_contents || p->in_prefixes ? ERR_OK : on_field(p, name, text, e);
}

/* Decodes the key, which does not become longer. */
static enum err_code decode(struct store_entry *entry, struct err *e)
{
    if (strpbrk(entry->key, "%+") == NULL)
        return ERR_OK;
    BUF(key, KEY_MAX);
    if (!uri_decode(&key, entry->key, strlen(entry->key), true))
        return err_set(e, ERR_PROTO, "listing: the key '%s' is not encoded as told", entry->key);
    memcpy(entry->key, buf_str(&key), key.len + 1);
    return ERR_OK;
}

/* Makes the key what the store's users see. *keep false: it is left out. */
static enum err_code finish_key(const struct parse *p, struct store_entry *entry, bool *keep, struct err *e)
{
    enum err_code code = entry->key == NULL ? set_text(&entry->key, "", e) : ERR_OK;
    if (code == ERR_OK && p->url_encoded)
        code = decode(entry, e);
    if (code != ERR_OK)
        return code;
    size_t len = strlen(entry->key), skip = strlen(p->strip);
    if (len >= KEY_MAX || !str_starts(entry->key, p->strip))
        return err_set(e, ERR_PROTO, "listing: the key '%.1000s' does not belong there", entry->key);
    bool legal = utf8_valid(entry->key, len);
    if (!legal && !p->beginning)
        LOG_WARN("s3", "left out of a listing, not UTF-8: %s", entry->key);
    *keep = legal && len > skip;
    if (skip > 0)
        memmove(entry->key, entry->key + skip, len - skip + 1);
    return ERR_OK;
}

static enum err_code finish_keys(struct parse *p, struct err *e)
{
    size_t kept = 0;
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < p->page.n; i++) {
        struct store_entry entry = p->page.entries[i];
        bool keep = true;
        if (code == ERR_OK)
            code = finish_key(p, &entry, &keep, e);
        if (keep)
            p->page.entries[kept++] = entry;
        else
            free(entry.key);
    }
    p->page.n = kept;
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
    bool sorted = true;
    for (size_t i = 1; i < page->n && sorted; i++)
        sorted = strcmp(page->entries[i - 1].key, page->entries[i].key) < 0;
    if (sorted)
        return;
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

static enum err_code take_token(struct parse *p, struct err *e)
{
    if (!p->truncated)
        return ERR_OK;
    if (p->token == NULL || p->token[0] == 0)
        return err_set(e, ERR_PROTO, "listing: there is more, but no token");
    p->page.next = TAKE(p->token);
    return ERR_OK;
}

enum err_code s3_list_parse(const char *xml, size_t len, const char *strip, struct store_page *out, struct err *e)
{
    struct parse p = {.strip = strip};
    const struct xml_reader reader = {.begin = on_begin, .end = on_end, .arg = &p};
    enum err_code code = xml_read(xml, len, &reader, e);
    if (code == ERR_OK)
        code = finish_keys(&p, e);
    if (code == ERR_OK)
        code = take_token(&p, e);
    free(p.token);
    if (code != ERR_OK) {
        store_page_release(&p.page);
        return code;
    }
    merge(&p.page);
    *out = p.page;
    return ERR_OK;
}

/* The length of what ends with the last object that is there whole. */
static size_t whole_objects(const char *xml, size_t len, const char *end)
{
    size_t n = strlen(end);
    for (size_t at = len; at >= n; at--)
        if (memcmp(xml + at - n, end, n) == 0)
            return at;
    return 0;
}

static bool tells_encoding(const struct parse *p)
{
    for (size_t i = 0; i < p->page.n && !p->url_encoded; i++)
        if (strpbrk(key_of(&p->page.entries[i]), "%+") != NULL)
            return false;
    return true;
}

enum err_code s3_list_parse_beginning(const char *xml, size_t len, const char *strip, struct store_page *out,
                                      struct err *e)
{
    static const char root[] = "</ListBucketResult>";
    struct parse p = {.strip = strip, .beginning = true};
    const struct xml_reader reader = {.begin = on_begin, .end = on_end, .arg = &p};
    BUF(text, len + sizeof(root));
    buf_add(&text, xml, whole_objects(xml, len, "</Contents>"));
    buf_add_str(&text, root);
    enum err_code code = buf_check(&text, "listing", e);
    if (code == ERR_OK)
        code = xml_read(buf_str(&text), text.len, &reader, e);
    if (code == ERR_OK && !tells_encoding(&p))
        code = err_set(e, ERR_PROTO, "listing: how keys are encoded is not told yet");
    if (code == ERR_OK)
        code = finish_keys(&p, e);
    free(p.token);
    if (code == ERR_OK)
        *out = p.page;
    else
        store_page_release(&p.page);
    return code;
}
