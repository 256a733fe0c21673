/*
 * The version a changed file comes from. Where it is small it is fetched while the program writes: should others replace the
 * object meanwhile, what was written can still be put beside theirs as a whole (W4). A large one is fetched when it is needed.
 */
#include "vfs/base.h"

#include "vfs/inode.h"
#include "vfs/stage_use.h"

struct base_task {
    struct vfs *v;
    struct inode *inode;
    struct stage *stage;
    struct content *content;
};

static void base_run(void *arg)
{
    CLEANUP(free) struct base_task *t = arg;
    struct err err = ERR_INIT;
    if (stage_complete_from(t->stage, t->content, false, NULL, &err))
        LOG_DEBUG("vfs", "%s", err.msg); /* whoever needs the bytes asks again, and has the error then */
    content_unref(t->content);
    LOCK_SCOPE(&t->v->tree);
    stage_unpin_locked(t->v, t->inode);
    inode_unref_locked(t->v, t->inode);
    t->v->background--;
    cond_broadcast(&t->v->changed);
}

void base_fetch_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    struct active *a = i->active;
    if (!i->content || !a->stage || content_size(i->content) > v->caps->put_target || stage_complete(a->stage, false))
        return;
    struct base_task *t = malloc(sizeof(*t));
    if (!t)
        return;
    *t = (struct base_task){.v = v, .inode = i, .stage = a->stage, .content = content_ref(i->content)};
    if (pool_submit(v->pool, base_run, t, NULL)) {
        content_unref(t->content);
        free(t);
        return;
    }
    /* The task waits for this lock before it gives these back. */
    inode_ref_locked(i);
    a->opens++;
    v->background++;
}
