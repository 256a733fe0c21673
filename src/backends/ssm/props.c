#include "backends/ssm/attrs.h"
#include "backends/ssm/derived.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/known.h"
#include "backends/ssm/labels.h"
#include "store/meta.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

/* What comes with every value, as a property of the object's metadata; both spellings are taken. */
static const char *told_with_value(const char *name)
{
    static const char *const names[][2] = {
        {"type", "type"},           {"version", "version"},     {"arn", "arn"},
        {"data-type", "data-type"}, {"data_type", "data-type"}, {"selector", "selector"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(names[i][0], name) == 0)
            return names[i][1];
    return NULL;
}

/* Where in a description a property is; NULL when it is none of those. */
static char *const *told_by_description(const struct ssm_described *d, const char *name)
{
    const struct {
        const char *name;
        char *const *at;
    } members[] = {{"key_id", &d->key_id},
                   {"tier", &d->tier},
                   {"description", &d->description},
                   {"allowed_pattern", &d->allowed_pattern},
                   {"policies", &d->policies},
                   {"last_modified_user", &d->user}};
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (strcmp(members[i].name, name) == 0)
            return members[i].at;
    return NULL;
}

static enum err_code append(const char *key, const char *name, const char *value, struct buf *out, struct err *e)
{
    if (value == NULL || value[0] == '\0')
        return err_set(e, ERR_NO_ATTR, "%s has no %s", key, name);
    buf_add_str(out, value);
    return buf_check(out, name, e);
}

static enum err_code get_described(struct ssm *s, const char *key, const struct store_object *object, const char *name,
                                   const struct store_call *call, struct buf *out, struct err *e)
{
    struct ssm_name its;
    enum err_code code = ssm_name_for_read(s->path, key, &its, e);
    if (code != ERR_OK)
        return code;
    int64_t number = object ? known_version_number(object->version.etag) : -1;
    const char *listed = its.selector && object && object->meta ? store_meta_prop(object->meta, name, NULL) : NULL;
    if (listed != NULL)
        return append(key, name, listed, out, e);
    if (its.selector)
        return version_told(s, key, name, number, call, out, e);
    CLEANUP(ssm_described_free) struct ssm_described *d = NULL;
    code = ssm_describe(s, its.text, number, call, &d, e);
    if (code != ERR_OK)
        return code;
    return append(key, name, d ? *told_by_description(d, name) : NULL, out, e);
}

static enum err_code get_tags(struct ssm *s, const char *key, const char *name, const struct store_call *call,
                              struct buf *out, struct err *e)
{
    struct ssm_name its;
    enum err_code code = ssm_name_for_read(s->path, key, &its, e);
    if (code == ERR_OK && its.selector)
        return err_set(e, ERR_NO_ATTR, "%s: tags belong to the parameter", key);
    return code == ERR_OK ? tags_get(s, its.text, name, call, out, e) : code;
}

enum err_code ssm_property_get(void *impl, const char *key, const struct store_object *object, const char *name,
                               const struct store_call *call, struct buf *out, struct err *e)
{
    static const struct ssm_described shape;
    if (ssm_is_view(key))
        return err_set(e, ERR_NO_ATTR, "%s is no parameter", key);
    const char *prop = told_with_value(name);
    if (object != NULL && object->version.etag[0] == '\0')
        return append(key, name, attrs_prepared(object->meta, name), out, e);
    const char *listed = object != NULL && object->meta != NULL && strcmp(name, "labels") == 0
                             ? store_meta_prop(object->meta, name, NULL)
                             : NULL;
    if (listed != NULL)
        return append(key, name, listed, out, e);
    if (labels_known(name))
        return labels_get(impl, key, name, object ? known_version_number(object->version.etag) : 0, call, out, e);
    if (strcmp(name, "tags") == 0 || str_starts(name, SSM_TAG_PREFIX))
        return get_tags(impl, key, name, call, out, e);
    if (prop == NULL && told_by_description(&shape, name) == NULL)
        return err_set(e, ERR_NO_ATTR, "%s: no property %s", key, name);
    if (prop == NULL)
        return get_described(impl, key, object, name, call, out, e);
    /* Metadata that were carried across a put of ours still have the number of the version before. */
    int64_t number = object != NULL && strcmp(prop, "version") == 0 ? known_version_number(object->version.etag) : -1;
    if (number > 0) {
        buf_addf(out, "%lld", (long long)number);
        return buf_check(out, name, e);
    }
    if (object != NULL && object->meta != NULL)
        return append(key, name, store_meta_prop(object->meta, prop, NULL), out, e);
    CLEANUP_RELEASE(store_object_release) struct store_object now = {0};
    enum err_code code = ssm_stat(impl, key, call, &now, e);
    return code == ERR_OK ? append(key, name, store_meta_prop(now.meta, prop, NULL), out, e) : code;
}

enum err_code ssm_property_set(void *impl, const char *key, const struct store_meta *meta, const char *name,
                               const void *value, size_t len, const struct store_call *call,
                               struct store_meta **meta_out, struct err *e)
{
    if (ssm_is_view(key))
        return err_set(e, ERR_PERM, "%s is no parameter", key);
    if (labels_known(name)) {
        *meta_out = NULL;
        return labels_set(impl, key, name, value, len, call, e);
    }
    if (!attrs_known(name))
        return err_set(e, ERR_PERM, "%s: %s cannot be changed", key, name);
    *meta_out = NULL;
    return attrs_set(impl, key, meta, name, value, len, call, e);
}
