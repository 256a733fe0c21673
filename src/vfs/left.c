/*
 * Uploads by parts that do not become an object: aborted by their ids in the state directory, in the background, by
 * this mount or by the next one. What cannot be aborted stays recorded; ids that are not recorded are never touched
 * (W5).
 */
#include "util/clock.h"
#include "vfs/upload.h"

#include <string.h>

_Static_assert(UPLOADS_INTENT_SIZE == STORE_INTENT_SIZE, "both name an intent");

#define GRACE_MS      2000
#define CLOCK_SLACK_S 300 /* by which clocks may differ */

/* Not while the vfs ends: the next mount does it. */
static enum err_code abort_one(struct vfs *v, const char *key, const char *upload_id, struct err *e)
{
    struct store_call call = {.cancel = v->ending};
    return store_upload_abort(v->store, key, upload_id, &call, e);
}

static void background_done(struct vfs *v)
{
    LOCK_SCOPE(&v->tree);
    v->background--;
    cond_broadcast(&v->changed);
}

/* The task waits for the lock before it ends. */
static enum err_code background_submit_locked(struct vfs *v, void (*fn)(void *arg), void *arg)
{
    enum err_code code = pool_submit(v->pool, fn, arg, NULL);
    v->background += !code;
    return code;
}

/* ---- Those that a dead mount has left */

/* Uploads of a key that may be what an intent has led to. */
struct suspects {
    struct vfs *v;
    int64_t since;
    unsigned n;
};

static void suspect(void *arg, const char *upload_id, time_t begun)
{
    struct suspects *s = arg;
    bool earlier = begun && begun + CLOCK_SLACK_S < s->since;
    s->n += !earlier && !uploads_has(s->v->uploads, upload_id);
}

/* What it has led to is not known to be ours: only a person aborts it. */
static bool forget_intent(struct vfs *v, const char *key, int64_t since)
{
    struct suspects s = {v, since, 0};
    struct store_call call = {.cancel = v->ending};
    struct err err = ERR_INIT;
    if (store_upload_list(v->store, key, &call, suspect, &s, &err)) {
        LOG_INFO("vfs", "whether an upload of \"%s\" that was not answered was begun is not known: %s", key, err.msg);
        return false;
    }
    if (s.n)
        LOG_WARN("vfs", "an upload of \"%s\" in the store may be what an earlier mount has begun and had no answer for: awsfs journal "
                        "shows and discards it", key);
    return s.n == 0;
}

static bool abort_left(void *arg, const char *key, const char *upload_id, int64_t since)
{
    struct vfs *v = arg;
    struct err err = ERR_INIT;
    if (!upload_id)
        return forget_intent(v, key, since);
    if (abort_one(v, key, upload_id, &err)) {
        LOG_WARN("vfs", "an upload of \"%s\" that was cut off could not be aborted, the next mount tries again: %s",
                 key, err.msg);
        return false;
    }
    LOG_INFO("vfs", "an upload of \"%s\" that was cut off has been aborted", key);
    return true;
}

static void abort_all(void *arg)
{
    struct vfs *v = arg;
    struct err err = ERR_INIT;
    if (uploads_each_left(v->uploads, abort_left, v, &err))
        LOG_WARN("vfs", "the record of uploads: %s", err.msg);
    background_done(v);
}

void left_begin(struct vfs *v)
{
    bool read_only = v->cfg.read_only || vfs_has(v, STORE_READ_ONLY);
    LOCK_SCOPE(&v->tree);
    if (v->uploads && !read_only && background_submit_locked(v, abort_all, v))
        LOG_WARN("vfs", "uploads that were cut off are left until the next mount: out of memory");
}

void left_end(struct vfs *v)
{
    uint64_t until = clock_mono_ms() + GRACE_MS;
    lock_take(&v->tree);
    while (v->background > 0 && cond_wait(&v->changed, &v->tree, until))
        continue;
    lock_drop(&v->tree);
    if (v->ending)
        cancel_fire(v->ending);
}

/* ---- Those of copies, which the store makes by itself */

struct left_task {
    struct vfs *v;
    char *key, *upload_id;
};

static void task_free(struct left_task *t)
{
    free(t->key);
    free(t->upload_id);
    free(t);
}

static void abort_copy(void *arg)
{
    struct left_task *t = arg;
    struct vfs *v = t->v;
    struct err err = ERR_INIT;
    if (abort_one(v, t->key, t->upload_id, &err))
        LOG_WARN("vfs", "an upload of \"%s\" is left until the next mount: %s", t->key, err.msg);
    else if (v->uploads)
        uploads_remove(v->uploads, t->upload_id);
    task_free(t);
    background_done(v);
}

static void keep_one(void *arg)
{
    struct left_task *t = arg;
    struct vfs *v = t->v;
    uploads_keep(v->uploads, t->upload_id);
    task_free(t);
    background_done(v);
}

static enum err_code intend(void *arg, const char *key, char intent[STORE_INTENT_SIZE], struct err *e)
{
    struct vfs *v = arg;
    return uploads_intend(v->uploads, key, intent, e);
}

static void answered(void *arg, const char *key, const char *intent)
{
    struct vfs *v = arg;
    uploads_answered(v->uploads, intent);
}

static enum err_code begun(void *arg, const char *key, const char *upload_id, struct err *e)
{
    struct vfs *v = arg;
    return v->uploads ? uploads_add(v->uploads, key, upload_id, e) : ERR_OK;
}

static void ended(void *arg, const char *key, const char *upload_id, bool finished)
{
    struct vfs *v = arg;
    if (finished) {
        if (v->uploads)
            uploads_remove(v->uploads, upload_id);
        return;
    }
    LOCK_SCOPE(&v->tree);
    left_abort_locked(v, key, upload_id);
}

static bool task_start_locked(struct vfs *v, void (*fn)(void *arg), const char *key, const char *upload_id)
{
    lock_assert_held(&v->tree);
    struct left_task *t = calloc(1, sizeof(*t));
    if (t)
        *t = (struct left_task){v, strdup(key), strdup(upload_id)};
    if (t && t->key && t->upload_id && !background_submit_locked(v, fn, t))
        return true;
    if (t)
        task_free(t);
    return false;
}

void left_abort_locked(struct vfs *v, const char *key, const char *upload_id)
{
    if (!task_start_locked(v, abort_copy, key, upload_id))
        LOG_WARN("vfs", "an upload of \"%s\" is left until the next mount: out of memory", key);
}

void left_keep_locked(struct vfs *v, const char *key, const char *upload_id)
{
    if (v->uploads && !task_start_locked(v, keep_one, key, upload_id))
        uploads_keep(v->uploads, upload_id);
}

void left_init(struct vfs *v)
{
    v->copy_uploads = (struct store_uploads){.begun = begun, .ended = ended, .arg = v};
    if (v->uploads) {
        v->copy_uploads.intend = intend;
        v->copy_uploads.answered = answered;
    }
}
