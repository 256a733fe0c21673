/*
 * Sending: when, and by whom. An inode has at most one sending under way; its states are
 *   clean -> unsent (a write, a change of attributes) -> sending -> clean | unsent (changed meanwhile) | failed
 *   failed -> sending only when asked to again (fsync), or after another change
 * A failed state is never tried again by itself; when nobody has the file open any more its bytes are left in the state
 * directory and the name shows what the store has.
 */
#include "vfs/attr.h"
#include "vfs/drain.h"
#include "vfs/early.h"
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/send.h"
#include "vfs/ranges.h"

#include "util/clock.h"

#include <string.h>

#define LATER_MS 1000
#define BRIEF_MAX (64u << 10)

bool send_has_failed(const struct active *a)
{
    return a->failed_gen == a->gen && a->attr_failed_gen == a->attr_gen && a->failure.code;
}

bool send_may_work_now(const struct active *a)
{
    return a->failure.code == ERR_NOSPC;
}

void send_dirty_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    struct active *a = i->active;
    bool unsent = inode_unsent(i) && inode_placed(i);
    if (unsent && !a->queued) {
        TAILQ_INSERT_TAIL(&v->unsent, a, link);
        a->since_ms = clock_mono_ms();
        a->attempts = 0;
        inode_ref_locked(i);
        a->queued = true;
    } else if (!unsent && a->queued) {
        TAILQ_REMOVE(&v->unsent, a, link);
        a->queued = false;
        inode_settle_locked(v, i);
        inode_unref_locked(v, i);
    }
}

struct send_task {
    struct vfs *v;
    struct inode *inode;
};

/* A timer that came meanwhile did nothing. */
void send_rest_locked(struct vfs *v, struct inode *i)
{
    if (!i->active || !inode_unsent(i))
        return;
    if (i->active->opens == 0)
        send_last_close_locked(v, i);
    else if (inode_placed(i) && !send_has_failed(i->active))
        send_later_locked(v, i);
}

void send_begin_locked(struct vfs *v, struct inode *i, struct cancel *cancel)
{
    i->active->sending = true;
    i->active->send_cancel = cancel;
    LIST_INSERT_HEAD(&v->sending, i->active, sending_link);
}

void send_end_locked(struct vfs *v, struct inode *i)
{
    struct active *a = i->active;
    a->sending = a->send_brief = false;
    LIST_REMOVE(a, sending_link);
    cancel_unref(a->send_cancel);
    a->send_cancel = NULL;
    send_dirty_locked(v, i);
    send_rest_locked(v, i);
    inode_settle_locked(v, i);
    cond_broadcast(&v->changed);
}

static void send_now(struct vfs *v, struct inode *i)
{
    lock_take(&v->tree);
    bool content = active_dirty(i->active);
    lock_drop(&v->tree);
    if (content)
        send_content(v, i);
    else
        send_attr(v, i);
    lock_take(&v->tree);
    send_end_locked(v, i);
    inode_unref_locked(v, i);
    v->background--;
    cond_broadcast(&v->changed);
    lock_drop(&v->tree);
}

static void send_run(void *arg)
{
    CLEANUP(free) struct send_task *t = arg;
    send_now(t->v, t->inode);
}

/* The task waits for this lock before it touches the inode. */
static void started_locked(struct vfs *v, struct inode *i, struct cancel *cancel)
{
    struct active *a = i->active;
    inode_ref_locked(i);
    a->tried |= active_dirty(a);
    a->attempts++;
    send_begin_locked(v, i, cancel);
    v->background++;
}

void send_start_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    struct active *a = i->active;
    if (!a || a->sending || !inode_unsent(i) || hold_covers_locked(v, i))
        return;
    struct send_task *t = malloc(sizeof(*t));
    struct cancel *cancel = cancel_new();
    if (t)
        *t = (struct send_task){.v = v, .inode = i};
    if (!t || !cancel || pool_submit(v->pool, send_run, t, NULL)) {
        free(t);
        cancel_unref(cancel);
        send_later_locked(v, i);
        return;
    }
    started_locked(v, i, cancel);
}

static void later(void *arg)
{
    struct send_task *t = arg;
    struct vfs *v = t->v;
    struct inode *i = t->inode;
    lock_take(&v->tree);
    i->active->timer_armed = false;
    if (inode_unsent(i) && i->active->opens == 0 && send_has_failed(i->active))
        send_last_close_locked(v, i);
    else if (inode_unsent(i) && !send_has_failed(i->active) && inode_placed(i))
        send_start_locked(v, i);
    inode_settle_locked(v, i);
    inode_unref_locked(v, i);
    v->background--;
    cond_broadcast(&v->changed);
    lock_drop(&v->tree);
    free(t);
}

