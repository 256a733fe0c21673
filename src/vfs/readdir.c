/*
 * Reading directories: opendir takes a snapshot of the names, offsets are positions in it, rewinddir renews it. The snapshot is
 * the directory's catalog, shared, and the names that are inodes only, each before the one of the catalog that it precedes. While
 * the catalog grows, its first names can be read; those that are inodes only then follow when all names are known.
 */
#include "util/clock.h"
#include "vfs/attr.h"
#include "vfs/inode.h"
#include "vfs/list.h"
#include "vfs/listed.h"
#include "vfs/look.h"
#include "vfs/refresh.h"
#include "vfs/walk.h"

#include <string.h>

#define LOOK_BATCH 256
#define LOCK_BATCH 256 /* entries given with the lock held */
#define PLUS_ALL   10000 /* names of a directory that get their attributes whoever reads them */
#define PLUS_MOST  1024
#define FIRST      2   /* the position of the first name, behind "." and ".." */

/* A name as it was, and what it stood for. */
struct snap_name {
    char *name;
    struct inode *inode;    /* counted */
    uint64_t at;            /* its position */
};

/* Calls on one handle are made one by one by the kernel: no lock of its own. */
struct vfs_dir_handle {
    struct inode *dir;      /* counted */
    struct list_view view;
    struct snap_name *names; /* that are not in the view's catalog */
    size_t n;
    bool named;             /* `names` is set */
    bool read;              /* something was given out: position 0 means a rewind */
    uint64_t looked;        /* attributes are known up to this position */
    uint32_t lookups;       /* of the directory, when attributes were last left out */
    unsigned plus_left, plus_next; /* calls that are given attributes; how many that are the next time */
    LIST_ENTRY(vfs_dir_handle) link;
};

static int by_name(const void *a, const void *b)
{
    const char *x = ((const struct snap_name *)a)->name, *y = ((const struct snap_name *)b)->name;
    return place_compare(x, strlen(x), y, strlen(y));
}

static void drop_names_locked(struct vfs *v, struct vfs_dir_handle *d)
{
    for (size_t k = 0; k < d->n; k++) {
        inode_unref_locked(v, d->names[k].inode);
        free(d->names[k].name);
    }
    free(d->names);
    d->names = NULL;
    d->n = 0;
    d->named = false;
    d->looked = 0;
    list_close_locked(&d->view);
}

/* Whether the snapshot has the name already. */
static bool in_catalog(const struct vfs_dir_handle *d, const struct inode *i)
{
    struct catalog_at at;
    if (!d->view.names)
        return false;
    if (d->view.names == d->dir->dir->names)
        return i->listed;
    return catalog_find(d->view.names, i->name, &at);
}

/* `amid`: they go where they belong among the catalog's names, none of which was given out; else behind them. */
static void place_names(struct vfs_dir_handle *d, bool amid)
{
    const struct catalog *c = d->view.names;
    qsort(d->names, d->n, sizeof(*d->names), by_name);
    for (size_t k = 0; k < d->n; k++)
        d->names[k].at = k + (!c ? 0 : amid ? catalog_before(c, d->names[k].name) : catalog_names(c));
    d->named = true;
}

static enum err_code take_names_locked(struct vfs_dir_handle *d, bool amid, struct err *e)
{
    struct map *children = d->dir->dir->children;
    size_t cursor = 0, n = 0;
    for (struct inode *i; (i = map_next(children, &cursor));)
        n += !in_catalog(d, i);
    d->names = calloc(n + 1, sizeof(*d->names));
    cursor = 0;
    for (struct inode *i; d->names && (i = map_next(children, &cursor));) {
        if (i->kind == INODE_NONE || (i->flags & (INODE_VIRTUAL | INODE_UNLISTED)) || in_catalog(d, i))
            continue;
        char *name = strdup(i->name);
        if (!name)
            return err_set(e, ERR_NOMEM, "out of memory for a directory of %zu names", n);
        d->names[d->n++] = (struct snap_name){.name = name, .inode = inode_ref_locked(i)};
    }
    if (!d->names)
        return err_set(e, ERR_NOMEM, "out of memory for a directory of %zu names", n);
    place_names(d, amid);
    return ERR_OK;
}

