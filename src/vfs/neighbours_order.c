#include "vfs/neighbours_order.h"

#include "vfs/inode.h"
#include "vfs/listed.h"

#include <string.h>

bool order_takes_locked(const struct inode *i)
{
    const unsigned apart = INODE_NEW | INODE_LOCAL | INODE_VIRTUAL | INODE_SELF | INODE_CONFLICT;
    return i->kind == INODE_FILE && (i->flags & INODE_LINKED) && !(i->flags & apart) && i->size > 0 && i->etag;
}

static int by_name(const void *a, const void *b)
{
    const struct order_file *x = a, *y = b;
    return strcmp(x->inode->name, y->inode->name);
}

static void sort_and_cut(struct order *o)
{
    qsort(o->files, o->n, sizeof(*o->files), by_name);
    if (o->n > ORDER_MAX)
        o->n = ORDER_MAX;
}

/* What is kept is sorted whenever twice as much has come together: names beyond it are no longer of interest. */
bool order_build_locked(struct inode *dir, const char *from, struct order *out)
{
    const struct catalog *records = dir->dir->names;
    bool few = map_size(dir->dir->children) + (records ? catalog_left(records) : 0) <= ORDER_MAX;
    listed_take_files_locked(dir, few ? "" : from, ORDER_MAX);
    size_t names = map_size(dir->dir->children), room = names < 2 * ORDER_MAX ? names + 1 : 2 * ORDER_MAX;
    bool all = few && names <= ORDER_MAX;
    struct order o = {.files = malloc(room * sizeof(*o.files))};
    const char *last = NULL;
    if (!o.files)
        return false;
    size_t cursor = 0;
    for (struct inode *i; (i = map_next(dir->dir->children, &cursor));) {
        if (!order_takes_locked(i) || (!all && strcmp(i->name, from) < 0) || (last && strcmp(i->name, last) > 0))
            continue;
        o.files[o.n++] = (struct order_file){.inode = i, .seen = i->flags & INODE_READ};
        if (o.n == room) {
            sort_and_cut(&o);
            last = o.files[o.n - 1].inode->name;
        }
    }
    sort_and_cut(&o);
    for (size_t k = 0; k < o.n; k++)
        inode_ref_locked(o.files[k].inode)->flags &= (uint16_t)~INODE_READ;
    struct order_file *less = o.n < room ? realloc(o.files, (o.n + 1) * sizeof(*less)) : NULL;
    if (less)
        o.files = less;
    *out = o;
    return true;
}

void order_release_locked(struct vfs *v, struct order *o)
{
    for (size_t k = 0; k < o->n; k++)
        inode_unref_locked(v, o->files[k].inode);
    free(o->files);
    *o = (struct order){0};
}

size_t order_find_locked(const struct order *o, const char *name)
{
    size_t low = 0, high = o->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(o->files[mid].inode->name, name);
        if (c == 0)
            return mid;
        if (c < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return o->n;
}

struct inode *order_at_locked(struct vfs *v, struct inode *dir, struct order *o, size_t at)
{
    struct inode *i = o->files[at].inode;
    if (!(i->flags & INODE_LINKED)) {
        struct inode *now = inode_child_locked(dir, i->name);
        if (!now)
            return NULL;
        o->files[at].inode = inode_ref_locked(now);
        inode_unref_locked(v, i);
        i = now;
    }
    return i->parent == dir && order_takes_locked(i) ? i : NULL;
}
