/* Properties of the in-memory store: a few of S3's, enough for the layers above. */
#include "store/mem_impl.h"
#include "util/buf.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

static const char *const in_meta[] = {"content-type", "cache-control", "content-encoding", "storage-class", NULL};

static bool kept_in_meta(const char *name)
{
    for (size_t i = 0; in_meta[i] != NULL; i++)
        if (strcmp(in_meta[i], name) == 0)
            return true;
    return str_starts(name, "meta.") && name[5] != 0;
}

static bool own_request(const char *name)
{
    return strcmp(name, "tags") == 0 || strcmp(name, "acl") == 0;
}

static char **slot_locked(struct mem_store *m, const char *key, const char *name)
{
    struct mem_object *o = mem_find_locked(m, key);
    if (o == NULL)
        return NULL;
    return strcmp(name, "tags") == 0 ? &o->tags : &o->acl;
}

static enum err_code not_set(const char *key, const char *name, struct err *e)
{
    return err_set(e, ERR_NO_ATTR, "%s: no property %s", key, name);
}

static enum err_code read_slot(struct mem_store *m, const char *key, const char *name, struct buf *out, struct err *e)
{
    LOCK_SCOPE(&m->lock);
    char **slot = slot_locked(m, key, name);
    if (slot == NULL)
        return err_set(e, ERR_NOT_FOUND, "%s: not found", key);
    if (*slot == NULL)
        return not_set(key, name, e);
    buf_add_str(out, *slot);
    return buf_check(out, name, e);
}

static enum err_code read_meta(struct mem_store *m, const char *key, const struct store_object *object,
                               const char *name, struct buf *out, struct err *e)
{
    CLEANUP(store_meta_unref) struct store_meta *meta = object != NULL ? store_meta_ref(object->meta) : NULL;
    if (meta == NULL) {
        LOCK_SCOPE(&m->lock);
        const struct mem_object *o = mem_find_locked(m, key);
        if (o == NULL)
            return err_set(e, ERR_NOT_FOUND, "%s: not found", key);
        meta = mem_told_meta_locked(o, e);
        if (meta == NULL)
            return ERR_NOMEM;
    }
    size_t len;
    const char *value = store_meta_prop(meta, name, &len);
    if (value == NULL)
        return not_set(key, name, e);
    buf_add(out, value, len);
    return buf_check(out, name, e);
}

enum err_code mem_property_get(void *impl, const char *key, const struct store_object *object, const char *name,
                               const struct store_call *call, struct buf *out, struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_PROPERTY_GET, .key = key};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    if (strcmp(name, "etag") == 0 && object != NULL && object->version.etag[0] != 0) {
        buf_add_str(out, object->version.etag);
        return buf_check(out, name, e);
    }
    if (own_request(name))
        return read_slot(m, key, name, out, e);
    if (kept_in_meta(name) || strcmp(name, "sha512") == 0)
        return read_meta(m, key, object, name, out, e);
    return not_set(key, name, e);
}

static enum err_code write_slot(struct mem_store *m, const char *key, const char *name, const void *value, size_t len,
                                struct err *e)
{
    LOCK_SCOPE(&m->lock);
    char **slot = slot_locked(m, key, name);
    if (slot == NULL)
        return err_set(e, ERR_NOT_FOUND, "%s: not found", key);
    char *copy = value != NULL ? str_ndup(value, len) : NULL;
    if (value != NULL && copy == NULL)
        return err_set(e, ERR_NOMEM, "%s", key);
    free(*slot);
    *slot = copy;
    return ERR_OK;
}

enum err_code mem_property_set(void *impl, const char *key, const struct store_meta *meta, const char *name,
                               const void *value, size_t len, const struct store_call *call,
                               struct store_meta **meta_out, struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_PROPERTY_SET, .key = key, .size = len};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    if (own_request(name))
        return write_slot(m, key, name, value, len, e);
    if (strcmp(name, "etag") == 0 || strcmp(name, "sha512") == 0)
        return err_set(e, ERR_PERM, "%s: %s cannot be changed", key, name);
    if (!kept_in_meta(name))
        return not_set(key, name, e);
    CLEANUP(store_meta_unref) struct store_meta *changed = store_meta_copy(meta);
    if (changed == NULL)
        return err_set(e, ERR_NOMEM, "%s", key);
    code = store_meta_set_prop(changed, name, value, len, e);
    if (code == ERR_OK)
        *meta_out = TAKE(changed);
    return code;
}
