#include "util/str.h"
#include "store/meta.h"
#include "util/map.h"
#include "vfs/found.h"

#include <string.h>

/* Deeper than any key of 1,024 bytes can be. */
#define DEPTH_MAX 1100

struct found_dir {
    struct map *by_component;
    bool has_marker;
    struct store_object marker;
    struct found_stamp first; /* the request that began it */
    struct found_stamp now;   /* of the uppermost one: the request that tells what is added */
};

static struct map_key key_of(const void *value)
{
    const struct found *f = value;
    return (struct map_key){f->component, f->len};
}

struct found_dir *found_dir_new(void)
{
    struct found_dir *f = calloc(1, sizeof(*f));
    if (f && !(f->by_component = map_new(key_of))) {
        free(f);
        return NULL;
    }
    return f;
}

static void found_free(struct found *f)
{
    found_dir_free(f->sub);
    store_object_release(&f->object);
    free(f->component);
    free(f);
}

void found_dir_free(struct found_dir *d)
{
    if (!d)
        return;
    size_t cursor = 0;
    for (struct found *f; (f = map_next(d->by_component, &cursor));)
        found_free(f);
    map_free(d->by_component);
    store_object_release(&d->marker);
    free(d);
}

static struct found *component_of(struct found_dir *d, const char *s, size_t len, struct err *e)
{
    struct found *f = map_get(d->by_component, s, len);
    if (f)
        return f;
    f = calloc(1, sizeof(*f));
    if (f)
        f->component = str_ndup(s, len);
    if (!f || !f->component || (f->len = len, map_put(d->by_component, f, e))) {
        if (f)
            free(f->component);
        free(f);
        err_set(e, ERR_NOMEM, "out of memory for a listing");
        return NULL;
    }
    return f;
}

static void move_object(struct store_object *to, struct store_object *from)
{
    store_object_release(to);
    *to = *from;
    memset(from, 0, sizeof(*from));
}

/* Walks down from `d` along the slashes of `rel`; a prefix stops at its last component. */
static enum err_code add_entry(struct found_dir *d, const char *rel, struct store_entry *entry, struct err *e)
{
    const struct found_stamp now = d->now;
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        if (!*rel) {
            move_object(&d->marker, &entry->object);
            d->has_marker = true;
            return ERR_OK;
        }
        const char *slash = strchr(rel, '/');
        struct found *f = component_of(d, rel, slash ? (size_t)(slash - rel) : strlen(rel), e);
        if (!f)
            return ERR_NOMEM;
        f->told = now;
        if (!slash) {
            move_object(&f->object, &entry->object);
            f->has_object = true;
            return ERR_OK;
        }
        f->is_dir = true;
        rel = slash + 1;
        if (entry->is_prefix && !*rel) {
            f->made = entry->object.version.mtime;
            return ERR_OK;
        }
        if (!f->sub && !(f->sub = found_dir_new()))
            return err_set(e, ERR_NOMEM, "out of memory for a listing");
        d = f->sub;
        if (!d->first.seq)
            d->first = now;
    }
    return err_set(e, ERR_PROTO, "a key of more than %d levels in a listing", DEPTH_MAX);
}

void found_dir_stamp(struct found_dir *d, const struct found_stamp *told)
{
    d->now = *told;
    if (!d->first.seq)
        d->first = *told;
}

const struct found_stamp *found_dir_told(const struct found_dir *d)
{
    return &d->first;
}

enum err_code found_dir_add_entry(struct found_dir *d, const char *prefix, struct store_entry *entry, struct err *e)
{
    if (!str_starts(entry->key, prefix))
        return err_set(e, ERR_PROTO, "a listing of \"%s\" has a key outside it", prefix);
    return add_entry(d, entry->key + strlen(prefix), entry, e);
}

enum err_code found_dir_add_page(struct found_dir *d, const char *prefix, struct store_page *page, struct err *e)
{
    enum err_code code = ERR_OK;
    for (size_t n = 0; n < page->n && !code; n++)
        code = found_dir_add_entry(d, prefix, &page->entries[n], e);
    return code;
}

enum err_code found_dir_put(struct found_dir *d, const char *component, struct store_object *object, bool is_dir,
                            struct err *e)
{
    struct found *f = component_of(d, component, strlen(component), e);
    if (!f)
        return ERR_NOMEM;
    f->is_dir |= is_dir;
    if (object) {
        move_object(&f->object, object);
        f->has_object = true;
    }
    return ERR_OK;
}

enum err_code found_dir_put_container(struct found_dir *d, const char *component, const struct timespec *made,
                                      struct err *e)
{
    struct found *f = component_of(d, component, strlen(component), e);
    if (!f)
        return ERR_NOMEM;
    f->is_dir = true;
    f->made = *made;
    return ERR_OK;
}

const struct found *found_dir_get(const struct found_dir *d, const char *component)
{
    return map_get(d->by_component, component, strlen(component));
}

const struct store_object *found_dir_marker(const struct found_dir *d)
{
    return d->has_marker ? &d->marker : NULL;
}

const struct found *found_dir_next(const struct found_dir *d, size_t *cursor)
{
    return map_next(d->by_component, cursor);
}

size_t found_dir_size(const struct found_dir *d)
{
    return map_size(d->by_component);
}

size_t found_dir_prune(struct found_dir *d, const char *at, bool whole)
{
    size_t most = 0;
    for (struct found_dir *next; d; d = next, whole = true) {
        const char *slash = strchr(at, '/');
        struct found *open = slash ? map_get(d->by_component, at, (size_t)(slash - at)) : NULL;
        size_t cursor = 0;
        for (struct found *f; (f = map_next(d->by_component, &cursor));) {
            if (f == open)
                continue;
            found_dir_free(TAKE(f->sub));
            if (whole)
                continue;
            map_remove(d->by_component, f->component, f->len);
            found_free(f);
        }
        most = found_dir_size(d) > most ? found_dir_size(d) : most;
        next = open ? open->sub : NULL;
        at = slash ? slash + 1 : "";
    }
    return most;
}

struct found_dir *found_dir_sub(const struct found_dir *d, const char *component, size_t len)
{
    const struct found *f = map_get(d->by_component, component, len);
    return f ? f->sub : NULL;
}

struct found_dir *found_dir_take_sub(struct found_dir *d, const char *component, size_t len)
{
    struct found *f = map_get(d->by_component, component, len);
    return f ? TAKE(f->sub) : NULL;
}
