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
#define LATE_MS    2000
#define BUSY_MS    250 /* until a record in use is tried again, then twice as long */
#define BUSY_TRIES 8

struct how {
    bool again; /* also what waits for a person */
    bool keep;  /* the record, for another look */
    bool undo;  /* whatever the record could be made to say */
};

struct resume_task {
    struct vfs *v;
    LIST_ENTRY(resume_task) link;
    uint64_t at_ms;
    bool waited;     /* for its time: no drain waits for it */
    struct deferred deferred;
    struct how how;
    const char *only; /* while records are looked for: the one that is meant; NULL: all */
    unsigned tries;  /* that met a record in use */
    char **paths;
    size_t n;
};

static void task_free(struct resume_task *t)
{
    if (!t)
        return;
    for (size_t k = 0; k < t->n; k++)
        free(t->paths[k]);
    free(t->paths);
    free(t);
}
CLEANUP_DEFINE(struct resume_task, task_free)

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

enum outcome {
    GONE,      /* with its record */
    SET_ASIDE, /* that could not be read */
    LEFT,      /* for a person, or another look */
    FAILED,
    IN_USE,    /* somebody else has the record */
};

static bool is_gone(enum outcome o)
{
    return o == GONE || o == SET_ASIDE;
}

static bool has_failed(enum outcome o)
{
    return o == FAILED || o == SET_ASIDE;
}

/* Nobody has decided yet what is to become of it. */
static bool waits_for_a_person(const struct rename_plan *plan)
{
    return !plan->undo && plan->failed && (plan->attempts == 0 || plan->failed == ERR_CONFLICT);
}

/* *now: the path of its file, the caller's. */
static void leave(struct rename_note *note, char **now)
{
    *now = rename_note_take_path(note);
    rename_note_leave(note);
}

/* *now: the path of the record, the caller's; NULL: it is gone. */
static enum outcome resume_plan(struct vfs *v, struct rename_note *note, const struct rename_plan *plan, struct how how, char **now)
{
    struct err err = ERR_INIT;
    if (waits_for_a_person(plan) && !how.again) {
        LOG_WARN("vfs", "a rename of \"%s\" to \"%s\" was not finished, awsfs journal shows it: %s", plan->from, plan->to, plan->text);
        leave(note, now);
        return LEFT;
    }
    enum err_code code = carry_out(v, note, plan, &err);
    /* What was changed between the look and the removal is looked at again. */
    for (int tries = 1; code == ERR_CONFLICT && plan->undo && tries < UNDO_TRIES; tries++)
        code = carry_out(v, note, plan, &err);
    if (!code && how.keep) {
        leave(note, now);
        return LEFT;
    }
    if (!code) {
        LOG_INFO("vfs", "a rename of \"%s\" to \"%s\" that %s", plan->from, plan->to,
                 plan->undo ? "failed has been taken back" : "was cut off has been finished");
        rename_note_end(note);
        return GONE;
    }
    if (code != ERR_CANCELED) {
        LOG_WARN("vfs", "a rename of \"%s\" to \"%s\" that %s: %s", plan->from, plan->to,
                 plan->undo ? "failed could not be taken back" : "was cut off could not be finished", err.msg);
        rename_note_failed(note, &err, plan->attempts + 1);
    }
    leave(note, now);
    return FAILED;
}

/* Of a record that cannot be taken. */
static enum outcome clear_away(const char *path, enum err_code code, const struct err *why)
{
    switch (code) {
    case ERR_NOT_FOUND:
        return GONE;
    case ERR_PROTO:
        renames_set_aside(path, why);
        return SET_ASIDE;
    case ERR_BUSY:
        return IN_USE;
    default:
        LOG_WARN("vfs", "%s: %s", path, why->msg);
        return FAILED;
    }
}

/* Between unfinished_begin() and the end. *now: where the record is then, the caller's; NULL: where it was, or gone. */
static enum outcome resume_begun(struct vfs *v, const char *path, struct how how, char **now)
{
    struct err err = ERR_INIT;
    struct rename_note *note;
    CLEANUP(rename_plan_free) struct rename_plan *plan = NULL;
    *now = NULL;
    enum err_code code = renames_take(path, &note, &plan, &err);
    if (code)
        return clear_away(path, code, &err);
    plan->undo |= how.undo;
    return resume_plan(v, note, plan, how, now);
}

static enum err_code make_known(struct vfs *v, const char *path, struct err *e)
{
    enum err_code code = unfinished_add(v, path, e);
    if (code != ERR_PROTO && code != ERR_NOT_FOUND)
        return code;
    /* The taking tells the rest. */
    struct rename_note *note;
    CLEANUP(rename_plan_free) struct rename_plan *plan = NULL;
    *e = (struct err)ERR_INIT;
    code = renames_take(path, &note, &plan, e);
    if (code)
        return code;
    rename_note_leave(note);
    return err_set(e, ERR_BUSY, "the record was written in this moment");
}

