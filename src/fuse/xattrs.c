/* Extended attributes. Only user.* reaches the vfs: to store an ACL or a security label without enforcing it would break
 * cp -a, and asking for security.capability must not cost a thing. */
#include "fuse/errno_of.h"
#include "fuse/inside.h"

#include "util/buf.h"
#include "util/str.h"

#include <errno.h>

#define VALUE_MAX 65536 /* XATTR_SIZE_MAX, and XATTR_LIST_MAX */

static bool is_ours(const char *name)
{
    return str_starts(name, "user.");
}

static int xattr_errno(enum err_code code)
{
    return code == ERR_TOO_BIG ? E2BIG : errno_of(code);
}

/* Answers a call that asks either for the size (r->size 0) or for the bytes. */
static enum err_code reply_value(struct request *r, const struct buf *value, struct err *e)
{
    if (!r->size) {
        request_disarm(r);
        fuse_reply_xattr(r->req, value->len);
        return ERR_OK;
    }
    if (value->len > r->size)
        return err_set(e, ERR_RANGE, "an extended attribute of %zu bytes for a buffer of %zu", value->len, r->size);
    reply_bytes(r, value->data, value->len);
    return ERR_OK;
}

static enum err_code run_getxattr(struct request *r, struct err *e)
{
    BUF(value, VALUE_MAX);
    enum err_code code = vfs_getxattr(r->session->vfs, r->ino, r->name, &r->caller, &value, e);

    return code == ERR_OK ? reply_value(r, &value, e) : code;
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct request r = request_make(req, ino, run_getxattr);

    if (!is_ours(name)) {
        reply_err(&r, ERR_UNSUPPORTED);
        return;
    }
    r.name = name;
    r.size = size;
    r.to_errno = xattr_errno;
    request_serve(&r);
}

static enum err_code run_listxattr(struct request *r, struct err *e)
{
    BUF(names, VALUE_MAX);
    enum err_code code = vfs_listxattr(r->session->vfs, r->ino, &r->caller, &names, e);

    return code == ERR_OK ? reply_value(r, &names, e) : code;
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct request r = request_make(req, ino, run_listxattr);

    r.size = size;
    r.to_errno = xattr_errno;
    request_serve(&r);
}

static enum err_code run_setxattr(struct request *r, struct err *e)
{
    enum err_code code = vfs_setxattr(r->session->vfs, r->ino, r->name, r->data, r->size, r->flags, &r->caller, e);

    if (code == ERR_OK)
        reply_done(r);
    return code;
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    struct request r = request_make(req, ino, run_setxattr);

    if (!is_ours(name)) {
        reply_err(&r, ERR_UNSUPPORTED);
        return;
    }
    r.name = name;
    r.data = value;
    r.size = size;
    r.flags = flags;
    r.to_errno = xattr_errno;
    r.changes = true;
    request_serve(&r);
}

static enum err_code run_removexattr(struct request *r, struct err *e)
{
    enum err_code code = vfs_removexattr(r->session->vfs, r->ino, r->name, &r->caller, e);

    if (code == ERR_OK)
        reply_done(r);
    return code;
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    struct request r = request_make(req, ino, run_removexattr);

    if (!is_ours(name)) {
        reply_err(&r, ERR_UNSUPPORTED);
        return;
    }
    r.name = name;
    r.to_errno = xattr_errno;
    r.changes = true;
    request_serve(&r);
}

void xattrs_ops(struct fuse_lowlevel_ops *ops)
{
    ops->getxattr = op_getxattr;
    ops->listxattr = op_listxattr;
    ops->setxattr = op_setxattr;
    ops->removexattr = op_removexattr;
}