void send_later_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    struct active *a = i->active;
    if (a->timer_armed || (active_dirty(a) && a->writers))
        return;
    struct send_task *t = malloc(sizeof(*t));
    if (!t)
        return; /* it stays in the list of what is unsent: the next close or the drain takes it */
    *t = (struct send_task){.v = v, .inode = inode_ref_locked(i)};
    a->timer_armed = true;
    v->background++;
    timer_arm(v->timers, &a->timer, clock_mono_ms() + LATER_MS, later, t);
}

void send_failed_locked(struct vfs *v, struct inode *i, uint64_t gen, uint64_t attr_gen, const struct err *e)
{
    lock_assert_held(&v->tree);
    struct active *a = i->active;
    a->failed_gen = gen;
    a->attr_failed_gen = attr_gen;
    a->failure = *e;
    a->told = false;
    v->failed_uploads++;
}

static enum err_code wait_for_locked(struct vfs *v, struct inode *i, uint64_t gen, uint64_t attr_gen,
                                     const struct vfs_caller *c, struct err *e)
{
    struct active *a = i->active;
    for (;;) {
        bool failed = a->failure.code && a->failed_gen >= gen && a->attr_failed_gen >= attr_gen;
        bool sent = !inode_placed(i) || !inode_unsent(i) || (a->sent_gen >= gen && a->attr_sent_gen >= attr_gen);
        if (failed && (sent || !a->sending)) { /* a conflict is both, also before its sending has ended */
            a->told = true;
            return err_copy(e, &a->failure);
        }
        if (sent)
            return ERR_OK;
        if (!a->sending)
            send_start_locked(v, i);
        enum err_code code = wait_changed_locked(v, c, e);
        if (code)
            return code;
    }
}

/* What is all here and goes to the local disk only. */
static bool is_brief_locked(const struct vfs *v, const struct inode *i)
{
    const struct active *a = i->active;
    return vfs_has(v, STORE_LATER) && a && a->stage && active_dirty(a) && !a->sending && !a->early && !a->failure.code && !i->content &&
           i->size <= BRIEF_MAX && !(i->flags & INODE_CONFLICT) && look_is_told_locked(v, i) && !hold_covers_locked(v, i);
}

/* On the caller's thread, where that waits for no more than the local disk: a small file is in the journal without another thread's being
 * woken for it. Whether it was tried. */
static bool send_brief(struct vfs *v, struct inode *i)
{
    struct cancel *cancel = cancel_new();
    lock_take(&v->tree);
    bool brief = cancel && is_brief_locked(v, i);
    if (brief) {
        started_locked(v, i, cancel);
        i->active->send_brief = true;
    }
    lock_drop(&v->tree);
    if (brief)
        send_now(v, i);
    else
        cancel_unref(cancel);
    return brief;
}

static enum err_code brief_outcome(struct vfs *v, struct inode *i, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    struct active *a = i->active;
    if (a && send_has_failed(a)) {
        a->told = true;
        return err_copy(e, &a->failure);
    }
    return inode_unsent(i) ? ERR_AGAIN : ERR_OK;
}

enum err_code send_wait(struct vfs *v, struct inode *i, bool again, const struct vfs_caller *c, struct err *e)
{
    if (c && c->nowait)
        return c->brief && send_brief(v, i) ? brief_outcome(v, i, e) : ERR_AGAIN;
    LOCK_SCOPE(&v->tree);
    struct active *a = i->active;
    if (!a)
        return ERR_OK;
    bool unsent = a->failed_gen > a->sent_gen || a->attr_failed_gen > a->attr_sent_gen; /* else a conflict, for good */
    if (again && !a->sending && unsent)
        a->failure.code = ERR_OK;
    a->waiters++;
    enum err_code code = wait_for_locked(v, i, a->gen, a->attr_gen, c, e);
    a->waiters--;
    if (a->opens == 0)
        send_last_close_locked(v, i);
    inode_settle_locked(v, i);
    return code;
}

/* ---- The last close */

struct abandon_task {
    struct vfs *v;
    struct stage *stage;
    char *key, *etag;
    struct stage_about about;
    struct err failure;
    struct deferred deferred;
};

/* An upload that alone has some of the bytes is kept before anything says so: who is killed between the two leaves it to be listed, and not
 * to be aborted. */
static void abandon(struct vfs *v, struct stage *stage, const struct stage_about *about)
{
    char path[512] = "";
    struct err err = ERR_INIT;
    if (v->uploads && about->upload_id)
        uploads_keep(v->uploads, about->upload_id);
    bool empty = stage_size(stage) == 0;
    bool lost = stage_abandon(stage, about, path, sizeof(path), &err) != ERR_OK;
    if (lost && empty)
        LOG_WARN("vfs", "\"%s\" could not be emptied: %s", about->key, about->reason);
    else if (lost)
        LOG_ERROR("vfs", "\"%s\" could not be stored and its bytes are lost: %s", about->key, about->reason);
    else
        LOG_ERROR("vfs", "\"%s\" could not be stored (%s): its bytes are in %s", about->key, about->reason, path);
}

