/* Operations on names: lookup, forget, making, removing and renaming. */
#include "fuse/inside.h"

#include "util/buf.h"

#include <sys/stat.h>

/* The name is known, and what the call under way still waits for is for others. */
static void answer_lookup(void *arg)
{
    struct request *r = arg;
    struct vfs_caller caller = r->caller;
    struct vfs_entry entry;

    caller.nowait = true;
    if (r->answered || vfs_lookup(r->session->vfs, r->ino, r->name, &caller, &entry, NULL) != ERR_OK)
        return;
    r->answered = true;
    reply_entry(r, &entry);
}

static enum err_code run_lookup(struct request *r, struct err *e)
{
    struct vfs_caller caller = r->caller;
    struct vfs_entry entry;

    if (!caller.nowait) {
        caller.known = answer_lookup;
        caller.known_arg = r;
    }
    enum err_code code = vfs_lookup(r->session->vfs, r->ino, r->name, &caller, &entry, e);
    if (r->answered) {
        if (code == ERR_OK && entry.ino)
            vfs_forget(r->session->vfs, entry.ino, 1);
        return ERR_OK;
    }
    if (code == ERR_OK)
        reply_entry(r, &entry);
    return code;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct request r = request_make(req, parent, run_lookup);

    r.name = name;
    request_serve(&r);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    struct session *s = fuse_req_userdata(req);

    vfs_forget(s->vfs, ino, count);
    fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct session *s = fuse_req_userdata(req);

    for (size_t i = 0; i < count; i++)
        vfs_forget(s->vfs, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static enum err_code run_mknod(struct request *r, struct err *e)
{
    struct vfs_entry entry;
    enum err_code code = vfs_mknod(r->session->vfs, r->ino, r->name, r->mode, &r->caller, &entry, e);

    if (code == ERR_OK)
        reply_entry(r, &entry);
    return code;
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct request r = request_make(req, parent, run_mknod);

    r.name = name;
    r.mode = mode;
    request_change(&r);
}

static enum err_code run_mkdir(struct request *r, struct err *e)
{
    struct vfs_entry entry;
    enum err_code code = vfs_mkdir(r->session->vfs, r->ino, r->name, r->mode, &r->caller, &entry, e);

    if (code == ERR_OK)
        reply_entry(r, &entry);
    return code;
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct request r = request_make(req, parent, run_mkdir);

    r.name = name;
    r.mode = mode;
    request_change(&r);
}

static enum err_code run_symlink(struct request *r, struct err *e)
{
    struct vfs_entry entry;
    enum err_code code = vfs_symlink(r->session->vfs, r->ino, r->name, r->new_name, &r->caller, &entry, e);

    if (code == ERR_OK)
        reply_entry(r, &entry);
    return code;
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct request r = request_make(req, parent, run_symlink);

    r.name = name;
    r.new_name = target;
    request_change(&r);
}

static enum err_code run_unlink(struct request *r, struct err *e)
{
    enum err_code code = vfs_unlink(r->session->vfs, r->ino, r->name, &r->caller, e);

    if (code == ERR_OK)
        reply_done(r);
    return code;
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct request r = request_make(req, parent, run_unlink);

    r.name = name;
    request_change(&r);
}

static enum err_code run_rmdir(struct request *r, struct err *e)
{
    enum err_code code = vfs_rmdir(r->session->vfs, r->ino, r->name, &r->caller, e);

    if (code == ERR_OK)
        reply_done(r);
    return code;
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct request r = request_make(req, parent, run_rmdir);

    r.name = name;
    request_change(&r);
}

static enum err_code run_rename(struct request *r, struct err *e)
{
    enum err_code code = vfs_rename(r->session->vfs, r->ino, r->name, r->new_parent, r->new_name, (unsigned)r->flags,
                                    &r->caller, e);

    if (code == ERR_OK)
        reply_done(r);
    return code;
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
                      unsigned flags)
{
    struct request r = request_make(req, parent, run_rename);

    r.name = name;
    r.new_parent = new_parent;
    r.new_name = new_name;
    r.flags = (int)flags;
    request_change(&r);
}

/* No store has hard links; EPERM is what link(2) says for such a filesystem, and programs fall back on it. */
static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    struct request r = request_make(req, ino, NULL);

    reply_err(&r, ERR_PERM);
}

static enum err_code run_readlink(struct request *r, struct err *e)
{
    BUF(target, 65536);
    enum err_code code = vfs_readlink(r->session->vfs, r->ino, &r->caller, &target, e);

    if (code == ERR_OK) {
        request_disarm(r);
        fuse_reply_readlink(r->req, buf_str(&target));
    }
    return code;
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct request r = request_make(req, ino, run_readlink);

    request_serve(&r);
}

void names_ops(struct fuse_lowlevel_ops *ops)
{
    ops->lookup = op_lookup;
    ops->forget = op_forget;
    ops->forget_multi = op_forget_multi;
    ops->mknod = op_mknod;
    ops->mkdir = op_mkdir;
    ops->symlink = op_symlink;
    ops->unlink = op_unlink;
    ops->rmdir = op_rmdir;
    ops->rename = op_rename;
    ops->link = op_link;
    ops->readlink = op_readlink;
}
