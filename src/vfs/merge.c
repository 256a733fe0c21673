/*
 * What a listing or a stat says becomes names and inodes.
 *
 * What was found never overrides a change made here later than the request began, nor what is not in the store yet. The same
 * version keeps its inode and everything the kernel holds of it; another version gives the name a new inode (and so a new
 * nodeid): what others put there is another line of versions.
 */
#include "util/clock.h"
#include "util/str.h"
#include "vfs/dirs.h"
#include "vfs/found.h"
#include "vfs/inode.h"
#include "vfs/listed.h"
#include "vfs/merge.h"
#include "vfs/names.h"
#include "vfs/ranges.h"
#include "vfs/saved.h"

#include <string.h>

#define NEGATIVE_MAX 10000

static enum inode_kind kind_of(const struct store_object *o)
{
    if (!o->meta || !(o->meta->has & STORE_HAS_MODE))
        return INODE_FILE;
    switch (o->meta->mode & S_IFMT) {
    case S_IFLNK:
        return INODE_SYMLINK;
    case S_IFIFO:
        return INODE_FIFO;
    case S_IFSOCK:
        return INODE_SOCKET;
    default:
        return INODE_FILE;
    }
}

/* True if what this mount knows of the child is newer than the request, or not in the store yet. */
static bool ours(const struct inode *i, const struct merge *m)
{
    bool removal_put_off = i->kind == INODE_NONE && i->etag;
    return i->changed_seq > m->seq || removal_put_off || (i->flags & (INODE_NEW | INODE_LOCAL)) || inode_unsent(i) ||
           (i->active && (i->active->sending || i->active->held));
}

/* The same for a directory that others have emptied or never saw: what is below it here would go with it. Borrowed depth: a
 * key's length. */
static bool holds_ours(const struct inode *i, const struct merge *m)
{
    if (ours(i, m))
        return i->kind != INODE_NONE;
    size_t cursor = 0;
    for (const struct inode *x; i->dir && (x = map_next(i->dir->children, &cursor));)
        if (holds_ours(x, m))
            return true;
    return i->dir && i->dir->marker_due;
}

bool merge_is_outdated(const struct inode *dir, const struct merge *m)
{
    return dir->dir->known_seq > m->seq;
}

static void confirm(struct inode *i, const struct merge *m)
{
    if (i->checked_ms < m->start_ms)
        i->checked_ms = m->start_ms;
    if (i->changed_seq < m->seq)
        i->changed_seq = m->seq;
    i->flags &= (uint16_t)~INODE_STALE;
}

static bool same_version(const struct inode *i, const struct store_object *o)
{
    bool same_size = i->size == o->version.size || (o->sealed && (i->flags & INODE_SEALED));
    return i->etag && strcmp(i->etag, o->version.etag) == 0 && same_size && o->sealed == ((i->flags & INODE_SEALED) != 0);
}

/* The version is the same: attributes may have been changed by others, which shows in Last-Modified. */
static void take_mtime(struct inode *i, const struct store_object *o)
{
    int64_t diff = (int64_t)o->version.mtime.tv_sec - (int64_t)i->mtime.tv_sec;
    bool guess = (i->flags & INODE_OUR_MTIME) && diff >= -2 && diff <= 2;
    if (o->meta)
        inode_set_meta_locked(i, o->meta);
    else if (diff != 0 && !guess)
        inode_set_meta_locked(i, NULL);
    if (diff != 0 || !(i->flags & INODE_OUR_MTIME))
        i->mtime = o->version.mtime;
    i->flags &= (uint16_t)~INODE_OUR_MTIME;
}

static enum err_code take_content(struct vfs *v, struct inode *i, const struct store_object *o, struct err *e)
{
    if (!o->content || i->content)
        return ERR_OK;
    BUF(key, KEY_BUF_MAX);
    inode_key_locked(i, &key);
    struct content *c = content_new(v->contents, buf_str(&key), &o->version, e);
    if (!c)
        return ERR_NOMEM;
    enum err_code code = content_fill(c, o->content, o->version.size, true, e);
    if (code) {
        content_unref(c);
        return code;
    }
    i->content = c;
    return ERR_OK;
}

