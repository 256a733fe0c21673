/* Attributes of inodes and of the filesystem. */
#include "fuse/inside.h"

#include "util/clock.h"

#include <sys/statvfs.h>

static enum err_code run_getattr(struct request *r, struct err *e)
{
    struct vfs_attr attr;
    enum err_code code = vfs_getattr(r->session->vfs, r->ino, r->file, &r->caller, &attr, e);

    if (code == ERR_OK)
        reply_attr(r, &attr);
    return code;
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_getattr);

    r.file = fi ? (struct vfs_handle *)(uintptr_t)fi->fh : NULL;
    request_serve(&r);
}

static enum err_code run_setattr(struct request *r, struct err *e)
{
    struct vfs_attr attr;
    enum err_code code = vfs_setattr(r->session->vfs, r->ino, r->file, &r->set, &r->caller, &attr, e);

    if (code == ERR_OK)
        reply_attr(r, &attr);
    return code;
}

static struct vfs_setattr decode_set(const struct stat *st, int to_set)
{
    static const struct {
        int fuse;
        unsigned vfs;
    } bits[] = {
        {FUSE_SET_ATTR_MODE, VFS_SET_MODE},   {FUSE_SET_ATTR_UID, VFS_SET_UID},     {FUSE_SET_ATTR_GID, VFS_SET_GID},
        {FUSE_SET_ATTR_SIZE, VFS_SET_SIZE},   {FUSE_SET_ATTR_ATIME, VFS_SET_ATIME}, {FUSE_SET_ATTR_MTIME, VFS_SET_MTIME},
        {FUSE_SET_ATTR_CTIME, VFS_SET_CTIME}, {FUSE_SET_ATTR_ATIME_NOW, VFS_SET_ATIME},
        {FUSE_SET_ATTR_MTIME_NOW, VFS_SET_MTIME},
    };
    struct timespec now = clock_now();
    struct vfs_setattr s = {
        .mode = st->st_mode,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .size = (uint64_t)st->st_size,
        .atime = to_set & FUSE_SET_ATTR_ATIME_NOW ? now : st->st_atim,
        .mtime = to_set & FUSE_SET_ATTR_MTIME_NOW ? now : st->st_mtim,
        .ctime = st->st_ctim,
    };

    for (size_t i = 0; i < ARRAY_LEN(bits); i++)
        if (to_set & bits[i].fuse)
            s.set |= bits[i].vfs;
    /* With HANDLE_KILLPRIV_V2 the kernel leaves it to us at every chown, and says so at a truncation. */
    s.kill_suid = wire_kill_suidgid() || ((s.set & (VFS_SET_UID | VFS_SET_GID)) && !(s.set & VFS_SET_MODE));
    return s;
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_setattr);

    r.file = fi ? (struct vfs_handle *)(uintptr_t)fi->fh : NULL;
    r.set = decode_set(st, to_set);
    request_serve(&r);
}

enum err_code clear_suid(struct request *r, uint64_t ino, struct vfs_handle *h, struct err *e)
{
    struct vfs_setattr kill = {.kill_suid = true};
    struct vfs_attr attr;

    if (!r->kill_suid)
        return ERR_OK;
    enum err_code code = vfs_getattr(r->session->vfs, ino, h, &r->caller, &attr, e);
    if (code != ERR_OK)
        return code;
    /* setgid without group execute stays, as on a disk. */
    mode_t mode = attr.st.st_mode;
    if (!(mode & S_ISUID) && (mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP))
        return ERR_OK;
    return vfs_setattr(r->session->vfs, ino, h, &kill, &r->caller, &attr, e);
}

/* A store has no size of its own: free space is shown so large that no program takes fright. */
static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    const struct statvfs st = {
        .f_bsize = 4096,
        .f_frsize = 4096,
        .f_blocks = 1ULL << 38, /* 1 PiB */
        .f_bfree = 1ULL << 38,
        .f_bavail = 1ULL << 38,
        .f_files = 1ULL << 40,
        .f_ffree = 1ULL << 40,
        .f_favail = 1ULL << 40,
        .f_namemax = 255,
    };

    fuse_reply_statfs(req, &st);
}

void attrs_ops(struct fuse_lowlevel_ops *ops)
{
    ops->getattr = op_getattr;
    ops->setattr = op_setattr;
    ops->statfs = op_statfs;
}
