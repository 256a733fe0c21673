/* rename(2): what is renamed to what, whether it can be, and the move in the tree. */
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/ranges.h"
#include "vfs/refused.h"
#include "vfs/remove.h"
#include "vfs/rename.h"
#include "vfs/resolve.h"
#include "vfs/send.h"
#include "vfs/unfinished.h"
#include "vfs/view.h"

#include <linux/fs.h>
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
    if (!r->target)
        hold.name = r->name;
    if (code)
        return code;
    code = hold_take(v, &hold, r->target, c, e);
    if (!code) {
        code = rename_held(v, r, name, c, e);
        hold_drop(v, &hold);
    }
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
    unfinished_free(r.left);
    inode_unref(v, r.from);
    inode_unref(v, r.target);
    inode_unref(v, r.from_dir);
    inode_unref(v, r.to_dir);
    free(r.from_key);
    free(r.to_key);
    return code;
}