/* A new inode under a name, in place of what is there. Borrowed. */
static struct inode *replace(struct vfs *v, struct inode *dir, const char *name, const char *component,
                             enum inode_kind kind, uint16_t flags, const struct merge *m, struct err *e)
{
    struct inode *i = inode_new_locked(v, dir, name, component, kind);
    if (!i) {
        err_set(e, ERR_NOMEM, "out of memory for names");
        return NULL;
    }
    struct inode *old = inode_child_locked(dir, name);
    if (old)
        inode_expel_locked(v, old);
    i->flags |= flags;
    i->fixed = dir->fixed;
    i->checked_ms = m->start_ms;
    i->changed_seq = m->seq;
    i->mark = v->mark;
    bool failed = inode_link_locked(v, i, e) != ERR_OK;
    inode_unref_locked(v, i);
    return failed ? NULL : i;
}

enum err_code merge_object_locked(struct vfs *v, struct inode *dir, const char *name, const char *component,
                                  const struct store_object *object, const struct merge *m, struct inode **out,
                                  struct err *e)
{
    lock_assert_held(&v->tree);
    struct inode *i = inode_child_locked(dir, name);
    if (i) {
        i->mark = v->mark;
        if (out)
            *out = i;
        if (ours(i, m))
            return ERR_OK;
        bool same_kind = i->kind != INODE_NONE && i->kind != INODE_DIR && (!object->meta || kind_of(object) == i->kind);
        if (same_kind && strcmp(i->component, component) == 0 && same_version(i, object)) {
            take_mtime(i, object);
            confirm(i, m);
            return take_content(v, i, object, e);
        }
    }
    if (!i && merge_is_outdated(dir, m)) {
        if (out)
            *out = NULL;
        return ERR_OK;
    }
    bool self = vfs_has(v, STORE_SELF_NAMES) && strcmp(component, SELF_NAME) == 0;
    i = replace(v, dir, name, component, kind_of(object), self ? INODE_SELF : 0, m, e);
    if (!i)
        return ERR_NOMEM;
    if (object->sealed)
        i->flags |= INODE_SEALED;
    enum err_code code = inode_set_version_locked(v, i, &object->version, object->meta, e);
    if (!code)
        code = take_content(v, i, object, e);
    if (code)
        inode_expel_locked(v, i);
    else if (out)
        *out = i;
    return code;
}

static enum err_code merge_dir_name(struct vfs *v, struct inode *dir, const char *name, const char *component,
                                    const struct merge *m, struct inode **out, struct err *e)
{
    struct inode *i = inode_child_locked(dir, name);
    dir->dir->has_dirs = true;
    *out = NULL;
    if (i) {
        i->mark = v->mark;
        if (i->kind == INODE_DIR && strcmp(i->component, component) == 0) {
            if (i->changed_seq <= m->seq)
                i->flags &= (uint16_t)~INODE_LOCAL;
            if (m->complete)
                i->flags &= (uint16_t)~INODE_UNLISTED;
            confirm(i, m);
            *out = i;
            return ERR_OK;
        }
        if (ours(i, m))
            return ERR_OK;
    }
    if (!i && merge_is_outdated(dir, m))
        return ERR_OK;
    bool unlisted = holds_containers(v, dir) && !m->complete && dir->dir->listed;
    *out = replace(v, dir, name, component, INODE_DIR, unlisted ? INODE_UNLISTED : 0, m, e);
    return *out ? ERR_OK : ERR_NOMEM;
}

