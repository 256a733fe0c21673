/*
 * Holds: while something is removed or renamed, nothing of it or of what is below it begins to be sent, and nobody else removes
 * or renames it, what is below it, or what it is in. So a put cannot bring a removed object back, or come to a key that is
 * being given up. Writing goes on: what was written is sent afterwards, under the name that there is then.
 */
#include "vfs/tree.h"

static bool above_locked(const struct inode *above, const struct inode *i)
{
    while (i && i != above)
        i = i->parent;
    return i != NULL;
}

bool hold_covers_locked(const struct vfs *v, const struct inode *i)
{
    const struct active *h;
    LIST_FOREACH(h, &v->holds, hold_link)
        if (above_locked(h->inode, i))
            return true;
    return false;
}

static bool free_locked(const struct vfs *v, const struct inode *i)
{
    const struct active *h;
    LIST_FOREACH(h, &v->holds, hold_link)
        if (above_locked(h->inode, i) || above_locked(i, h->inode))
            return false;
    return true;
}

static bool sends_below_locked(const struct vfs *v, const struct inode *i)
{
    const struct active *a;
    LIST_FOREACH(a, &v->sending, sending_link)
        if (above_locked(i, a->inode))
            return true;
    return false;
}

static bool both_free_locked(const struct vfs *v, const struct inode *a, const struct inode *b)
{
    return free_locked(v, a) && (!b || free_locked(v, b));
}

static bool both_quiet_locked(const struct vfs *v, const struct inode *a, const struct inode *b)
{
    return !sends_below_locked(v, a) && (!b || !sends_below_locked(v, b));
}

static void take_locked(struct vfs *v, struct inode *i)
{
    i->active->held = true;
    LIST_INSERT_HEAD(&v->holds, i->active, hold_link);
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

static enum err_code take_both(struct vfs *v, struct inode *a, struct inode *b, const struct vfs_caller *c, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    if (c && c->nowait && !(both_free_locked(v, a, b) && both_quiet_locked(v, a, b)))
        return ERR_AGAIN;
    while (!both_free_locked(v, a, b)) {
        enum err_code code = wait_changed_locked(v, c, e);
        if (code)
            return code;
    }
    enum err_code code = inode_activate_locked(v, a, e);
    if (!code && b && (code = inode_activate_locked(v, b, e)))
        inode_settle_locked(v, a);
    if (code)
        return code;
    take_locked(v, a);
    if (b)
        take_locked(v, b);
    return ERR_OK;
}

static enum err_code wait_quiet(struct vfs *v, struct inode *a, struct inode *b, const struct vfs_caller *c, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    while (!both_quiet_locked(v, a, b)) {
        enum err_code code = wait_changed_locked(v, c, e);
        if (code)
            return code;
    }
    return ERR_OK;
}

enum err_code hold_take(struct vfs *v, struct inode *a, struct inode *b, struct inode *stop, const struct vfs_caller *c,
                        struct err *e)
{
    enum err_code code = take_both(v, a, b, c, e);
    if (code)
        return code;
    if (stop)
        stop_sending(v, stop);
    code = wait_quiet(v, a, b, c, e);
    if (code)
        hold_drop(v, a, b);
    return code;
}

/* What was written meanwhile, or released, is sent now. */
static void drop_locked(struct vfs *v, struct inode *i)
{
    i->active->held = false;
    LIST_REMOVE(i->active, hold_link);
    for (struct active *a = TAILQ_FIRST(&v->unsent), *next; a; a = next) {
        next = TAILQ_NEXT(a, link);
        if (a->inode != i && above_locked(i, a->inode))
            send_rest_locked(v, a->inode);
    }
    send_rest_locked(v, i);
    inode_settle_locked(v, i);
}

void hold_drop(struct vfs *v, struct inode *a, struct inode *b)
{
    LOCK_SCOPE(&v->tree);
    drop_locked(v, a);
    if (b)
        drop_locked(v, b);
    cond_broadcast(&v->changed);
}

enum err_code hold_wait(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    while (hold_covers_locked(v, i)) {
        enum err_code code = c && c->nowait ? ERR_AGAIN : wait_changed_locked(v, c, e);
        if (code)
            return code;
    }
    return ERR_OK;
}
