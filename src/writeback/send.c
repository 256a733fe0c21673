/* One operation, or a batch of removals, to the inner store. */
#include "util/log.h"
#include "writeback/inside.h"

#include <string.h>

#define PART          (16u << 20)
#define PART_PARALLEL 8

/* ---- Uploads that are recorded, so that the next mount aborts what is left of them */

static enum err_code begun(void *arg, const char *key, const char *upload_id, struct err *e)
{
    struct writeback *w = arg;
    return uploads_add(w->uploads, key, upload_id, e);
}

static enum err_code intend(void *arg, const char *key, char intent[STORE_INTENT_SIZE], struct err *e)
{
    struct writeback *w = arg;
    return uploads_intend(w->uploads, key, intent, e);
}

static void answered(void *arg, const char *key, const char *intent)
{
    struct writeback *w = arg;
    uploads_answered(w->uploads, intent);
}

/* Whether the store has nothing of it any more. */
static bool abort_upload(struct writeback *w, const char *key, const char *id)
{
    struct err err = ERR_INIT;
    const struct store_call call = {.cancel = w->end};
    if (store_upload_abort(w->inner, key, id, &call, &err)) {
        LOG_WARN("writeback", "an upload of \"%s\" is left until the next mount: %s", key, err.msg);
        return false;
    }
    uploads_remove(w->uploads, id);
    return true;
}

struct abort_task {
    struct writeback *w;
    char *key, *id;
};

static void abort_run(void *arg)
{
    struct abort_task *t = arg;
    (void)abort_upload(t->w, t->key, t->id);
    free(t->key);
    free(t->id);
    free(t);
}

/* Told where nothing may block. */
static void upload_ended(void *arg, const char *key, const char *upload_id, bool finished)
{
    struct writeback *w = arg;
    if (finished) {
        uploads_remove(w->uploads, upload_id);
        return;
    }
    struct abort_task *t = malloc(sizeof(*t));
    if (t)
        *t = (struct abort_task){w, strdup(key), strdup(upload_id)};
    if (t && t->key && t->id && pool_submit(w->pool, abort_run, t, NULL) == ERR_OK)
        return;
    if (t) { /* the next mount does it */
        free(t->key);
        free(t->id);
        free(t);
    }
}

struct store_uploads send_uploads(struct writeback *w)
{
    return (struct store_uploads){.intend = intend, .answered = answered, .begun = begun, .ended = upload_ended, .arg = w};
}

/* ---- Bodies */

struct part_task {
    struct writeback *w;
    const char *key, *id;
    const struct store_body *whole;
    struct cancel *cancel;
    bool *stop;
    uint64_t start;
    struct store_part part;
    bool done;
    struct err err;
};

static ssize_t part_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const struct part_task *t = arg;
    if (offset >= t->part.size)
        return 0;
    if (t->part.size - offset < len)
        len = (size_t)(t->part.size - offset);
    return t->whole->read(t->whole->arg, t->start + offset, buf, len);
}

static void send_part(void *item)
{
    struct part_task *t = item;
    const struct store_body body = {.size = t->part.size, .read = part_read, .arg = t};
    const struct store_call call = {.cancel = t->cancel};
    t->done = store_upload_part(t->w->inner, t->key, t->id, &body, &call, &t->part, &t->err) == ERR_OK;
    if (!t->done)
        __atomic_store_n(t->stop, true, __ATOMIC_RELAXED);
}

static uint64_t part_size(const struct store_caps *caps, uint64_t size)
{
    uint64_t part = PART > caps->part_min ? PART : caps->part_min;
    while (part * caps->max_parts < size)
        part *= 2;
    return part < caps->part_max ? part : caps->part_max;
}

static enum err_code send_parts(struct writeback *w, const char *key, const char *id, const struct store_body *body,
                                const struct store_cond *cond, struct cancel *cancel, struct store_version *out, struct err *e)
{
    uint64_t size = part_size(&w->inner_caps, body->size);
    size_t n = (size_t)((body->size + size - 1) / size);
    bool stop = false;
    CLEANUP(free) struct part_task *tasks = calloc(n, sizeof(*tasks));
    CLEANUP(free) struct store_part *parts = calloc(n, sizeof(*parts));
    if (!tasks || !parts)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t k = 0; k < n; k++) {
        uint64_t start = k * size;
        tasks[k] = (struct part_task){.w = w, .key = key, .id = id, .whole = body, .cancel = cancel, .stop = &stop, .start = start};
        tasks[k].part.number = (unsigned)k + 1;
        tasks[k].part.size = body->size - start < size ? body->size - start : size;
    }
    pool_each(w->pool, tasks, n, sizeof(*tasks), PART_PARALLEL, send_part, &stop);
    for (size_t k = 0; k < n; k++) {
        if (!tasks[k].done && tasks[k].err.code)
            return err_copy(e, &tasks[k].err);
        parts[k] = tasks[k].part;
    }
    for (size_t k = 0; k < n; k++)
        if (!tasks[k].done)
            return err_set(e, ERR_CANCELED, "a part was not sent");
    const struct store_call call = {.cancel = w->end};
    return store_upload_finish(w->inner, key, id, parts, n, body->sha512, cond, &call, out, e);
}