enum err_code merge_absent_locked(struct vfs *v, struct inode *dir, const char *name, const char *component,
                                  const struct merge *m, struct err *e)
{
    lock_assert_held(&v->tree);
    struct inode *i = inode_child_locked(dir, name);
    if (i && (ours(i, m) || holds_ours(i, m)))
        return ERR_OK;
    if (i && i->kind == INODE_NONE) {
        confirm(i, m);
        return ERR_OK;
    }
    if (!i && merge_is_outdated(dir, m))
        return ERR_OK;
    if (dir->dir->negative >= NEGATIVE_MAX) {
        if (i)
            inode_expel_locked(v, i);
        return ERR_OK;
    }
    return replace(v, dir, name, component, INODE_NONE, 0, m, e) ? ERR_OK : ERR_NOMEM;
}

/* The pages have the directory's beginning, hence its marker if there is one. */
static bool begins(const struct merge *m)
{
    return !m->from || strcmp(m->from, m->prefix) < 0;
}

/* What the object "dir/" says of the directory itself. */
static enum err_code merge_marker(struct vfs *v, struct inode *dir, const struct found_dir *f, const struct merge *m,
                                  struct err *e)
{
    const struct store_object *marker = found_dir_marker(f);
    if (ours(dir, m))
        return ERR_OK;
    if (!marker) {
        if (m->complete || (m->pages && begins(m)))
            dir->flags |= INODE_NO_MARKER;
        return ERR_OK;
    }
    dir->flags &= (uint16_t)~INODE_NO_MARKER;
    if (dir->etag && same_version(dir, marker))
        take_mtime(dir, marker);
    else
        inode_set_meta_locked(dir, marker->meta);
    return inode_set_version_locked(v, dir, &marker->version, NULL, e);
}

static bool undecided(const struct vfs *v, const struct found *f, const struct merge *m)
{
    if (m->only && strcmp(m->only, f->component) == 0)
        return false;
    /* What decides its name may stand before the page's beginning. */
    if (!m->complete && !vfs_has(v, STORE_SELF_NAMES) && name_may_be_taken(f->component, f->len))
        return true;
    if (!m->last_key || f->is_dir)
        return false;
    BUF(as_dir, KEY_BUF_MAX);
    buf_add_str(&as_dir, m->prefix);
    buf_add(&as_dir, f->component, f->len);
    buf_add_char(&as_dir, '/');
    return strcmp(buf_str(&as_dir), m->last_key) > 0;
}

static bool has_body(const struct store_object *marker)
{
    return marker && marker->version.size > 0;
}

/* Both an object and a directory of that component were found. The object of the empty one is the marker with a body. */
static bool doubled(void *found, const char *component, size_t len)
{
    const struct found *f = found_dir_get(found, component);
    return f && f->is_dir && (f->has_object || (len == 0 && has_body(found_dir_marker(found))));
}

static enum err_code merge_below(struct vfs *v, struct inode *sub, const struct found *f, const struct merge *m,
                                 struct err *e)
{
    if (!f->sub || !sub)
        return ERR_OK;
    BUF(prefix, KEY_BUF_MAX);
    buf_add_str(&prefix, m->prefix);
    buf_add(&prefix, f->component, f->len);
    buf_add_char(&prefix, '/');
    struct merge below = *m;
    below.prefix = buf_str(&prefix);
    below.only = NULL;
    if (m->pages) /* a page may have begun or ended inside of it */
        below.complete = begins(&below) && !(m->last_key && str_starts(m->last_key, below.prefix));
    if (below.complete)
        below.last_key = NULL;
    const struct found_stamp *told = found_dir_told(f->sub);
    if (told->seq) {
        below.seq = told->seq;
        below.start_ms = told->start_ms;
    }
    uint32_t mark = v->mark;
    enum err_code code = merge_locked(v, sub, f->sub, &below, e);
    v->mark = mark;
    return code;
}

/* A directory that is there for this mount although the store shows nothing below it (yet, or any more). */
static bool kept_dir(const struct inode *dir, const char *name, const struct merge *m)
{
    const struct inode *i = inode_child_locked(dir, name);
    return i && i->kind == INODE_DIR && holds_ours(i, m);
}

