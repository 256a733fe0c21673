/* What happens to operations, in the log. */
#include "util/clock.h"
#include "util/log.h"
#include "writeback/inside.h"

#include <string.h>

#define DONE_MAX 16384 /* bytes of a record that has no body */

static const enum record_kind kinds[] = {[OP_PUT] = RECORD_PUT, [OP_COPY] = RECORD_COPY, [OP_REMOVE] = RECORD_REMOVE};

/* `ends`: of what was sent, for which room is set aside: who is killed before its end is in the log does it again. */
static enum err_code append_bytes(struct writeback *w, const void *p, size_t len, bool ends, uint64_t *number, struct err *e)
{
    enum err_code code;
    do
        code = wal_append(w->wal, p, len, number, e);
    while (code == ERR_NOSPC && ends && uploads_give_room(w->uploads));
    if (code)
        return code;
    if (!note_is_behind(w))
        w->unsynced_ms = clock_mono_ms();
    w->appended = *number;
    return ERR_OK;
}

/* Ends that the log had no room for. */
static enum err_code append_owed(struct writeback *w, struct err *e)
{
    struct owed *o;
    uint64_t number;
    while ((o = TAILQ_FIRST(&w->owed)) != NULL) {
        enum err_code code = append_bytes(w, o->bytes, o->len, true, &number, e);
        if (code)
            return code;
        TAILQ_REMOVE(&w->owed, o, link);
        free(o);
    }
    return ERR_OK;
}

static enum err_code append(struct writeback *w, const struct record *r, size_t max, bool ends, uint64_t *number, struct err *e)
{
    BUF(out, max);
    enum err_code code = append_owed(w, e);
    if (!code)
        code = record_encode(r, &out, e);
    return code ? code : append_bytes(w, out.data, out.len, ends, number, e);
}

bool note_is_behind(const struct writeback *w)
{
    return w->durable < w->appended || !TAILQ_EMPTY(&w->owed);
}

enum err_code note_op(struct writeback *w, struct op *o, struct err *e)
{
    lock_assert_held(&w->lock);
    struct meta_fields meta;
    struct record r = {.kind = kinds[o->kind], .when = o->when, .size = o->size, .sha512 = o->sha512};
    if (o->meta) {
        store_meta_fields(o->meta, &meta);
        r.meta = &meta;
    }
    switch (o->kind) {
    case OP_PUT:
        r.key = o->node->key;
        r.body = o->body->bytes && o->size ? o->body->bytes : NULL;
        r.file = o->body->file;
        r.crc64nvme = o->has_crc ? &o->crc64nvme : NULL;
        break;
    case OP_COPY:
        r.key = o->from->key;
        r.to = o->node->key;
        r.etag = o->from_etag;
        r.mtime = o->has_mtime ? &o->mtime : NULL;
        break;
    case OP_REMOVE:
        r.key = o->node->key;
        r.etag = o->cond_etag;
        r.size = 0;
        break;
    }
    if (o->kind != OP_REMOVE) {
        r.cond = (enum record_cond_kind)(o->cond == STORE_IF_ABSENT ? RECORD_IF_ABSENT : o->cond == STORE_IF_MATCH ? RECORD_IF_MATCH : RECORD_ALWAYS);
        r.cond_etag = o->cond_etag;
    }
    return append(w, &r, WAL_RECORD_MAX, false, &o->number, e);
}

/* An operation that ended must not be carried out again by the next mount: others may have changed the object since. */
static void owe(struct writeback *w, const struct record *r)
{
    BUF(out, DONE_MAX);
    struct owed *o = record_encode(r, &out, NULL) == ERR_OK ? malloc(sizeof(*o) + out.len) : NULL;
    if (!o)
        return;
    o->len = out.len;
    memcpy(o->bytes, out.data, out.len);
    if (!note_is_behind(w))
        w->unsynced_ms = clock_mono_ms();
    TAILQ_INSERT_TAIL(&w->owed, o, link);
}

static void note(struct writeback *w, const struct record *r)
{
    struct err err = ERR_INIT;
    uint64_t number;
    if (append(w, r, DONE_MAX, true, &number, &err) == ERR_OK)
        return;
    if (TAILQ_EMPTY(&w->owed))
        LOG_WARN("writeback", "ends of operations are not in the journal yet: %s", err.msg);
    owe(w, r);
}

void note_done(struct writeback *w, const struct op *o, enum record_how how, uint64_t into, const struct store_version *version)
{
    lock_assert_held(&w->lock);
    struct record r = {.kind = RECORD_DONE, .of = o->number, .how = how, .into = into, .version_etag = ""};
    if (version) {
        r.version_etag = version->etag;
        r.version_size = version->size;
        r.version_mtime = version->mtime;
    }
    note(w, &r);
}

enum err_code note_discarded(struct writeback *w, const struct op *o, struct err *e)
{
    lock_assert_held(&w->lock);
    const struct record r = {.kind = RECORD_DONE, .of = o->number, .how = RECORD_DISCARDED, .version_etag = ""};
    uint64_t number;
    return append(w, &r, DONE_MAX, false, &number, e);
}

void note_failed(struct writeback *w, const struct op *o)
{
    lock_assert_held(&w->lock);
    struct record r = {.kind = RECORD_FAILED, .when = clock_now(), .of = o->number, .code = o->code, .text = o->error ? o->error : "",
                       .attempts = o->attempts};
    note(w, &r);
}

void note_conflict(struct writeback *w, const struct op *o, const char *kept, const struct store_version *version)
{
    lock_assert_held(&w->lock);
    struct record r = {.kind = RECORD_CONFLICT, .when = clock_now(), .of = o->number, .key = kept, .version_etag = version->etag,
                       .version_size = version->size, .version_mtime = version->mtime};
    note(w, &r);
}

enum err_code note_owed(struct writeback *w, uint64_t *number, struct err *e)
{
    lock_assert_held(&w->lock);
    if (TAILQ_EMPTY(&w->owed))
        return ERR_OK;
    enum err_code code = append_owed(w, e);
    if (!code)
        *number = w->appended;
    return code == ERR_NOSPC ? ERR_OK : code;
}

enum err_code note_sync(struct writeback *w, uint64_t number, struct err *e)
{
    lock_take(&w->lock);
    bool durable = number <= w->durable;
    lock_drop(&w->lock);
    if (durable)
        return ERR_OK;
    enum err_code code = wal_sync(w->wal, number, e);
    LOCK_SCOPE(&w->lock);
    if (!code && number > w->durable)
        w->durable = number;
    return code;
}

void note_tidy(struct writeback *w)
{
    struct err err = ERR_INIT;
    bodies_mark(w->bodies);
    lock_take(&w->lock);
    enum err_code code = append_owed(w, &err);
    uint64_t appended = w->appended;
    uint64_t needed = table_keeps(w);
    lock_drop(&w->lock);
    if (code || note_sync(w, appended, &err))
        return; /* the journal says so itself; nothing is removed */
    bodies_tidy(w->bodies);
    wal_trim(w->wal, needed);
    uploads_set_aside(w->uploads); /* what was taken of it */
}

void note_release(struct writeback *w)
{
    struct owed *o;
    while ((o = TAILQ_FIRST(&w->owed)) != NULL) {
        TAILQ_REMOVE(&w->owed, o, link);
        free(o);
    }
}
