#include "store/checks.h"

#include "util/str.h"

#include <string.h>

enum err_code store_check_key(const struct store_caps *caps, const char *key, struct err *e)
{
    size_t len = strlen(key);
    if (len == 0)
        return err_set(e, ERR_INVAL, "an empty key");
    if (len > caps->max_key)
        return err_set(e, ERR_NAME_TOO_LONG, "a key of %zu bytes, at most %zu", len, caps->max_key);
    if (!utf8_valid(key, len))
        return err_set(e, ERR_BAD_NAME, "%s is not UTF-8", key);
    return ERR_OK;
}

enum err_code store_check_body(const struct store_caps *caps, const char *key, uint64_t size, uint64_t max,
                               struct err *e)
{
    if (size > max)
        return err_set(e, ERR_TOO_BIG, "%s: %llu bytes, at most %llu", key, (unsigned long long)size,
                       (unsigned long long)max);
    if (size == 0 && (caps->flags & STORE_EMPTY_REFUSED))
        return err_set(e, ERR_INVAL, "%s: must not be empty", key);
    return ERR_OK;
}

enum err_code store_check_parts(const struct store_caps *caps, const char *key, const struct store_part *parts,
                                size_t n, struct err *e)
{
    if (n == 0)
        return err_set(e, ERR_INVAL, "%s: an upload without parts", key);
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].number < 1 || (i > 0 && parts[i].number <= parts[i - 1].number))
            return err_set(e, ERR_INVAL, "%s: part numbers do not ascend", key);
        if (parts[i].number > caps->max_parts)
            return err_set(e, ERR_TOO_BIG, "%s: part %u of at most %u", key, parts[i].number, caps->max_parts);
        if (parts[i].etag[0] == 0)
            return err_set(e, ERR_INVAL, "%s: part %u was not uploaded", key, parts[i].number);
        if (parts[i].size > caps->max_object - sum)
            return err_set(e, ERR_TOO_BIG, "%s: over %llu bytes", key, (unsigned long long)caps->max_object);
        sum += parts[i].size;
    }
    return ERR_OK;
}

enum err_code store_check_version(const struct store_caps *caps, const char *key, const struct store_version *v,
                                  struct err *e)
{
    if (v->etag[0] == 0)
        return err_set(e, ERR_PROTO, "%s: the reply of %s has no ETag", key, caps->name);
    return ERR_OK;
}

static enum err_code check_entry(const struct store_caps *caps, const struct store_list *l,
                                 const struct store_entry *entry, struct err *e)
{
    if (!str_starts(entry->key, l->prefix))
        return err_set(e, ERR_PROTO, "listing of '%s': '%s' does not belong there", l->prefix, entry->key);
    const char *rest = entry->key + strlen(l->prefix);
    const char *slash = strchr(rest, '/');
    bool group = slash != NULL && slash[1] == 0;
    if (entry->is_prefix && (!l->delimiter || !group))
        return err_set(e, ERR_PROTO, "listing of '%s': '%s' is no common prefix", l->prefix, entry->key);
    if (!entry->is_prefix && l->delimiter && slash != NULL)
        return err_set(e, ERR_PROTO, "listing of '%s': '%s' is not grouped", l->prefix, entry->key);
    if (!entry->is_prefix)
        return store_check_version(caps, entry->key, &entry->object.version, e);
    return ERR_OK;
}

enum err_code store_check_page(const struct store_caps *caps, const struct store_list *l, const struct store_page *p,
                               struct err *e)
{
    for (size_t i = 0; i < p->n; i++) {
        enum err_code code = check_entry(caps, l, &p->entries[i], e);
        if (code != ERR_OK)
            return code;
        if (i > 0 && strcmp(p->entries[i - 1].key, p->entries[i].key) >= 0)
            return err_set(e, ERR_PROTO, "listing of '%s': '%s' comes before '%s'", l->prefix, p->entries[i - 1].key,
                           p->entries[i].key);
    }
    if (p->next != NULL && (p->next[0] == 0 || (l->token != NULL && strcmp(p->next, l->token) == 0)))
        return err_set(e, ERR_PROTO, "listing of '%s': its token does not move on", l->prefix);
    return ERR_OK;
}