/* *path: as it is called afterwards. */
static enum outcome resume_path(struct vfs *v, char **path, struct how how)
{
    struct err err = ERR_INIT;
    char *now;
    if (!unfinished_begin(v, *path)) {
        enum err_code code = make_known(v, *path, &err);
        if (code)
            return clear_away(*path, code, &err);
        if (!unfinished_begin(v, *path))
            return IN_USE;
    }
    enum outcome o = resume_begun(v, *path, how, &now);
    char *copy = now ? strdup(now) : NULL;
    unfinished_end(v, *path, is_gone(o), now);
    if (copy) {
        free(*path);
        *path = copy;
    }
    return o;
}

/* Those that nobody tries any more: who claims a name of theirs need not wait. */
static void give_up(const struct resume_task *t, size_t from)
{
    for (size_t k = from; k < t->n; k++)
        unfinished_not_due(t->v, t->paths[k]);
}

/* ---- In the background */

static void run(void *arg);
static void time_came(void *arg);

static void arm_locked(struct vfs *v)
{
    const struct resume_task *t;
    uint64_t at_ms = UINT64_MAX;
    LIST_FOREACH(t, &v->resume_waiting, link)
        at_ms = t->at_ms < at_ms ? t->at_ms : at_ms;
    if (!LIST_EMPTY(&v->resume_waiting))
        timer_arm(v->timers, &v->resume_timer, v->closing ? 0 : at_ms, time_came, v);
}

static uint64_t late_ms(const struct vfs *v)
{
    return v->cfg.late_ms ? v->cfg.late_ms : LATE_MS;
}

static void end_locked(struct vfs *v)
{
    v->background--;
    cond_broadcast(&v->changed);
}

static void time_came(void *arg)
{
    struct vfs *v = arg;
    uint64_t now_ms = clock_mono_ms();
    LOCK_SCOPE(&v->tree);
    for (struct resume_task *t = LIST_FIRST(&v->resume_waiting), *next; t; t = next) {
        next = LIST_NEXT(t, link);
        if (!v->closing && t->at_ms > now_ms)
            continue;
        LIST_REMOVE(t, link);
        if (!pool_submit(v->resumers, run, t, NULL))
            continue;
        LOG_WARN("vfs", "a rename that was not finished is left until the next mount: out of memory");
        task_free(t);
        end_locked(v);
    }
    arm_locked(v);
}

/* Takes the task. No thread waits with it. */
static void wait_locked(struct vfs *v, struct resume_task *t, uint64_t ms)
{
    t->waited = true;
    t->at_ms = clock_mono_ms() + ms;
    v->background++;
    LIST_INSERT_HEAD(&v->resume_waiting, t, link);
    arm_locked(v);
}

void resume_end(struct vfs *v)
{
    LOCK_SCOPE(&v->tree);
    arm_locked(v);
}

/* Tries what has to be tried. What is left of the task: records in use, and those that are kept for another look. */
static bool run_all(struct resume_task *t)
{
    struct vfs *v = t->v;
    bool failed = false;
    size_t k = 0, n = 0;
    for (; k < t->n && !cancel_fired(v->ending); k++) {
        enum outcome o = resume_path(v, &t->paths[k], t->how);
        failed |= has_failed(o);
        if (is_gone(o) || (o != IN_USE && !t->how.keep))
            continue;
        char *path = t->paths[n];
        t->paths[n++] = t->paths[k];
        t->paths[k] = path;
    }
    give_up(t, k);
    for (k = n; k < t->n; k++)
        free(t->paths[k]);
    t->n = n;
    return failed;
}

/* Until the rest of the task is tried; 0: it is not, by itself. */
static uint64_t pause_of(struct resume_task *t)
{
    if (t->n && t->how.keep) {
        t->how.keep = false;
        return late_ms(t->v);
    }
    if (t->n && t->tries < BUSY_TRIES)
        return (uint64_t)BUSY_MS << t->tries++;
    if (t->n)
        LOG_INFO("vfs", "%zu renames whose records are in use are not tried again by themselves: the first is %s", t->n, t->paths[0]);
    return 0;
}

static void run(void *arg)
{
    CLEANUP(task_free) struct resume_task *t = arg;
    struct vfs *v = t->v;
    bool failed = run_all(t), waited = t->waited, kept = t->how.keep;
    uint64_t pause_ms = pause_of(t);
    LOCK_SCOPE(&v->tree);
    if (waited) {
        end_locked(v);
    } else {
        v->resuming--;
        deferred_end_locked(v, &t->deferred, failed);
    }
    if (pause_ms && (kept || !v->closing))
        wait_locked(v, TAKE(t), pause_ms);
}

