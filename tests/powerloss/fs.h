/* The file system as libfuse asks for it. One thread. */
#ifndef POWERLOSS_FS_H
#define POWERLOSS_FS_H

#define FUSE_USE_VERSION 34
#include "disk.h"

#include <fuse_lowlevel.h>

struct fs {
    struct disk *disk;
    bool lost;               /* the power is gone: EIO */
    bool lies;               /* fsync does nothing */
    bool armed;              /* it is going: */
    uint64_t after;          /* when that many more operations have changed something */
    pid_t asker;             /* for the change that is about to be made; a thread's id will do */
    void (*lose)(struct fs *fs);
    LIST_HEAD(, listing) listings; /* open directories */
};

extern const struct fuse_lowlevel_ops fs_ops; /* the user data is a struct fs */

#define FS_REQUEST_MAX (1u << 20)

struct fs *fs_of(fuse_req_t r);
struct inode *fs_inode(fuse_req_t r, fuse_ino_t ino);
/* True, after a reply of EIO, where there is no power. It goes before a change when its time has come. */
bool fs_is_dark(fuse_req_t r, bool changes);

/* The kernel knows nothing of it any more: between two mounts. */
void fs_forget_all(struct fs *fs);

/* Requests on files (fs_bytes.c). */
void fs_open(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f);
void fs_release(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f);
void fs_read(fuse_req_t r, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *f);
void fs_write(fuse_req_t r, fuse_ino_t ino, const char *bytes, size_t size, off_t offset, struct fuse_file_info *f);
void fs_fsync(fuse_req_t r, fuse_ino_t ino, int only_data, struct fuse_file_info *f);
void fs_fallocate(fuse_req_t r, fuse_ino_t ino, int mode, off_t offset, off_t len, struct fuse_file_info *f);
void fs_lseek(fuse_req_t r, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *f);
void fs_copy_file_range(fuse_req_t r, fuse_ino_t in, off_t from, struct fuse_file_info *f, fuse_ino_t out, off_t to,
                               struct fuse_file_info *g, size_t len, int flags);
void fs_statfs(fuse_req_t r, fuse_ino_t ino);

#endif
