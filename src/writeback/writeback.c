/* The store itself: made, ended, and what passes through it. */
#include "writeback/writeback.h"

#include "journal/durable.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/private_dir.h"
#include "util/str.h"
#include "writeback/inside.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS      60000
#define MAX_OPERATIONS   100000
#define LINGER_MS        100  /* for a rename or a change of attributes that follows a close */
#define LINGER_REMOVE_MS 1000 /* for a batch */
#define HOLD_MS          2000 /* while operations keep coming */

/* ---- What passes through */

static enum err_code wb_check(void *impl, const char *key, bool is_dir, const struct store_body *body, struct err *e)
{
    const struct writeback *w = impl;
    return store_check(w->inner, key, is_dir, body, e);
}

static enum err_code wb_check_move(void *impl, const char *key, const struct store_version *version, struct err *e)
{
    const struct writeback *w = impl;
    return store_check_move(w->inner, key, version, e);
}

static bool wb_stays_local(void *impl, const char *name)
{
    const struct writeback *w = impl;
    return store_stays_local(w->inner, name);
}

/* The object as the inner store knows it. */
static void real_object(struct writeback *w, const char *key, const struct store_object *object, struct store_object *out)
{
    LOCK_SCOPE(&w->lock);
    *out = *object;
    const char *real = alias_real(w, key, object->version.etag);
    if (real != object->version.etag)
        snprintf(out->version.etag, sizeof(out->version.etag), "%s", real);
}

static enum err_code wb_property_get(void *impl, const char *key, const struct store_object *object, const char *name,
                                     const struct store_call *call, struct buf *out, struct err *e)
{
    struct writeback *w = impl;
    struct store_object real = {0};
    bool unborn = object && !object->version.etag[0]; /* to be put for the first time */
    enum err_code code = unborn ? ERR_OK : settle(w, key, call, e);
    if (code)
        return code;
    if (object)
        real_object(w, key, object, &real);
    return store_property_get(w->inner, key, object ? &real : NULL, name, call, out, e);
}

static enum err_code wb_property_set(void *impl, const char *key, const struct store_meta *meta, const char *name, const void *value,
                                     size_t len, const struct store_call *call, struct store_meta **meta_out, struct err *e)
{
    struct writeback *w = impl;
    enum err_code code = settle_for_good(w, key, call, e);
    return code ? code : store_property_set(w->inner, key, meta, name, value, len, call, meta_out, e);
}

static enum err_code wb_property_prepare(void *impl, const char *key, const struct store_meta *meta, const char *name, const void *value,
                                         size_t len, struct store_meta **meta_out, struct err *e)
{
    const struct writeback *w = impl;
    return store_property_prepare(w->inner, key, meta, name, value, len, meta_out, e);
}

static enum err_code wb_check_meta(void *impl, const char *key, const struct store_meta *meta, struct err *e)
{
    const struct writeback *w = impl;
    return store_check_meta(w->inner, key, meta, e);
}

static enum store_form wb_form(void *impl, const char *key)
{
    const struct writeback *w = impl;
    return store_form(w->inner, key);
}

static enum err_code wb_probe(void *impl, const struct store_call *call, struct err *e)
{
    const struct writeback *w = impl;
    return store_probe(w->inner, call, e);
}

static enum err_code wb_try(void *impl, const struct check_limits *limits, struct check_report *out, struct err *e)
{
    const struct writeback *w = impl;
    return store_try(w->inner, limits, out, e);
}

static void wb_each_count(void *impl, void (*fn)(void *arg, const char *kind, uint64_t count), void *arg)
{
    const struct writeback *w = impl;
    store_each_count(w->inner, fn, arg);
}

static enum err_code wb_learn(void *impl, const struct store_call *call, struct err *e)
{
    const struct writeback *w = impl;
    return store_learn(w->inner, call, e);
}

static void wb_each_trait(void *impl, void (*fn)(void *arg, const char *name, enum store_verdict verdict, const char *meaning), void *arg)
{
    const struct writeback *w = impl;
    store_each_trait(w->inner, fn, arg);
}

static enum err_code wb_watch(void *impl, void (*changed)(void *arg, const char *key, bool listed), void *arg, struct err *e)
{
    const struct writeback *w = impl;
    return store_watch(w->inner, changed, arg, e);
}