static enum err_code merge_found(struct vfs *v, struct inode *dir, const struct found_dir *d, const struct found *f,
                                 const struct merge *m, struct err *e)
{
    if (undecided(v, f, m))
        return ERR_OK;
    BUF(name, 1024);
    bool taken = !vfs_has(v, STORE_SELF_NAMES) && name_is_taken(f->component, f->len, doubled, (void *)d);
    name_of_component(&name, f->component, f->len, taken);
    struct inode *sub = NULL;
    enum err_code code = ERR_OK;
    bool is_dir = f->is_dir || kept_dir(dir, buf_str(&name), m);
    if (f->is_dir) {
        code = merge_dir_name(v, dir, buf_str(&name), f->component, m, &sub, e);
        if (sub && f->made.tv_sec)
            sub->mtime = f->made;
        if (!code)
            code = merge_below(v, sub, f, m, e);
    }
    if (!code && sub && m->complete && !f->has_object && vfs_has(v, STORE_SELF_NAMES))
        code = merge_absent_locked(v, sub, SELF_NAME, SELF_NAME, m, e);
    if (code || !f->has_object)
        return code;
    if (!is_dir)
        return merge_object_locked(v, dir, buf_str(&name), f->component, &f->object, m, NULL, e);
    if (vfs_has(v, STORE_SELF_NAMES))
        return sub ? merge_object_locked(v, sub, SELF_NAME, SELF_NAME, &f->object, m, NULL, e) : ERR_OK;
    buf_clear(&name);
    name_beside_dir(&name, f->component, f->len);
    return merge_object_locked(v, dir, buf_str(&name), f->component, &f->object, m, NULL, e);
}

/* A container that is in use and not in the list: it was deleted, or is another account's. Who uses its name asks for it; so
 * a name that was asked for and is not there says more than the list. True if that is what it is. */
static bool leave_unlisted(struct vfs *v, struct inode *i)
{
    if (i->kind == INODE_NONE)
        return inode_fresh_locked(v, i);
    if (!i->ino)
        return false;
    i->flags |= INODE_UNLISTED | INODE_STALE;
    if (v->cfg.notify.entry && i->parent->ino)
        v->cfg.notify.entry(v->cfg.notify.arg, i->parent->ino, i->name);
    return true;
}

/* Names that were not among all there are. */
static void sweep(struct vfs *v, struct inode *dir, uint32_t mark, const struct merge *m)
{
    size_t cursor = 0;
    for (struct inode *i; (i = map_next(dir->dir->children, &cursor));) {
        if (i->mark == mark || i->listed || (i->flags & (INODE_VIRTUAL | INODE_SELF)) || ours(i, m) || holds_ours(i, m))
            continue;
        if (!holds_containers(v, dir) || !leave_unlisted(v, i))
            inode_expel_locked(v, i);
    }
}

/* Nobody would miss the inode of a file that is what its record says. */
static bool is_idle(const struct inode *i)
{
    const unsigned harmless = INODE_LINKED | INODE_ASKED | INODE_STALE;
    return i->kind == INODE_FILE && i->refs == 1 && !i->ino && !i->meta && !i->content && !i->active &&
           !(i->flags & ~harmless);
}

static enum merge_verdict merge_file_record(struct vfs *v, struct inode *i, const struct store_version *version,
                                            const struct merge *m)
{
    if (i->kind == INODE_DIR && holds_ours(i, m))
        return MERGE_BESIDE;
    if (ours(i, m))
        return MERGE_KEPT;
    struct store_object object = {.version = *version};
    bool same_kind = i->kind != INODE_NONE && i->kind != INODE_DIR;
    if (!same_kind || strcmp(i->component, i->name) != 0 || !same_version(i, &object)) {
        inode_expel_locked(v, i);
        return MERGE_GONE;
    }
    if (is_idle(i)) {
        inode_detach_locked(v, i);
        return MERGE_GONE;
    }
    take_mtime(i, &object);
    confirm(i, m);
    return MERGE_KEPT;
}

