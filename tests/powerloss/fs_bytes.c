/* What is asked of files that are open. */
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

void fs_open(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f)
{
    if (fs_is_dark(r, false))
        return;
    f->keep_cache = 1; /* all changes come through the kernel */
    fuse_reply_open(r, f);
}

void fs_release(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f)
{
    fuse_reply_err(r, 0);
}

void fs_read(fuse_req_t r, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *f)
{
    static char buf[FS_REQUEST_MAX];
    if (fs_is_dark(r, false))
        return;
    const struct inode *i = fs_inode(r, ino);
    uint64_t left = (uint64_t)offset < i->size ? i->size - (uint64_t)offset : 0;
    size_t n = left < size ? (size_t)left : size;
    n = n < sizeof(buf) ? n : sizeof(buf);
    inode_read(i, (uint64_t)offset, buf, n);
    fuse_reply_buf(r, buf, n);
}

void fs_write(fuse_req_t r, fuse_ino_t ino, const char *bytes, size_t size, off_t offset, struct fuse_file_info *f)
{
    if (fs_is_dark(r, true))
        return;
    struct inode *i = fs_inode(r, ino);
    int failed = inode_write(i, (uint64_t)offset, bytes, size);
    if (failed) {
        fuse_reply_err(r, -failed);
        return;
    }
    /* The kernel puts RWF_DSYNC and RWF_SYNC among the flags of the request. */
    if (f->flags & O_DSYNC)
        inode_sync_range(i, (uint64_t)offset, size);
    if ((f->flags & O_SYNC) == O_SYNC)
        i->disk = i->live;
    disk_drift(fs_of(r)->disk, i);
    fuse_reply_write(r, size);
}

void fs_fsync(fuse_req_t r, fuse_ino_t ino, int only_data, struct fuse_file_info *f)
{
    if (fs_is_dark(r, true))
        return;
    if (!fs_of(r)->lies)
        inode_sync(fs_inode(r, ino), !only_data);
    fuse_reply_err(r, 0);
}

void fs_fallocate(fuse_req_t r, fuse_ino_t ino, int mode, off_t offset, off_t len, struct fuse_file_info *f)
{
    struct inode *i = fs_inode(r, ino);
    uint64_t end = (uint64_t)offset + (uint64_t)len;
    int failed = 0;
    if (fs_is_dark(r, true))
        return;
    if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        failed = EOPNOTSUPP;
    if (!failed && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        inode_punch(i, (uint64_t)offset, (uint64_t)len);
    if (!failed && !(mode & FALLOC_FL_KEEP_SIZE) && i->size < end)
        failed = -inode_resize(i, end);
    if (!failed)
        disk_drift(fs_of(r)->disk, i);
    fuse_reply_err(r, failed);
}

void fs_lseek(fuse_req_t r, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *f)
{
    const struct inode *i = fs_inode(r, ino);
    if (fs_is_dark(r, false))
        return;
    uint64_t at = (uint64_t)offset < i->size ? inode_seek(i, (uint64_t)offset, whence == SEEK_DATA) : UINT64_MAX;
    if (at == UINT64_MAX || (whence == SEEK_DATA && at == i->size))
        fuse_reply_err(r, ENXIO);
    else
        fuse_reply_lseek(r, (off_t)at);
}

void fs_copy_file_range(fuse_req_t r, fuse_ino_t in, off_t from, struct fuse_file_info *f, fuse_ino_t out, off_t to,
                               struct fuse_file_info *g, size_t len, int flags)
{
    static char buf[FS_REQUEST_MAX];
    if (fs_is_dark(r, true))
        return;
    const struct inode *i = fs_inode(r, in);
    struct inode *o = fs_inode(r, out);
    uint64_t left = (uint64_t)from < i->size ? i->size - (uint64_t)from : 0;
    size_t n = left < len ? (size_t)left : len;
    n = n < sizeof(buf) ? n : sizeof(buf); /* who asked for more asks again */
    inode_read(i, (uint64_t)from, buf, n);
    int failed = n ? inode_write(o, (uint64_t)to, buf, n) : 0;
    if (failed)
        fuse_reply_err(r, -failed);
    else
        fuse_reply_write(r, n);
}

void fs_statfs(fuse_req_t r, fuse_ino_t ino)
{
    enum { BLOCKS = 16 << 20 }; /* 64 GiB */
    struct statvfs st = {.f_bsize = PAGE, .f_frsize = PAGE, .f_blocks = BLOCKS, .f_bfree = BLOCKS, .f_bavail = BLOCKS,
                         .f_files = BLOCKS, .f_ffree = BLOCKS, .f_favail = BLOCKS, .f_namemax = 255};
    if (!fs_is_dark(r, false))
        fuse_reply_statfs(r, &st);
}