/* ---- Its end */

static void release(struct writeback *w)
{
    if (!w)
        return;
    table_release(w);
    note_release(w);
    if (w->aliases)
        alias_release(w);
    map_free(w->aliases);
    for (size_t k = 0; k < CONFLICTS_KEPT; k++) {
        free(w->conflicts[k].key);
        free(w->conflicts[k].kept);
    }
    wal_free(w->wal);
    uploads_free(w->uploads);
    bodies_free(w->bodies);
    cancel_unref(w->end);
    cond_release(&w->changed);
    cond_release(&w->work);
    lock_release(&w->lock);
    free(w);
}
CLEANUP_DEFINE(struct writeback, release)

static void wb_free(void *impl)
{
    struct writeback *w = impl;
    sender_stop(w);
    note_tidy(w);
    if (w->n_ops)
        LOG_WARN("writeback", "%zu operations are unsent: they stay in the journal for the next mount", w->n_ops);
    release(w);
}

static const struct store_ops ops = {
    .list = wb_list,
    .stat = wb_stat,
    .get = wb_get,
    .put = wb_put,
    .check = wb_check,
    .check_move = wb_check_move,
    .stays_local = wb_stays_local,
    .copy = wb_copy,
    .remove = wb_remove,
    .remove_many = wb_remove_many,
    .sync = wb_sync,
    .property_get = wb_property_get,
    .property_set = wb_property_set,
    .property_prepare = wb_property_prepare,
    .check_meta = wb_check_meta,
    .form = wb_form,
    .probe = wb_probe,
    .try = wb_try,
    .each_count = wb_each_count,
    .learn = wb_learn,
    .each_trait = wb_each_trait,
    .watch = wb_watch,
    .free = wb_free,
};

/* ---- Its beginning */

static struct map_key alias_key(const void *value)
{
    const struct alias *a = value;
    return (struct map_key){a->key, strlen(a->key)};
}

