/*
 * rename(2). A file is copied on the server and the source deleted: after a crash both names may exist, never neither (W6).
 * Conditions: the copy on the target as it was known, the deletion on the version that was copied (W4).
 */
#include "util/clock.h"
#include "vfs/attr.h"
#include "vfs/dirs.h"
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/ranges.h"
#include "vfs/refused.h"
#include "vfs/remember.h"
#include "vfs/remove.h"
#include "vfs/move.h"
#include "vfs/rename.h"
#include "vfs/resolve.h"
#include "vfs/resume.h"
#include "vfs/send.h"
#include "vfs/unfinished.h"
#include "vfs/view.h"

#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

enum err_code rename_move_locked(struct vfs *v, struct rename *r, struct err *e)
{
    lock_assert_held(&v->tree);
    struct inode *i = r->from;
    char *name = strdup(r->name);
    char *component = strcmp(r->name, r->component) == 0 ? name : strdup(r->component);
    if (!name || !component) {
        free(name);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    view_outdate_locked(v, i);
    if (r->target)
        removed_locked(v, r->to_dir, r->target);
    inode_ref_locked(i);
    struct inode *old_dir = r->from_dir;
    /* A directory that was made anew under the name of the old one has taken all names in that along. */
    bool stood = (i->flags & INODE_LINKED) && i->parent == old_dir;
    if (stood) {
        map_remove(old_dir->dir->children, i->name, strlen(i->name));
        inode_unref_locked(v, i);
    }
    i->flags &= (uint16_t)~(INODE_LINKED | INODE_SELF);
    CLEANUP(free) char *old_name = i->name, *old_component = i->component == i->name ? NULL : i->component;
    struct inode *mark = stood ? inode_new_locked(v, old_dir, old_name, old_component ? old_component : old_name, INODE_NONE) : NULL;
    i->name = name;
    i->component = component;
    if (i->parent != r->to_dir) {
        inode_ref_locked(r->to_dir);
        i->parent = r->to_dir;
        inode_unref_locked(v, old_dir);
    }
    enum err_code code = inode_link_locked(v, i, e);
    inode_changed_locked(v, i);
    view_outdate_locked(v, i);
    if (i->dir)
        rename_below_locked(v, i);
    if (!mark || inode_link_locked(v, mark, NULL))
        dir_unlist_locked(v, old_dir);
    else
        inode_changed_locked(v, mark);
    if (r->from_stays) { /* asked again by the next who looks */
        dir_unlist_locked(v, old_dir);
        if (mark)
            mark->flags |= INODE_STALE;
    }
    inode_unref_locked(v, mark);
    inode_unref_locked(v, i);
    return code;
}

void rename_below_locked(struct vfs *v, struct inode *dir)
{
    lock_assert_held(&v->tree);
    dir->dir->known_seq = v->seq;
    size_t cursor = 0;
    for (struct inode *i; (i = map_next(dir->dir->children, &cursor));) {
        i->changed_seq = v->seq;
        if (i->dir)
            rename_below_locked(v, i);
    }
}

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
    return renames_begin(v->renames_dir, &plan, false, &r->note, e);
}

/* A copy that had no answer may have been made, or may still be. What it replaced cannot be brought back. */
static void copy_failed(struct vfs *v, struct rename *r, const char *target_etag, const struct err *why)
{
    if (r->note && !target_etag && resume_unheard(why->code))
        resume_undo(v, TAKE(r->note), why, true);
    else
        rename_note_end(TAKE(r->note));
}

