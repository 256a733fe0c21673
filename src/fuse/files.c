/* Open files: open, create, read, write, flush, fsync, release, lseek. */
#include "fuse/errno_of.h"
#include "fuse/inside.h"

#include "util/log.h"
#include "util/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static struct vfs_handle *file_of(const struct fuse_file_info *fi)
{
    return (struct vfs_handle *)(uintptr_t)fi->fh;
}

static enum err_code run_open(struct request *r, struct err *e)
{
    struct vfs_handle *h;
    enum err_code code = vfs_open(r->session->vfs, r->ino, r->flags, &r->caller, &h, e);

    if (code != ERR_OK)
        return code;
    code = clear_suid(r, r->ino, h, e);
    if (code != ERR_OK)
        vfs_release(r->session->vfs, h);
    else
        reply_open(r, h);
    return code;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_open);

    r.flags = fi->flags;
    r.caller.backing = atomic_load(&r.session->backings.on);
    r.kill_suid = (fi->flags & O_TRUNC) && wire_kill_suidgid();
    request_serve(&r);
}

static enum err_code run_create(struct request *r, struct err *e)
{
    struct vfs_entry entry;
    struct vfs_handle *h;
    enum err_code code = vfs_create(r->session->vfs, r->ino, r->name, r->mode, r->flags, &r->caller, &entry, &h, e);

    if (code == ERR_OK)
        reply_create(r, &entry, h);
    return code;
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
    struct request r = request_make(req, parent, run_create);

    r.name = name;
    r.mode = mode;
    r.flags = fi->flags;
    r.changes = true; /* excl=open puts it */
    request_serve(&r);
}

/* ---- Reading: parked in the vfs until whoever completes it replies. */

struct reading {
    struct vfs_read read;
    struct request r;
    struct flight flight;
};

static void on_read(struct vfs_read *read, enum err_code code, const struct iovec *iov, int n_iov, size_t len,
                    const struct err *e)
{
    struct reading *d = read->arg;
    struct session *s = d->r.session;

    if (code == ERR_OK) {
        request_disarm(&d->r);
        if (n_iov)
            fuse_reply_iov(d->r.req, iov, n_iov);
        else
            fuse_reply_buf(d->r.req, NULL, 0);
    } else {
        if (code != ERR_CANCELED)
            LOG_WARN("fuse", "read: %s", e ? e->msg : err_name(code));
        reply_err(&d->r, code);
    }
    struct cancel *cancel = d->flight.cancel;
    flight_end(s, &d->flight);
    cancel_unref(cancel);
    free(d);
}

static void on_read_interrupt(fuse_req_t req, void *data)
{
    struct reading *d = data;

    atomic_fetch_add(&d->r.session->interrupted, 1);
    interrupt_note(d->r.session, &d->flight);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct reading *d = calloc(1, sizeof(*d));
    struct cancel *cancel = d ? cancel_new() : NULL;

    if (!cancel) {
        free(d);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    d->r = request_make(req, ino, NULL);
    d->r.caller.nowait = false; /* a read never waits in the call */
    d->r.caller.cancel = d->flight.cancel = cancel;
    d->flight.tid = d->r.caller.pid;
    d->read = (struct vfs_read){.done = on_read, .arg = d};
    /* `d` may be gone as soon as vfs_read() was called. */
    struct session *s = d->r.session;
    flight_start(s, &d->flight);
    d->r.armed = true;
    fuse_req_interrupt_func(req, on_read_interrupt, d);
    struct vfs_caller caller = d->r.caller;
    cancel_ref(cancel);
    vfs_read(s->vfs, file_of(fi), (uint64_t)offset, size, &caller, &d->read);
    cancel_unref(cancel);
}

/* ---- Writing */

static void write_accepted(void *arg)
{
    struct request *r = arg;

    request_disarm(r);
    fuse_reply_write(r->req, r->size);
    r->answered = true;
}

static enum err_code run_write(struct request *r, struct err *e)
{
    enum err_code code = clear_suid(r, r->ino, r->file, e);

    r->caller.accepted = write_accepted;
    r->caller.accepted_arg = r;

    if (code == ERR_OK && r->mapped)
        code = vfs_write_mapped(r->session->vfs, r->file, r->data, r->size, r->offset, e);
    else if (code == ERR_OK)
        code = vfs_write(r->session->vfs, r->file, r->data, r->size, r->offset, &r->caller, e);
    if (code == ERR_OK && !r->answered)
        write_accepted(r);
    return code;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_write);

    r.file = file_of(fi);
    r.data = data;
    r.size = size;
    r.offset = (uint64_t)offset;
    r.mapped = fi->writepage;
    r.kill_suid = wire_kill_suidgid();
    bool secret = r.session->config.secret;
    request_serve(&r);
    /* The worker's buffer for requests, which libfuse keeps; whoever still works on them has a copy. */
    if (secret)
        secret_wipe((char *)data, size);
}

