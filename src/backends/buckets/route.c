/* Each operation goes to the store of its key's bucket, with the key as that store knows it. */
#include "backends/buckets/impl.h"
#include "store/ops.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

/* ERR_NOT_FOUND: at the first level there are buckets only. */
static enum err_code find(struct buckets *s, const char *key, struct target *t, struct err *e)
{
    *t = (struct target){.rest = NULL};
    if (!bucket_split(key, t->name, &t->rest) || t->rest == NULL)
        return err_set(e, ERR_NOT_FOUND, "'%.300s' is in no bucket", key);
    return t->rest[0] != 0 ? table_open(s, t->name, &t->bucket, e) : ERR_OK;
}

static bool is_bucket(const struct target *t)
{
    return t->rest[0] == 0;
}

/* The same for what would make something there. */
static enum err_code find_new(struct buckets *s, const char *key, struct target *t, struct err *e)
{
    enum err_code code = find(s, key, t, e);
    if (code == ERR_NOT_FOUND)
        return err_set(e, ERR_PERM, "'%.200s': beside the buckets nothing can be made but buckets", key);
    return code;
}

enum err_code target_of_object(struct buckets *s, const char *key, struct target *t, struct err *e)
{
    enum err_code code = find_new(s, key, t, e);
    return code == ERR_OK && is_bucket(t) ? err_set(e, ERR_PERM, "bucket %s is no object", t->name) : code;
}

/* ---- Reading */

static enum err_code prefix_keys(const char *name, struct store_page *page, struct err *e)
{
    for (size_t i = 0; i < page->n; i++) {
        char *whole = str_printf("%s/%s", name, page->entries[i].key);
        if (whole == NULL)
            return err_set(e, ERR_NOMEM, "listing of bucket %s", name);
        free(page->entries[i].key);
        page->entries[i].key = whole;
    }
    return ERR_OK;
}

/* start_after as the bucket's own store knows it; false where all of the bucket is before it. */
static bool begin_after(const struct target *t, struct store_list *own)
{
    const char *after = own->token == NULL ? own->start_after : NULL;
    size_t len = (size_t)(t->rest - own->prefix); /* of "bucket/" */
    int order = after != NULL ? strncmp(after, own->prefix, len) : -1;
    own->start_after = order == 0 && after[len] != 0 ? after + len : NULL;
    return order <= 0;
}

static enum err_code route_list(void *impl, const struct store_list *l, const struct store_call *call,
                                struct store_page *out, struct err *e)
{
    struct buckets *s = impl;
    struct target t;
    struct store_list own = *l;
    struct store_page page = {0};
    if (strchr(l->prefix, '/') == NULL) {
        if (!l->delimiter)
            return err_set(e, ERR_UNSUPPORTED, "the objects of all buckets are not listed at once");
        return account_list(s, l, call, out, e);
    }
    enum err_code code = find(s, l->prefix, &t, e);
    if (code == ERR_OK && t.bucket == NULL)
        code = table_open(s, t.name, &t.bucket, e);
    if (code == ERR_NOT_FOUND) /* of nothing the listing is empty */
        code = ERR_OK;
    if (code != ERR_OK || t.bucket == NULL || !begin_after(&t, &own)) {
        if (code == ERR_OK)
            *out = page;
        return code;
    }
    if (own.wanted != NULL)
        own.wanted += t.rest - own.prefix;
    own.prefix = t.rest;
    code = store_list(t.bucket->store, &own, call, &page, e);
    if (code == ERR_OK)
        code = prefix_keys(t.name, &page, e);
    if (code == ERR_OK)
        *out = page;
    else
        store_page_release(&page);
    return code;
}

static enum err_code route_stat(void *impl, const char *key, const struct store_call *call, struct store_object *out,
                                struct err *e)
{
    struct buckets *s = impl;
    struct target t;
    enum err_code code = find(s, key, &t, e);
    if (code != ERR_OK)
        return code;
    return is_bucket(&t) ? root_stat(s, t.name, call, out, e) : store_stat(t.bucket->store, t.rest, call, out, e);
}

static enum err_code route_get(void *impl, const struct store_get *g, struct err *e)
{
    struct buckets *s = impl;
    struct target t;
    struct store_get own = *g;
    enum err_code code = find(s, g->key, &t, e);
    if (code == ERR_OK && is_bucket(&t))
        code = err_set(e, ERR_IS_DIR, "bucket %s has no bytes", t.name);
    own.key = t.rest;
    return code == ERR_OK ? store_get(t.bucket->store, &own, e) : code;
}

