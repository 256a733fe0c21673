#include "util/clock.h"
#include "vfs/attr.h"
#include "vfs/handle.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/refresh.h"
#include "vfs/resolve.h"
#include "vfs/view.h"

#include <string.h>

#define MODE_BITS 07777
#define BLOCK_SIZE 4096

static mode_t type_bits(enum inode_kind kind)
{
    static const mode_t bits[] = {
        [INODE_NONE] = S_IFREG,    [INODE_FILE] = S_IFREG, [INODE_DIR] = S_IFDIR,
        [INODE_SYMLINK] = S_IFLNK, [INODE_FIFO] = S_IFIFO, [INODE_SOCKET] = S_IFSOCK,
    };
    return bits[kind];
}

static mode_t permissions(const struct vfs *v, const struct inode *i)
{
    const struct store_meta *m = i->meta;
    if (i->kind == INODE_SYMLINK)
        return 0777;
    if (!m && i->kind != INODE_DIR && vfs_has(v, STORE_SECRET))
        return 0600 & ~v->cfg.umask;
    mode_t bits = m && (m->has & STORE_HAS_MODE) ? m->mode & MODE_BITS
                                                  : i->kind == INODE_DIR ? v->cfg.dir_mode : v->cfg.file_mode;
    if (i->fixed)
        bits &= (mode_t)~0222;
    return bits & ~v->cfg.umask;
}

static void fill_times(const struct inode *i, struct stat *st)
{
    const struct store_meta *m = i->meta;
    bool stored = m && !(i->active && i->active->wrote);
    st->st_mtim = stored && (m->has & STORE_HAS_MTIME) ? m->mtime : i->mtime;
    st->st_atim = stored && (m->has & STORE_HAS_ATIME) ? m->atime : st->st_mtim;
    st->st_ctim = stored && (m->has & STORE_HAS_CTIME) ? m->ctime : i->mtime;
}

void attr_fill_locked(struct vfs *v, struct inode *i, struct vfs_attr *out)
{
    lock_assert_held(&v->tree);
    memset(out, 0, sizeof(*out));
    BUF(key, KEY_BUF_MAX);
    inode_key_locked(i, &key);
    const struct store_meta *m = i->meta;
    struct stat *st = &out->st;
    st->st_ino = i->parent ? inode_number(buf_str(&key), key.len) : 1;
    st->st_mode = type_bits(i->kind) | permissions(v, i);
    st->st_nlink = 1; /* also of directories: a count that is not kept must not be 2, programs draw conclusions from it */
    st->st_uid = !v->cfg.force_uid && m && (m->has & STORE_HAS_UID) ? m->uid : v->cfg.uid;
    st->st_gid = !v->cfg.force_gid && m && (m->has & STORE_HAS_GID) ? m->gid : v->cfg.gid;
    st->st_size = i->kind == INODE_DIR ? BLOCK_SIZE : (off_t)i->size;
    st->st_blksize = BLOCK_SIZE;
    st->st_blocks = (st->st_size + 511) / 512;
    fill_times(i, st);
    bool pending = (i->flags & (INODE_NEW | INODE_LOCAL)) || inode_unsent(i) || !i->parent;
    /* What is made of others changes with them, sooner than the kernel could be told. */
    out->valid_ms = (i->flags & INODE_VIRTUAL) ? 0 : ttl_left_ms(v, pending ? clock_mono_ms() : i->checked_ms);
}

enum err_code attr_entry_locked(struct vfs *v, struct inode *i, struct vfs_entry *out, struct err *e)
{
    struct vfs_entry entry = {0};
    enum err_code code = inode_give_locked(v, i, e);
    if (code)
        return code;
    attr_fill_locked(v, i, &entry.attr);
    entry.ino = i->ino;
    entry.valid_ms = entry.attr.valid_ms;
    *out = entry;
    return ERR_OK;
}

struct store_meta *attr_new_meta(struct vfs *v, struct inode *parent, mode_t mode, const struct vfs_caller *c)
{
    struct store_meta *m = store_meta_new();
    if (!m)
        return NULL;
    m->has = STORE_HAS_MODE | STORE_HAS_UID | STORE_HAS_GID | STORE_HAS_MTIME | STORE_HAS_CTIME;
    m->mode = (mode & S_IFMT) ? mode : mode | S_IFREG;
    m->uid = c->uid;
    m->gid = c->gid;
    const struct store_meta *pm = parent->meta;
    if (pm && (pm->has & STORE_HAS_MODE) && (pm->mode & S_ISGID)) {
        m->gid = (pm->has & STORE_HAS_GID) ? pm->gid : v->cfg.gid;
        if (S_ISDIR(m->mode))
            m->mode |= S_ISGID;
    }
    m->mtime = m->ctime = clock_now();
    return m;
}

enum err_code vfs_lookup(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c,
                         struct vfs_entry *out, struct err *e)
{
    struct inode *dir, *i = NULL;
    lock_take(&v->tree);
    enum err_code code = inode_find_dir_locked(v, parent, &dir, e);
    if (!code)
        inode_ref_locked(dir)->dir->lookups++;
    refresh_used_locked(v->refresh);
    lock_drop(&v->tree);
    if (code)
        return code;
    code = resolve(v, dir, name, c, &i, e);
    lock_take(&v->tree);
    if (!code && i) {
        code = attr_entry_locked(v, i, out, e);
    } else if (!code) {
        struct inode *none = inode_child_locked(dir, name);
        uint64_t since = none ? none->checked_ms : dir->dir->listed_ms;
        bool made = view_form_locked(v, dir, name) != STORE_FORM_PLAIN;
        *out = (struct vfs_entry){.valid_ms = made ? 0 : ttl_left_ms(v, since)};
    }
    if (i)
        inode_unref_locked(v, i);
    inode_unref_locked(v, dir);
    lock_drop(&v->tree);
    return code;
}

enum err_code inode_refresh(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    bool needed = (i->flags & INODE_LINKED) && (!inode_fresh_locked(v, i) || look_needed_locked(v, i));
    struct inode *dir = needed ? inode_ref_locked(i->parent) : NULL;
    CLEANUP(free) char *name = needed ? strdup(i->name) : NULL;
    lock_drop(&v->tree);
    if (!needed)
        return ERR_OK;
    struct inode *now = NULL;
    enum err_code code = name ? resolve(v, dir, name, c, &now, e) : err_set(e, ERR_NOMEM, "out of memory");
    lock_take(&v->tree);
    if (!code && now != i)
        code = err_set(e, ERR_CONFLICT, "\"%s\" is another file now", name);
    if (now)
        inode_unref_locked(v, now);
    inode_unref_locked(v, dir);
    lock_drop(&v->tree);
    return code;
}

enum err_code vfs_getattr(struct vfs *v, uint64_t ino, struct vfs_handle *h, const struct vfs_caller *c,
                          struct vfs_attr *out, struct err *e)
{
    struct inode *i;
    enum err_code code = handle_inode(v, ino, h, &i, e);
    if (code)
        return code;
    /* An open file is what it was when it was opened: its attributes need no answer from outside. */
    lock_take(&v->tree);
    bool open = h || (i->active && i->active->opens > 0);
    lock_drop(&v->tree);
    code = open ? ERR_OK : inode_refresh(v, i, c, e);
    lock_take(&v->tree);
    if (!code)
        attr_fill_locked(v, i, out);
    inode_unref_locked(v, i);
    lock_drop(&v->tree);
    return code;
}
