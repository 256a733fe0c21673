/*
 * A file that becomes a copy of another one as a whole (cp uses copy_file_range): the store copies it at once, so that what is
 * done to the source afterwards does not matter. The target's own attributes are stored with it.
 */
#include "util/clock.h"
#include "vfs/handle.h"
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/remember.h"
#include "vfs/send.h"
#include "vfs/unfinished.h"

#include <fcntl.h>
#include <string.h>

struct job {
    struct inode *from, *to;
    char *from_key, *from_etag, *to_key, *to_etag;
    uint64_t size, gen, attr_gen;
    struct store_meta *meta;
    bool rewrite;
};

static void job_release(struct job *j)
{
    store_meta_unref(j->meta);
    free(j->from_key);
    free(j->from_etag);
    free(j->to_key);
    free(j->to_etag);
}

static bool plain_locked(const struct inode *i)
{
    return (i->flags & INODE_LINKED) && !(i->flags & (INODE_LOCAL | INODE_VIRTUAL | INODE_CONFLICT));
}

/* The source is what the store has, the target is empty. */
static bool fits_locked(const struct vfs *v, const struct vfs_copy *c)
{
    const struct inode *from = c->from->inode, *to = c->to->inode;
    if (vfs_has(v, STORE_SLOW_COPY | STORE_SECRET | STORE_LIST_CONTENT) || c->from_offset || c->to_offset || from == to)
        return false;
    bool source = plain_locked(from) && from->etag && !(from->flags & INODE_NEW) && !inode_unsent(from) && from->size > 0;
    bool target = plain_locked(to) && to->size == 0 && !(to->active->stage && stage_size(to->active->stage) > 0);
    return source && target && c->len >= from->size;
}

static enum err_code take_locked(struct vfs *v, struct job *j, struct err *e)
{
    j->size = j->from->size;
    j->gen = j->to->active->gen;
    j->attr_gen = j->to->active->attr_gen;
    j->rewrite = active_rewrites(j->to->active);
    j->from_key = inode_key_dup_locked(j->from);
    j->to_key = inode_key_dup_locked(j->to);
    j->from_etag = strdup(j->from->etag);
    j->to_etag = j->to->etag ? strdup(j->to->etag) : NULL;
    if (!j->from_key || !j->to_key || !j->from_etag || (j->to->etag && !j->to_etag))
        return err_set(e, ERR_NOMEM, "out of memory");
    j->to->mtime = clock_now();
    j->to->active->wrote = true;
    return send_meta_locked(v, j->to, &j->meta, e);
}

static enum err_code copy(struct vfs *v, const struct job *j, const struct vfs_caller *caller, struct store_version *out,
                          struct err *e)
{
    struct store_call call = call_of(caller);
    struct store_copy copy = {.from = j->from_key, .from_etag = j->from_etag, .size = j->size, .to = j->to_key, .meta = j->meta,
                              .cond = send_condition(j->to, j->to_etag), .uploads = &v->copy_uploads};
    copy.cond.preferred = j->rewrite;
    copy.at_once = true;
    enum err_code code = unfinished_claim(v, j->to_key, false, caller, e);
    if (!code)
        code = store_copy(v->store, &copy, &call, out, e);
    if (code == ERR_CONFLICT && j->rewrite) { /* W4: it replaces whatever is there */
        copy.cond = (struct store_cond){.kind = STORE_ALWAYS};
        code = store_copy(v->store, &copy, &call, out, e);
    }
    return code;
}

/* The bytes of what is in the store now are the base of what is written on. */
static bool based_locked(struct vfs *v, struct inode *i, const struct job *j, const struct store_version *version)
{
    struct active *a = i->active;
    if (a->gen != j->gen)
        return false;
    if (!a->stage)
        return true;
    struct content *content = content_new(v->contents, j->to_key, version, NULL);
    if (!content || !stage_rebase(a->stage, j->size)) {
        if (content)
            content_unref(content);
        return false;
    }
    if (i->content)
        content_unref(i->content);
    i->content = content;
    return true;
}

/* Where somebody wrote to the target meanwhile its bytes are moved after all, over what the store has now. */
static enum err_code copied_locked(struct vfs *v, const struct job *j, const struct store_version *version, struct err *e)
{
    struct inode *i = j->to;
    struct active *a = i->active;
    struct store_version now = *version;
    bool same = based_locked(v, i, j, version);
    if (!same) {
        now.size = i->size;
        now.mtime = i->mtime;
    }
    if (inode_set_version_locked(v, i, &now, a->attr_gen == j->attr_gen ? j->meta : NULL, NULL))
        i->flags |= INODE_STALE;
    inode_drop_sums_locked(i);
    i->flags &= (uint16_t)~INODE_NEW;
    i->flags |= INODE_OUR_MTIME | INODE_WRITTEN;
    inode_changed_locked(v, i);
    for (struct inode *p = i->parent; p; p = p->parent)
        p->flags &= (uint16_t)~INODE_LOCAL;
    if (!same)
        return err_set(e, ERR_UNSUPPORTED, "written to meanwhile");
    a->sent_gen = j->gen;
    a->attr_sent_gen = j->attr_gen;
    a->failure.code = ERR_OK;
    a->hollow = false;
    a->wrote = false;
    remember_made_locked(v, i, version);
    send_dirty_locked(v, i);
    return ERR_OK;
}

static enum err_code copy_held(struct vfs *v, const struct vfs_copy *c, const struct vfs_caller *caller, uint64_t *copied,
                               struct err *e)
{
    CLEANUP_RELEASE(job_release) struct job j = {.from = c->from->inode, .to = c->to->inode};
    struct store_version version;
    enum err_code code = look_always(v, j.to, caller, e);
    if (code)
        return code;
    lock_take(&v->tree);
    code = fits_locked(v, c) ? take_locked(v, &j, e) : err_set(e, ERR_UNSUPPORTED, "not the whole of an object");
    lock_drop(&v->tree);
    if (!code)
        code = copy(v, &j, caller, &version, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    *copied = j.size;
    return copied_locked(v, &j, &version, e);
}

enum err_code vfs_copy(struct vfs *v, const struct vfs_copy *c, const struct vfs_caller *caller, uint64_t *copied, struct err *e)
{
    if ((c->from->flags & O_ACCMODE) == O_WRONLY || (c->to->flags & O_ACCMODE) == O_RDONLY)
        return err_set(e, ERR_BAD_HANDLE, "not open for that");
    lock_take(&v->tree);
    bool fits = fits_locked(v, c);
    lock_drop(&v->tree);
    if (!fits)
        return err_set(e, ERR_UNSUPPORTED, "not the whole of an object into an empty file");
    if (caller->nowait)
        return ERR_AGAIN;
    struct hold hold = {.a = c->to->inode};
    enum err_code code = hold_take(v, &hold, NULL, caller, e);
    if (code)
        return code;
    struct err err = ERR_INIT;
    code = copy_held(v, c, caller, copied, &err);
    hold_drop(v, &hold);
    if (code && code != ERR_CANCELED) {
        LOG_DEBUG("vfs", "copied byte by byte: %s", err.msg);
        return err_set(e, ERR_UNSUPPORTED, "%s", err.msg);
    }
    return code ? err_copy(e, &err) : ERR_OK;
}