/* ---- Writing */

static enum err_code route_check(void *impl, const char *key, bool is_dir, const struct store_body *body, struct err *e)
{
    struct target t;
    size_t len = strcspn(key, "/");
    if (is_dir && (key[len] == 0 || key[len + 1] == 0)) {
        CLEANUP(free) char *name = str_ndup(key, len);
        return name != NULL ? bucket_name_check_new(name, e) : err_set(e, ERR_NOMEM, "bucket");
    }
    enum err_code code = target_of_object(impl, key, &t, e);
    return code == ERR_OK ? store_check(t.bucket->store, t.rest, is_dir, body, e) : code;
}

static enum err_code route_put(void *impl, const char *key, const struct store_body *body, const struct store_meta *meta,
                               const struct store_cond *cond, const struct store_call *call, struct store_version *out,
                               struct err *e)
{
    struct buckets *s = impl;
    struct target t;
    enum err_code code = find_new(s, key, &t, e);
    if (code != ERR_OK)
        return code;
    if (!is_bucket(&t))
        return store_put(t.bucket->store, t.rest, body, meta, cond, call, out, e);
    if (body->size > 0)
        return err_set(e, ERR_PERM, "bucket %s: a bucket has no bytes", t.name);
    return root_put(s, t.name, cond, call, out, e);
}

static enum err_code route_upload_begin(void *impl, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                                        const struct store_call *call, char upload_id[STORE_ID_SIZE], struct err *e)
{
    struct target t;
    enum err_code code = target_of_object(impl, key, &t, e);
    return code == ERR_OK ? store_upload_begin(t.bucket->store, t.rest, meta, sha512, call, upload_id, e) : code;
}

static enum err_code route_upload_part(void *impl, const char *key, const char *upload_id, const struct store_body *body,
                                       const struct store_call *call, struct store_part *part, struct err *e)
{
    struct target t;
    enum err_code code = target_of_object(impl, key, &t, e);
    return code == ERR_OK ? store_upload_part(t.bucket->store, t.rest, upload_id, body, call, part, e) : code;
}

static enum err_code route_upload_copy(void *impl, const char *key, const char *upload_id,
                                       const struct store_part_source *source, const struct store_call *call,
                                       struct store_part *part, struct err *e)
{
    struct target t, from;
    enum err_code code = target_of_object(impl, key, &t, e);
    if (code == ERR_OK)
        code = target_of_object(impl, source->from, &from, e);
    if (code == ERR_OK && from.bucket != t.bucket)
        code = err_set(e, ERR_UNSUPPORTED, "%s is in another bucket", source->from);
    if (code != ERR_OK)
        return code;
    struct store_part_source own = *source;
    own.from = from.rest;
    return store_upload_copy(t.bucket->store, t.rest, upload_id, &own, call, part, e);
}

static enum err_code route_upload_finish(void *impl, const char *key, const char *upload_id,
                                         const struct store_part *parts, size_t n, const uint8_t *sha512,
                                         const struct store_cond *cond, const struct store_call *call,
                                         struct store_version *out, struct err *e)
{
    struct target t;
    enum err_code code = target_of_object(impl, key, &t, e);
    if (code != ERR_OK)
        return code;
    return store_upload_finish(t.bucket->store, t.rest, upload_id, parts, n, sha512, cond, call, out, e);
}

static enum err_code route_upload_abort(void *impl, const char *key, const char *upload_id, const struct store_call *call,
                                        struct err *e)
{
    struct buckets *s = impl;
    struct target t;
    bool usable;
    char region[AWS_REGION_SIZE];
    enum err_code code = target_of_object(s, key, &t, e);
    if (code != ERR_OK)
        return code;
    code = store_upload_abort(t.bucket->store, t.rest, upload_id, call, e);
    /* With its bucket the upload is gone too. */
    if (code == ERR_IO && account_head(s, t.name, call, &usable, region, NULL) == ERR_NOT_FOUND)
        return ERR_OK;
    return code;
}

static enum err_code route_upload_list(void *impl, const char *key, const struct store_call *call,
                                       void (*fn)(void *arg, const char *upload_id, time_t begun), void *arg, struct err *e)
{
    struct target t;
    enum err_code code = target_of_object(impl, key, &t, e);
    return code == ERR_OK ? store_upload_list(t.bucket->store, t.rest, call, fn, arg, e) : code;
}