enum merge_verdict merge_record_locked(struct vfs *v, struct inode *i, const struct store_version *version,
                                       const struct merge *m)
{
    lock_assert_held(&v->tree);
    if (version)
        return merge_file_record(v, i, version, m);
    if (i->kind == INODE_DIR && strcmp(i->component, i->name) == 0) {
        if (i->changed_seq <= m->seq)
            i->flags &= (uint16_t)~(INODE_LOCAL | INODE_UNLISTED);
        confirm(i, m);
        return MERGE_KEPT;
    }
    if (ours(i, m))
        return MERGE_KEPT;
    inode_expel_locked(v, i);
    return MERGE_GONE;
}

/* A directory with a body in its own marker: the body shows as "%" (or beside a directory of that name). */
static enum err_code merge_marker_body(struct vfs *v, struct inode *dir, const struct found_dir *f, const struct merge *m,
                                       struct err *e)
{
    const struct store_object *marker = found_dir_marker(f);
    if (!has_body(marker))
        return ERR_OK;
    const struct found *empty = found_dir_get(f, "");
    BUF(second, KEY_BUF_MAX);
    buf_add_str(&second, m->prefix);
    buf_add_char(&second, '/');
    bool open = !m->complete && !m->only && m->last_key && strcmp(m->last_key, buf_str(&second)) < 0;
    if (open && !empty) /* a directory of that name may still follow */
        return ERR_OK;
    return merge_object_locked(v, dir, empty && empty->is_dir ? "%%" : "%", "", marker, m, NULL, e);
}

/* All names, told by another listing than the one that made the records: these are of no use any more, unless that one is under
 * way and will tell, or began later: then what this one tells is older than they are, and no inodes are made of it. */
static void prepare_records(struct vfs *v, struct inode *dir, struct merge *m)
{
    const struct catalog *names = dir->dir->names;
    if (!m->complete || m->records || !names)
        return;
    if (catalog_state(names) == CATALOG_GROWS || m->seq < dir->dir->listed_seq)
        m->complete = false;
    else
        listed_drop_locked(v, dir);
}

enum err_code merge_locked(struct vfs *v, struct inode *dir, const struct found_dir *f, const struct merge *what,
                           struct err *e)
{
    lock_assert_held(&v->tree);
    struct merge own = *what, *m = &own;
    prepare_records(v, dir, m);
    /* Merges of sub-directories, run from here, take marks of their own. */
    uint32_t mark = ++v->last_mark;
    v->mark = mark;
    enum err_code code = merge_marker(v, dir, f, m, e);
    if (!code)
        code = merge_marker_body(v, dir, f, m, e);
    size_t cursor = 0;
    for (const struct found *x; !code && (x = found_dir_next(f, &cursor));) {
        struct merge told = *m;
        if (x->told.seq) {
            told.seq = x->told.seq;
            told.start_ms = x->told.start_ms;
        }
        if (m->pages && told.seq < dir->dir->doubt_seq)
            continue;
        code = merge_found(v, dir, f, x, &told, e);
    }
    if (!code && m->walk)
        dir->dir->walk = m->walk;
    if (!code && m->pages && !m->complete)
        range_add_locked(v, dir, m);
    if (code || !m->complete || (m->pages && m->seq < dir->dir->doubt_seq))
        return code;
    sweep(v, dir, mark, m);
    dir_take_latest_locked(v, dir);
    struct dir *d = dir->dir;
    if (dir->changed_seq <= m->seq && map_size(d->children) > d->negative)
        dir->flags &= (uint16_t)~INODE_LOCAL; /* not only here, then */
    if (m->seq >= d->listed_seq) {
        d->listed = true;
        d->listed_ms = m->start_ms;
        d->listed_seq = m->seq;
        d->listed_walk = m->walk;
        d->known_seq = d->known_seq > m->seq ? d->known_seq : m->seq;
        d->sample_due |= m->pages;
        saved_keep_locked(v, dir, f, m);
    }
    confirm(dir, m);
    return ERR_OK;
}
