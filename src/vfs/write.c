#include "util/clock.h"
#include "vfs/base.h"
#include "vfs/beside.h"
#include "vfs/early.h"
#include "vfs/handle.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/send.h"
#include "vfs/stage_use.h"

#include <fcntl.h>

#define LATE_MIN (128u << 10)

/* What a handle may change, and how far. */
static enum err_code check_write(struct vfs *v, const struct vfs_handle *h, size_t size, uint64_t offset, struct err *e)
{
    if ((h->flags & O_ACCMODE) == O_RDONLY)
        return err_set(e, ERR_BAD_HANDLE, "not open for writing");
    uint64_t max = stage_size_max(v, h->inode);
    if (size > max || offset > max - size)
        return err_set(e, ERR_TOO_BIG, "larger than this store can hold");
    return ERR_OK;
}

/* The stage of an open file; it stays as long as the handle is open. */
static enum err_code staged(struct vfs *v, struct inode *i, struct stage **out, struct err *e)
{
    lock_take(&v->tree);
    *out = i->active->stage;
    lock_drop(&v->tree);
    if (*out)
        return ERR_OK;
    enum err_code code = stage_open(v, i, false, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    *out = i->active->stage;
    return ERR_OK;
}

static void changed_locked(struct vfs *v, struct inode *i)
{
    struct active *a = i->active;
    i->size = stage_size(a->stage);
    i->mtime = clock_now();
    a->wrote = true;
    a->hollow = false;
    a->gen++;
    inode_changed_locked(v, i);
    if (!a->queued) {
        look_ahead_locked(v, i);
        base_fetch_locked(v, i);
        send_dirty_locked(v, i);
    }
}

/* A disk that is full takes them once what is in an upload already has gone from it. */
static void arrived(struct vfs *v, struct inode *i, struct stage *s, const void *p, const struct vfs_caller *c)
{
    struct vfs_caller patient = *c;
    struct err err = ERR_INIT, ignored = ERR_INIT;
    patient.nowait = false; /* nobody waits for the answer any more */
    enum err_code code = stage_arrived(s, p, &err);
    for (bool again = true; code == ERR_NOSPC && again;) {
        again = false;
        if (!early_make_room(v, i, &patient, &again, &ignored) && again)
            code = stage_arrived(s, p, &err);
    }
    if (!code)
        return;
    stage_lose(s, &err);
    LOG_ERROR("vfs", "what was written to \"%s\" is not on the disk: %s", stage_path(s), err.msg);
}

/* Large blocks behind all that is there: the program makes the next one while the disk gets this one. */
static bool write_late(struct vfs *v, struct vfs_handle *h, struct stage *s, const void *p, size_t size, uint64_t offset, bool append,
                       const struct vfs_caller *c)
{
    struct inode *i = h->inode;
    if (!c || !c->accepted || size < LATE_MIN || !stage_arrive(s, size, append, &offset))
        return false;
    lock_take(&v->tree);
    inode_ref_locked(i);
    i->active->opens++; /* as stage_pin_locked(): the stage stays */
    v->bytes_written += size;
    changed_locked(v, i);
    early_wrote_locked(v, i, offset, size, false); /* before the next block can come: who sends waits for these bytes */
    lock_drop(&v->tree);
    c->accepted(c->accepted_arg);
    arrived(v, i, s, p, c);
    LOCK_SCOPE(&v->tree);
    stage_unpin_locked(v, i);
    inode_unref_locked(v, i);
    return true;
}

static enum err_code write_to(struct vfs *v, struct vfs_handle *h, const void *p, size_t size, uint64_t offset, bool append,
                              const struct vfs_caller *c, struct err *e)
{
    struct inode *i = h->inode;
    enum err_code code = check_write(v, h, size, offset, e);
    if (code || size == 0)
        return code;
    struct stage *s = NULL;
    beside_writing(v->beside);
    code = staged(v, i, &s, e);
    if (code)
        return code;
    if (write_late(v, h, s, p, size, offset, append, c))
        return ERR_OK;
    /* The end of the file for O_APPEND is decided together with the write: two programs append without gap or overlap. */
    bool again = true;
    while (again) {
        again = false;
        code = append ? stage_append(s, p, size, &offset, e) : stage_write(s, offset, p, size, e);
        bool lost = code && stage_check_whole(s, NULL); /* which no room brings back */
        enum err_code room = code == ERR_NOSPC && c && !lost ? early_make_room(v, i, c, &again, e) : ERR_OK;
        if (room)
            return room;
    }
    if (code)
        return code;
    bool full = early_asks(offset, size) && stage_disk_room(s) < EARLY_ROOM;
    LOCK_SCOPE(&v->tree);
    v->bytes_written += size;
    changed_locked(v, i);
    early_wrote_locked(v, i, offset, size, full);
    return ERR_OK;
}

enum err_code vfs_write(struct vfs *v, struct vfs_handle *h, const void *p, size_t size, uint64_t offset,
                        const struct vfs_caller *c, struct err *e)
{
    return write_to(v, h, p, size, offset, h->flags & O_APPEND, c, e);
}

enum err_code vfs_write_mapped(struct vfs *v, struct vfs_handle *h, const void *p, size_t size, uint64_t offset, struct err *e)
{
    return write_to(v, h, p, size, offset, false, NULL, e);
}

/* The bytes of a version that nobody has written to need no place here: only what grows or is made zeros is a change. */
enum err_code vfs_fallocate(struct vfs *v, struct vfs_handle *h, int mode, uint64_t offset, uint64_t len, struct err *e)
{
    struct inode *i = h->inode;
    bool zero = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE), grow = !(mode & FALLOC_FL_KEEP_SIZE);
    if (mode & ~(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE))
        return err_set(e, ERR_UNSUPPORTED, "fallocate cannot do this here");
    enum err_code code = check_write(v, h, len, offset, e);
    if (code)
        return code;
    lock_take(&v->tree);
    uint64_t size = i->size;
    bool clean = !i->active->stage;
    lock_drop(&v->tree);
    bool grows = grow && offset + len > size, zeros = zero && offset < size;
    if (clean && !grows && !zeros)
        return ERR_OK;
    struct stage *s = NULL;
    code = staged(v, i, &s, e);
    if (!code)
        code = zero ? stage_zero(s, offset, len, grow, e) : stage_reserve(s, offset, len, grow, e);
    if (code || (!grows && !zeros))
        return code;
    LOCK_SCOPE(&v->tree);
    changed_locked(v, i);
    return ERR_OK;
}
