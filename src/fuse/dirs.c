/* Open directories. The vfs keeps the snapshot; here entries are packed until the kernel's buffer is full. */
#include "fuse/inside.h"

#include <linux/fuse.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_MAX (1 << 20)

static struct vfs_dir_handle *dir_of(const struct fuse_file_info *fi)
{
    return (struct vfs_dir_handle *)(uintptr_t)fi->fh;
}

static enum err_code run_opendir(struct request *r, struct err *e)
{
    struct vfs_dir_handle *d;
    enum err_code code = vfs_opendir(r->session->vfs, r->ino, &r->caller, &d, e);

    if (code != ERR_OK)
        return code;
    struct fuse_file_info fi = {.fh = (uintptr_t)d};
    request_disarm(r);
    if (fuse_reply_open(r->req, &fi) < 0)
        vfs_releasedir(r->session->vfs, d);
    return ERR_OK;
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_opendir);

    request_serve(&r);
}

struct packing {
    fuse_req_t req;
    char *buf;
    size_t size, len;
    bool plus;
};

static bool emit(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next)
{
    struct packing *p = arg;
    char *at = p->buf + p->len;
    size_t room = p->size - p->len, need;

    if (p->plus) {
        struct fuse_entry_param param = entry_param(entry);
        need = fuse_add_direntry_plus(p->req, at, room, name, &param, (off_t)next);
    } else {
        need = fuse_add_direntry(p->req, at, room, name, &entry->attr.st, (off_t)next);
    }
    if (need > room)
        return false;
    p->len += need;
    return true;
}

/* The kernel did not take the reply: the lookups that it would have counted are given back. */
static void forget_all(struct vfs *vfs, const struct packing *p)
{
    for (size_t at = 0; at < p->len;) {
        const struct fuse_direntplus *d = (const struct fuse_direntplus *)(p->buf + at);
        bool dots = (d->dirent.namelen == 1 && d->dirent.name[0] == '.') ||
                    (d->dirent.namelen == 2 && d->dirent.name[0] == '.' && d->dirent.name[1] == '.');
        if (d->entry_out.nodeid && !dots)
            vfs_forget(vfs, d->entry_out.nodeid, 1);
        at += FUSE_DIRENTPLUS_SIZE(d);
    }
}

static enum err_code run_readdir(struct request *r, struct err *e)
{
    size_t size = r->size < REPLY_MAX ? r->size : REPLY_MAX;
    CLEANUP(free) char *buf = malloc(size ? size : 1);

    if (!buf)
        return err_set(e, ERR_NOMEM, "no memory for a directory's entries");
    struct packing p = {.req = r->req, .buf = buf, .size = size, .plus = r->plus};
    enum err_code code = vfs_readdir(r->session->vfs, r->dir, r->offset, r->plus, &r->caller, emit, &p, e);
    /* What was packed before a failure is shown; the failure comes again with the next call. */
    if (code != ERR_OK && !p.len)
        return code;
    request_disarm(r);
    if (fuse_reply_buf(r->req, buf, p.len) < 0 && r->plus)
        forget_all(r->session->vfs, &p);
    return ERR_OK;
}

static void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi, bool plus)
{
    struct request r = request_make(req, ino, run_readdir);

    r.dir = dir_of(fi);
    r.size = size;
    r.offset = (uint64_t)offset;
    r.plus = plus;
    request_serve(&r);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    serve_readdir(req, ino, size, offset, fi, false);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    serve_readdir(req, ino, size, offset, fi, true);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);

    vfs_releasedir(s->vfs, dir_of(fi));
    fuse_reply_err(req, 0);
}

void dirs_ops(struct fuse_lowlevel_ops *ops)
{
    ops->opendir = op_opendir;
    ops->readdir = op_readdir;
    ops->readdirplus = op_readdirplus;
    ops->releasedir = op_releasedir;
}