static bool add_to_task(struct resume_task *t, const char *path)
{
    char **grown = reallocarray(t->paths, t->n + 1, sizeof(char *));
    char *copy = grown ? strdup(path) : NULL;
    if (grown)
        t->paths = grown;
    if (copy)
        t->paths[t->n++] = copy;
    return copy != NULL;
}

/* "RANDOM" is meant by "RANDOM.undo" and "RANDOM-BOOT-INODE.rename". */
static bool is_meant(const char *path, const char *record)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return !record || (str_starts(name, record) && strcspn(name, "-.") == strlen(record));
}

static void add_path(void *arg, const char *path, bool readable)
{
    struct resume_task *t = arg;
    struct err err = ERR_INIT;
    if (!readable || !is_meant(path, t->only))
        return;
    enum err_code code = make_known(t->v, path, &err);
    if (code && clear_away(path, code, &err) != IN_USE)
        return;
    if (!add_to_task(t, path))
        unfinished_not_due(t->v, path);
}

static void start(struct resume_task *task)
{
    CLEANUP(task_free) struct resume_task *t = task;
    struct vfs *v = t->v;
    lock_take(&v->tree);
    deferred_begin_locked(v, &t->deferred);
    bool begun = pool_submit(v->resumers, run, t, NULL) == ERR_OK;
    if (begun)
        v->resuming++;
    else
        deferred_end_locked(v, &t->deferred, true);
    lock_drop(&v->tree);
    if (begun) {
        t = NULL;
        return;
    }
    LOG_WARN("vfs", "a rename that was cut off is left until the next mount: out of memory");
    give_up(t, 0);
}

static void resume_records(struct vfs *v, bool again, const char *record)
{
    struct err err = ERR_INIT;
    CLEANUP(task_free) struct resume_task *t = calloc(1, sizeof(*t));
    if (!v->renames_dir || !t)
        return;
    t->v = v;
    t->how.again = again;
    t->only = record;
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
    resume_records(v, false, NULL);
}

void vfs_retry(struct vfs *v, const char *record)
{
    resume_records(v, true, record);
}

bool vfs_settled(struct vfs *v, unsigned timeout_ms)
{
    uint64_t until = clock_mono_ms() + timeout_ms;
    LOCK_SCOPE(&v->tree);
    while (v->resuming > 0 && cond_wait(&v->changed, &v->tree, until))
        continue;
    return v->resuming == 0;
}

/* ---- What a call begins, and leaves */

enum err_code resume_note(struct vfs *v, struct rename *r, const struct rename_plan *plan, bool durable, struct err *e)
{
    r->left = unfinished_new(plan->from, plan->to, plan->tree);
    return r->left ? renames_begin(v->renames_dir, plan, durable, &r->note, e) : err_set(e, ERR_NOMEM, "out of memory");
}

/* As by unfinished_begin(): nobody can claim a name of it before that ends. The path, borrowed until then. */
static const char *leave_begun(struct vfs *v, struct rename *r)
{
    struct rename_note *note = TAKE(r->note);
    const char *path = unfinished_put(v, TAKE(r->left), rename_note_take_path(note));
    rename_note_leave(note);
    return path;
}

void resume_undo(struct vfs *v, struct rename *r, const struct err *why, bool unheard)
{
    struct err err = ERR_INIT;
    if (rename_note_undo(r->note, &err))
        LOG_WARN("vfs", "a rename that failed may be finished by the next mount: %s", err.msg);
    const char *path = leave_begun(v, r);
    char *now = NULL;
    bool killed = why->code == ERR_CANCELED; /* not kept for the clearing up */
    enum outcome o = killed ? LEFT : resume_begun(v, path, (struct how){.keep = unheard, .undo = true}, &now);
    bool again = o == IN_USE || (unheard && !is_gone(o));
    CLEANUP(task_free) struct resume_task *t = again ? calloc(1, sizeof(*t)) : NULL;
    again = t && add_to_task(t, now ? now : path);
    if (t) {
        t->v = v;
        t->how = (struct how){.keep = killed, .undo = true};
    }
    if (again && killed) {
        unfinished_hand_over(v, path);
        start(TAKE(t));
        return;
    }
    unfinished_end(v, path, is_gone(o), now);
    if (!again)
        return;
    LOCK_SCOPE(&v->tree);
    wait_locked(v, TAKE(t), unheard ? late_ms(v) : BUSY_MS);
}

void resume_leave(struct vfs *v, struct rename *r)
{
    if (r->note)
        unfinished_end(v, leave_begun(v, r), false, NULL);
}
