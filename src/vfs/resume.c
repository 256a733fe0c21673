/*
 * Renames that are finished, or taken back, later than the call that began them: by their records (journal/renames.h), in the background.
 * Nothing is held meanwhile: every step has its condition, and what others, or this mount's programs, change stays.
 */
#include "vfs/resume.h"

#include "util/clock.h"
#include "util/str.h"
#include "vfs/changed.h"
#include "vfs/drain.h"
#include "vfs/move.h"

#include <string.h>

#define LATE_MS 2000 /* until a copy that nobody waits for any more has come, or never will */

struct task {
    struct vfs *v;
    struct deferred deferred;
    bool again;      /* also those that need a person */
    bool late;
    char **paths;
    size_t n;
};

static void task_free(struct task *t)
{
    if (!t)
        return;
    for (size_t k = 0; k < t->n; k++)
        free(t->paths[k]);
    free(t->paths);
    free(t);
}
CLEANUP_DEFINE(struct task, task_free)

bool resume_unheard(enum err_code code)
{
    return code == ERR_CANCELED || code == ERR_TIMEOUT || code == ERR_NET;
}

/* ---- One record */

/* Whatever is known of these names is asked for again. */
static void outdate(struct vfs *v, const struct rename_plan *plan)
{
    for (size_t k = 0; k < plan->n; k++) {
        CLEANUP(free) char *to = move_target(plan, plan->items[k].key);
        changed_key(v, plan->items[k].key, true);
        if (to)
            changed_key(v, to, true);
    }
}

static enum err_code carry_out(struct vfs *v, struct rename_note *note, const struct rename_plan *plan, struct err *e)
{
    const struct move m = {.store = v->store, .pool = v->pool, .cancel = v->ending, .uploads = &v->copy_uploads};
    enum err_code code = move_resume(&m, note, plan, e);
    outdate(v, plan);
    return code;
}

/* Nobody has decided yet what is to become of it. */
static bool waits_for_a_person(const struct rename_plan *plan)
{
    return !plan->undo && plan->failed && (plan->attempts == 0 || plan->failed == ERR_CONFLICT);
}

struct how {
    bool again; /* also what waits for a person */
    bool keep;  /* the record, for another look */
};

static bool resume_plan(struct vfs *v, struct rename_note *note, const struct rename_plan *plan, struct how how)
{
    struct err err = ERR_INIT;
    if (waits_for_a_person(plan) && !how.again) {
        LOG_WARN("vfs", "a rename of \"%s\" to \"%s\" was not finished, awsfs journal shows it: %s", plan->from, plan->to, plan->text);
        rename_note_leave(note);
        return true;
    }
    enum err_code code = carry_out(v, note, plan, &err);
    if (!code && how.keep) {
        rename_note_leave(note);
        return true;
    }
    if (!code) {
        LOG_INFO("vfs", "a rename of \"%s\" to \"%s\" that %s", plan->from, plan->to,
                 plan->undo ? "failed has been taken back" : "was cut off has been finished");
        rename_note_end(note);
        return true;
    }
    if (code != ERR_CANCELED) {
        LOG_WARN("vfs", "a rename of \"%s\" to \"%s\" that %s: %s", plan->from, plan->to,
                 plan->undo ? "failed could not be taken back" : "was cut off could not be finished", err.msg);
        rename_note_failed(note, &err, plan->attempts + 1);
    }
    rename_note_leave(note);
    return false;
}

static bool resume_path(struct vfs *v, const char *path, struct how how)
{
    struct err err = ERR_INIT;
    struct rename_note *note;
    CLEANUP(rename_plan_free) struct rename_plan *plan = NULL;
    enum err_code code = renames_take(path, &note, &plan, &err);
    if (!code)
        return resume_plan(v, note, plan, how);
    if (code == ERR_PROTO)
        renames_set_aside(path, &err);
    else if (code != ERR_NOT_FOUND && code != ERR_BUSY)
        LOG_WARN("vfs", "%s: %s", path, err.msg);
    return code == ERR_NOT_FOUND || code == ERR_BUSY;
}