static enum err_code snapshot(struct vfs *v, struct vfs_dir_handle *d, const struct vfs_caller *c, struct err *e)
{
    struct list_view view;
    enum err_code code = walk_open(v, d->dir, c, &view, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    drop_names_locked(v, d);
    d->view = view;
    return view.listing ? ERR_OK : take_names_locked(d, true, e);
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
    refresh_used_locked(v->refresh);
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

/* ---- What stands at a position */

/* An entry: an inode; or a name of which only a record tells, in the directory's catalog or, that being listed anew, in the
 * snapshot's. */
struct entry {
    char name[CHUNK_NAME_MAX + 1];
    const char *shown;       /* the name */
    struct inode *inode;     /* borrowed; NULL: a record */
    bool is_dir;             /* of a record */
    bool current;            /* the record is the directory's: an inode can be made of it */
};

/* Behind the last position that is there. */
static uint64_t end_of(const struct vfs_dir_handle *d)
{
    return (d->view.names ? catalog_ready(d->view.names) : 0) + d->n;
}

/* How many of the names that are inodes only stand before the position. */
static size_t names_before(const struct vfs_dir_handle *d, uint64_t at)
{
    size_t low = 0, high = d->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (d->names[mid].at < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* What stands under the name of a record now; false: nothing. */
static bool record_now_locked(const struct vfs_dir_handle *d, const struct catalog_at *at, struct entry *out)
{
    const struct dir *dir = d->dir->dir;
    if (inode_removed_locked(d->dir))
        return false;
    size_t len = chunk_name(at->chunk, at->k, out->name);
    bool taken = chunk_is_taken(at->chunk, at->k);
    out->shown = out->name;
    out->inode = map_get(dir->children, out->name, len);
    out->is_dir = chunk_is_dir(at->chunk, at->k);
    if (out->inode)
        return out->inode->kind != INODE_NONE;
    struct catalog_at now;
    if (dir->names == d->view.names) {
        out->current = true;
        return !taken;
    }
    if (!dir->names || !catalog_find(dir->names, out->name, &now))
        return !taken && !(dir->names && catalog_state(dir->names) == CATALOG_WHOLE);
    out->is_dir = chunk_is_dir(now.chunk, now.k);
    out->current = true;
    return !chunk_is_taken(now.chunk, now.k);
}

/* What replaced a name of the snapshot that was an inode, if that is linked no more. */
static bool inode_now_locked(const struct vfs_dir_handle *d, const struct snap_name *s, struct entry *out)
{
    struct inode *i = s->inode;
    if (!(i->flags & INODE_LINKED) || i->parent != d->dir || strcmp(i->name, s->name) != 0)
        i = inode_child_locked(d->dir, s->name);
    *out = (struct entry){.shown = s->name, .inode = i};
    return i && i->kind != INODE_NONE;
}

/* False: nothing any more. The position is one that is there. */
static bool entry_locked(const struct vfs_dir_handle *d, uint64_t at, struct entry *out)
{
    size_t before = names_before(d, at);
    struct catalog_at record;
    if (before < d->n && d->names[before].at == at)
        return inode_now_locked(d, &d->names[before], out);
    out->current = false;
    return catalog_seek(d->view.names, at - before, &record) && record_now_locked(d, &record, out);
}

static enum err_code make_inode_locked(const struct vfs_dir_handle *d, struct entry *x, struct err *e)
{
    if (!x->inode && x->current && !(x->inode = inode_child_locked(d->dir, x->shown)))
        return err_set(e, ERR_NOMEM, "out of memory for a directory's entries");
    return ERR_OK;
}

enum there { THERE, AT_END, TO_COME };

static enum err_code there_locked(struct vfs_dir_handle *d, uint64_t at, enum there *out, struct err *e)
{
    *out = THERE;
    if (at < end_of(d))
        return ERR_OK;
    if (d->view.listing && !listing_ended_locked(d->view.listing)) {
        *out = TO_COME;
        return ERR_OK;
    }
    enum err_code code = d->view.listing ? listing_result_locked(d->view.listing, e) : ERR_OK;
    if (!code && !d->named)
        code = take_names_locked(d, false, e);
    if (!code && at >= end_of(d))
        *out = AT_END;
    return code;
}

/* ---- Giving entries */

/* Attributes of the next entries, where they are wanted and not known: in parallel, a batch at a time. */
static enum err_code look_ahead(struct vfs *v, struct vfs_dir_handle *d, uint64_t at, const struct vfs_caller *c,
                                struct err *e)
{
    struct inode *wanted[LOOK_BATCH];
    size_t n = 0;
    uint64_t end = at;
    enum err_code code = ERR_OK;
    lock_take(&v->tree);
    uint64_t last = end_of(d);
    if (at < d->looked || !look_wanted_locked(v, d->dir))
        last = at;
    for (; end < last && n < LOOK_BATCH && !code; end++) {
        struct entry x;
        if (!entry_locked(d, end, &x))
            continue;
        code = make_inode_locked(d, &x, e);
        if (x.inode && look_needed_locked(v, x.inode))
            wanted[n++] = inode_ref_locked(x.inode);
    }
    lock_drop(&v->tree);
    if (!code)
        code = n > 0 && c && c->nowait ? ERR_AGAIN : look_many(v, wanted, n, c, e);
    lock_take(&v->tree);
    for (size_t k = 0; k < n; k++)
        inode_unref_locked(v, wanted[k]);
    lock_drop(&v->tree);
    if (!code && end > at)
        d->looked = end;
    return code;
}

typedef bool emit_fn(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next);

/* What one call gives. */
struct giving {
    struct vfs *v;
    struct vfs_dir_handle *d;
    bool plus;
    emit_fn *emit;
    void *arg;
    uint64_t at, numbers;   /* the next position; what st_ino of a record goes on from (inode_number_begin()) */
    bool more;              /* there was room for the last one */
};

static void give_dot_locked(struct giving *g)
{
    struct vfs_entry entry = {0};
    struct inode *dir = g->d->dir, *i = g->at == 0 || !dir->parent ? dir : dir->parent;
    attr_fill_locked(g->v, i, &entry.attr);
    g->more = g->emit(g->arg, g->at == 0 ? "." : "..", &entry, g->at + 1);
}

/* Only the number and the type, as the inode would have them. */
static void fill_record(const struct giving *g, const struct entry *x, struct vfs_entry *out)
{
    char key[CHUNK_NAME_MAX + 2];
    size_t len = strlen(x->name);
    memcpy(key, x->name, len);
    key[len] = '/';
    out->attr.st.st_ino = inode_number_end(g->numbers, key, len + x->is_dir);
    out->attr.st.st_mode = x->is_dir ? S_IFDIR : S_IFREG;
}

static enum err_code give_name_locked(struct giving *g, struct err *e)
{
    struct vfs_entry entry = {0};
    struct entry x;
    if (!entry_locked(g->d, g->at - FIRST, &x))
        return ERR_OK;
    enum err_code code = g->plus ? make_inode_locked(g->d, &x, e) : ERR_OK;
    if (!code && x.inode && g->plus)
        code = attr_entry_locked(g->v, x.inode, &entry, e);
    else if (!code && x.inode)
        attr_fill_locked(g->v, x.inode, &entry.attr);
    else if (!code)
        fill_record(g, &x, &entry);
    if (code)
        return code;
    g->more = g->emit(g->arg, x.shown, &entry, g->at + 1);
    if (!g->more && entry.ino)
        inode_forget_locked(g->v, entry.ino, 1);
    return ERR_OK;
}

/* A batch, as far as names are there. */
static enum err_code give(struct giving *g, enum there *there, struct err *e)
{
    BUF(key, KEY_BUF_MAX);
    enum err_code code = ERR_OK;
    LOCK_SCOPE(&g->v->tree);
    inode_key_locked(g->d->dir, &key);
    g->numbers = inode_number_begin(buf_str(&key), key.len);
    *there = THERE;
    for (unsigned k = 0; k < LOCK_BATCH && g->more && !code; k++) {
        if (g->at < FIRST) {
            give_dot_locked(g);
        } else {
            code = there_locked(g->d, g->at - FIRST, there, e);
            if (code || *there != THERE)
                return code;
            if (g->plus && g->at - FIRST >= g->d->looked && look_wanted_locked(g->v, g->d->dir))
                return ERR_OK;
            code = give_name_locked(g, e);
        }
        g->at += g->more && !code;
    }
    return code;
}

static enum err_code wait_for_more(struct giving *g, const struct vfs_caller *c, struct err *e)
{
    if (c && c->nowait)
        return ERR_AGAIN;
    LOCK_SCOPE(&g->v->tree);
    enum there there;
    enum err_code code = there_locked(g->d, g->at - FIRST, &there, e);
    while (!code && there == TO_COME) {
        code = wait_changed_locked(g->v, c, e);
        if (!code)
            code = there_locked(g->d, g->at - FIRST, &there, e);
    }
    return code;
}

/* Beyond the first names, each of which gets an inode, attributes are for those who ask for them: a call goes without, and if its
 * names are then looked up one by one, the next ones get theirs, twice as many each time. */
static bool attributes_pay(struct vfs *v, struct vfs_dir_handle *d, uint64_t offset)
{
    if (offset < PLUS_ALL)
        return true;
    LOCK_SCOPE(&v->tree);
    if (d->plus_left > 0) {
        d->plus_left--;
        return true;
    }
    bool asked = d->plus_next > 0 && d->dir->dir->lookups != d->lookups;
    d->lookups = d->dir->dir->lookups;
    if (!asked) {
        d->plus_next = 1;
        return false;
    }
    d->plus_next = d->plus_next < PLUS_MOST ? 2 * d->plus_next : PLUS_MOST;
    d->plus_left = d->plus_next - 1;
    return true;
}

enum err_code vfs_readdir(struct vfs *v, struct vfs_dir_handle *d, uint64_t offset, bool plus, const struct vfs_caller *c,
                          bool (*emit)(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next), void *arg,
                          struct err *e)
{
    struct giving g = {.v = v, .d = d, .emit = emit, .arg = arg, .at = offset, .more = true};
    enum there there = THERE;
    enum err_code code = offset == 0 && d->read ? snapshot(v, d, c, e) : ERR_OK;
    g.plus = plus = plus && attributes_pay(v, d, offset);
    while (!code && g.more && there != AT_END) {
        code = give(&g, &there, e);
        if (code || !g.more || there == AT_END)
            break;
        /* With some entries given, those are the answer; what needs waiting comes with the next call. */
        bool given = g.at > (offset > FIRST ? offset : FIRST);
        if (there == TO_COME)
            code = given ? ERR_AGAIN : wait_for_more(&g, c, e);
        else if (plus && g.at >= FIRST)
            code = look_ahead(v, d, g.at - FIRST, c, e);
        if (code != ERR_AGAIN || !given)
            continue;
        code = ERR_OK;
        break;
    }
    d->read |= !code || g.at > offset;
    return code;
}
