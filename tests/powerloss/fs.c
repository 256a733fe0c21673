#include "fs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LONG_S 3600 /* all changes come through the kernel */

struct fs *fs_of(fuse_req_t r)
{
    return fuse_req_userdata(r);
}

struct inode *fs_inode(fuse_req_t r, fuse_ino_t ino)
{
    return ino == FUSE_ROOT_ID ? fs_of(r)->disk->root : (struct inode *)ino;
}

bool fs_is_dark(fuse_req_t r, bool changes)
{
    struct fs *fs = fs_of(r);
    if (!fs->lost && changes && fs->armed && fs->after-- == 0) {
        fs->asker = fuse_req_ctx(r)->pid;
        fs->lose(fs);
    }
    if (fs->lost)
        fuse_reply_err(r, EIO);
    return fs->lost;
}

static void stat_of(const struct inode *i, struct stat *st)
{
    *st = (struct stat){.st_ino = i->number, .st_mode = i->live.mode, .st_nlink = S_ISDIR(i->live.mode) ? 2 : i->links,
                        .st_uid = i->live.uid, .st_gid = i->live.gid, .st_size = (off_t)i->size, .st_blksize = PAGE,
                        .st_blocks = (blkcnt_t)(inode_held(i) * (PAGE / 512)), .st_atim = i->live.atime,
                        .st_mtim = i->live.mtime, .st_ctim = i->live.ctime};
}

static struct fuse_entry_param entry_param(struct inode *i)
{
    struct fuse_entry_param e = {.ino = (fuse_ino_t)i, .entry_timeout = LONG_S};
    stat_of(i, &e.attr);
    i->lookups++;
    inode_ref(i);
    return e;
}

static void reply_entry(fuse_req_t r, struct inode *i)
{
    struct fuse_entry_param e = entry_param(i);
    fuse_reply_entry(r, &e);
}

static struct inode *look(struct inode *dir, const char *name)
{
    const struct entry *e = dir_entry(dir, name, false);
    return e ? e->live : NULL;
}

