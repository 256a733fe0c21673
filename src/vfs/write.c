#include "util/clock.h"
#include "vfs/base.h"
#include "vfs/handle.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/send.h"
#include "vfs/stage_use.h"

#include <fcntl.h>

static enum err_code check_write(struct vfs *v, const struct vfs_handle *h, size_t size, uint64_t offset, struct err *e)
{
    if ((h->flags & O_ACCMODE) == O_RDONLY)
        return err_set(e, ERR_BAD_HANDLE, "not open for writing");
    uint64_t max = stage_size_max(v, h->inode);
    if (size > max || offset > max - size)
        return err_set(e, ERR_TOO_BIG, "larger than this store can hold");
    return ERR_OK;
}

enum err_code vfs_write(struct vfs *v, struct vfs_handle *h, const void *p, size_t size, uint64_t offset,
                        const struct vfs_caller *c, struct err *e)
{
    struct inode *i = h->inode;
    enum err_code code = check_write(v, h, size, offset, e);
    if (code || size == 0)
        return code;
    lock_take(&v->tree);
    struct stage *s = i->active->stage;
    lock_drop(&v->tree);
    if (!s) {
        code = stage_open(v, i, false, e);
        if (code)
            return code;
        lock_take(&v->tree);
        s = i->active->stage;
        lock_drop(&v->tree);
    }
    /* The end of the file for O_APPEND is decided together with the write: two programs append without gap or overlap. */
    code = (h->flags & O_APPEND) ? stage_append(s, p, size, &offset, e) : stage_write(s, offset, p, size, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    struct active *a = i->active;
    i->size = stage_size(s);
    i->mtime = clock_now();
    a->wrote = true;
    a->hollow = false;
    a->gen++;
    v->bytes_written += size;
    inode_changed_locked(v, i);
    if (!a->queued) {
        look_ahead_locked(v, i);
        base_fetch_locked(v, i);
        send_dirty_locked(v, i);
    }
    return ERR_OK;
}