/* That it is asked for is on disk before, and until its id is, so that one whose answer never comes can be shown and discarded. */
static enum err_code begin_upload(struct writeback *w, const char *key, const struct store_body *body, const struct store_meta *meta,
                                  struct cancel *cancel, char id[STORE_ID_SIZE], struct err *e)
{
    unsigned unanswered = 0;
    char intent[UPLOADS_INTENT_SIZE];
    const struct store_call call = {.cancel = cancel, .unanswered = &unanswered};
    enum err_code code = uploads_intend(w->uploads, key, intent, e);
    if (code)
        return code;
    code = store_upload_begin(w->inner, key, meta, body->sha512, &call, id, e);
    bool known = !unanswered && code != ERR_CANCELED, has_begun = !code;
    if (has_begun && (code = begun(w, key, id, e)) && !abort_upload(w, key, id))
        known = false;
    if (known)
        uploads_answered(w->uploads, intent);
    else
        LOG_WARN("writeback", "an upload of \"%s\" may have been begun without an answer: awsfs journal shows it", key);
    return code;
}

enum err_code send_body(struct writeback *w, const char *key, const struct store_body *body, const struct store_meta *meta,
                        const struct store_cond *cond, struct cancel *cancel, struct store_version *out, struct err *e)
{
    const struct store_call call = {.cancel = w->end};
    if (body->size <= w->inner_caps.put_target || !(w->inner_caps.flags & STORE_MULTIPART))
        return store_put(w->inner, key, body, meta, cond, &call, out, e);
    char id[STORE_ID_SIZE];
    struct err err = ERR_INIT;
    enum err_code code = begin_upload(w, key, body, meta, cancel, id, e);
    if (code)
        return code;
    code = send_parts(w, key, id, body, cond, cancel, out, &err);
    if (code)
        (void)abort_upload(w, key, id);
    else
        uploads_remove(w->uploads, id);
    if (code == ERR_NOT_FOUND) /* about the upload, which others have aborted */
        return err_set(e, ERR_IO, "what was sent was removed by others meanwhile: %s", err.msg);
    return code ? err_copy(e, &err) : ERR_OK;
}

/* ---- Operations */

struct source {
    const struct body *body;
    int fd;
};

static ssize_t source_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const struct source *s = arg;
    return body_read(s->body, s->fd, offset, buf, len);
}

enum err_code send_put(struct writeback *w, const struct op *o, const char *key, const struct store_cond *cond, struct store_version *out,
                       struct err *e)
{
    CLEANUP(close) int fd = body_open(o->body, e);
    if (fd == -2)
        return ERR_IO;
    struct source source = {o->body, fd};
    const struct store_body body = {.size = o->size, .read = source_read, .arg = &source, .sha512 = o->sha512,
                                    .crc64nvme = o->has_crc ? &o->crc64nvme : NULL};
    return send_body(w, key, &body, o->meta, cond, w->end, out, e);
}

enum err_code send_copy(struct writeback *w, const struct op *o, const char *key, const struct store_cond *cond,
                        struct store_version *out, struct err *e)
{
    const struct store_uploads uploads = send_uploads(w);
    const struct store_copy c = {.from = o->from->key, .from_etag = o->from_etag, .size = o->size, .to = key, .meta = o->meta,
                                 .mtime = o->has_mtime ? &o->mtime : NULL, .cond = *cond, .uploads = &uploads};
    const struct store_call call = {.cancel = w->end};
    return store_copy(w->inner, &c, &call, out, e);
}

void send_op(struct writeback *w, struct op *o)
{
    const struct store_cond cond = {.kind = o->cond, .etag = o->cond_etag};
    struct store_version version;
    struct err err = ERR_INIT;
    if (o->kind == OP_PUT && !damage_none(w, o))
        return;
    enum err_code code = o->kind == OP_PUT ? send_put(w, o, o->node->key, &cond, &version, &err)
                                           : send_copy(w, o, o->node->key, &cond, &version, &err);
    bool gone = o->kind == OP_COPY && code == ERR_NOT_FOUND;
    if (code == ERR_CONFLICT || gone) {
        if (o->kind == OP_PUT)
            conflict_put(w, o, &err);
        else
            conflict_copy(w, o, &err);
        return;
    }
    LOCK_SCOPE(&w->lock);
    if (code)
        sender_failed(w, o, &err);
    else
        sender_done(w, o, &version);
}

void send_removes(struct writeback *w, struct op **ops, size_t n)
{
    CLEANUP(free) const char **keys = calloc(n, sizeof(*keys));
    CLEANUP(free) const char **etags = calloc(n, sizeof(*etags));
    CLEANUP(free) enum err_code *results = calloc(n, sizeof(*results));
    const struct store_call call = {.cancel = w->end};
    struct err err = ERR_INIT;
    enum err_code code = keys && etags && results ? ERR_OK : err_set(&err, ERR_NOMEM, "out of memory");
    for (size_t k = 0; !code && k < n; k++) {
        keys[k] = ops[k]->node->key;
        etags[k] = ops[k]->cond_etag;
    }
    if (!code && n == 1)
        results[0] = store_remove(w->inner, keys[0], etags[0], &call, &err);
    else if (!code)
        code = store_remove_many(w->inner, keys, etags, n, &call, results, &err);
    for (size_t k = 0; k < n; k++) {
        enum err_code result = code ? code : results[k];
        if (result == ERR_CONFLICT) {
            conflict_remove(w, ops[k]);
            continue;
        }
        LOCK_SCOPE(&w->lock);
        if (result && err.code != result)
            err_set(&err, result, "it could not be removed (%s)", err_name(result));
        if (result)
            sender_failed(w, ops[k], &err);
        else
            sender_done(w, ops[k], NULL);
    }
}