/* Where that is refused, nothing was removed. */
static void remove_failed(struct vfs *v, struct rename *r, const char *target_etag, const struct err *why)
{
    if (r->note && !target_etag && why->code == ERR_ACCESS) {
        resume_undo(v, TAKE(r->note), why, false);
        return;
    }
    LOG_WARN("vfs", "\"%s\" was copied to \"%s\", but could not be removed: awsfs journal retry does that: %s", r->from_key, r->to_key,
             why->msg);
    if (r->note)
        rename_note_failed(r->note, why, 0);
    resume_leave(v, TAKE(r->note));
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

static enum err_code rename_file(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e)
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

static enum err_code check_target(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e)
{
    if (!r->target)
        return ERR_OK;
    bool from_dir = r->from->kind == INODE_DIR, to_dir = r->target->kind == INODE_DIR;
    if (from_dir && !to_dir)
        return err_set(e, ERR_NOT_DIR, "\"%s\" is not a directory", r->name);
    if (!from_dir && to_dir)
        return err_set(e, ERR_IS_DIR, "\"%s\" is a directory", r->name);
    lock_take(&v->tree);
    bool full = to_dir && dir_has_unsent_locked(r->target), local = r->target->flags & INODE_LOCAL;
    lock_drop(&v->tree);
    if (full)
        return err_set(e, ERR_NOT_EMPTY, "\"%s\" is not empty", r->name);
    return to_dir && !local ? check_empty(v, r->to_key, c, r->to_marker, e) : ERR_OK;
}

static enum err_code name_keys(struct vfs *v, struct rename *r, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    BUF(component, sizeof(r->component) - 1);
    enum err_code code = ERR_OK;
    if (r->target)
        buf_add_str(&component, r->target->component);
    else
        code = resolve_new_component_locked(v, r->to_dir, r->name, &component, e);
    if (code)
        return code;
    memcpy(r->component, buf_str(&component), component.len + 1);
    BUF(key, KEY_BUF_MAX);
    if (r->target && (r->target->flags & INODE_SELF)) {
        inode_key_locked(r->target, &key);
    } else {
        inode_key_locked(r->to_dir, &key);
        buf_add_str(&key, r->component);
        if (r->from->kind == INODE_DIR)
            buf_add_char(&key, '/');
    }
    r->to_key = key.failed ? NULL : strdup(buf_str(&key));
    r->from_key = inode_key_dup_locked(r->from);
    return r->to_key && r->from_key ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code find_both(struct vfs *v, uint64_t parent, const char *name, uint64_t new_parent,
                               const struct vfs_caller *c, struct rename *r, struct err *e)
{
    lock_take(&v->tree);
    struct inode *a, *b;
    enum err_code code = inode_find_dir_locked(v, parent, &a, e);
    if (!code)
        code = inode_find_dir_locked(v, new_parent, &b, e);
    if (!code) {
        r->from_dir = inode_ref_locked(a);
        r->to_dir = inode_ref_locked(b);
    }
    lock_drop(&v->tree);
    if (!code)
        code = resolve(v, r->from_dir, name, c, &r->from, e);
    if (!code && !r->from)
        code = err_set(e, ERR_NOT_FOUND, "\"%s\" does not exist", name);
    if (!code)
        code = resolve(v, r->to_dir, r->name, c, &r->target, e);
    if (!code && (r->from->fixed || (r->target && r->target->fixed)))
        code = err_set(e, ERR_PERM, "\"%s\" to \"%s\": a version or a view stays where it is", name, r->name);
    if (!code && r->to_dir->fixed)
        code = err_set(e, ERR_READ_ONLY, "nothing can be put there");
    return code;
}

static bool stands_locked(const struct inode *i, const struct inode *dir, const char *name)
{
    return (i->flags & INODE_LINKED) && i->parent == dir && strcmp(i->name, name) == 0;
}

/* With both held: is what was found still there? */
static enum err_code still_so(struct vfs *v, const struct rename *r, const char *name, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    if (inode_removed_locked(r->to_dir))
        return err_set(e, ERR_NOT_FOUND, "the directory was removed");
    if (!stands_locked(r->from, r->from_dir, name))
        return err_set(e, ERR_NOT_FOUND, "\"%s\" was removed by others", name);
    const struct inode *there = inode_child_locked(r->to_dir, r->name);
    if ((there && there->kind != INODE_NONE ? there : NULL) != r->target)
        return err_set(e, ERR_CONFLICT, "\"%s\" is another file now", r->name);
    return ERR_OK;
}

static enum err_code check_inside(struct vfs *v, const struct rename *r, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    for (const struct inode *i = r->to_dir; i; i = i->parent)
        if (i == r->from)
            return err_set(e, ERR_INVAL, "a directory cannot be moved into itself");
    for (const struct inode *i = r->from; i && r->target; i = i->parent)
        if (i == r->target)
            return err_set(e, ERR_NOT_EMPTY, "\"%s\" is not empty", r->name);
    return ERR_OK;
}

static enum err_code check_held(struct vfs *v, struct rename *r, const char *name, const struct vfs_caller *c, struct err *e)
{
    enum err_code code = still_so(v, r, name, e);
    if (!code && !store_stays_local(v->store, r->name))
        code = store_check(v->store, r->to_key, r->from->kind == INODE_DIR, NULL, e);
    return code ? code : check_target(v, r, c, e);
}

static enum err_code rename_held(struct vfs *v, struct rename *r, const char *name, const struct vfs_caller *c, struct err *e)
{
    enum err_code code = name_keys(v, r, e);
    if (!code)
        code = check_held(v, r, name, c, e);
    bool is_dir = r->from->kind == INODE_DIR;
    if (!code && unfinished_any(v)) {
        code = unfinished_claim(v, r->from_key, is_dir, c, e);
        if (!code)
            code = unfinished_claim(v, r->to_key, is_dir, c, e);
        if (!code) /* what was under way may have put something there */
            code = check_held(v, r, name, c, e);
    }
    if (code)
        return code;
    return is_dir ? rename_dir(v, r, c, e) : rename_file(v, r, c, e);
}

/* What was written is in the store before it moves there. */
static enum err_code settle(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    if (i->kind == INODE_DIR)
        return rename_settle_below(v, i, c, e);
    lock_take(&v->tree);
    bool dirty = inode_unsent(i) && active_dirty(i->active);
    lock_drop(&v->tree);
    return dirty ? send_wait(v, i, true, c, e) : ERR_OK;
}

/* What an object is in, at the first level; the inode itself where it stands there. */
static const struct inode *top_locked(const struct inode *i)
{
    while (i->parent && i->parent->parent)
        i = i->parent;
    return i;
}

/* Containers have their names for good, and nothing moves from one to another in the store. */
static enum err_code check_containers(struct vfs *v, const struct rename *r, struct err *e)
{
    if (!vfs_has(v, STORE_CONTAINERS))
        return ERR_OK;
    LOCK_SCOPE(&v->tree);
    if (r->from->parent && r->to_dir->parent && !is_container_locked(v, r->from) && top_locked(r->from) == top_locked(r->to_dir))
        return ERR_OK;
    return err_set(e, ERR_CROSS, "\"%s\" cannot be renamed from or to the level of containers, or into another", r->name);
}

/* RENAME_NOREPLACE met a conflict: whether it is the new name that others have made, asked now. `e` has the conflict. */
static enum err_code taken_meanwhile(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e)
{
    struct inode *now = NULL;
    struct err err = ERR_INIT;
    enum err_code code = resolve(v, r->to_dir, r->name, c, &now, &err);
    inode_unref(v, now);
    return !code && now ? err_set(e, ERR_EXISTS, "\"%s\" exists", r->name) : ERR_CONFLICT;
}

static enum err_code rename_found(struct vfs *v, struct rename *r, const char *name, unsigned flags,
                                  const struct vfs_caller *c, struct err *e)
{
    if (r->from == r->target)
        return ERR_OK;
    if (r->target && (flags & RENAME_NOREPLACE))
        return err_set(e, ERR_EXISTS, "\"%s\" exists", r->name);
    enum err_code code = check_containers(v, r, e);
    if (!code)
        code = settle(v, r->from, c, e);
    if (!code)
        code = check_inside(v, r, e);
    struct hold hold = {.a = r->from, .b = r->target, .gone = r->target, .into = r->to_dir};
    if (!code)
        code = hold_take(v, &hold, r->target, c, e);
    if (code)
        return code;
    code = rename_held(v, r, name, c, e);
    hold_drop(v, &hold);
    return code == ERR_CONFLICT && (flags & RENAME_NOREPLACE) ? taken_meanwhile(v, r, c, e) : code;
}

enum err_code vfs_rename(struct vfs *v, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                         unsigned flags, const struct vfs_caller *c, struct err *e)
{
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return err_set(e, ERR_INVAL, "this kind of rename is not supported");
    if (v->cfg.read_only || vfs_has(v, STORE_READ_ONLY))
        return err_set(e, ERR_READ_ONLY, "mounted read-only");
    if (c->nowait)
        return ERR_AGAIN;
    struct refused_rename asked = {parent, new_parent, name, new_name};
    if (refused_take(v, c->pid, &asked))
        return err_set(e, ERR_CONFLICT, "\"%s\" or \"%s\" was changed by others", name, new_name);
    struct rename r = {.name = new_name};
    enum err_code code = find_both(v, parent, name, new_parent, c, &r, e);
    if (!code)
        code = rename_found(v, &r, name, flags, c, e);
    if (code == ERR_CONFLICT)
        refused_add(v, c->pid, &asked);
    inode_unref(v, r.from);
    inode_unref(v, r.target);
    inode_unref(v, r.from_dir);
    inode_unref(v, r.to_dir);
    free(r.from_key);
    free(r.to_key);
    return code;
}
