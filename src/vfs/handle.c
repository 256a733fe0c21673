/* Open files: open, close, what a close means (W8), fsync, lseek. */
#include "util/clock.h"
#include "vfs/attr.h"
#include "vfs/backing.h"
#include "vfs/drain.h"
#include "vfs/handle.h"
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/process.h"
#include "vfs/refresh.h"
#include "vfs/seal.h"
#include "vfs/send.h"
#include "vfs/stage_use.h"
#include "vfs/standin.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

static bool writable(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

struct vfs_handle *handle_new_locked(struct vfs *v, struct inode *i, int flags, enum open_state way, struct backing_file *found,
                                     struct err *e)
{
    struct vfs_handle *h = calloc(1, sizeof(*h));
    if (!h || inode_activate_locked(v, i, e)) {
        free(h);
        err_set(e, ERR_NOMEM, "out of memory for an open file");
        return NULL;
    }
    h->refs = 1;
    h->v = v;
    h->inode = inode_ref_locked(i);
    h->flags = flags;
    i->active->opens++;
    if (writable(flags)) {
        i->active->writers++;
        stage_leave_empty_locked(v, i);
    }
    backing_enter_locked(v, i, way, found);
    LIST_INSERT_HEAD(&v->handles, h, link);
    v->n_handles++;
    return h;
}

enum err_code handle_inode(struct vfs *v, uint64_t ino, const struct vfs_handle *h, struct inode **out, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    struct inode *i = h ? h->inode : NULL;
    enum err_code code = h ? ERR_OK : inode_find_locked(v, ino, &i, e);
    if (!code)
        *out = inode_ref_locked(i);
    return code;
}

struct vfs_handle *handle_ref(struct vfs_handle *h)
{
    __atomic_add_fetch(&h->refs, 1, __ATOMIC_RELAXED);
    return h;
}

void handle_unref(struct vfs_handle *h)
{
    if (__atomic_sub_fetch(&h->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    inode_unref(h->v, h->inode);
    free(h);
}

static enum err_code check_open_locked(struct vfs *v, const struct inode *i, int flags, struct err *e)
{
    /* Of what was removed or replaced only those who have it open have the bytes, and of a view who has looked it up. */
    bool held = (i->active && i->active->opens > 0) || ((i->flags & INODE_VIEW) && i->content);
    if (!(i->flags & INODE_LINKED) && i->parent && !held)
        return err_set(e, ERR_CONFLICT, "\"%s\" is another file now", i->name);
    if (i->kind == INODE_DIR)
        return err_set(e, ERR_IS_DIR, "is a directory");
    if (i->kind != INODE_FILE)
        return err_set(e, ERR_INVAL, "not a file that can be opened");
    if (!writable(flags) && !(flags & O_TRUNC))
        return ERR_OK;
    if (v->cfg.read_only || vfs_has(v, STORE_READ_ONLY))
        return err_set(e, ERR_READ_ONLY, "mounted read-only");
    return i->fixed ? err_set(e, ERR_ACCESS, "\"%s\" cannot be written", i->name) : ERR_OK;
}

/* With ttl=0 the lookup that came just before has asked. */
static enum err_code open_refresh(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    bool asked = i->flags & INODE_ASKED;
    i->flags &= (uint16_t)~INODE_ASKED;
    lock_drop(&v->tree);
    if (asked)
        return ERR_OK;
    return inode_refresh(v, i, c, e);
}

static enum err_code try_open(struct vfs *v, struct inode *i, int flags, const struct vfs_caller *c, struct vfs_handle **out,
                              bool *excluded, struct err *e)
{
    struct backing_file found;
    backing_find(v, i, flags, c, &found);
    lock_take(&v->tree);
    enum err_code code = hold_wait_open_locked(v, i, c, e);
    if (!code)
        code = check_open_locked(v, i, flags, e);
    enum open_state way = backing_way_locked(v, i, flags, c, &found);
    *excluded = i->active && !open_mode_allows(&i->active->mode, way);
    if (!code && !*excluded && !(*out = handle_new_locked(v, i, flags, way, &found, e)))
        code = ERR_NOMEM;
    lock_drop(&v->tree);
    backing_release(v, &found);
    return code;
}

static enum err_code open_handle(struct vfs *v, struct inode *i, int flags, const struct vfs_caller *c, struct vfs_handle **out,
                                 struct err *e)
{
    bool excluded = false;
    enum err_code code;
    do {
        code = try_open(v, i, flags, c, out, &excluded, e);
        if (!code && excluded)
            code = backing_part(v, i, c, e);
    } while (!code && excluded);
    return code;
}

/* What is brought for this open stays until its handle is there. */
static enum err_code open_sealed(struct vfs *v, struct inode *i, int flags, const struct vfs_caller *c, struct vfs_handle **out,
                                 struct err *e)
{
    lock_take(&v->tree);
    enum err_code code = stage_pin_locked(v, i, e);
    lock_drop(&v->tree);
    if (code)
        return code;
    code = flags & O_TRUNC ? ERR_OK : seal_break(v, i, c, e);
    if (!code)
        code = open_handle(v, i, flags, c, out, e);
    LOCK_SCOPE(&v->tree);
    stage_unpin_locked(v, i);
    return code;
}

bool vfs_sealed(struct vfs *v, struct vfs_handle *h)
{
    LOCK_SCOPE(&v->tree);
    return h->inode->flags & INODE_SEALED;
}

enum err_code vfs_open(struct vfs *v, uint64_t ino, int flags, const struct vfs_caller *c, struct vfs_handle **out,
                       struct err *e)
{
    struct inode *i;
    pid_t opener = writable(flags) ? process_of(c->pid) : 0;
    lock_take(&v->tree);
    enum err_code code = inode_find_locked(v, ino, &i, e);
    if (!code)
        code = check_open_locked(v, i, flags, e);
    if (!code)
        inode_ref_locked(i);
    refresh_used_locked(v->refresh);
    lock_drop(&v->tree);
    if (code)
        return code;
    code = open_refresh(v, i, c, e);
    struct vfs_handle *h = NULL;
    lock_take(&v->tree);
    bool sealed = i->flags & INODE_SEALED;
    lock_drop(&v->tree);
    if (!code && !(flags & O_TRUNC))
        code = standin(v, i, c, e);
    if (!code)
        code = sealed ? open_sealed(v, i, flags, c, &h, e) : open_handle(v, i, flags, c, &h, e);
    if (!code && (flags & O_TRUNC))
        code = stage_open(v, i, true, e);
    inode_unref(v, i);
    if (code) {
        if (h)
            vfs_release(v, h);
        return code;
    }
    h->opener = opener;
    *out = h;
    return ERR_OK;
}

/* W8: a close by the process that opened it puts what is dirty, one by another process does nothing while the opener lives. */
static bool close_counts(const struct vfs_handle *h, const struct vfs_caller *c)
{
    if (h->opener == 0)
        return true;
    pid_t closer = process_of(c->pid);
    return closer == 0 || closer == h->opener || !process_lives(h->opener);
}

/* Who asked for a name of its own (O_EXCL) and lost it at the first upload is told that it exists. */
static enum err_code told(const struct vfs_handle *h, enum err_code code, struct err *e)
{
    if (code != ERR_CONFLICT || !h || !(h->flags & O_EXCL))
        return code;
    struct vfs *v = h->v;
    LOCK_SCOPE(&v->tree);
    if (!(h->inode->flags & INODE_NEW))
        return code;
    return err_set(e, ERR_EXISTS, "\"%s\" was made by others meanwhile", h->inode->name);
}

/* Others have the name: every close and fsync says so once something written here could not be put there. */
static enum err_code conflict_told_locked(const struct inode *i, struct err *e)
{
    bool lost = (i->flags & INODE_CONFLICT) && i->active && i->active->failure.code == ERR_CONFLICT;
    return lost ? err_copy(e, &i->active->failure) : ERR_OK;
}

enum err_code vfs_flush(struct vfs *v, struct vfs_handle *h, const struct vfs_caller *c, struct err *e)
{
    if (!writable(h->flags))
        return ERR_OK;
    lock_take(&v->tree);
    struct inode *i = h->inode;
    struct active *a = i->active;
    bool nothing = !inode_unsent(i) || !inode_placed(i) || (a->hollow && i->size == 0);
    enum err_code lost = conflict_told_locked(i, e);
    bool again = send_may_work_now(a);
    lock_drop(&v->tree);
    if (nothing || !close_counts(h, c))
        return told(h, lost, e);
    return told(h, send_wait(v, i, again, c, e), e);
}

/* A file without a name is sent nowhere: its bytes are on the local disk, or that has refused some. */
static enum err_code check_whole(struct vfs *v, struct inode *i, struct err *e)
{
    lock_take(&v->tree);
    enum err_code code = stage_pin_locked(v, i, e);
    struct stage *s = code ? NULL : i->active->stage;
    lock_drop(&v->tree);
    if (code)
        return code;
    code = s ? stage_check_whole(s, e) : ERR_OK;
    LOCK_SCOPE(&v->tree);
    stage_unpin_locked(v, i);
    return code;
}

enum err_code vfs_fsync(struct vfs *v, uint64_t ino, struct vfs_handle *h, const struct vfs_caller *c, struct err *e)
{
    struct inode *i;
    enum err_code code = handle_inode(v, ino, h, &i, e);
    if (code)
        return code;
    lock_take(&v->tree);
    bool nothing = !inode_unsent(i) || !inode_placed(i);
    bool only_here = inode_unsent(i) && !inode_placed(i);
    enum err_code lost = conflict_told_locked(i, e);
    lock_drop(&v->tree);
    code = nothing ? lost : send_wait(v, i, true, c, e);
    if (!code && only_here)
        code = check_whole(v, i, e);
    if (!code && i->kind == INODE_DIR)
        code = drain_names(v, i, c, e);
    if (!code) {
        struct store_call call = call_of(c);
        code = store_sync(v->store, &call, e);
    }
    inode_unref(v, i);
    return told(h, code, e);
}

void vfs_release(struct vfs *v, struct vfs_handle *h)
{
    struct backing_file left;
    lock_take(&v->tree);
    struct inode *i = h->inode;
    struct active *a = i->active;
    a->opens--;
    if (writable(h->flags))
        a->writers--;
    backing_leave_locked(i, &left);
    LIST_REMOVE(h, link);
    v->n_handles--;
    if (a->opens == 0)
        stage_keep_empty_locked(v, i);
    if (a->opens == 0)
        send_last_close_locked(v, i);
    inode_settle_locked(v, i);
    cond_broadcast(&v->changed);
    lock_drop(&v->tree);
    backing_release(v, &left);
    handle_unref(h);
}

/* The end of the extents of one kind from `offset` on. */
static uint64_t seek_in_stage(struct stage *s, uint64_t offset, bool want_hole)
{
    uint64_t len = 0;
    for (enum stage_extent x; (x = stage_extent_at(s, offset, false, &len)) != STAGE_END; offset += len)
        if ((x == STAGE_HOLE) == want_hole)
            break;
    return offset;
}

enum err_code vfs_lseek(struct vfs *v, struct vfs_handle *h, uint64_t offset, int whence, const struct vfs_caller *c,
                        uint64_t *out, struct err *e)
{
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return err_set(e, ERR_INVAL, "only SEEK_DATA and SEEK_HOLE come here");
    lock_take(&v->tree);
    uint64_t size = h->inode->size;
    struct stage *s = h->inode->active->stage;
    lock_drop(&v->tree);
    if (offset >= size)
        return err_set(e, ERR_NO_ATTR, "behind the end of the file");
    uint64_t found = s ? seek_in_stage(s, offset, whence == SEEK_HOLE) : whence == SEEK_DATA ? offset : size;
    if (whence == SEEK_DATA && found >= size)
        return err_set(e, ERR_NO_ATTR, "no data behind that offset");
    *out = found < size ? found : size;
    return ERR_OK;
}
