/*
 * What stands under a name. What is known within ttl answers at once. Otherwise it is asked for by itself (ask.c), or with all of
 * the directory's names where one page holds these (list_small).
 */
#include "util/str.h"
#include "vfs/ask.h"
#include "vfs/ask_first.h"
#include "vfs/inode.h"
#include "vfs/listed.h"
#include "vfs/look.h"
#include "vfs/merge.h"
#include "vfs/names.h"
#include "vfs/ranges.h"
#include "vfs/resolve.h"
#include "vfs/saved.h"
#include "vfs/view.h"
#include "vfs/walk.h"

#include <string.h>

/* A name that is not known where everything around it was listed within ttl. ERR_AGAIN: that is not so. */
static enum err_code absent_in_range_locked(struct vfs *v, struct inode *dir, const char *name, struct err *e)
{
    struct merge m = {0};
    BUF(component, 1024);
    if (!dir->dir->ranges)
        return ERR_AGAIN;
    enum name_meaning meaning = name_to_component(name, &component);
    if (meaning == NAME_LITERAL)
        buf_add_str(&component, name);
    if ((meaning != NAME_LITERAL && meaning != NAME_ESCAPE) ||
        !range_covers_locked(v, dir, buf_str(&component), &m.seq, &m.start_ms))
        return ERR_AGAIN;
    return merge_absent_locked(v, dir, name, buf_str(&component), &m, e);
}

enum err_code resolve_known_locked(struct vfs *v, struct inode *dir, const char *name, struct inode **out, struct err *e)
{
    lock_assert_held(&v->tree);
    *out = NULL;
    if (strlen(name) > NAME_BYTES_MAX)
        return err_set(e, ERR_NAME_TOO_LONG, "a name of more than %d bytes", NAME_BYTES_MAX);
    if (!utf8_valid(name, strlen(name)))
        return err_set(e, ERR_BAD_NAME, "a name that is not UTF-8");
    struct inode *i = inode_child_locked(dir, name);
    if (i && inode_fresh_locked(v, i) && !(i->flags & INODE_VIEW)) {
        if (look_needed_locked(v, i) || look_undecided_locked(v, i))
            return ERR_AGAIN;
        *out = i->kind == INODE_NONE ? NULL : i;
        return ERR_OK;
    }
    if (i || view_form_locked(v, dir, name) != STORE_FORM_PLAIN || holds_containers(v, dir))
        return ERR_AGAIN;
    if (listed_has_locked(dir, name))
        return err_set(e, ERR_NOMEM, "out of memory for names");
    return dir_fresh_locked(v, dir) ? ERR_OK : absent_in_range_locked(v, dir, name, e);
}

/* The object beside a directory shows under its name and '%'. */
static bool doubled_locked(void *dir, const char *component, size_t len)
{
    BUF(beside, 1024);
    name_beside_dir(&beside, component, len);
    struct inode *i = inode_child_locked(dir, buf_str(&beside));
    return i && i->kind != INODE_NONE && strlen(i->component) == len && memcmp(i->component, component, len) == 0;
}

enum err_code resolve_new_component_locked(struct vfs *v, struct inode *dir, const char *name, struct buf *component,
                                           struct err *e)
{
    switch (name_to_component(name, component)) {
    case NAME_LITERAL:
        buf_add_str(component, name);
        return ERR_OK;
    case NAME_ESCAPE:
        return ERR_OK;
    case NAME_BAD:
        return err_set(e, ERR_BAD_NAME, "a name that is not UTF-8");
    case NAME_DEPENDS:
        break;
    }
    if (!name_for_new(name, doubled_locked, dir, component))
        return err_set(e, ERR_NAME_TOO_LONG, "this form of name stands for keys too long to be a name");
    return ERR_OK;
}

/* What stands under the name now, whatever its age; counted, NULL if nothing. */
static struct inode *take_child(struct vfs *v, struct inode *dir, const char *name)
{
    LOCK_SCOPE(&v->tree);
    struct inode *i = inode_child_locked(dir, name);
    return i && i->kind != INODE_NONE ? inode_ref_locked(i) : NULL;
}

/* Two ways to know a name, at the same time. */
struct way {
    struct vfs *v;
    struct inode *dir;
    const char *name, *component;
    const struct vfs_caller *caller;
    bool whole;              /* all of the directory; else the name */
    enum err_code code;
    struct err err;
};

static void way_go(void *item)
{
    struct way *w = item;
    bool known;
    w->code = w->whole ? list_small(w->v, w->dir, w->caller, &known, &w->err)
                       : ask_component(w->v, w->dir, w->name, w->component, w->caller, &w->err);
}