static struct writeback *make(const struct writeback_config *c, struct err *e)
{
    CLEANUP(release) struct writeback *w = calloc(1, sizeof(*w));
    if (!w) {
        (void)err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    lock_init(&w->lock, "writeback", LOCK_WRITEBACK);
    cond_init(&w->changed);
    cond_init(&w->work);
    TAILQ_INIT(&w->all);
    TAILQ_INIT(&w->ready);
    TAILQ_INIT(&w->ready_removes);
    TAILQ_INIT(&w->delayed);
    TAILQ_INIT(&w->readings);
    TAILQ_INIT(&w->settled);
    TAILQ_INIT(&w->alias_order);
    TAILQ_INIT(&w->owed);
    w->inner = c->inner;
    w->inner_caps = *store_caps(c->inner);
    w->limit = c->dirty_limit;
    w->max_ops = c->max_operations ? c->max_operations : MAX_OPERATIONS;
    w->patience_ms = c->patience_ms ? c->patience_ms : PATIENCE_MS;
    w->linger_ms = c->linger_ms ? c->linger_ms : LINGER_MS;
    w->linger_remove_ms = c->linger_ms ? c->linger_ms : LINGER_REMOVE_MS;
    w->hold_ms = c->linger_ms ? c->hold_ms : HOLD_MS;
    w->aliases = map_new(alias_key);
    w->end = cancel_new();
    if (w->aliases && w->end)
        return TAKE(w);
    (void)err_set(e, ERR_NOMEM, "out of memory");
    return NULL;
}

/* The bytes are lost on this disk, and were perhaps never in the store: nobody can do more than say so, and keep what is there. */
static void check_bodies(struct writeback *w)
{
    struct op *o, *next;
    LOCK_SCOPE(&w->lock);
    for (o = TAILQ_FIRST(&w->all); o; o = next) {
        struct err err = ERR_INIT;
        next = TAILQ_NEXT(o, all_link);
        if (!o->body || body_check(o->body, &err) != ERR_PROTO)
            continue;
        LOG_ERROR("writeback", "what was written to \"%s\" cannot be sent: %s", o->node->key, err.msg);
        body_set_aside(o->body, o->node->key, err.msg);
        note_done(w, o, RECORD_DISCARDED, 0, NULL);
        room_give_locked(w, o->size);
        op_unlink(w, o);
        op_free(o);
    }
}

/* What was asked for without an answer is for `awsfs journal` to show: others may have such an upload too. */
static bool abort_left(void *arg, const char *key, const char *upload_id, int64_t since)
{
    struct writeback *w = arg;
    struct err err = ERR_INIT;
    if (!upload_id)
        return false;
    const struct store_call call = {.cancel = w->end};
    if (store_upload_abort(w->inner, key, upload_id, &call, &err) == ERR_OK)
        return true;
    LOG_WARN("writeback", "an upload of \"%s\" is left until the next mount: %s", key, err.msg);
    return false;
}

static void abort_all_left(void *arg)
{
    struct writeback *w = arg;
    struct err err = ERR_INIT;
    if (uploads_each_left(w->uploads, abort_left, w, &err))
        LOG_WARN("writeback", "%s", err.msg);
}

static bool make_room(void *uploads)
{
    return uploads_give_room(uploads);
}

static enum err_code open_journal(struct writeback *w, const struct writeback_config *c, struct err *e)
{
    CLEANUP(free) char *bodies = str_printf("%s/" WRITEBACK_BODIES, c->dir);
    CLEANUP(free) char *uploads = str_printf("%s/" WRITEBACK_UPLOADS, c->dir);
    struct wal_config log = {.dir = c->dir, .identity = c->identity, .make_room = make_room};
    if (!bodies || !uploads)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (private_dir(c->dir, e) || private_dir(uploads, e))
        return e->code;
    if (!(w->bodies = bodies_open(bodies, e)) || !(w->uploads = uploads_open(uploads, e)))
        return e->code ? e->code : ERR_NOMEM;
    uploads_set_aside(w->uploads);
    log.room_arg = w->uploads;
    if (!(w->wal = wal_open(&log, replay_record, w, e)))
        return e->code;
    struct wal_stats now;
    wal_stats(w->wal, &now);
    w->appended = w->durable = now.next - 1;
    check_bodies(w);
    bodies_sweep(w->bodies, now.damaged > 0);
    return ERR_OK;
}

/* What was left begins to be sent. */
static void take_over(struct writeback *w)
{
    struct op *o;
    LOCK_SCOPE(&w->lock);
    w->n_recovered = w->n_ops;
    if (w->n_ops)
        LOG_INFO("writeback", "%zu operations of an earlier mount are sent now", w->n_ops);
    TAILQ_FOREACH(o, &w->all, all_link) {
        o->since_ms = clock_mono_ms();
        sender_consider(w, o);
    }
}

/* Files go to the journal as a whole, so uploads by parts are none of the filesystem's business. */
static struct store_caps caps_of(const struct writeback *w)
{
    struct store_caps caps = w->inner_caps;
    caps.flags &= ~(unsigned)(STORE_MULTIPART | STORE_RENAME);
    caps.flags |= STORE_LATER;
    caps.put_max = caps.put_target = caps.max_object;
    return caps;
}

struct store *writeback_store_new(const struct writeback_config *c, struct writeback **control, struct err *e)
{
    struct err local = ERR_INIT;
    e = e ? e : &local;
    if (store_caps(c->inner)->flags & STORE_SECRET) {
        (void)err_set(e, ERR_UNSUPPORTED, "what is written there must never be on a disk");
        return NULL;
    }
    CLEANUP(release) struct writeback *w = make(c, e);
    if (!w || open_journal(w, c, e))
        return NULL;
    const struct store_caps caps = caps_of(w);
    take_over(w);
    if (sender_start(w, e)) {
        sender_stop(w);
        return NULL;
    }
    if (pool_submit(w->pool, abort_all_left, w, NULL))
        LOG_DEBUG("writeback", "uploads of an earlier mount are left to the next one");
    struct store *s = store_new(&ops, w, &caps, e);
    if (!s) {
        sender_stop(w);
        return NULL;
    }
    if (control)
        *control = w;
    w = NULL;
    return s;
}

bool writeback_has_journal(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    bool found = false;
    while (d && !found && (entry = readdir(d)) != NULL)
        found = str_ends(entry->d_name, ".wal");
    if (d)
        closedir(d);
    return found;
}
