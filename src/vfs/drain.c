/* Draining: what was unsent or put off when it began is waited for. A program that writes on must not keep it from ending. */
#include "util/clock.h"
#include "vfs/drain.h"
#include "vfs/inode.h"
#include "vfs/send.h"

#include <string.h>

#define PROGRESS_MS 1000

/* ---- What was put off */

void deferred_begin_locked(struct vfs *v, struct deferred *d)
{
    lock_assert_held(&v->tree);
    d->seq = ++v->deferred_seq;
    TAILQ_INSERT_TAIL(&v->deferred, d, link);
    v->background++;
}

void deferred_end_locked(struct vfs *v, struct deferred *d, bool failed)
{
    lock_assert_held(&v->tree);
    TAILQ_REMOVE(&v->deferred, d, link);
    v->deferred_failed += failed;
    v->background--;
    cond_broadcast(&v->changed);
}

static uint64_t count_deferred_locked(const struct vfs *v, uint64_t until)
{
    uint64_t n = 0;
    const struct deferred *d;
    TAILQ_FOREACH(d, &v->deferred, link)
        n += d->seq <= until;
    return n;
}

/* ---- What is unsent */

/* What was unsent when the drain began. */
struct due {
    struct inode *inode; /* counted */
    uint64_t gen, attr_gen;
};

static size_t take_due_locked(struct vfs *v, struct due **out)
{
    size_t n = 0;
    struct active *a;
    TAILQ_FOREACH(a, &v->unsent, link)
        n++;
    *out = calloc(n + 1, sizeof(**out));
    if (!*out)
        return 0;
    n = 0;
    TAILQ_FOREACH(a, &v->unsent, link) {
        if (!a->sending && send_may_work_now(a))
            a->failure.code = ERR_OK;
        (*out)[n++] = (struct due){inode_ref_locked(a->inode), a->gen, a->attr_gen};
    }
    return n;
}

static bool due_ended_locked(const struct due *d, uint64_t *failed)
{
    const struct active *a = d->inode->active;
    if (!a || !a->queued || (a->sent_gen >= d->gen && a->attr_sent_gen >= d->attr_gen))
        return true;
    bool lost = !a->sending && send_has_failed(a);
    *failed += lost;
    return lost;
}

/* True while something of it is not in the store and has not failed; those are started. */
static bool count_due_locked(struct vfs *v, const struct due *due, size_t n, uint64_t *waiting, uint64_t *failed,
                             uint64_t *bytes)
{
    *waiting = *failed = *bytes = 0;
    for (size_t k = 0; k < n; k++) {
        if (due_ended_locked(&due[k], failed))
            continue;
        ++*waiting;
        *bytes += due[k].inode->size;
        send_start_locked(v, due[k].inode);
    }
    return *waiting > 0;
}

/* ---- The drain */

struct watcher {
    void (*progress)(void *arg, uint64_t files, uint64_t bytes);
    void *arg;
    uint64_t next_ms;
};

static void wait_locked(struct vfs *v, struct watcher *w, uint64_t files, uint64_t bytes)
{
    cond_wait(&v->changed, &v->tree, clock_mono_ms() + 100);
    if (!w->progress || clock_mono_ms() < w->next_ms)
        return;
    w->next_ms = clock_mono_ms() + PROGRESS_MS;
    lock_drop(&v->tree);
    w->progress(w->arg, files, bytes);
    lock_take(&v->tree);
}

enum err_code vfs_drain(struct vfs *v, void (*progress)(void *arg, uint64_t files, uint64_t bytes), void *arg, struct err *e)
{
    struct watcher w = {progress, arg, clock_mono_ms() + PROGRESS_MS};
    uint64_t waiting, failed, bytes;
    CLEANUP(free) struct due *due = NULL;
    LOCK_SCOPE(&v->tree);
    uint64_t failed_before = v->failed_uploads + v->deferred_failed;
    size_t n = take_due_locked(v, &due);
    if (!due)
        return err_set(e, ERR_NOMEM, "out of memory");
    while (count_due_locked(v, due, n, &waiting, &failed, &bytes))
        wait_locked(v, &w, waiting, bytes);
    /* Also what the failures of the above have put off: to leave their bytes in the state directory. */
    uint64_t until = v->deferred_seq;
    while ((waiting = count_deferred_locked(v, until)) > 0)
        wait_locked(v, &w, waiting, 0);
    failed += v->failed_uploads + v->deferred_failed - failed_before;
    for (size_t k = 0; k < n; k++)
        inode_unref_locked(v, due[k].inode);
    return failed ? err_set(e, ERR_IO, "some files could not be stored: the log and `awsfs status` name them") : ERR_OK;
}

enum err_code vfs_check_told(struct vfs *v, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    return v->untold ? err_set(e, ERR_IO, "%llu changes could not be stored, and no program was told: the log names them, `awsfs journal` has the bytes",
                               (unsigned long long)v->untold)
                     : ERR_OK;
}

/* ---- The names in a directory */

static bool is_name_due_locked(const struct vfs *v, const struct active *a, const struct inode *dir)
{
    const struct inode *i = a->inode;
    bool made = i->parent == dir && (i->flags & INODE_NEW) && inode_placed(i) && inode_unsent(i);
    return made && !(i->size == 0 && vfs_has(v, STORE_EMPTY_REFUSED)) && (a->opens == 0 || i->size == 0);
}

static enum err_code take_names_locked(struct vfs *v, const struct inode *dir, struct inode ***out, size_t *n, struct err *e)
{
    size_t count = 0;
    struct active *a;
    TAILQ_FOREACH(a, &v->unsent, link)
        count += is_name_due_locked(v, a, dir);
    *out = count ? calloc(count, sizeof(struct inode *)) : NULL;
    if (count && !*out)
        return err_set(e, ERR_NOMEM, "out of memory");
    TAILQ_FOREACH(a, &v->unsent, link)
        if (is_name_due_locked(v, a, dir))
            (*out)[(*n)++] = inode_ref_locked(a->inode);
    for (size_t k = 0; k < *n; k++)
        send_start_locked(v, (*out)[k]);
    return ERR_OK;
}

enum err_code drain_names(struct vfs *v, const struct inode *dir, const struct vfs_caller *c, struct err *e)
{
    CLEANUP(free) struct inode **names = NULL;
    size_t n = 0;
    lock_take(&v->tree);
    enum err_code code = take_names_locked(v, dir, &names, &n, e);
    lock_drop(&v->tree);
    for (size_t k = 0; k < n; k++) {
        struct err err = ERR_INIT;
        if (send_wait(v, names[k], true, c, &err) && !code)
            code = err_copy(e, &err);
        inode_unref(v, names[k]);
    }
    return code;
}
