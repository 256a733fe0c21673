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
#include "vfs/unfinished.h"

#include <string.h>

#define UNDO_TRIES 3
#define LATE_MS    2000 /* until a copy that nobody waits for any more has come, or never will */

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
    const struct move m = {.store = v->store, .pool = v->resumers, .cancel = v->ending, .uploads = &v->copy_uploads};
    enum err_code code = move_resume(&m, note, plan, e);
    outdate(v, plan);
    return code;
}

struct how {
    bool again; /* also what waits for a person */
    bool keep;  /* the record, for another look */
    bool undo;  /* whatever the record could be made to say */
};

/* Nobody has decided yet what is to become of it. */
static bool waits_for_a_person(const struct rename_plan *plan)
{
    return !plan->undo && plan->failed && (plan->attempts == 0 || plan->failed == ERR_CONFLICT);
}

/* *now: the path of its file, the caller's. */
static void leave(struct rename_note *note, char **now)
{
    *now = strdup(rename_note_path(note));
    rename_note_leave(note);
}

/* *now: the path of the record, the caller's, or as it was: it is gone. */
static bool resume_plan(struct vfs *v, struct rename_note *note, const struct rename_plan *plan, struct how how, char **now)
{
    struct err err = ERR_INIT;
    if (waits_for_a_person(plan) && !how.again) {
        LOG_WARN("vfs", "a rename of \"%s\" to \"%s\" was not finished, awsfs journal shows it: %s", plan->from, plan->to, plan->text);
        leave(note, now);
        return true;
    }
    enum err_code code = carry_out(v, note, plan, &err);
    /* What was changed between the look and the removal is looked at again. */
    for (int tries = 1; code == ERR_CONFLICT && plan->undo && tries < UNDO_TRIES; tries++)
        code = carry_out(v, note, plan, &err);
    if (!code && how.keep) {
        leave(note, now);
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
    leave(note, now);
    return false;
}

/* Of a record that cannot be read, or says nothing any more. */
static bool clear_away(const char *path, enum err_code code, const struct err *why)
{
    if (code == ERR_PROTO)
        renames_set_aside(path, why);
    else if (code != ERR_NOT_FOUND && code != ERR_BUSY)
        LOG_WARN("vfs", "%s: %s", path, why->msg);
    return code == ERR_NOT_FOUND || code == ERR_BUSY;
}

/* Between unfinished_begin() and the end. *now: where the record is then, the caller's; NULL: it is gone. */
static bool resume_begun(struct vfs *v, const char *path, struct how how, char **now)
{
    struct err err = ERR_INIT;
    struct rename_note *note;
    CLEANUP(rename_plan_free) struct rename_plan *plan = NULL;
    *now = NULL;
    enum err_code code = renames_take(path, &note, &plan, &err);
    if (!code) {
        plan->undo |= how.undo;
        return resume_plan(v, note, plan, how, now);
    }
    if (code != ERR_NOT_FOUND && code != ERR_PROTO)
        *now = strdup(path);
    return clear_away(path, code, &err);
}

/* *path: as it is called afterwards. */
static bool resume_path(struct vfs *v, char **path, struct how how)
{
    char *now;
    if (!unfinished_begin(v, *path))
        return true;
    bool good = resume_begun(v, *path, how, &now);
    unfinished_end(v, *path, now);
    if (now) {
        free(*path);
        *path = now;
    }
    return good;
}

/* Those that nobody tries any more: who claims a name of theirs need not wait. */
static void give_up(const struct task *t, size_t from)
{
    for (size_t k = from; k < t->n; k++)
        unfinished_not_due(t->v, t->paths[k]);
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
    size_t k = 0;
    for (; k < t->n && !cancel_fired(v->ending); k++)
        failed |= !resume_path(v, &t->paths[k], (struct how){.again = t->again, .undo = t->late});
    give_up(t, k);
    LOCK_SCOPE(&v->tree);
    v->resuming = v->resuming && t->late;
    deferred_end_locked(v, &t->deferred, failed);
}

static bool add_to_task(struct task *t, const char *path)
{
    char **grown = reallocarray(t->paths, t->n + 1, sizeof(char *));
    char *copy = grown ? strdup(path) : NULL;
    if (grown)
        t->paths = grown;
    if (copy)
        t->paths[t->n++] = copy;
    return copy != NULL;
}

static void add_path(void *arg, const char *path, bool readable)
{
    struct task *t = arg;
    struct err err = ERR_INIT;
    if (!readable)
        return;
    enum err_code code = unfinished_add(t->v, path, false, &err);
    if (!code && !add_to_task(t, path))
        unfinished_not_due(t->v, path);
    if (code == ERR_PROTO || code == ERR_NOT_FOUND) { /* the taking tells the rest */
        struct rename_note *note;
        CLEANUP(rename_plan_free) struct rename_plan *plan = NULL;
        err = (struct err)ERR_INIT;
        code = renames_take(path, &note, &plan, &err);
        if (!code)
            rename_note_leave(note);
    }
    if (code)
        (void)clear_away(path, code, &err);
}

static void start(struct task *task)
{
    CLEANUP(task_free) struct task *t = task;
    struct vfs *v = t->v;
    lock_take(&v->tree);
    deferred_begin_locked(v, &t->deferred);
    v->resuming |= !t->late;
    bool begun = pool_submit(v->resumers, run, t, NULL) == ERR_OK;
    if (!begun) {
        v->resuming = v->resuming && t->late;
        deferred_end_locked(v, &t->deferred, true);
    }
    lock_drop(&v->tree);
    if (begun) {
        t = NULL;
        return;
    }
    LOG_WARN("vfs", "a rename that was cut off is left until the next mount: out of memory");
    give_up(t, 0);
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

/* A record that its call leaves, as by unfinished_begin(): nobody can claim a name of it before that ends. False: without it. */
static bool leave_begun(struct vfs *v, struct rename_note *note)
{
    struct err err = ERR_INIT;
    bool known = unfinished_add(v, rename_note_path(note), true, &err) == ERR_OK;
    if (!known)
        LOG_WARN("vfs", "what is left of a rename that failed waits for the next mount: %s", err.msg);
    rename_note_leave(note);
    return known;
}

void resume_undo(struct vfs *v, struct rename_note *note, const struct err *why, bool unheard)
{
    struct err err = ERR_INIT;
    if (rename_note_undo(note, &err))
        LOG_WARN("vfs", "a rename that failed may be finished by the next mount: %s", err.msg);
    CLEANUP(free) char *path = strdup(rename_note_path(note));
    CLEANUP(free) char *now = path ? strdup(path) : NULL;
    if (!now) {
        rename_note_leave(note);
        return;
    }
    if (!leave_begun(v, note))
        return;
    if (why->code != ERR_CANCELED) {
        free(now);
        (void)resume_begun(v, path, (struct how){.keep = unheard, .undo = true}, &now);
    }
    unfinished_end(v, path, now);
    CLEANUP(task_free) struct task *t = now && unheard ? calloc(1, sizeof(*t)) : NULL;
    if (t) {
        t->v = v;
        t->late = true;
    }
    if (t && add_to_task(t, now))
        start(TAKE(t));
}

void resume_leave(struct vfs *v, struct rename_note *note)
{
    CLEANUP(free) char *path = note ? strdup(rename_note_path(note)) : NULL;
    if (!path)
        rename_note_leave(note);
    else if (leave_begun(v, note))
        unfinished_end(v, path, path);
}
