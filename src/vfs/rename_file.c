/*
 * A file is renamed within the store by copying it there and deleting the source: after a crash both names may exist, never neither (W6).
 * Conditions: the copy on the target as it was known, the deletion on the version that was copied (W4).
 */
#include "util/clock.h"
#include "vfs/attr.h"
#include "vfs/dirs.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/ranges.h"
#include "vfs/remember.h"
#include "vfs/remove.h"
#include "vfs/rename.h"
#include "vfs/resume.h"
#include "vfs/send.h"

#include <stdio.h>
#include <string.h>

/* The metadata that goes along: NULL leaves it to the server. A time that is only Last-Modified would change with the copy, so
 * it is stored; for that the rest must be known. */
static enum err_code carried_meta(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct store_meta **out,
                                  uint64_t *attr_gen, struct err *e)
{
    *out = NULL;
    *attr_gen = 0;
    if (!vfs_has(v, STORE_POSIX) || vfs_has(v, STORE_RENAME))
        return ERR_OK;
    enum err_code code = v->cfg.attrs == VFS_ATTRS_LIST ? ERR_OK : look_always(v, i, c, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    *attr_gen = i->active ? i->active->attr_gen : 0;
    bool stored = !i->meta || (i->meta->has & STORE_HAS_MTIME);
    if (stored && !inode_unsent(i))
        return ERR_OK;
    struct vfs_attr shown;
    attr_fill_locked(v, i, &shown);
    *out = store_meta_copy(i->meta);
    if (!*out)
        return err_set(e, ERR_NOMEM, "out of memory");
    (*out)->mtime = shown.st.st_mtim;
    (*out)->has |= STORE_HAS_MTIME;
    return ERR_OK;
}

/* Reads under way find the bytes at their new place: before the old one goes. */
static void relocate(struct vfs *v, struct inode *i, const char *key, const struct store_version *version)
{
    LOCK_SCOPE(&v->tree);
    if (i->content && content_relocate(i->content, key, version->etag, NULL))
        i->flags |= INODE_STALE;
}

/* For kill -9 only: a sync would take as long as the requests. */
static enum err_code note_begin(struct vfs *v, struct rename *r, const struct store_copy *copy, struct err *e)
{
    if (!v->renames_dir)
        return ERR_OK;
    struct meta_fields meta;
    if (copy->meta)
        store_meta_fields(copy->meta, &meta);
    struct rename_item item = {.key = r->from_key, .etag = copy->from_etag, .size = copy->size};
    const struct rename_plan plan = {.from = r->from_key, .to = r->to_key, .replaced = copy->cond.etag, .meta = copy->meta ? &meta : NULL,
                                     .items = &item, .n = 1, .when = clock_now()};
    return resume_note(v, r, &plan, false, e);
}

/* A copy that had no answer may have been made, or may still be. What it replaced cannot be brought back. */
static void copy_failed(struct vfs *v, struct rename *r, const char *target_etag, const struct err *why)
{
    if (r->note && !target_etag && resume_unheard(why->code))
        resume_undo(v, r, why, true);
    else
        rename_note_end(TAKE(r->note));
}

/* Where that is refused, nothing was removed. */
static void remove_failed(struct vfs *v, struct rename *r, const char *target_etag, const struct err *why)
{
    if (r->note && !target_etag && why->code == ERR_ACCESS) {
        resume_undo(v, r, why, false);
        return;
    }
    LOG_WARN("vfs", "\"%s\" was copied to \"%s\", but could not be removed: awsfs journal retry does that: %s", r->from_key, r->to_key,
             why->msg);
    if (r->note)
        rename_note_failed(r->note, why, 0);
    resume_leave(v, r);
}

static enum err_code copy_then_remove(struct vfs *v, struct rename *r, struct store_meta *meta, const char *from_etag,
                                      const char *target_etag, uint64_t size, const struct vfs_caller *c,
                                      struct store_version *version, struct err *e)
{
    struct store_call call = call_of(c);
    struct store_copy copy = {.from = r->from_key, .from_etag = from_etag, .size = size, .to = r->to_key, .meta = meta,
                              .uploads = &v->copy_uploads};
    copy.cond = target_etag ? (struct store_cond){.kind = STORE_IF_MATCH, .etag = target_etag} : (struct store_cond){.kind = STORE_IF_ABSENT};
    if (vfs_has(v, STORE_RENAME)) {
        snprintf(version->etag, sizeof(version->etag), "%s", from_etag);
        version->size = size;
        version->mtime = clock_now();
        enum err_code done = store_rename(v->store, &copy, &call, e);
        if (!done)
            relocate(v, r->from, r->to_key, version);
        return done;
    }
    struct err err = ERR_INIT;
    enum err_code code = note_begin(v, r, &copy, e);
    if (code)
        return code;
    code = store_copy(v->store, &copy, &call, version, &err);
    if (code) {
        copy_failed(v, r, target_etag, &err);
        return err_copy(e, &err);
    }
    if (r->note)
        rename_note_copied(r->note, 0, version->etag);
    relocate(v, r->from, r->to_key, version);
    code = store_remove(v->store, r->from_key, from_etag, &call, &err);
    if (code == ERR_CONFLICT) { /* others wrote under the old name in between: theirs stays there */
        r->from_stays = true;
        LOG_WARN("vfs", "\"%s\" was changed by others while it was renamed: it stays beside \"%s\"", r->from_key, r->to_key);
        code = ERR_OK;
    }
    if (code) {
        remove_failed(v, r, target_etag, &err);
        return err_copy(e, &err);
    }
    rename_note_end(TAKE(r->note));
    return ERR_OK;
}

static void moved_locked(struct vfs *v, struct rename *r, struct store_meta *meta, uint64_t attr_gen, const struct store_version *version)
{
    struct inode *i = r->from;
    struct store_version now = *version;
    if (inode_unsent(i) && active_dirty(i->active)) { /* written on: what is shown stays */
        now.size = i->size;
        now.mtime = i->mtime;
    }
    /* Its content may have been made after the copy. */
    bool lost = i->content && content_relocate(i->content, r->to_key, version->etag, NULL);
    if (lost || inode_set_version_locked(v, i, &now, meta, NULL))
        i->flags |= INODE_STALE;
    i->flags |= INODE_OUR_MTIME;
    if (i->active && meta) {
        i->active->attr_sent_gen = attr_gen;
        send_dirty_locked(v, i);
    }
    remember_made_locked(v, i, version);
    if (vfs_has(v, STORE_LIST_CONTENT))
        i->flags |= INODE_STALE;
}

/* Neither name is known any more. */
static void forget_both_locked(struct vfs *v, struct rename *r)
{
    r->from->flags |= INODE_STALE;
    if (r->target)
        r->target->flags |= INODE_STALE;
    dir_unlist_locked(v, r->from_dir);
    dir_unlist_locked(v, r->to_dir);
    struct inode *there = inode_child_locked(r->to_dir, r->name);
    if (there)
        there->flags |= INODE_STALE;
}

static enum err_code rename_in_store(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e)
{
    CLEANUP(store_meta_unref) struct store_meta *meta = NULL;
    uint64_t attr_gen;
    struct store_version version = {.etag = ""};
    enum err_code code = r->target ? preserve(v, r->target, c, e) : ERR_OK;
    if (!code)
        code = carried_meta(v, r->from, c, &meta, &attr_gen, e);
    if (code)
        return code;
    lock_take(&v->tree);
    CLEANUP(free) char *etag = r->from->etag ? strdup(r->from->etag) : NULL;
    CLEANUP(free) char *target = r->target && r->target->etag ? strdup(r->target->etag) : NULL;
    uint64_t size = r->from->size;
    lock_drop(&v->tree);
    if (!etag)
        return err_set(e, ERR_CONFLICT, "\"%s\" is not in the store any more", r->from_key);
    code = copy_then_remove(v, r, meta, etag, target, size, c, &version, e);
    LOCK_SCOPE(&v->tree);
    if (code) {
        forget_both_locked(v, r);
        return code;
    }
    struct inode *old_dir = inode_ref_locked(r->from_dir);
    code = rename_move_locked(v, r, e);
    if (!code)
        moved_locked(v, r, meta, attr_gen, &version);
    dir_keep_locked(v, old_dir);
    inode_unref_locked(v, old_dir);
    return code;
}

enum err_code rename_file(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e)
{
    bool to_local = store_stays_local(v->store, r->name), from_local;
    lock_take(&v->tree);
    from_local = r->from->flags & INODE_LOCAL;
    lock_drop(&v->tree);
    if (from_local && to_local) {
        LOCK_SCOPE(&v->tree);
        return rename_move_locked(v, r, e);
    }
    if (from_local)
        return rename_from_local(v, r, c, e);
    return to_local ? rename_to_local(v, r, c, e) : rename_in_store(v, r, c, e);
}