static enum err_code run_fallocate(struct request *r, struct err *e)
{
    enum err_code code = vfs_fallocate(r->session->vfs, r->file, r->flags, r->offset, r->length, e);

    if (code == ERR_OK)
        reply_done(r);
    return code;
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_fallocate);

    r.file = file_of(fi);
    r.flags = mode;
    r.offset = (uint64_t)offset;
    r.length = (uint64_t)length;
    request_serve(&r);
}

static enum err_code run_copy(struct request *r, struct err *e)
{
    struct vfs_copy c = {.from = r->file, .to = r->to_file, .from_offset = r->offset, .to_offset = r->to_offset, .len = r->length};
    uint64_t copied = 0;
    enum err_code code = vfs_copy(r->session->vfs, &c, &r->caller, &copied, e);

    if (code == ERR_OK) {
        request_disarm(r);
        fuse_reply_write(r->req, (size_t)copied);
    }
    return code;
}

/* What it refuses the kernel does itself, by reads and writes. */
static void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset, struct fuse_file_info *from_fi, fuse_ino_t to,
                               off_t to_offset, struct fuse_file_info *to_fi, size_t len, int flags)
{
    struct request r = request_make(req, to, run_copy);

    r.file = file_of(from_fi);
    r.to_file = file_of(to_fi);
    r.offset = (uint64_t)from_offset;
    r.to_offset = (uint64_t)to_offset;
    r.length = len;
    r.changes = true;
    request_serve(&r);
}

static enum err_code run_flush(struct request *r, struct err *e)
{
    enum err_code code = vfs_flush(r->session->vfs, r->file, &r->caller, e);

    if (code == ERR_OK)
        reply_done(r);
    return code;
}

static void op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_flush);

    r.file = file_of(fi);
    r.changes = true;
    request_serve_brief(&r);
}

static enum err_code run_fsync(struct request *r, struct err *e)
{
    enum err_code code = vfs_fsync(r->session->vfs, r->ino, r->file, &r->caller, e);

    if (code == ERR_OK)
        reply_done(r);
    return code;
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_fsync);

    r.file = file_of(fi);
    request_change(&r);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_fsync);

    request_change(&r);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct session *s = fuse_req_userdata(req);

    backing_drop(s, file_of(fi));
    vfs_release(s->vfs, file_of(fi));
    fuse_reply_err(req, 0);
}

static int lseek_errno(enum err_code code)
{
    return code == ERR_NO_ATTR ? ENXIO : errno_of(code);
}

static enum err_code run_lseek(struct request *r, struct err *e)
{
    uint64_t at;
    enum err_code code = vfs_lseek(r->session->vfs, r->file, r->offset, r->flags, &r->caller, &at, e);

    if (code == ERR_OK) {
        request_disarm(r);
        fuse_reply_lseek(r->req, (off_t)at);
    }
    return code;
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
    struct request r = request_make(req, ino, run_lseek);

    r.file = file_of(fi);
    r.offset = (uint64_t)offset;
    r.flags = whence;
    r.to_errno = lseek_errno;
    request_serve(&r);
}

void files_ops(struct fuse_lowlevel_ops *ops)
{
    ops->open = op_open;
    ops->create = op_create;
    ops->read = op_read;
    ops->write = op_write;
    ops->copy_file_range = op_copy_file_range;
    ops->fallocate = op_fallocate;
    ops->flush = op_flush;
    ops->fsync = op_fsync;
    ops->fsyncdir = op_fsyncdir;
    ops->release = op_release;
    ops->lseek = op_lseek;
}
