/* The objects of the in-memory store: an array in the order of the keys. */
#include "store/mem_impl.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct mem_blob *mem_blob_new(size_t size)
{
    struct mem_blob *b = size < SIZE_MAX - sizeof(*b) ? malloc(sizeof(*b) + size) : NULL;
    if (b != NULL) {
        b->refs = 1;
        b->size = size;
    }
    return b;
}

struct mem_blob *mem_blob_ref(struct mem_blob *b)
{
    __atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}

void mem_blob_unref(struct mem_blob *b)
{
    if (b != NULL && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(b);
}

void mem_object_free(struct mem_object *o)
{
    if (o == NULL)
        return;
    store_meta_unref(o->meta);
    mem_blob_unref(o->blob);
    free(o->key);
    free(o->tags);
    free(o->acl);
    free(o);
}

size_t mem_lower_bound_locked(const struct mem_store *m, const char *key)
{
    size_t lo = 0, hi = m->n_objects;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(m->objects[mid]->key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct mem_object *mem_find_locked(const struct mem_store *m, const char *key)
{
    size_t at = mem_lower_bound_locked(m, key);
    return at < m->n_objects && strcmp(m->objects[at]->key, key) == 0 ? m->objects[at] : NULL;
}

/* A store without POSIX metadata keeps only the properties. */
static struct store_meta *stored_meta(const struct mem_store *m, const struct store_meta *meta, struct err *e)
{
    CLEANUP(store_meta_unref) struct store_meta *copy = store_meta_copy(meta);
    if (copy == NULL || store_meta_set_prop(copy, "sha512", NULL, 0, e) != ERR_OK) {
        (void)err_set(e, ERR_NOMEM, "metadata");
        return NULL;
    }
    if (!(m->caps.flags & STORE_POSIX)) {
        copy->has = 0;
        while (copy->n_xattrs > 0)
            if (store_meta_set_xattr(copy, copy->xattrs[0].name, NULL, 0, e) != ERR_OK)
                return NULL;
    }
    return TAKE(copy);
}

struct mem_object *mem_object_new(const struct mem_store *m, const char *key, struct mem_blob *blob,
                                  const struct store_meta *meta, const uint8_t *sha512, struct err *e)
{
    CLEANUP(mem_object_free) struct mem_object *o = calloc(1, sizeof(*o));
    if (o == NULL || (o->key = strdup(key)) == NULL) {
        (void)err_set(e, ERR_NOMEM, "%s", key);
        return NULL;
    }
    o->meta = stored_meta(m, meta, e);
    char hex[2 * DIGEST_MAX + 1];
    if (o->meta == NULL || digest_hex(DIGEST_MD5, blob->bytes, blob->size, hex, e) != ERR_OK)
        return NULL;
    (void)snprintf(o->version.etag, sizeof(o->version.etag), "%s", hex);
    o->version.size = blob->size;
    o->version.mtime = clock_now();
    o->version.mtime.tv_nsec = 0; /* Last-Modified has whole seconds */
    o->blob = mem_blob_ref(blob);
    o->has_sha512 = sha512 != NULL;
    if (sha512 != NULL)
        memcpy(o->sha512, sha512, sizeof(o->sha512));
    return TAKE(o);
}

static enum err_code check_cond(const struct mem_object *there, const char *key, const struct store_cond *cond,
                                struct err *e)
{
    if (cond->kind == STORE_IF_ABSENT && there != NULL)
        return err_set(e, ERR_CONFLICT, "%s is there already", key);
    if (cond->kind == STORE_IF_MATCH && (there == NULL || strcmp(there->version.etag, cond->etag) != 0))
        return err_set(e, ERR_CONFLICT, "%s is not the version %s any more", key, cond->etag);
    return ERR_OK;
}

static void hand_on(struct mem_object *from, struct mem_object *to)
{
    if (to->tags == NULL && store_meta_prop(to->meta, "tagging-count", NULL) != NULL)
        to->tags = TAKE(from->tags);
    if (to->acl == NULL)
        to->acl = TAKE(from->acl);
}

static enum err_code make_room_locked(struct mem_store *m, struct err *e)
{
    if (m->n_objects < m->cap_objects)
        return ERR_OK;
    size_t cap = m->cap_objects > 0 ? m->cap_objects * 2 : 64;
    struct mem_object **more = realloc(m->objects, cap * sizeof(*more));
    if (more == NULL)
        return err_set(e, ERR_NOMEM, "%zu objects", cap);
    m->objects = more;
    m->cap_objects = cap;
    return ERR_OK;
}

enum err_code mem_replace_locked(struct mem_store *m, struct mem_object **o, const struct store_cond *cond,
                                 struct store_version *out, struct err *e)
{
    struct mem_object *there = mem_find_locked(m, (*o)->key);
    enum err_code code = check_cond(there, (*o)->key, cond, e);
    if (code == ERR_OK)
        code = make_room_locked(m, e);
    if (code != ERR_OK)
        return code;
    size_t at = mem_lower_bound_locked(m, (*o)->key);
    if (there != NULL) {
        hand_on(there, *o);
        mem_object_free(there);
    } else {
        memmove(m->objects + at + 1, m->objects + at, (m->n_objects - at) * sizeof(*m->objects));
        m->n_objects++;
    }
    *out = (*o)->version;
    m->objects[at] = TAKE(*o);
    return ERR_OK;
}

void mem_delete_locked(struct mem_store *m, const char *key)
{
    size_t at = mem_lower_bound_locked(m, key);
    if (at == m->n_objects || strcmp(m->objects[at]->key, key) != 0)
        return;
    mem_object_free(m->objects[at]);
    memmove(m->objects + at, m->objects + at + 1, (m->n_objects - at - 1) * sizeof(*m->objects));
    m->n_objects--;
}

static unsigned tag_count(const char *tags)
{
    unsigned n = tags[0] != 0;
    for (; *tags != 0; tags++)
        n += *tags == '&';
    return n;
}

struct store_meta *mem_told_meta_locked(const struct mem_object *o, struct err *e)
{
    CLEANUP(store_meta_unref) struct store_meta *copy = store_meta_copy(o->meta);
    if (copy == NULL) {
        (void)err_set(e, ERR_NOMEM, "%s", o->key);
        return NULL;
    }
    char text[2 * sizeof(o->sha512) + 1];
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < sizeof(o->sha512); i++) {
        text[2 * i] = digits[o->sha512[i] >> 4];
        text[2 * i + 1] = digits[o->sha512[i] & 15];
    }
    enum err_code code = store_meta_set_prop(copy, "sha512", o->has_sha512 ? text : NULL, 2 * sizeof(o->sha512), e);
    int len = snprintf(text, sizeof(text), "%u", o->tags != NULL ? tag_count(o->tags) : 0);
    if (code == ERR_OK)
        code = store_meta_set_prop(copy, "tagging-count", o->tags != NULL ? text : NULL, (size_t)len, e);
    return code == ERR_OK ? TAKE(copy) : NULL;
}

enum err_code mem_tell_locked(const struct mem_store *m, const struct mem_object *o, bool with_meta,
                              struct store_object *out, struct err *e)
{
    CLEANUP_RELEASE(store_object_release) struct store_object told = {.version = o->version};
    if (with_meta && (told.meta = mem_told_meta_locked(o, e)) == NULL)
        return ERR_NOMEM;
    if (m->caps.flags & STORE_LIST_CONTENT) {
        told.content = secret_alloc(o->blob->size + 1);
        if (told.content == NULL)
            return err_set(e, ERR_NOMEM, "%s", o->key);
        memcpy(told.content, o->blob->bytes, o->blob->size);
    }
    *out = told;
    memset(&told, 0, sizeof(told));
    return ERR_OK;
}