static enum err_code ask_both(struct vfs *v, struct inode *dir, const char *name, const char *component,
                              const struct vfs_caller *c, struct err *e)
{
    const struct way way = {.v = v, .dir = dir, .name = name, .component = component, .caller = c};
    struct way w[2] = {way, way};
    w[1].whole = true;
    pool_each(v->pool, w, 2, sizeof(w[0]), 2, way_go, NULL);
    return w[0].code ? err_copy(e, &w[0].err) : ERR_OK;
}

/* Known to be outdated, whatever a listing within ttl has told. */
static bool is_stale(struct vfs *v, struct inode *dir, const char *name)
{
    LOCK_SCOPE(&v->tree);
    const struct inode *i = inode_child_locked(dir, name);
    return i && (i->flags & INODE_STALE);
}

static enum err_code ask_name(struct vfs *v, struct inode *dir, const char *name, const struct vfs_caller *c, struct err *e)
{
    BUF(component, 1024);
    if (holds_containers(v, dir)) /* no container's name needs an escape */
        return ask_component(v, dir, name, name, c, e);
    enum name_meaning meaning = name_to_component(name, &component);
    if (meaning == NAME_DEPENDS)
        return list_dir(v, dir, c, e);
    if (meaning == NAME_LITERAL)
        buf_add_str(&component, name);
    bool plain = view_form(v, dir, name) == STORE_FORM_PLAIN;
    if (plain && !is_stale(v, dir, name) && saved_take(v, dir, c))
        return ERR_OK;
    if (plain && list_small_due(v, dir))
        return ask_both(v, dir, name, buf_str(&component), c, e);
    bool whole = false;
    enum err_code code = plain && !is_stale(v, dir, name) ? list_small(v, dir, c, &whole, e) : ERR_OK;
    if (code || whole)
        return code;
    code = ask_component(v, dir, name, buf_str(&component), c, e);
    /* Who may not ask for one name may still list all of them. */
    if (code != ERR_ACCESS || !vfs_has(v, STORE_LIST_CONTENT) || !plain)
        return code;
    struct err none = ERR_INIT;
    return list_dir(v, dir, c, &none) == ERR_OK ? ERR_OK : code;
}

/* Attributes that the listing does not carry, where they are likely. *i may be replaced: what was looked at may have turned out
 * to be of another kind, or gone. */
static enum err_code look_at(struct vfs *v, struct inode *dir, const char *name, const struct vfs_caller *c,
                             struct inode **i, struct err *e)
{
    enum err_code code = look_sample(v, dir, *i, c, e);
    lock_take(&v->tree);
    bool needed = !code && look_needed_locked(v, *i);
    lock_drop(&v->tree);
    if (needed)
        code = look_many(v, i, 1, c, e);
    struct inode *now = code ? NULL : take_child(v, dir, name);
    inode_unref(v, *i);
    *i = now;
    return code;
}

/* resolve_known_locked(), after what comes without being asked for has come. *only_look: it is known but for its attributes. */
static enum err_code known_or_coming_locked(struct vfs *v, struct inode *dir, const char *name, const struct vfs_caller *c,
                                            struct inode **out, bool *only_look, struct err *e)
{
    for (;;) {
        enum err_code code = resolve_known_locked(v, dir, name, out, e);
        const struct inode *child = inode_child_locked(dir, name);
        *only_look = code == ERR_AGAIN && child && inode_fresh_locked(v, child);
        if (code != ERR_AGAIN || *only_look || (c && c->nowait) || !page_comes_locked(dir))
            return code;
        code = wait_changed_locked(v, c, e);
        if (code)
            return code;
    }
}

enum err_code resolve(struct vfs *v, struct inode *dir, const char *name, const struct vfs_caller *c, struct inode **out,
                      struct err *e)
{
    *out = NULL;
    struct inode *i = NULL;
    bool only_look;
    enum store_form form = view_form(v, dir, name);
    if (form_is_view(form))
        return view_resolve(v, dir, name, form == STORE_FORM_TREE_VIEW, c, out, e);
    lock_take(&v->tree);
    enum err_code code = known_or_coming_locked(v, dir, name, c, &i, &only_look, e);
    if (!code && i)
        *out = inode_ref_locked(i);
    lock_drop(&v->tree);
    if (code != ERR_AGAIN || (c && c->nowait))
        return code;
    code = only_look ? ERR_OK : ask_name(v, dir, name, c, e);
    if (code)
        return code;
    i = take_child(v, dir, name);
    if (i)
        code = look_at(v, dir, name, c, &i, e);
    lock_take(&v->tree);
    if (i)
        i->flags |= INODE_ASKED;
    lock_drop(&v->tree);
    *out = i;
    return code;
}