/* ---- In the background */

static void wait_for_late(struct vfs *v)
{
    uint64_t until = clock_mono_ms() + LATE_MS;
    LOCK_SCOPE(&v->tree);
    while (!v->closing && cond_wait(&v->changed, &v->tree, until))
        continue;
}

static void run(void *arg)
{
    CLEANUP(task_free) struct task *t = arg;
    struct vfs *v = t->v;
    bool failed = false;
    if (t->late)
        wait_for_late(v);
    for (size_t k = 0; k < t->n && !cancel_fired(v->ending); k++)
        failed |= !resume_path(v, t->paths[k], (struct how){.again = t->again});
    LOCK_SCOPE(&v->tree);
    v->resuming = v->resuming && t->late;
    deferred_end_locked(v, &t->deferred, failed);
}

static void add_path(void *arg, const char *path, bool readable)
{
    struct task *t = arg;
    char **grown = readable ? reallocarray(t->paths, t->n + 1, sizeof(char *)) : NULL;
    if (!grown)
        return;
    t->paths = grown;
    t->paths[t->n] = strdup(path);
    t->n += t->paths[t->n] != NULL;
}

static void start(struct task *task)
{
    CLEANUP(task_free) struct task *t = task;
    struct vfs *v = t->v;
    LOCK_SCOPE(&v->tree);
    deferred_begin_locked(v, &t->deferred);
    v->resuming |= !t->late;
    if (pool_submit(v->pool, run, t, NULL)) {
        LOG_WARN("vfs", "a rename that was cut off is left until the next mount: out of memory");
        v->resuming = false;
        deferred_end_locked(v, &t->deferred, true);
        return;
    }
    t = NULL;
}

static void resume_all(struct vfs *v, bool again)
{
    struct err err = ERR_INIT;
    CLEANUP(task_free) struct task *t = calloc(1, sizeof(*t));
    if (!v->renames_dir || !t)
        return;
    t->v = v;
    t->again = again;
    if (renames_each(v->renames_dir, add_path, t, &err))
        LOG_WARN("vfs", "renames that were cut off: %s", err.msg);
    if (!t->n)
        return;
    if (v->cfg.read_only || vfs_has(v, STORE_READ_ONLY)) {
        LOG_WARN("vfs", "%zu renames that were cut off are left as they are: the mount is read-only", t->n);
        return;
    }
    start(TAKE(t));
}

void resume_begin(struct vfs *v)
{
    if (v->renames_dir)
        renames_tidy(v->renames_dir);
    resume_all(v, false);
}

void vfs_retry(struct vfs *v)
{
    resume_all(v, true);
}

bool vfs_settled(struct vfs *v, unsigned timeout_ms)
{
    uint64_t until = clock_mono_ms() + timeout_ms;
    LOCK_SCOPE(&v->tree);
    while (v->resuming && cond_wait(&v->changed, &v->tree, until))
        continue;
    return !v->resuming;
}

/* ---- After a failure */

void resume_undo(struct vfs *v, struct rename_note *note, const struct err *why, bool unheard)
{
    struct err err = ERR_INIT;
    CLEANUP(free) char *path = NULL;
    if (rename_note_undo(note, &err))
        LOG_WARN("vfs", "a rename that failed may be finished by the next mount: %s", err.msg);
    path = strdup(rename_note_path(note));
    rename_note_leave(note);
    if (path && why->code != ERR_CANCELED)
        (void)resume_path(v, path, (struct how){.keep = unheard});
    CLEANUP(task_free) struct task *t = path && unheard ? calloc(1, sizeof(*t)) : NULL;
    if (!t)
        return;
    t->v = v;
    t->late = true;
    add_path(t, path, true);
    start(TAKE(t));
}
