/*
 * Renames between names that stay local (what editors write beside a file) and real ones, for stores that keep such names out.
 * A local file that gets a real name is put there; a real one that gets a local name is copied here and its removal put off:
 * an editor that moves the old file away writes the new one in the same moment, and that must overwrite, not create.
 */
#include "util/clock.h"
#include "vfs/drain.h"
#include "vfs/inode.h"
#include "vfs/ranges.h"
#include "vfs/remove.h"
#include "vfs/rename.h"
#include "vfs/send.h"
#include "vfs/stage_use.h"
#include "vfs/upload.h"

#include <string.h>

#define PUT_OFF_MS 5000

enum err_code rename_from_local(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e)
{
    struct inode *i = r->from;
    enum err_code code = r->target ? preserve(v, r->target, c, e) : ERR_OK;
    if (code)
        return code;
    lock_take(&v->tree);
    uint64_t gen = i->active ? i->active->gen : 0, attr_gen = i->active ? i->active->attr_gen : 0;
    struct stage *stage = i->active ? i->active->stage : NULL;
    CLEANUP(free) char *etag = r->target && r->target->etag ? strdup(r->target->etag) : NULL;
    CLEANUP(store_meta_unref) struct store_meta *meta = r->target ? store_meta_ref(r->target->meta) : NULL;
    struct inode *put_off = inode_child_locked(r->to_dir, r->name);
    if (!etag && put_off && put_off->kind == INODE_NONE && put_off->etag) {
        etag = strdup(put_off->etag);
        meta = store_meta_ref(put_off->meta);
    }
    lock_drop(&v->tree);
    if (!stage)
        return err_set(e, ERR_INVAL, "the local file has no content");
    struct upload u = {.key = r->to_key, .stage = stage, .meta = meta, .cancel = c->cancel};
    u.cond = etag ? (struct store_cond){.kind = STORE_IF_MATCH, .etag = etag} : (struct store_cond){.kind = STORE_IF_ABSENT};
    struct store_version version;
    code = stage_freeze(stage, e);
    if (code)
        return code;
    code = upload_put(v, &u, &version, e);
    struct err thaw = ERR_INIT;
    if (stage_thaw(stage, &thaw))
        LOG_ERROR("vfs", "staged bytes of \"%s\": %s", r->to_key, thaw.msg);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    i->flags &= (uint16_t)~(INODE_LOCAL | INODE_NEW);
    inode_set_meta_locked(i, meta);
    i->active->sent_gen = gen;
    i->active->attr_sent_gen = attr_gen;
    if (i->content) /* of what it was before it became local */
        content_unref(TAKE(i->content));
    code = rename_move_locked(v, r, e);
    if (active_dirty(i->active)) /* written on meanwhile */
        version.size = i->size;
    if (!code)
        code = inode_set_version_locked(v, i, &version, NULL, e);
    send_dirty_locked(v, i);
    i->flags |= INODE_STALE;
    for (struct inode *p = i->parent; p; p = p->parent)
        p->flags &= (uint16_t)~INODE_LOCAL;
    inode_settle_locked(v, i);
    return code;
}

/* ---- The removal that was put off */

struct put_off {
    struct vfs *v;
    struct inode *mark; /* the INODE_NONE that stands for the name; carries the ETag of what is to go */
    struct timer timer;
    struct deferred deferred;
};

static void put_off_run(void *arg)
{
    CLEANUP(free) struct put_off *p = arg;
    struct vfs *v = p->v;
    struct inode *mark = p->mark;
    lock_take(&v->tree);
    bool still = mark->flags & INODE_LINKED;
    CLEANUP(free) char *key = still ? inode_key_dup_locked(mark) : NULL;
    CLEANUP(free) char *etag = still && mark->etag ? strdup(mark->etag) : NULL;
    free(mark->etag);
    mark->etag = NULL;
    lock_drop(&v->tree);
    struct err err = ERR_INIT;
    enum err_code code = key && etag ? store_remove(v->store, key, etag, NULL, &err) : ERR_OK;
    bool failed = code && code != ERR_CONFLICT;
    if (code == ERR_CONFLICT)
        LOG_WARN("vfs", "\"%s\" was renamed away, and changed by others meanwhile: theirs stays", key);
    else if (failed)
        LOG_ERROR("vfs", "\"%s\" was renamed away but could not be removed: %s", key, err.msg);
    lock_take(&v->tree);
    if (key)
        inode_changed_locked(v, mark);
    if (code) { /* the old name is there: asked again by the next who looks */
        mark->flags |= INODE_STALE;
        dir_unlist_locked(v, mark->parent);
    }
    inode_unref_locked(v, mark);
    deferred_end_locked(v, &p->deferred, failed);
    lock_drop(&v->tree);
}

static void put_off_timer(void *arg)
{
    struct put_off *p = arg;
    if (pool_submit(p->v->pool, put_off_run, p, NULL))
        put_off_run(p);
}

static void put_off_locked(struct vfs *v, struct inode *mark, const char *etag, struct store_meta *meta)
{
    struct put_off *p = calloc(1, sizeof(*p));
    mark->etag = strdup(etag);
    inode_set_meta_locked(mark, meta);
    if (!p || !mark->etag) {
        free(p);
        return; /* the old name comes back with the next listing: both exist, never neither */
    }
    p->v = v;
    p->mark = inode_ref_locked(mark);
    deferred_begin_locked(v, &p->deferred);
    timer_arm(v->timers, &p->timer, clock_mono_ms() + PUT_OFF_MS, put_off_timer, p);
}

/* The whole content is brought here. The inode is pinned by the caller. */
static enum err_code hold_all(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    enum err_code code = stage_open(v, i, false, e);
    if (code)
        return code;
    lock_take(&v->tree);
    struct stage *stage = i->active->stage;
    struct content *content = i->content ? content_ref(i->content) : NULL;
    lock_drop(&v->tree);
    code = stage_complete_from(stage, content, false, c->cancel, e);
    if (content)
        content_unref(content);
    return code;
}

static enum err_code move_out_locked(struct vfs *v, struct rename *r, struct err *e)
{
    struct inode *i = r->from;
    CLEANUP(free) char *etag = i->etag ? strdup(i->etag) : NULL;
    CLEANUP(free) char *old_name = strdup(i->name);
    if (!etag || !old_name)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct inode *old_dir = inode_ref_locked(r->from_dir);
    enum err_code code = rename_move_locked(v, r, e);
    if (!code) {
        i->flags |= INODE_LOCAL;
        send_dirty_locked(v, i);
        struct inode *mark = inode_child_locked(old_dir, old_name);
        if (mark && mark->kind == INODE_NONE)
            put_off_locked(v, mark, etag, i->meta);
    }
    inode_unref_locked(v, old_dir);
    return code;
}

enum err_code rename_to_local(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e)
{
    struct inode *i = r->from;
    lock_take(&v->tree);
    enum err_code code = stage_pin_locked(v, i, e);
    lock_drop(&v->tree);
    if (code)
        return code;
    code = hold_all(v, i, c, e);
    lock_take(&v->tree);
    if (!code)
        code = move_out_locked(v, r, e);
    stage_unpin_locked(v, i);
    lock_drop(&v->tree);
    return code;
}
