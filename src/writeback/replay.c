/*
 * What an earlier mount has left: records become operations again, ends take them away. Each may have been sent, so nothing is merged with
 * it, and a condition that fails may be our own doing (conflict.c).
 */
#include "util/log.h"
#include "util/str.h"
#include "writeback/inside.h"

#include <string.h>

static enum err_code take_put(struct writeback *w, struct op *o, const struct record *r, struct err *e)
{
    o->body = r->file ? body_of_file(w->bodies, r->file, r->size, e) : body_of_bytes(w->bodies, r->body, (size_t)r->size, e);
    if (!o->body)
        return e->code ? e->code : ERR_NOMEM;
    w->bytes += r->size;
    if (r->sha512 && !(o->sha512 = malloc(64)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (r->sha512)
        memcpy(o->sha512, r->sha512, 64);
    o->has_crc = r->crc64nvme != NULL;
    o->crc64nvme = r->crc64nvme ? *r->crc64nvme : 0;
    return op_name_version(o, e);
}

static enum err_code take_copy(struct writeback *w, struct op *o, const struct record *r, struct err *e)
{
    o->from = node_get(w, r->key);
    o->from_etag = strdup(r->etag ? r->etag : "");
    o->etag = strdup(r->etag ? r->etag : "");
    o->has_mtime = r->mtime != NULL;
    if (r->mtime)
        o->mtime = *r->mtime;
    return o->from && o->from_etag && o->etag ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static void drop(struct writeback *w, struct op *o)
{
    w->bytes -= o->body ? o->size : 0;
    op_unlink(w, o);
    op_free(o);
}

static bool is_read_later(const struct op *o)
{
    const struct op *r;
    TAILQ_FOREACH(r, &o->node->readers, from_link)
        if (r->number > o->number)
            return true;
    return false;
}

/* One that was made for what was there before the last operation of its key took that one's place: the log was not told of the end of
 * what it replaced, or cannot tell any more. */
static struct op *replaced_by(const struct op *o)
{
    struct op *last = node_last(o->node);
    if (!last || o->cond == STORE_ALWAYS || is_read_later(last))
        return NULL;
    bool follows = o->cond == STORE_IF_ABSENT ? last->kind == OP_REMOVE : last->etag && strcmp(last->etag, o->cond_etag) == 0;
    return follows ? NULL : last;
}

static enum err_code take(struct writeback *w, uint64_t number, const struct record *r, enum op_kind kind, struct err *e)
{
    CLEANUP(op_free) struct op *o = op_new(kind);
    if (!o)
        return err_set(e, ERR_NOMEM, "out of memory");
    o->number = number;
    o->left = true;
    o->size = r->size;
    o->when = r->when;
    const char *etag = kind == OP_REMOVE ? r->etag : r->cond_etag;
    o->cond = kind == OP_REMOVE ? (etag ? STORE_IF_MATCH : STORE_ALWAYS)
              : r->cond == RECORD_IF_ABSENT ? STORE_IF_ABSENT : r->cond == RECORD_IF_MATCH ? STORE_IF_MATCH : STORE_ALWAYS;
    if (etag && !(o->cond_etag = strdup(etag)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (r->meta && !(o->meta = store_meta_of(r->meta, e)))
        return ERR_NOMEM;
    enum err_code code = kind == OP_PUT ? take_put(w, o, r, e) : kind == OP_COPY ? take_copy(w, o, r, e) : ERR_OK;
    if (code)
        return code;
    o->node = node_get(w, kind == OP_COPY ? r->to : r->key);
    if (!o->node)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct op *old = replaced_by(o);
    o->keeps = old ? old->keeps : 0;
    op_link(w, o);
    o = NULL;
    if (old)
        drop(w, old);
    return ERR_OK;
}

/* Ends are those of the oldest operations, or of ones just replaced: looked for from both sides. */
static struct op *find(struct writeback *w, uint64_t number)
{
    struct op *low = TAILQ_FIRST(&w->all), *high = TAILQ_LAST(&w->all, all_ops);
    while (low && low->number < number && high->number > number) {
        low = TAILQ_NEXT(low, all_link);
        high = TAILQ_PREV(high, all_ops, all_link);
    }
    return !low ? NULL : low->number == number ? low : high->number == number ? high : NULL;
}

/* Operations of a key go one after the other: what was before one that was sent has ended, also where the log could not be told. */
static void end_before(struct writeback *w, const struct op *o)
{
    struct op *before;
    while ((before = TAILQ_PREV(o, ops, link)) != NULL)
        drop(w, before);
}

static void end(struct writeback *w, const struct record *r)
{
    struct op *o = find(w, r->of);
    if (!o)
        return;
    struct store_version version = {.size = r->version_size, .mtime = r->version_mtime};
    bool made = r->kind == RECORD_DONE && r->how == RECORD_SENT && o->kind != OP_REMOVE && r->version_etag && *r->version_etag;
    if (made) {
        memcpy(version.etag, r->version_etag, strnlen(r->version_etag, sizeof(version.etag) - 1));
        sender_settled(w, o, &version);
    }
    if (r->kind == RECORD_CONFLICT || r->how == RECORD_SENT)
        end_before(w, o);
    drop(w, o);
}

enum err_code replay_record(void *arg, uint64_t number, const void *p, size_t len, struct err *e)
{
    struct writeback *w = arg;
    CLEANUP(record_free) struct record *r = record_decode(p, len, e);
    if (!r)
        return e->code;
    LOCK_SCOPE(&w->lock);
    switch (r->kind) {
    case RECORD_PUT:
        return take(w, number, r, OP_PUT, e);
    case RECORD_COPY:
        return take(w, number, r, OP_COPY, e);
    case RECORD_REMOVE:
        return take(w, number, r, OP_REMOVE, e);
    case RECORD_DONE:
    case RECORD_CONFLICT:
        end(w, r);
        return ERR_OK;
    default: /* what has become of attempts */
        return ERR_OK;
    }
}
