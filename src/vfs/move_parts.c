/* What renames on a store are made of: a copy, a comparison, metadata in their record. */
#include "store/fetch.h"
#include "store/meta.h"
#include "util/str.h"
#include "vfs/move.h"

#include <string.h>

char *move_target(const struct rename_plan *plan, const char *key)
{
    return str_printf("%s%s", plan->to, key + strlen(plan->from));
}

/* ---- A copy */

static ssize_t read_nothing(void *arg, uint64_t offset, void *buf, size_t len)
{
    return 0;
}

static enum err_code put_marker(struct store *store, const struct store_copy *copy, const struct store_call *call,
                                struct store_version *out, struct err *e)
{
    struct store_object marker = {0};
    enum err_code code = store_stat(store, copy->from, call, &marker, e);
    struct store_body body = {.read = read_nothing};
    if (!code)
        code = store_put(store, copy->to, &body, marker.meta, &copy->cond, call, out, e);
    store_object_release(&marker);
    return code;
}

enum err_code move_copy(struct store *store, const struct store_copy *copy, const struct store_call *call, struct store_version *out,
                        struct err *e)
{
    if (copy->size == 0 && str_ends(copy->from, "/"))
        return put_marker(store, copy, call, out, e);
    return store_copy(store, copy, call, out, e);
}

/* ---- A comparison */

enum err_code move_same(const struct move *m, const char *a_key, const struct store_version *a, const char *b_key,
                        const struct store_version *b, bool *same, struct err *e)
{
    *same = a->size == b->size && strcmp(a->etag, b->etag) == 0;
    return *same ? ERR_OK : store_same_bytes(m->store, a_key, a, b_key, b, m->cancel, same, e);
}

/* ---- Metadata */

static bool take_pairs(struct store_meta *m, const struct record_pair *pairs, size_t n, bool xattrs)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; !code && i < n; i++)
        code = xattrs ? store_meta_set_xattr(m, pairs[i].name, pairs[i].value, pairs[i].len, NULL)
                      : store_meta_set_prop(m, pairs[i].name, pairs[i].value, pairs[i].len, NULL);
    return code == ERR_OK;
}

struct store_meta *move_meta(const struct record_meta *from)
{
    CLEANUP(store_meta_unref) struct store_meta *m = store_meta_new();
    if (!m)
        return NULL;
    m->has = from->has;
    m->mode = from->mode;
    m->uid = from->uid;
    m->gid = from->gid;
    m->mtime = from->mtime;
    m->atime = from->atime;
    m->ctime = from->ctime;
    if (!take_pairs(m, from->xattrs, from->n_xattrs, true) || !take_pairs(m, from->props, from->n_props, false))
        return NULL;
    return TAKE(m);
}

static struct record_pair *pairs_of(const struct store_pair *from, size_t n)
{
    struct record_pair *to = calloc(n + 1, sizeof(*to));
    for (size_t i = 0; to && i < n; i++)
        to[i] = (struct record_pair){.name = from[i].name, .value = from[i].value, .len = from[i].len};
    return to;
}

struct record_meta *record_meta_of(const struct store_meta *m)
{
    CLEANUP(record_meta_free) struct record_meta *out = calloc(1, sizeof(*out));
    if (!out)
        return NULL;
    *out = (struct record_meta){.has = m->has, .mode = m->mode, .uid = m->uid, .gid = m->gid, .mtime = m->mtime, .atime = m->atime,
                                .ctime = m->ctime, .xattrs = pairs_of(m->xattrs, m->n_xattrs), .n_xattrs = m->n_xattrs,
                                .props = pairs_of(m->props, m->n_props), .n_props = m->n_props};
    return out->xattrs && out->props ? TAKE(out) : NULL;
}

void record_meta_free(struct record_meta *m)
{
    if (!m)
        return;
    free((void *)m->xattrs);
    free((void *)m->props);
    free(m);
}
