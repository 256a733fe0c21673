#include "vfs/stage_use.h"

#include "util/clock.h"
#include "util/secret.h"
#include "vfs/base.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/seal.h"
#include "vfs/send.h"

#include <string.h>

#define FILL_CHUNK (1024 * 1024)
/* What a file may have that lives in locked memory only. */
#define SECRET_STAGE_MAX (1024 * 1024)

/* The bytes of the version it starts from, to be fetched when needed. */
static enum err_code base_content_locked(struct vfs *v, struct inode *i, struct err *e)
{
    if (i->content || i->size == 0)
        return ERR_OK;
    BUF(key, KEY_BUF_MAX);
    inode_key_locked(i, &key);
    struct store_version version;
    inode_version_locked(i, &version);
    i->content = content_new(v->contents, buf_str(&key), &version, e);
    return i->content ? ERR_OK : ERR_NOMEM;
}

uint64_t stage_size_max(struct vfs *v, const struct inode *i)
{
    LOCK_SCOPE(&v->tree);
    return i->flags & INODE_LOCAL ? SECRET_STAGE_MAX : v->caps->max_object;
}

enum err_code stage_pin_locked(struct vfs *v, struct inode *i, struct err *e)
{
    enum err_code code = inode_activate_locked(v, i, e);
    if (!code)
        i->active->opens++;
    return code;
}

void stage_unpin_locked(struct vfs *v, struct inode *i)
{
    i->active->opens--;
    /* The last close may have come while it was pinned. */
    if (i->active->opens == 0 && !i->active->timer_armed)
        send_last_close_locked(v, i);
    if (i->active)
        inode_settle_locked(v, i);
}

void stage_keep_empty_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    const struct active *a = i->active;
    if (!vfs_has(v, STORE_EMPTY_REFUSED) || !(i->flags & INODE_NEW) || !inode_placed(i) || !a->hollow || i->size > 0)
        return;
    i->flags |= INODE_LOCAL;
    send_dirty_locked(v, i);
}

void stage_leave_empty_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    bool kept = (i->flags & INODE_LOCAL) && (i->flags & INODE_NEW) && inode_placed(i) && i->active && i->active->hollow;
    if (!kept || store_stays_local(v->store, i->name))
        return;
    i->flags &= (uint16_t)~INODE_LOCAL;
    send_dirty_locked(v, i);
}

static void emptied_locked(struct vfs *v, struct inode *i)
{
    struct active *a = i->active;
    i->size = 0;
    i->mtime = clock_now();
    a->wrote = true;
    a->hollow = true;
    a->in_order = 0;
    a->early_tried = a->early;
    a->gen++;
    if (!(i->flags & INODE_NEW)) /* a new file replaces nothing */
        a->rewrite_gen = a->gen;
    inode_changed_locked(v, i);
    look_ahead_locked(v, i);
    send_dirty_locked(v, i);
}

/* Puts `fresh` (taken over) in place unless somebody else was faster. */
static void install_locked(struct inode *i, struct stage *fresh)
{
    i->flags |= INODE_WRITTEN;
    if (!i->active->stage) {
        i->active->stage = fresh;
        i->active->in_order = stage_size(fresh) ? ACTIVE_UNORDERED : 0;
    } else {
        stage_free(fresh);
    }
}

static enum err_code open_pinned(struct vfs *v, struct inode *i, bool empty, struct err *e)
{
    enum err_code unsealed = empty ? ERR_OK : seal_break(v, i, NULL, e);
    if (unsealed)
        return unsealed;
    lock_take(&v->tree);
    struct stage *have = i->active->stage;
    uint64_t base = empty || (i->flags & INODE_NEW) ? 0 : i->size;
    enum err_code code = have || !base ? ERR_OK : base_content_locked(v, i, e);
    lock_drop(&v->tree);
    if (code || (have && !empty))
        return code;
    if (have) {
        code = stage_truncate(have, 0, e);
    } else {
        struct stage *fresh = v->stages ? stage_new_in(v->stages, base, e) : stage_new(NULL, base, SECRET_STAGE_MAX, e);
        if (!fresh)
            return e && e->code ? e->code : ERR_NOSPC;
        lock_take(&v->tree);
        install_locked(i, fresh);
        lock_drop(&v->tree);
    }
    if (code || !empty)
        return code;
    LOCK_SCOPE(&v->tree);
    emptied_locked(v, i);
    return ERR_OK;
}

