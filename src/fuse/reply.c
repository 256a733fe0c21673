#include "fuse/errno_of.h"
#include "fuse/inside.h"
#include "fuse/passthrough.h"

#include <fcntl.h>
#include <string.h>

/* Longer than any mount lives; the kernel takes seconds as 64 bits and clips what it cannot hold. */
#define FOR_EVER 1e9

double timeout_seconds(uint64_t valid_ms)
{
    return valid_ms == VFS_TTL_INF ? FOR_EVER : (double)valid_ms / 1000;
}

struct fuse_entry_param entry_param(const struct vfs_entry *entry)
{
    return (struct fuse_entry_param){
        .ino = entry->ino,
        .attr = entry->attr.st,
        .attr_timeout = timeout_seconds(entry->attr.valid_ms),
        .entry_timeout = timeout_seconds(entry->valid_ms),
    };
}

void reply_err(struct request *r, enum err_code code)
{
    request_disarm(r);
    fuse_reply_err(r->req, r->to_errno ? r->to_errno(code) : errno_of(code));
}

void reply_done(struct request *r)
{
    reply_err(r, ERR_OK);
}

void reply_entry(struct request *r, const struct vfs_entry *entry)
{
    struct fuse_entry_param p = entry_param(entry);

    request_disarm(r);
    /* A negative entry is only worth its form when it may be remembered. */
    if (!entry->ino && !entry->valid_ms)
        fuse_reply_err(r->req, errno_of(ERR_NOT_FOUND));
    else if (fuse_reply_entry(r->req, &p) < 0 && entry->ino)
        vfs_forget(r->session->vfs, entry->ino, 1);
}

void reply_attr(struct request *r, const struct vfs_attr *attr)
{
    request_disarm(r);
    fuse_reply_attr(r->req, &attr->st, timeout_seconds(attr->valid_ms));
}

/* A nodeid is one line of versions, so what the kernel holds of it stays good from one open to the next. A handle that cannot
 * write needs no FLUSH. */
static struct fuse_file_info file_info(const struct request *r, struct vfs_handle *h)
{
    bool sealed = vfs_sealed(r->session->vfs, h);
    return (struct fuse_file_info){
        .fh = (uintptr_t)h,
        .flags = r->flags,
        .direct_io = sealed,
        .keep_cache = !sealed,
        .noflush = (r->flags & O_ACCMODE) == O_RDONLY,
    };
}

void reply_open(struct request *r, struct vfs_handle *h)
{
    struct fuse_file_info fi = file_info(r, h);
    int32_t backing = backing_take(r->session, h);

    if (backing)
        fi.keep_cache = 0;
    request_disarm(r);
    if (passthrough_reply_open(r->req, &fi, backing) < 0) {
        backing_drop(r->session, h);
        vfs_release(r->session->vfs, h);
    }
}

void reply_create(struct request *r, const struct vfs_entry *entry, struct vfs_handle *h)
{
    struct fuse_entry_param p = entry_param(entry);
    struct fuse_file_info fi = file_info(r, h);

    request_disarm(r);
    if (fuse_reply_create(r->req, &p, &fi) < 0) {
        vfs_release(r->session->vfs, h);
        vfs_forget(r->session->vfs, entry->ino, 1);
    }
}

void reply_bytes(struct request *r, const void *p, size_t len)
{
    request_disarm(r);
    fuse_reply_buf(r->req, p, len);
}