/* The uploads of a copy are told by the keys of this store. */
struct told {
    const struct store_uploads *to;
    const char *key;
};

static enum err_code tell_intend(void *arg, const char *key, char intent[STORE_INTENT_SIZE], struct err *e)
{
    const struct told *t = arg;
    return t->to->intend(t->to->arg, t->key, intent, e);
}

static void tell_answered(void *arg, const char *key, const char *intent)
{
    const struct told *t = arg;
    t->to->answered(t->to->arg, t->key, intent);
}

static enum err_code tell_begun(void *arg, const char *key, const char *upload_id, struct err *e)
{
    const struct told *t = arg;
    return t->to->begun(t->to->arg, t->key, upload_id, e);
}

static void tell_ended(void *arg, const char *key, const char *upload_id, bool finished)
{
    const struct told *t = arg;
    t->to->ended(t->to->arg, t->key, upload_id, finished);
}

static enum err_code route_copy(void *impl, const struct store_copy *c, const struct store_call *call,
                                struct store_version *out, struct err *e)
{
    struct target from, to;
    struct told told = {c->uploads, c->to};
    struct store_uploads uploads = {.begun = tell_begun, .ended = tell_ended, .arg = &told};
    struct store_copy own = *c;
    enum err_code code = target_of_object(impl, c->from, &from, e);
    if (code == ERR_OK)
        code = target_of_object(impl, c->to, &to, e);
    if (code != ERR_OK)
        return code;
    if (from.bucket != to.bucket)
        return err_set(e, ERR_CROSS, "from bucket %s to bucket %s nothing is copied on the server", from.name, to.name);
    own.from = from.rest;
    own.to = to.rest;
    own.uploads = c->uploads != NULL ? &uploads : NULL;
    if (c->uploads != NULL && c->uploads->intend != NULL) {
        uploads.intend = tell_intend;
        uploads.answered = tell_answered;
    }
    return store_copy(from.bucket->store, &own, call, out, e);
}

static enum err_code route_remove(void *impl, const char *key, const char *etag, const struct store_call *call,
                                  struct err *e)
{
    struct buckets *s = impl;
    struct target t;
    enum err_code code = find(s, key, &t, e);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code != ERR_OK)
        return code;
    return is_bucket(&t) ? account_delete(s, t.name, call, e) : store_remove(t.bucket->store, t.rest, etag, call, e);
}

/* ---- Properties */

static enum err_code route_property_get(void *impl, const char *key, const struct store_object *object, const char *name,
                                        const struct store_call *call, struct buf *out, struct err *e)
{
    struct buckets *s = impl;
    struct target t;
    enum err_code code = find(s, key, &t, e);
    if (code != ERR_OK)
        return code;
    if (is_bucket(&t))
        return root_property_get(s, t.name, name, call, out, e);
    return store_property_get(t.bucket->store, t.rest, object, name, call, out, e);
}

static enum err_code route_property_set(void *impl, const char *key, const struct store_meta *meta, const char *name,
                                        const void *value, size_t len, const struct store_call *call,
                                        struct store_meta **meta_out, struct err *e)
{
    struct target t;
    enum err_code code = target_of_object(impl, key, &t, e);
    if (code != ERR_OK)
        return code;
    return store_property_set(t.bucket->store, t.rest, meta, name, value, len, call, meta_out, e);
}

static enum err_code route_check_meta(void *impl, const char *key, const struct store_meta *meta, struct err *e)
{
    struct target t;
    enum err_code code = target_of_object(impl, key, &t, e);
    return code == ERR_OK ? store_check_meta(t.bucket->store, t.rest, meta, e) : code;
}

const struct store_ops buckets_ops = {
    .list = route_list,
    .stat = route_stat,
    .get = route_get,
    .put = route_put,
    .check = route_check,
    .upload_begin = route_upload_begin,
    .upload_part = route_upload_part,
    .upload_copy = route_upload_copy,
    .upload_finish = route_upload_finish,
    .upload_abort = route_upload_abort,
    .upload_list = route_upload_list,
    .copy = route_copy,
    .remove = route_remove,
    .remove_many = route_remove_many,
    .property_get = route_property_get,
    .property_set = route_property_set,
    .check_meta = route_check_meta,
    .probe = buckets_probe,
    .try = buckets_try,
    .each_count = buckets_each_count,
    .free = buckets_free,
};
