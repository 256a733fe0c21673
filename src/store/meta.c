#include "store/meta.h"

#include "util/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Far above what any server stores with an object; bounds what a hostile reply can make us keep. */
#define PAIRS_MAX 2048

struct store_meta *store_meta_new(void)
{
    struct store_meta *m = calloc(1, sizeof(*m));
    if (m != NULL)
        m->refs = 1;
    return m;
}

static void pairs_free(struct meta_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free((char *)pairs[i].name);
        free((void *)pairs[i].value);
    }
    free(pairs);
}

struct store_meta *store_meta_ref(struct store_meta *m)
{
    if (m != NULL)
        __atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
    return m;
}

void store_meta_unref(struct store_meta *m)
{
    if (m == NULL || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    pairs_free(m->xattrs, m->n_xattrs);
    pairs_free(m->props, m->n_props);
    free(m);
}

/* Where `name` is, or belongs: pairs are kept in the order of their names. */
static size_t pair_position(const struct meta_pair *pairs, size_t n, const char *name, bool *found)
{
    size_t lo = 0, hi = n;
    *found = false;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(pairs[mid].name, name);
        if (c == 0) {
            *found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static void *value_dup(const void *value, size_t len)
{
    char *copy = len < SIZE_MAX ? malloc(len + 1) : NULL;
    if (copy != NULL) {
        if (len > 0)
            memcpy(copy, value, len);
        copy[len] = 0;
    }
    return copy;
}

static void pair_remove(struct meta_pair *pairs, size_t *n, size_t at)
{
    free((char *)pairs[at].name);
    free((void *)pairs[at].value);
    memmove(pairs + at, pairs + at + 1, (*n - at - 1) * sizeof(*pairs));
    (*n)--;
}

static enum err_code pair_insert(struct meta_pair **pairs, size_t *n, size_t at, const char *name, void **value,
                                 size_t len, struct err *e)
{
    if (*n >= PAIRS_MAX)
        return err_set(e, ERR_TOO_BIG, "more than %d attributes", PAIRS_MAX);
    CLEANUP(free) char *own_name = strdup(name);
    struct meta_pair *more = own_name != NULL ? realloc(*pairs, (*n + 1) * sizeof(*more)) : NULL;
    if (more == NULL)
        return err_set(e, ERR_NOMEM, "attribute %s", name);
    *pairs = more;
    memmove(more + at + 1, more + at, (*n - at) * sizeof(*more));
    more[at] = (struct meta_pair){TAKE(own_name), TAKE(*value), len};
    (*n)++;
    return ERR_OK;
}

static enum err_code pair_set(struct meta_pair **pairs, size_t *n, const char *name, const void *value, size_t len,
                              struct err *e)
{
    bool found;
    size_t at = pair_position(*pairs, *n, name, &found);
    if (value == NULL) {
        if (found)
            pair_remove(*pairs, n, at);
        return ERR_OK;
    }
    CLEANUP(free) void *copy = value_dup(value, len);
    if (copy == NULL)
        return err_set(e, ERR_NOMEM, "attribute %s", name);
    if (!found)
        return pair_insert(pairs, n, at, name, &copy, len, e);
    free((void *)(*pairs)[at].value);
    (*pairs)[at].value = TAKE(copy);
    (*pairs)[at].len = len;
    return ERR_OK;
}

enum err_code store_meta_set_xattr(struct store_meta *m, const char *name, const void *value, size_t len, struct err *e)
{
    assert(__atomic_load_n(&m->refs, __ATOMIC_RELAXED) == 1);
    return pair_set(&m->xattrs, &m->n_xattrs, name, value, len, e);
}

enum err_code store_meta_set_prop(struct store_meta *m, const char *name, const void *value, size_t len, struct err *e)
{
    assert(__atomic_load_n(&m->refs, __ATOMIC_RELAXED) == 1);
    return pair_set(&m->props, &m->n_props, name, value, len, e);
}

static const char *pair_get(const struct meta_pair *pairs, size_t n, const char *name, size_t *len)
{
    bool found;
    size_t at = pair_position(pairs, n, name, &found);
    if (!found)
        return NULL;
    if (len != NULL)
        *len = pairs[at].len;
    return pairs[at].value;
}

const char *store_meta_xattr(const struct store_meta *m, const char *name, size_t *len)
{
    return m != NULL ? pair_get(m->xattrs, m->n_xattrs, name, len) : NULL;
}

const char *store_meta_prop(const struct store_meta *m, const char *name, size_t *len)
{
    return m != NULL ? pair_get(m->props, m->n_props, name, len) : NULL;
}

void store_meta_fields(const struct store_meta *m, struct meta_fields *out)
{
    *out = (struct meta_fields){.has = m->has, .mode = m->mode, .uid = m->uid, .gid = m->gid, .mtime = m->mtime, .atime = m->atime,
                                .ctime = m->ctime, .xattrs = m->xattrs, .n_xattrs = m->n_xattrs, .props = m->props,
                                .n_props = m->n_props};
}

struct store_meta *store_meta_of(const struct meta_fields *f, struct err *e)
{
    CLEANUP(store_meta_unref) struct store_meta *m = store_meta_new();
    if (m == NULL) {
        (void)err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    m->has = f->has;
    m->mode = f->mode;
    m->uid = f->uid;
    m->gid = f->gid;
    m->mtime = f->mtime;
    m->atime = f->atime;
    m->ctime = f->ctime;
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < f->n_xattrs + f->n_props; i++) {
        bool xattr = i < f->n_xattrs;
        const struct meta_pair *p = xattr ? &f->xattrs[i] : &f->props[i - f->n_xattrs];
        const void *value = p->value != NULL ? p->value : "";
        code = xattr ? store_meta_set_xattr(m, p->name, value, p->len, e) : store_meta_set_prop(m, p->name, value, p->len, e);
    }
    return code == ERR_OK ? TAKE(m) : NULL;
}

struct store_meta *store_meta_copy(const struct store_meta *m)
{
    struct meta_fields f;
    if (m == NULL)
        return store_meta_new();
    store_meta_fields(m, &f);
    return store_meta_of(&f, NULL);
}

bool store_meta_is_sum(const char *name)
{
    return strcmp(name, "sha512") == 0 || strncmp(name, "checksum-", sizeof("checksum-") - 1) == 0;
}

void store_meta_drop_sums(struct store_meta *m)
{
    for (size_t k = m->n_props; k-- > 0;)
        if (store_meta_is_sum(m->props[k].name))
            (void)!store_meta_set_prop(m, m->props[k].name, NULL, 0, NULL); /* what is removed takes no memory */
}

bool store_meta_has_sums(const struct store_meta *m)
{
    bool has = false;
    for (size_t k = 0; m != NULL && k < m->n_props; k++)
        has |= store_meta_is_sum(m->props[k].name);
    return has;
}

void store_object_release(struct store_object *o)
{
    if (o == NULL)
        return;
    store_meta_unref(o->meta);
    secret_free(o->content);
    memset(o, 0, sizeof(*o));
}

void store_page_release(struct store_page *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n; i++) {
        free(p->entries[i].key);
        store_object_release(&p->entries[i].object);
    }
    free(p->entries);
    free(p->next);
    memset(p, 0, sizeof(*p));
}