static void on_init(void *arg, struct fuse_conn_info *c)
{
    c->max_write = FS_REQUEST_MAX;
    c->want &= ~(unsigned)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_READDIRPLUS | FUSE_CAP_SPLICE_READ |
                           FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static void on_lookup(fuse_req_t r, fuse_ino_t parent, const char *name)
{
    if (fs_is_dark(r, false))
        return;
    struct inode *i = look(fs_inode(r, parent), name);
    if (i)
        reply_entry(r, i);
    else
        fuse_reply_err(r, ENOENT);
}

static void forget(struct inode *i, uint64_t n)
{
    for (; n > 0 && i->lookups > 0; n--) {
        bool last = --i->lookups == 0;
        inode_unref(i);
        if (last)
            return;
    }
}

static void on_forget(fuse_req_t r, fuse_ino_t ino, uint64_t n)
{
    if (ino != FUSE_ROOT_ID)
        forget(fs_inode(r, ino), n);
    fuse_reply_none(r);
}

static void on_getattr(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f)
{
    struct stat st;
    if (fs_is_dark(r, false))
        return;
    stat_of(fs_inode(r, ino), &st);
    fuse_reply_attr(r, &st, 0);
}

static struct timespec time_of(int set, int now, int given, struct timespec value, struct timespec old)
{
    struct timespec t = old;
    if (set & now)
        clock_gettime(CLOCK_REALTIME, &t);
    else if (set & given)
        t = value;
    return t;
}

static void on_setattr(fuse_req_t r, fuse_ino_t ino, struct stat *st, int set, struct fuse_file_info *f)
{
    if (fs_is_dark(r, true))
        return;
    struct inode *i = fs_inode(r, ino);
    int failed = set & FUSE_SET_ATTR_SIZE ? inode_resize(i, (uint64_t)st->st_size) : 0;
    if (failed) {
        fuse_reply_err(r, -failed);
        return;
    }
    if (set & FUSE_SET_ATTR_MODE)
        i->live.mode = (i->live.mode & S_IFMT) | (st->st_mode & 07777);
    if (set & FUSE_SET_ATTR_UID)
        i->live.uid = st->st_uid;
    if (set & FUSE_SET_ATTR_GID)
        i->live.gid = st->st_gid;
    i->live.atime = time_of(set, FUSE_SET_ATTR_ATIME_NOW, FUSE_SET_ATTR_ATIME, st->st_atim, i->live.atime);
    i->live.mtime = time_of(set, FUSE_SET_ATTR_MTIME_NOW, FUSE_SET_ATTR_MTIME, st->st_mtim, i->live.mtime);
    clock_gettime(CLOCK_REALTIME, &i->live.ctime);
    disk_drift(fs_of(r)->disk, i);
    on_getattr(r, ino, f);
}

/* ---- Names */

/* A new inode under a name; NULL after a reply. The caller has a reference. */
static struct inode *make(fuse_req_t r, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct disk *d = fs_of(r)->disk;
    struct inode *dir = fs_inode(r, parent);
    if (fs_is_dark(r, true))
        return NULL;
    if (look(dir, name)) {
        fuse_reply_err(r, EEXIST);
        return NULL;
    }
    struct entry *e = dir_entry(dir, name, true);
    struct inode *i = e ? inode_new(d, mode, fuse_req_ctx(r)->uid, fuse_req_ctx(r)->gid) : NULL;
    if (!i || names_change(d, e, i, NULL, NULL, NULL)) {
        fuse_reply_err(r, ENOMEM);
        return NULL;
    }
    disk_drift(d, dir);
    return i;
}

static void on_mknod(fuse_req_t r, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    struct inode *i = make(r, parent, name, mode);
    if (!i)
        return;
    reply_entry(r, i);
    inode_unref(i);
}

static void on_mkdir(fuse_req_t r, fuse_ino_t parent, const char *name, mode_t mode)
{
    on_mknod(r, parent, name, S_IFDIR | mode, 0);
}

static void on_create(fuse_req_t r, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *f)
{
    struct inode *i = make(r, parent, name, S_IFREG | (mode & 07777));
    if (!i)
        return;
    struct fuse_entry_param e = entry_param(i);
    f->keep_cache = 1;
    fuse_reply_create(r, &e, f);
    inode_unref(i);
}

static void on_link(fuse_req_t r, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct inode *i = fs_inode(r, ino), *dir = fs_inode(r, parent);
    if (fs_is_dark(r, true))
        return;
    struct entry *e = look(dir, name) ? NULL : dir_entry(dir, name, true);
    if (!e || names_change(fs_of(r)->disk, e, i, NULL, NULL, NULL))
        fuse_reply_err(r, EEXIST);
    else
        reply_entry(r, i);
}

static void unlink_as(fuse_req_t r, fuse_ino_t parent, const char *name, bool is_dir)
{
    if (fs_is_dark(r, true))
        return;
    struct inode *dir = fs_inode(r, parent), *i = look(dir, name);
    int failed = !i ? ENOENT : is_dir && !S_ISDIR(i->live.mode) ? ENOTDIR : !is_dir && S_ISDIR(i->live.mode) ? EISDIR
               : is_dir && !dir_is_empty(i) ? ENOTEMPTY : 0;
    if (!failed)
        failed = -names_change(fs_of(r)->disk, dir_entry(dir, name, false), NULL, NULL, NULL, is_dir ? i : NULL);
    if (!failed)
        disk_drift(fs_of(r)->disk, dir);
    fuse_reply_err(r, failed);
}

static void on_unlink(fuse_req_t r, fuse_ino_t parent, const char *name)
{
    unlink_as(r, parent, name, false);
}

static void on_rmdir(fuse_req_t r, fuse_ino_t parent, const char *name)
{
    unlink_as(r, parent, name, true);
}

/* Directories stay where they are, so that no combination of renames makes a circle. */
static int may_rename(const struct inode *from, const struct inode *to, bool same_dir, unsigned flags)
{
    if (!from || (flags & RENAME_EXCHANGE && !to))
        return ENOENT;
    if (flags & RENAME_NOREPLACE && to)
        return EEXIST;
    if (flags & ~(unsigned)(RENAME_EXCHANGE | RENAME_NOREPLACE))
        return EINVAL;
    if (S_ISDIR(from->live.mode) && !same_dir)
        return EXDEV;
    if (!to || flags & RENAME_EXCHANGE)
        return 0;
    if (S_ISDIR(from->live.mode) != S_ISDIR(to->live.mode))
        return S_ISDIR(to->live.mode) ? EISDIR : ENOTDIR;
    return S_ISDIR(to->live.mode) && !dir_is_empty(to) ? ENOTEMPTY : 0;
}

static void on_rename(fuse_req_t r, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
    if (fs_is_dark(r, true))
        return;
    struct disk *d = fs_of(r)->disk;
    struct inode *dir = fs_inode(r, parent), *to_dir = fs_inode(r, new_parent);
    struct inode *from = look(dir, name), *to = look(to_dir, new_name);
    int failed = may_rename(from, to, dir == to_dir, flags);
    if (failed || from == to) {
        fuse_reply_err(r, failed);
        return;
    }
    struct entry *e = dir_entry(to_dir, new_name, true);
    if (!e)
        failed = ENOMEM;
    else
        failed = -names_change(d, e, from, dir_entry(dir, name, false), flags & RENAME_EXCHANGE ? to : NULL,
                               to && S_ISDIR(to->live.mode) && !(flags & RENAME_EXCHANGE) ? to : NULL);
    if (!failed)
        disk_drift(d, to_dir);
    fuse_reply_err(r, failed);
}

/* A directory is read as it was at its beginning. */
struct listing {
    LIST_ENTRY(listing) link;
    char *bytes;
    size_t len;
};

static size_t add_name(fuse_req_t r, struct listing *l, const char *name, const struct inode *i)
{
    size_t need = fuse_add_direntry(r, NULL, 0, name, NULL, 0);
    struct stat st = {.st_ino = i->number, .st_mode = i->live.mode};
    if (l) {
        fuse_add_direntry(r, l->bytes + l->len, need, name, &st, (off_t)(l->len + need));
        l->len += need;
    }
    return need;
}

static size_t add_all(fuse_req_t r, struct listing *l, const struct inode *dir)
{
    size_t need = add_name(r, l, ".", dir) + add_name(r, l, "..", dir->parent ? dir->parent : dir);
    const struct entry *e;
    LIST_FOREACH(e, &dir->entries, link)
        if (e->live)
            need += add_name(r, l, e->name, e->live);
    return need;
}

static void on_opendir(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f)
{
    if (fs_is_dark(r, false))
        return;
    struct listing *l = calloc(1, sizeof(*l));
    if (!l) {
        fuse_reply_err(r, ENOMEM);
        return;
    }
    LIST_INSERT_HEAD(&fs_of(r)->listings, l, link);
    f->fh = (uint64_t)(uintptr_t)l;
    fuse_reply_open(r, f);
}

static void on_readdir(fuse_req_t r, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *f)
{
    if (fs_is_dark(r, false))
        return;
    struct listing *l = (struct listing *)(uintptr_t)f->fh;
    if (at == 0) {
        free(l->bytes);
        l->len = 0;
        l->bytes = malloc(add_all(r, NULL, fs_inode(r, ino)));
        if (l->bytes)
            add_all(r, l, fs_inode(r, ino));
    }
    size_t left = (size_t)at < l->len ? l->len - (size_t)at : 0;
    fuse_reply_buf(r, left ? l->bytes + at : NULL, left < size ? left : size);
}

static void listing_free(struct listing *l)
{
    LIST_REMOVE(l, link);
    free(l->bytes);
    free(l);
}

static void on_releasedir(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f)
{
    listing_free((struct listing *)(uintptr_t)f->fh);
    fuse_reply_err(r, 0);
}

void fs_forget_all(struct fs *fs)
{
    while (!LIST_EMPTY(&fs->listings))
        listing_free(LIST_FIRST(&fs->listings));
    disk_forget_all(fs->disk);
}

static void on_fsyncdir(fuse_req_t r, fuse_ino_t ino, int only_data, struct fuse_file_info *f)
{
    if (fs_is_dark(r, true))
        return;
    if (!fs_of(r)->lies)
        dir_sync(fs_of(r)->disk, fs_inode(r, ino));
    fuse_reply_err(r, 0);
}

const struct fuse_lowlevel_ops fs_ops = {
    .init = on_init, .lookup = on_lookup, .forget = on_forget, .getattr = on_getattr, .setattr = on_setattr, .mknod = on_mknod,
    .mkdir = on_mkdir, .create = on_create, .link = on_link, .unlink = on_unlink, .rmdir = on_rmdir, .rename = on_rename,
    .opendir = on_opendir, .readdir = on_readdir, .releasedir = on_releasedir, .fsyncdir = on_fsyncdir, .open = fs_open,
    .release = fs_release, .read = fs_read, .write = fs_write, .fsync = fs_fsync, .fallocate = fs_fallocate, .lseek = fs_lseek,
    .copy_file_range = fs_copy_file_range, .statfs = fs_statfs,
};
