/* Reading directories: opendir takes a snapshot of the names, offsets are positions in it, rewinddir renews it. */
#include "util/clock.h"
#include "vfs/attr.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/walk.h"

#include <string.h>

#define LOOK_BATCH 256

/* A name as it was, and what it stood for. */
struct snap_name {
    char *name;
    struct inode *inode;    /* counted */
};

/* Calls on one handle are made one by one by the kernel: no lock of its own. */
struct vfs_dir_handle {
    struct inode *dir;      /* counted */
    struct snap_name *names;
    size_t n;
    bool read;              /* something was given out: position 0 means a rewind */
    size_t looked;          /* attributes are known up to here */
    LIST_ENTRY(vfs_dir_handle) link;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct snap_name *)a)->name, ((const struct snap_name *)b)->name);
}

static void drop_names_locked(struct vfs *v, struct vfs_dir_handle *d)
{
    for (size_t k = 0; k < d->n; k++) {
        inode_unref_locked(v, d->names[k].inode);
        free(d->names[k].name);
    }
    free(d->names);
    d->names = NULL;
    d->n = d->looked = 0;
}

static enum err_code take_names_locked(struct vfs *v, struct vfs_dir_handle *d, struct err *e)
{
    drop_names_locked(v, d);
    struct map *children = d->dir->dir->children;
    d->names = calloc(map_size(children) + 1, sizeof(*d->names));
    size_t cursor = 0;
    for (struct inode *i; d->names && (i = map_next(children, &cursor));) {
        if (i->kind == INODE_NONE || (i->flags & (INODE_VIRTUAL | INODE_UNLISTED)))
            continue;
        char *name = strdup(i->name);
        if (!name)
            return err_set(e, ERR_NOMEM, "out of memory for a directory of %zu names", map_size(children));
        d->names[d->n++] = (struct snap_name){name, inode_ref_locked(i)};
    }
    return d->names ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory for a directory of %zu names", map_size(children));
}

static enum err_code snapshot(struct vfs *v, struct vfs_dir_handle *d, const struct vfs_caller *c, struct err *e)
{
    enum err_code code = walk_open(v, d->dir, c, e);
    if (code)
        return code;
    lock_take(&v->tree);
    code = take_names_locked(v, d, e);
    lock_drop(&v->tree);
    if (!code)
        qsort(d->names, d->n, sizeof(*d->names), by_name);
    return code;
}

enum err_code vfs_opendir(struct vfs *v, uint64_t ino, const struct vfs_caller *c, struct vfs_dir_handle **out,
                          struct err *e)
{
    struct vfs_dir_handle *d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(e, ERR_NOMEM, "out of memory");
    lock_take(&v->tree);
    enum err_code code = inode_find_dir_locked(v, ino, &d->dir, e);
    if (code)
        d->dir = NULL;
    else
        inode_ref_locked(d->dir);
    LIST_INSERT_HEAD(&v->dir_handles, d, link);
    lock_drop(&v->tree);
    if (!code)
        code = snapshot(v, d, c, e);
    if (code)
        vfs_releasedir(v, d);
    else
        *out = d;
    return code;
}

void vfs_releasedir(struct vfs *v, struct vfs_dir_handle *d)
{
    lock_take(&v->tree);
    LIST_REMOVE(d, link);
    drop_names_locked(v, d);
    if (d->dir)
        inode_unref_locked(v, d->dir);
    lock_drop(&v->tree);
    free(d);
}

/* What replaced an entry of the snapshot under its name, if it is linked no more. Borrowed; NULL: nothing. */
static struct inode *current_locked(const struct vfs_dir_handle *d, size_t at)
{
    const struct snap_name *s = &d->names[at];
    struct inode *i = s->inode;
    if (!(i->flags & INODE_LINKED) || i->parent != d->dir || strcmp(i->name, s->name) != 0)
        i = inode_child_locked(d->dir, s->name);
    return i && i->kind != INODE_NONE ? i : NULL;
}

/* Attributes of the next entries, where they are wanted and not known: in parallel, a batch at a time. */
static enum err_code look_ahead(struct vfs *v, struct vfs_dir_handle *d, size_t at, const struct vfs_caller *c,
                                struct err *e)
{
    if (at < d->looked)
        return ERR_OK;
    struct inode *wanted[LOOK_BATCH];
    size_t n = 0, end = at;
    lock_take(&v->tree);
    for (; end < d->n && n < LOOK_BATCH; end++) {
        struct inode *i = current_locked(d, end);
        if (i && look_needed_locked(v, i))
            wanted[n++] = inode_ref_locked(i);
    }
    lock_drop(&v->tree);
    enum err_code code = n > 0 && c && c->nowait ? ERR_AGAIN : look_many(v, wanted, n, c, e);
    lock_take(&v->tree);
    for (size_t k = 0; k < n; k++)
        inode_unref_locked(v, wanted[k]);
    lock_drop(&v->tree);
    if (!code)
        d->looked = end;
    return code;
}

typedef bool emit_fn(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next);

static bool emit_dot(struct vfs *v, struct vfs_dir_handle *d, uint64_t at, emit_fn *emit, void *arg)
{
    struct vfs_entry entry = {0};
    lock_take(&v->tree);
    struct inode *i = at == 0 || !d->dir->parent ? d->dir : d->dir->parent;
    attr_fill_locked(v, i, &entry.attr);
    lock_drop(&v->tree);
    return emit(arg, at == 0 ? "." : "..", &entry, at + 1);
}

/* One entry; `more` false: there was no room for it. */
static enum err_code emit_name(struct vfs *v, struct vfs_dir_handle *d, size_t at, bool plus, emit_fn *emit, void *arg,
                               bool *more, struct err *e)
{
    struct vfs_entry entry = {0};
    lock_take(&v->tree);
    struct inode *i = current_locked(d, at);
    enum err_code code = ERR_OK;
    if (i && plus)
        code = attr_entry_locked(v, i, &entry, e);
    else if (i)
        attr_fill_locked(v, i, &entry.attr);
    lock_drop(&v->tree);
    if (code || !i)
        return code;
    *more = emit(arg, d->names[at].name, &entry, at + 3);
    if (!*more && plus)
        vfs_forget(v, entry.ino, 1);
    return ERR_OK;
}

enum err_code vfs_readdir(struct vfs *v, struct vfs_dir_handle *d, uint64_t offset, bool plus, const struct vfs_caller *c,
                          bool (*emit)(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next), void *arg,
                          struct err *e)
{
    bool more = true;
    enum err_code code = offset == 0 && d->read ? snapshot(v, d, c, e) : ERR_OK;
    for (uint64_t at = offset; !code && more; at++) {
        if (at < 2) {
            more = emit_dot(v, d, at, emit, arg);
            continue;
        }
        if (at - 2 >= d->n)
            break;
        if (plus)
            code = look_ahead(v, d, at - 2, c, e);
        /* With some entries given, those are the answer; what needs waiting comes with the next call. */
        if (code == ERR_AGAIN && at > offset)
            return ERR_OK;
        if (!code)
            code = emit_name(v, d, at - 2, plus, emit, arg, &more, e);
    }
    if (!code && offset == 0)
        d->read = true;
    return code;
}