/* What there is to be said without memory; the key is the caller's. */
static struct stage_about about_locked(struct vfs *v, struct inode *i)
{
    struct vfs_attr shown;
    struct store_cond cond = send_condition(i, i->etag);
    attr_fill_locked(v, i, &shown);
    return (struct stage_about){
        .reason = i->active->failure.msg,
        .origin = cond.kind == STORE_IF_ABSENT  ? STAGE_OF_NOTHING
                  : cond.kind == STORE_IF_MATCH ? STAGE_OF_VERSION
                                                : STAGE_OF_ANYTHING,
        .etag = cond.etag,
        .mode = shown.st.st_mode,
        .uid = shown.st.st_uid,
        .gid = shown.st.st_gid,
        .mtime = shown.st.st_mtim,
    };
}

static void abandon_task_free(struct abandon_task *t)
{
    if (!t)
        return;
    free((void *)t->about.sent);
    free(t->key);
    free(t->etag);
    free(t);
}

static void abandon_run(void *arg)
{
    struct abandon_task *t = arg;
    lock_take(&t->v->tree); /* who submitted it still looks at the stage */
    lock_drop(&t->v->tree);
    abandon(t->v, t->stage, &t->about);
    lock_take(&t->v->tree);
    deferred_end_locked(t->v, &t->deferred, false);
    lock_drop(&t->v->tree);
    abandon_task_free(t);
}

/* False without memory: then the stage is still the inode's. */
static bool abandon_start_locked(struct vfs *v, struct inode *i)
{
    struct active *a = i->active;
    struct abandon_task *t = calloc(1, sizeof(*t));
    if (t) {
        *t = (struct abandon_task){.v = v, .stage = a->stage, .key = inode_key_dup_locked(i), .failure = a->failure};
        t->about = about_locked(v, i);
        t->etag = t->about.etag ? strdup(t->about.etag) : NULL;
    }
    if (!t || !t->key || (t->about.etag && !t->etag)) {
        abandon_task_free(t);
        return false;
    }
    t->about.key = t->key;
    t->about.etag = t->etag;
    t->about.reason = t->failure.msg;
    if (pool_submit(v->pool, abandon_run, t, NULL)) {
        abandon_task_free(t);
        return false;
    }
    if (a->early) { /* it looks at the stage */
        early_describe_locked(a->early, &t->about); /* the task waits for this lock before it looks */
        early_drop_locked(v, TAKE(a->early));
    }
    a->stage = NULL;
    deferred_begin_locked(v, &t->deferred); /* the task waits for this lock before it ends it */
    return true;
}

void send_give_up_locked(struct vfs *v, struct inode *i, bool at_end)
{
    struct active *a = i->active;
    bool staged = a->stage && active_dirty(a);
    bool nothing = staged && vfs_has(v, STORE_EMPTY_REFUSED) && i->size == 0; /* an emptiness that is none there */
    if (staged && !abandon_start_locked(v, i)) {
        if (!at_end) { /* the bytes stay the file's until it can be done, at the end of the vfs at the latest */
            if (!v->closing)
                send_later_locked(v, i);
            return;
        }
        struct stage_about about = about_locked(v, i);
        about.key = i->name;
        if (a->early) {
            early_describe_locked(a->early, &about);
            early_drop_locked(v, TAKE(a->early));
        }
        abandon(v, TAKE(a->stage), &about);
        free((void *)about.sent);
    }
    v->untold += !a->told && !nothing;
    a->sent_gen = a->gen;
    a->attr_sent_gen = a->attr_gen;
    send_dirty_locked(v, i);
    if (i->kind != INODE_DIR && (i->flags & INODE_LINKED)) {
        dir_unlist_locked(v, i->parent);
        inode_expel_locked(v, i);
    } else if (i->kind == INODE_DIR) {
        inode_set_meta_locked(i, NULL);
        i->flags |= INODE_STALE;
    }
}

void send_last_close_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    struct active *a = i->active;
    if (a->sending || a->waiters || !inode_unsent(i) || hold_covers_locked(v, i))
        return;
    inode_ref_locked(i);
    if (!inode_placed(i)) {
        a->sent_gen = a->gen;
        a->attr_sent_gen = a->attr_gen;
        send_dirty_locked(v, i);
    } else if (send_has_failed(a)) {
        send_give_up_locked(v, i, false);
    } else if (active_dirty(a)) {
        send_start_locked(v, i);
    } else {
        send_later_locked(v, i);
    }
    inode_unref_locked(v, i);
}
