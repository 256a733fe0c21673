/*
 * Holds: while something is removed or renamed, nothing of it or of what is below it begins to be sent, and nobody else removes
 * or renames it, what is below it, or what it is in. So a put cannot bring a removed object back, or come to a key that is
 * being given up. Writing goes on: what was written is sent afterwards, under the name that there is then. A directory into
 * which something is being put is not moved or removed meanwhile; any number may put into it at once. A free name to which something is
 * renamed is held too: what a lookup or a listing finds of it in the store is half of it, and an inode of that would be replaced.
 */
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/send.h"
#include "vfs/unfinished.h"

static bool above_locked(const struct inode *above, const struct inode *i)
{
    while (i && above && i != above)
        i = i->parent;
    return i && above;
}

bool hold_covers_locked(const struct vfs *v, const struct inode *i)
{
    const struct hold *h;
    LIST_FOREACH(h, &v->holds, link)
        if (above_locked(h->a, i) || above_locked(h->b, i))
            return true;
    return unfinished_covers_locked(v, i);
}

static bool takes_away_locked(const struct vfs *v, const struct inode *i)
{
    const struct hold *h;
    LIST_FOREACH(h, &v->holds, link)
        if (h->gone == i)
            return true;
    return false;
}

enum err_code hold_wait_open_locked(struct vfs *v, const struct inode *i, const struct vfs_caller *c, struct err *e)
{
    bool waited = false;
    for (; takes_away_locked(v, i); waited = true) {
        enum err_code code = c && c->nowait ? ERR_AGAIN : wait_changed_locked(v, c, e);
        if (code)
            return code;
    }
    if (waited && !(i->flags & INODE_LINKED))
        return err_set(e, ERR_CONFLICT, "\"%s\" was replaced or removed meanwhile", i->name ? i->name : "");
    return ERR_OK;
}

/* `i` may be held as far as another hold is concerned. */
static bool apart_locked(const struct hold *other, const struct inode *i)
{
    return !i || !(above_locked(other->a, i) || above_locked(i, other->a) || above_locked(other->b, i) ||
                   above_locked(i, other->b) || above_locked(i, other->into));
}

static bool free_locked(const struct vfs *v, const struct hold *h)
{
    const struct hold *other;
    LIST_FOREACH(other, &v->holds, link)
        if (!apart_locked(other, h->a) || !apart_locked(other, h->b) || above_locked(other->a, h->into) ||
            above_locked(other->b, h->into))
            return false;
    return true;
}

static bool quiet_locked(const struct vfs *v, const struct hold *h)
{
    const struct active *a;
    LIST_FOREACH(a, &v->sending, sending_link)
        if (above_locked(h->a, a->inode) || above_locked(h->b, a->inode))
            return false;
    return true;
}

static enum err_code activate_locked(struct vfs *v, const struct hold *h, struct err *e)
{
    enum err_code code = h->a ? inode_activate_locked(v, h->a, e) : ERR_OK;
    if (code || !h->b)
        return code;
    code = inode_activate_locked(v, h->b, e);
    if (code && h->a)
        inode_settle_locked(v, h->a);
    return code;
}

static void name_end_locked(struct vfs *v, struct hold *h)
{
    if (!h->name || !h->b)
        return;
    if (!h->b->changed_seq && !h->b->active) /* made for holds, the last of which ends: nobody has told that the name is free */
        inode_detach_locked(v, h->b);
    inode_unref_locked(v, h->b);
    h->b = NULL;
}

/* `b` is what stands for the name, as long as it does. */
static enum err_code name_take_locked(struct vfs *v, struct hold *h, struct err *e)
{
    if (!h->name || (h->b && (h->b->flags & INODE_LINKED)))
        return ERR_OK;
    name_end_locked(v, h);
    struct inode *i = inode_child_locked(h->into, h->name);
    if (i && i->kind != INODE_NONE)
        return err_set(e, ERR_CONFLICT, "\"%s\" is another file now", h->name);
    if (i) {
        h->b = inode_ref_locked(i);
        return ERR_OK;
    }
    i = inode_new_locked(v, h->into, h->name, h->name, INODE_NONE);
    if (!i)
        return err_set(e, ERR_NOMEM, "out of memory");
    enum err_code code = inode_link_locked(v, i, e);
    if (code)
        inode_unref_locked(v, i);
    else
        h->b = i;
    return code;
}

static enum err_code take(struct vfs *v, struct hold *h, const struct vfs_caller *c, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    if (c && c->nowait && !(free_locked(v, h) && quiet_locked(v, h)))
        return ERR_AGAIN;
    enum err_code code;
    while (!(code = name_take_locked(v, h, e)) && !free_locked(v, h) && !(code = wait_changed_locked(v, c, e)))
        continue;
    if (!code)
        code = activate_locked(v, h, e);
    if (code) {
        name_end_locked(v, h);
        return code;
    }
    if (h->a)
        h->a->active->held = true;
    if (h->b)
        h->b->active->held = true;
    LIST_INSERT_HEAD(&v->holds, h, link);
    return ERR_OK;
}

static void stop_sending(struct vfs *v, struct inode *i)
{
    lock_take(&v->tree);
    struct cancel *cancel = i->active->send_cancel ? cancel_ref(i->active->send_cancel) : NULL;
    lock_drop(&v->tree);
    if (cancel)
        cancel_fire(cancel);
    cancel_unref(cancel);
}

static enum err_code wait_quiet(struct vfs *v, const struct hold *h, const struct vfs_caller *c, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    while (!quiet_locked(v, h)) {
        enum err_code code = wait_changed_locked(v, c, e);
        if (code)
            return code;
    }
    return ERR_OK;
}

enum err_code hold_take(struct vfs *v, struct hold *h, struct inode *stop, const struct vfs_caller *c, struct err *e)
{
    enum err_code code = take(v, h, c, e);
    if (code)
        return code;
    if (stop)
        stop_sending(v, stop);
    code = wait_quiet(v, h, c, e);
    if (code)
        hold_drop(v, h);
    return code;
}

/* What was written meanwhile, or released, is sent now. */
static void let_go_locked(struct vfs *v, struct inode *i)
{
    i->active->held = false;
    for (struct active *a = TAILQ_FIRST(&v->unsent), *next; a; a = next) {
        next = TAILQ_NEXT(a, link);
        if (a->inode != i && above_locked(i, a->inode))
            send_rest_locked(v, a->inode);
    }
    send_rest_locked(v, i);
    inode_settle_locked(v, i);
}

void hold_drop(struct vfs *v, struct hold *h)
{
    LOCK_SCOPE(&v->tree);
    LIST_REMOVE(h, link);
    if (h->a)
        let_go_locked(v, h->a);
    if (h->b)
        let_go_locked(v, h->b);
    name_end_locked(v, h);
    cond_broadcast(&v->changed);
}
