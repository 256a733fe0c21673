#include "vfs/listed.h"

#include "vfs/inode.h"

#include <string.h>

/* Records that are looked at for files, where there are other things. */
#define LOOKED_MAX 65536

static void forget_listed_locked(struct inode *dir)
{
    size_t cursor = 0;
    for (struct inode *i; (i = map_next(dir->dir->children, &cursor));)
        i->listed = false;
}

void listed_drop_locked(struct vfs *v, struct inode *dir)
{
    lock_assert_held(&v->tree);
    struct dir *d = dir->dir;
    if (!d->names)
        return;
    v->n_records -= catalog_left(d->names);
    catalog_unref(TAKE(d->names));
    forget_listed_locked(dir);
}

struct catalog *listed_begin_locked(struct vfs *v, struct inode *dir)
{
    struct catalog *c = catalog_new();
    if (!c)
        return NULL;
    listed_drop_locked(v, dir);
    return dir->dir->names = c;
}

/* ---- Records become inodes */

static struct inode *take_at(struct inode *dir, const struct catalog_at *at)
{
    char name[CHUNK_NAME_MAX + 1];
    struct dir *d = dir->dir;
    struct vfs *v = d->vfs;
    if (inode_removed_locked(dir)) /* nobody would detach what came after its end */
        return NULL;
    chunk_name(at->chunk, at->k, name);
    bool is_dir = chunk_is_dir(at->chunk, at->k);
    struct inode *i = inode_new_locked(v, dir, name, name, is_dir ? INODE_DIR : INODE_FILE);
    if (!i)
        return NULL;
    uint64_t seq = chunk_seq(at->chunk);
    i->checked_ms = chunk_start_ms(at->chunk);
    i->changed_seq = seq > d->known_seq ? seq : d->known_seq;
    struct store_version version = {0};
    if (!is_dir)
        chunk_version(at->chunk, at->k, &version);
    if ((!is_dir && inode_set_version_locked(v, i, &version, NULL, NULL)) || map_put(d->children, i, NULL)) {
        inode_unref_locked(v, i);
        return NULL;
    }
    i->flags |= INODE_LINKED;
    i->listed = true;
    catalog_take(d->names, at);
    v->n_records--;
    return i;
}

static bool find(const struct inode *dir, const char *name, struct catalog_at *at)
{
    return dir->dir->names && catalog_find(dir->dir->names, name, at);
}

struct inode *listed_take_locked(struct inode *dir, const char *name)
{
    struct catalog_at at;
    return find(dir, name, &at) && !chunk_is_taken(at.chunk, at.k) ? take_at(dir, &at) : NULL;
}

bool listed_has_locked(const struct inode *dir, const char *name)
{
    struct catalog_at at;
    return find(dir, name, &at) && !chunk_is_taken(at.chunk, at.k);
}

void listed_linked_locked(struct inode *i)
{
    struct catalog_at at;
    i->listed = find(i->parent, i->name, &at);
    if (!i->listed)
        return;
    if (chunk_is_taken(at.chunk, at.k))
        return;
    catalog_take(i->parent->dir->names, &at);
    i->parent->dir->vfs->n_records--;
}

static void take_kind(struct inode *dir, const char *from, size_t most, bool dirs)
{
    struct catalog *c = dir->dir->names;
    struct catalog_at at;
    if (!c || !catalog_left(c) || !catalog_from(c, from, &at))
        return;
    size_t looked = 0;
    do {
        if (chunk_is_dir(at.chunk, at.k) != dirs)
            continue;
        most--;
        if (!chunk_is_taken(at.chunk, at.k) && !take_at(dir, &at))
            return;
    } while (most > 0 && ++looked < LOOKED_MAX && catalog_next(c, &at));
}

void listed_take_files_locked(struct inode *dir, const char *from, size_t most)
{
    take_kind(dir, from, most, false);
}

void listed_take_dirs_locked(struct inode *dir, size_t most)
{
    take_kind(dir, "", most, true);
}

bool listed_dir_before_locked(const struct inode *dir, const char *name, size_t most)
{
    struct catalog_at at;
    const struct catalog *c = dir->dir->names;
    bool more = c && catalog_seek(c, 0, &at);
    for (; more && most > 0; most--, more = catalog_next(c, &at)) {
        if (chunk_compare(at.chunk, at.k, name, strlen(name)) >= 0)
            return false;
        if (chunk_is_dir(at.chunk, at.k) && !chunk_is_taken(at.chunk, at.k))
            return true;
    }
    return false;
}

/* ---- Pages */

static enum err_code set_apart(const struct chunk *names, size_t k, const char *name, struct found_dir *apart, struct err *e)
{
    struct store_object object = {0};
    chunk_version(names, k, &object.version);
    return found_dir_put(apart, name, &object, false, e);
}

static enum err_code add_name(struct vfs *v, struct inode *dir, struct chunk *names, size_t k, struct found_dir *apart,
                              const struct merge *m, struct err *e)
{
    char name[CHUNK_NAME_MAX + 1];
    size_t len = chunk_name(names, k, name);
    struct inode *i = map_get(dir->dir->children, name, len);
    if (!i) {
        if (merge_is_outdated(dir, m))
            chunk_take(names, k);
        return ERR_OK;
    }
    struct store_version version;
    bool is_dir = chunk_is_dir(names, k);
    if (!is_dir)
        chunk_version(names, k, &version);
    switch (merge_record_locked(v, i, is_dir ? NULL : &version, m)) {
    case MERGE_KEPT:
        i->listed = true;
        chunk_take(names, k);
        return ERR_OK;
    case MERGE_BESIDE:
        chunk_take(names, k);
        return set_apart(names, k, name, apart, e);
    default:
        return ERR_OK;
    }
}

enum err_code listed_add_locked(struct vfs *v, struct inode *dir, struct segment *s, struct chunk *names, struct found_dir *apart,
                                const struct merge *m, struct err *e)
{
    lock_assert_held(&v->tree);
    struct dir *d = dir->dir;
    enum err_code code = ERR_OK;
    for (size_t k = 0; k < chunk_size(names) && !d->has_dirs; k++)
        d->has_dirs = chunk_is_dir(names, k);
    if (map_size(d->children) > 0 || merge_is_outdated(dir, m))
        for (size_t k = 0; k < chunk_size(names) && !code; k++)
            code = add_name(v, dir, names, k, apart, m, e);
    if (code) {
        chunk_free(names);
        return code;
    }
    uint64_t before = catalog_left(d->names);
    code = catalog_add(d->names, s, names, e);
    v->n_records += catalog_left(d->names) - before;
    return code;
}