enum err_code stage_open(struct vfs *v, struct inode *i, bool empty, struct err *e)
{
    lock_take(&v->tree);
    enum err_code code = stage_pin_locked(v, i, e);
    lock_drop(&v->tree);
    if (code)
        return code;
    struct err local = ERR_INIT;
    code = open_pinned(v, i, empty, e ? e : &local);
    lock_take(&v->tree);
    stage_unpin_locked(v, i);
    lock_drop(&v->tree);
    return code;
}

static enum err_code resize_pinned(struct vfs *v, struct inode *i, uint64_t size, struct err *e)
{
    struct err local = ERR_INIT;
    enum err_code code = open_pinned(v, i, size == 0, e ? e : &local);
    if (!code && size > 0)
        code = stage_truncate(i->active->stage, size, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    struct active *a = i->active;
    if (size > 0)
        stage_leave_empty_locked(v, i);
    a->hollow = i->flags & INODE_LOCAL; /* an emptiness that was asked for is sent as such */
    if (a->in_order != ACTIVE_UNORDERED && a->in_order > size)
        a->in_order = size;
    i->size = stage_size(a->stage);
    i->mtime = clock_now();
    a->wrote = true;
    a->gen++;
    inode_changed_locked(v, i);
    look_ahead_locked(v, i);
    base_fetch_locked(v, i);
    send_dirty_locked(v, i);
    if (!a->writers)
        send_later_locked(v, i);
    return ERR_OK;
}

enum err_code stage_resize(struct vfs *v, struct inode *i, uint64_t size, struct err *e)
{
    if (size > stage_size_max(v, i))
        return err_set(e, ERR_TOO_BIG, "larger than this store can hold");
    lock_take(&v->tree);
    enum err_code code = i->kind == INODE_DIR ? err_set(e, ERR_IS_DIR, "is a directory")
                         : i->kind != INODE_FILE || i->fixed ? err_set(e, ERR_PERM, "cannot be resized")
                                                                               : stage_pin_locked(v, i, e);
    lock_drop(&v->tree);
    if (code)
        return code;
    code = resize_pinned(v, i, size, e);
    lock_take(&v->tree);
    stage_unpin_locked(v, i);
    lock_drop(&v->tree);
    return code;
}

enum err_code stage_complete_range(struct stage *s, struct content *content, uint64_t start, uint64_t end, bool frozen,
                                   struct cancel *cancel, struct err *e)
{
    CLEANUP(free) char *buf = NULL;
    uint64_t off = start, len = 0;
    for (enum stage_extent x; off < end && (x = stage_extent_at(s, off, frozen, &len)) != STAGE_END;) {
        if (x != STAGE_BASE) {
            off += len;
            continue;
        }
        if (!content)
            return err_set(e, ERR_IO, "the version this file came from is not known any more");
        if (!buf && !(buf = malloc(FILL_CHUNK)))
            return err_set(e, ERR_NOMEM, "out of memory");
        size_t n = len < FILL_CHUNK ? (size_t)len : FILL_CHUNK;
        n = n < end - off ? n : (size_t)(end - off);
        enum err_code code = content_read_wait(content, off, buf, n, end == UINT64_MAX, cancel, e);
        if (!code)
            code = stage_fill(s, off, buf, n, e);
        secret_wipe(buf, n);
        if (code)
            return code;
        off += n;
    }
    return ERR_OK;
}

enum err_code stage_complete_from(struct stage *s, struct content *content, bool frozen, struct cancel *cancel,
                                  struct err *e)
{
    return stage_complete_range(s, content, 0, UINT64_MAX, frozen, cancel, e);
}
