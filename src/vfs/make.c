/* New names: files, directories, symbolic links, FIFOs and sockets. */
#include "util/clock.h"
#include "vfs/attr.h"
#include "vfs/handle.h"
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/process.h"
#include "vfs/ranges.h"
#include "vfs/remember.h"
#include "vfs/resolve.h"
#include "vfs/send.h"
#include "vfs/stage_use.h"
#include "vfs/unfinished.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SYMLINK_MAX 4095
/* Another thread may make the name between the look and the making. */
#define CREATE_TRIES 3

/* Where something new comes to stand. */
struct place {
    struct inode *dir;   /* counted */
    char component[4 * 256];
    char *key;           /* of a file */
    bool local;
    struct hold hold;    /* the directory is not moved meanwhile */
};

static void place_release(struct vfs *v, struct place *p)
{
    if (p->hold.into)
        hold_drop(v, &p->hold);
    inode_unref(v, p->dir);
    free(p->key);
}

static enum err_code place_component_locked(struct vfs *v, struct place *p, const char *name, bool is_dir, struct err *e)
{
    BUF(component, sizeof(p->component) - 1);
    enum err_code code = resolve_new_component_locked(v, p->dir, name, &component, e);
    if (code)
        return code;
    memcpy(p->component, buf_str(&component), component.len + 1);
    if (component.len == 0 && !is_dir)
        return err_set(e, ERR_INVAL, "\"%s\" is the body of the directory's own marker: it cannot be made", name);
    BUF(key, KEY_BUF_MAX);
    inode_key_locked(p->dir, &key);
    buf_add_str(&key, p->component);
    if (is_dir)
        buf_add_char(&key, '/');
    p->key = key.failed ? NULL : strdup(buf_str(&key));
    return p->key ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

/* Finds the directory and makes sure that the name is free: ERR_EXISTS, with `existing` (counted) if that is wanted. */
static enum err_code place_find(struct vfs *v, uint64_t parent, const char *name, bool is_dir, const struct vfs_caller *c,
                                struct place *p, struct inode **existing, struct err *e)
{
    if (v->cfg.read_only || vfs_has(v, STORE_READ_ONLY))
        return err_set(e, ERR_READ_ONLY, "mounted read-only");
    lock_take(&v->tree);
    enum err_code code = inode_find_dir_locked(v, parent, &p->dir, e);
    if (code)
        p->dir = NULL;
    else
        inode_ref_locked(p->dir);
    lock_drop(&v->tree);
    if (code)
        return code;
    struct hold into = {.into = p->dir};
    p->hold = into;
    code = hold_take(v, &p->hold, NULL, c, e);
    if (code) {
        p->hold.into = NULL;
        return code;
    }
    lock_take(&v->tree);
    bool removed = inode_removed_locked(p->dir), fixed = p->dir->fixed;
    lock_drop(&v->tree);
    if (fixed)
        return err_set(e, ERR_READ_ONLY, "nothing can be made there");
    if (removed)
        return err_set(e, ERR_NOT_FOUND, "the directory was removed");
    p->local = !is_dir && store_stays_local(v->store, name);
    struct inode *i = NULL;
    code = resolve(v, p->dir, name, c, &i, e);
    if (!code && i) {
        if (existing)
            *existing = TAKE(i);
        inode_unref(v, i);
        return err_set(e, ERR_EXISTS, "\"%s\" exists", name);
    }
    if (code)
        return code;
    lock_take(&v->tree);
    code = place_component_locked(v, p, name, is_dir, e);
    lock_drop(&v->tree);
    if (!code && !p->local)
        code = store_check(v->store, p->key, is_dir, NULL, e);
    return code;
}

/* The inode of something new, linked. Borrowed. */
static struct inode *link_new_locked(struct vfs *v, const struct place *p, const char *name, enum inode_kind kind,
                                     uint16_t flags, struct store_meta *meta, struct err *e)
{
    struct inode *i = inode_new_locked(v, p->dir, name, p->component, kind);
    if (!i) {
        err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    i->flags |= flags;
    inode_set_meta_locked(i, meta);
    i->mtime = clock_now();
    inode_changed_locked(v, i);
    bool failed = inode_link_locked(v, i, e) != ERR_OK;
    inode_unref_locked(v, i);
    return failed ? NULL : i;
}

/* It is empty: nothing has to be asked to know that. */
static void listed_empty_locked(struct inode *i)
{
    i->dir->listed = true;
    i->dir->listed_ms = i->checked_ms;
    i->dir->listed_seq = i->dir->known_seq = i->changed_seq;
}

/* ---- Objects that are put at once */

struct bytes {
    const char *p;
    size_t len;
};

static ssize_t bytes_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const struct bytes *b = arg;
    if (offset >= b->len)
        return 0;
    size_t n = b->len - offset < len ? b->len - (size_t)offset : len;
    memcpy(buf, b->p + offset, n);
    return (ssize_t)n;
}

/* The inode of what was put, linked. Borrowed. A lookup may have made it meanwhile: that one stays, with what is unsent below it. */
static struct inode *link_put_locked(struct vfs *v, const struct place *p, const char *name, enum inode_kind kind,
                                     struct store_meta *meta, struct err *e)
{
    struct inode *i = inode_child_locked(p->dir, name);
    if (i && i->kind == kind && strcmp(i->component, p->component) == 0) {
        i->flags &= (uint16_t)~(INODE_LOCAL | INODE_NO_MARKER | INODE_UNLISTED);
        i->flags |= INODE_OUR_MTIME;
        if (!inode_unsent(i))
            inode_set_meta_locked(i, meta);
        inode_changed_locked(v, i);
        return i;
    }
    i = link_new_locked(v, p, name, kind, INODE_OUR_MTIME, meta, e);
    if (i && kind == INODE_DIR) {
        listed_empty_locked(i);
        i->dir->posix = POSIX_YES; /* what this mount puts into it carries attributes */
    }
    return i;
}

/* Puts a small new object and makes its name; a name that appeared meanwhile is ERR_EXISTS. */
static enum err_code put_new(struct vfs *v, const struct place *p, const char *name, enum inode_kind kind,
                             struct store_meta *meta, struct bytes bytes, const struct vfs_caller *c,
                             struct vfs_entry *out, struct err *e)
{
    struct store_body body = {.size = bytes.len, .read = bytes_read, .arg = &bytes};
    struct store_cond absent = {.kind = STORE_IF_ABSENT};
    struct store_call call = call_of(c);
    struct store_version version;
    enum err_code code = unfinished_claim(v, p->key, false, c, e);
    if (!code)
        code = store_put(v->store, p->key, &body, meta, &absent, &call, &version, e);
    if (code == ERR_CONFLICT) {
        LOCK_SCOPE(&v->tree);
        dir_unlist_locked(v, p->dir);
        struct inode *known = inode_child_locked(p->dir, name);
        if (known)
            known->flags |= INODE_STALE;
        return err_set(e, ERR_EXISTS, "\"%s\" exists", name);
    }
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    struct inode *i = link_put_locked(v, p, name, kind, meta, e);
    if (!i)
        return ERR_NOMEM;
    if (!is_container_locked(v, i))
        code = inode_set_version_locked(v, i, &version, NULL, e);
    if (!code)
        remember_made_locked(v, i, &version);
    return code ? code : attr_entry_locked(v, i, out, e);
}

/* A store without markers: the directory is there while this mount is, or until something is in it. */
static enum err_code mkdir_local(struct vfs *v, const struct place *p, const char *name, struct vfs_entry *out,
                                 struct err *e)
{
    LOCK_SCOPE(&v->tree);
    const struct inode *known = inode_child_locked(p->dir, name);
    if (known && known->kind != INODE_NONE)
        return err_set(e, ERR_EXISTS, "\"%s\" was made in this moment", name);
    struct inode *i = link_new_locked(v, p, name, INODE_DIR, INODE_LOCAL, NULL, e);
    if (!i)
        return ERR_NOMEM;
    listed_empty_locked(i);
    return attr_entry_locked(v, i, out, e);
}

enum err_code vfs_mkdir(struct vfs *v, uint64_t parent, const char *name, mode_t mode, const struct vfs_caller *c,
                        struct vfs_entry *out, struct err *e)
{
    struct place p = {0};
    enum err_code code = place_find(v, parent, name, true, c, &p, NULL, e);
    if (!code && !vfs_has(v, STORE_MARKERS)) {
        code = mkdir_local(v, &p, name, out, e);
    } else if (!code && c->nowait) {
        code = ERR_AGAIN;
    } else if (!code) {
        bool plain = holds_containers(v, p.dir);
        CLEANUP(store_meta_unref) struct store_meta *meta =
            plain ? NULL : attr_new_meta(v, p.dir, S_IFDIR | (mode & 07777), c);
        code = meta || plain ? put_new(v, &p, name, INODE_DIR, meta, (struct bytes){"", 0}, c, out, e)
                             : err_set(e, ERR_NOMEM, "out of memory");
    }
    place_release(v, &p);
    return code;
}

static enum err_code special(struct vfs *v, uint64_t parent, const char *name, mode_t mode, struct bytes bytes,
                             enum inode_kind kind, const struct vfs_caller *c, struct vfs_entry *out, struct err *e)
{
    if (!vfs_has(v, STORE_POSIX))
        return err_set(e, ERR_PERM, "this store holds plain files only");
    struct place p = {0};
    enum err_code code = place_find(v, parent, name, false, c, &p, NULL, e);
    if (!code && c->nowait)
        code = ERR_AGAIN;
    if (!code) {
        CLEANUP(store_meta_unref) struct store_meta *meta = attr_new_meta(v, p.dir, mode, c);
        code = meta ? put_new(v, &p, name, kind, meta, bytes, c, out, e) : err_set(e, ERR_NOMEM, "out of memory");
    }
    place_release(v, &p);
    return code;
}

enum err_code vfs_symlink(struct vfs *v, uint64_t parent, const char *name, const char *target, const struct vfs_caller *c,
                          struct vfs_entry *out, struct err *e)
{
    if (strlen(target) > SYMLINK_MAX)
        return err_set(e, ERR_NAME_TOO_LONG, "a symbolic link of more than %d bytes", SYMLINK_MAX);
    struct bytes bytes = {target, strlen(target)};
    return special(v, parent, name, S_IFLNK | 0777, bytes, INODE_SYMLINK, c, out, e);
}

static enum err_code create_file(struct vfs *v, struct place *p, const char *name, mode_t mode, int flags,
                                 const struct vfs_caller *c, struct vfs_entry *entry, struct vfs_handle **out,
                                 struct err *e)
{
    CLEANUP(store_meta_unref) struct store_meta *meta = NULL;
    if (vfs_has(v, STORE_POSIX) && !(meta = attr_new_meta(v, p->dir, S_IFREG | (mode & 07777), c)))
        return err_set(e, ERR_NOMEM, "out of memory");
    pid_t opener = process_of(c->pid);
    LOCK_SCOPE(&v->tree);
    /* A removal that was put off (rename_to_local): what is put now overwrites that object, and keeps what belongs to it. */
    struct inode *put_off = inode_child_locked(p->dir, name);
    if (put_off && put_off->kind != INODE_NONE)
        return err_set(e, ERR_EXISTS, "\"%s\" was made in this moment", name);
    CLEANUP(free) char *etag = put_off && put_off->kind == INODE_NONE && put_off->etag ? strdup(put_off->etag) : NULL;
    if (etag)
        meta = store_meta_ref(put_off->meta);
    uint16_t flags_new = p->local ? INODE_LOCAL | INODE_NEW : etag ? 0 : INODE_NEW;
    struct inode *i = link_new_locked(v, p, name, INODE_FILE, flags_new, meta, e);
    if (!i)
        return ERR_NOMEM;
    i->etag = TAKE(etag);
    struct vfs_handle *h = handle_new_locked(v, i, flags, OPEN_COPIED, NULL, e);
    if (!h) {
        inode_detach_locked(v, i);
        return ERR_NOMEM;
    }
    h->opener = opener;
    i->active->gen = 1;
    i->active->hollow = true;
    send_dirty_locked(v, i);
    enum err_code code = attr_entry_locked(v, i, entry, e);
    *out = h;
    return code;
}

/* What is there is opened instead. */
static enum err_code open_existing(struct vfs *v, struct inode *i, int flags, const struct vfs_caller *c,
                                   struct vfs_entry *entry, struct vfs_handle **out, struct err *e)
{
    lock_take(&v->tree);
    enum err_code code = attr_entry_locked(v, i, entry, e);
    uint64_t ino = i->ino;
    lock_drop(&v->tree);
    if (!code && (code = vfs_open(v, ino, flags, c, out, e)))
        vfs_forget(v, ino, 1);
    return code;
}

/* The file is there: it gets its stage, and with excl=open its empty object; on failure it is gone again. */
static enum err_code begin_file(struct vfs *v, const char *name, bool put_now, const struct vfs_caller *c,
                                struct vfs_entry *entry, struct vfs_handle **out, struct err *e)
{
    enum err_code code = stage_open(v, (*out)->inode, false, e);
    if (!code && put_now && (code = send_wait(v, (*out)->inode, true, c, e)) == ERR_CONFLICT)
        code = err_set(e, ERR_EXISTS, "\"%s\" exists", name);
    if (!code)
        return ERR_OK;
    lock_take(&v->tree);
    inode_detach_locked(v, (*out)->inode);
    lock_drop(&v->tree);
    vfs_release(v, TAKE(*out));
    vfs_forget(v, entry->ino, 1);
    return code;
}

enum err_code vfs_create(struct vfs *v, uint64_t parent, const char *name, mode_t mode, int flags,
                         const struct vfs_caller *c, struct vfs_entry *entry, struct vfs_handle **out, struct err *e)
{
    bool put_now = (flags & O_EXCL) && v->cfg.excl_open;
    if (put_now && c->nowait)
        return ERR_AGAIN;
    enum err_code code = ERR_EXISTS;
    for (int tries = 0; code == ERR_EXISTS && tries < CREATE_TRIES; tries++) {
        struct place p = {0};
        struct inode *existing = NULL;
        code = place_find(v, parent, name, false, c, &p, &existing, e);
        bool there = code == ERR_EXISTS && existing;
        if (there && !(flags & O_EXCL))
            code = open_existing(v, existing, flags, c, entry, out, e);
        else if (!code && !(code = create_file(v, &p, name, mode, flags, c, entry, out, e)))
            code = begin_file(v, name, put_now, c, entry, out, e);
        inode_unref(v, existing);
        place_release(v, &p);
        if (flags & O_EXCL)
            break;
    }
    return code;
}

enum err_code vfs_mknod(struct vfs *v, uint64_t parent, const char *name, mode_t mode, const struct vfs_caller *c,
                        struct vfs_entry *out, struct err *e)
{
    struct bytes nothing = {"", 0};
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return special(v, parent, name, mode, nothing, INODE_FIFO, c, out, e);
    case S_IFSOCK:
        return special(v, parent, name, mode, nothing, INODE_SOCKET, c, out, e);
    case S_IFREG:
    case 0:
        break;
    default:
        return err_set(e, ERR_PERM, "device files are not kept");
    }
    struct vfs_handle *h = NULL;
    enum err_code code = vfs_create(v, parent, name, mode, O_WRONLY | O_EXCL, c, out, &h, e);
    if (!code)
        vfs_release(v, h);
    return code;
}
