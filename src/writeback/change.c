/*
 * Puts, copies and removals: into the journal and the table.
 *
 * Merging. A new operation on a key replaces the last one of its node where that has not been begun: it takes over its condition, and
 * its record is the whole of what is left to do. The log tells of the replacement by the end of the older one, written behind the record
 * of the newer: whoever is killed in between has both, in order.
 */
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"
#include "writeback/inside.h"

#include <string.h>

#define SHARED_MAX (8u << 20) /* bytes that are rather sent twice than copied after they were sent once */

/* ---- Conditions against what is unsent */

/* What is there as far as operations tell. */
enum there { UNKNOWN, ABSENT, PRESENT };

static enum there there(const struct node *n)
{
    const struct op *last = n ? node_last(n) : NULL;
    return !last ? UNKNOWN : last->kind == OP_REMOVE ? ABSENT : PRESENT;
}

static enum err_code check_cond(const struct node *n, const struct store_cond *cond, struct err *e)
{
    enum there now = there(n);
    bool fails = (cond->kind == STORE_IF_ABSENT && now == PRESENT) ||
                 (cond->kind == STORE_IF_MATCH && (now == ABSENT || (now == PRESENT && strcmp(node_last(n)->etag, cond->etag) != 0)));
    return fails ? err_set(e, ERR_CONFLICT, "\"%s\" is another version now", n->key) : ERR_OK;
}

static enum err_code set_cond(struct writeback *w, struct op *o, const struct store_cond *cond, struct err *e)
{
    o->cond = cond->preferred && cond->kind == STORE_IF_MATCH ? STORE_ALWAYS : cond->kind;
    if (o->cond != STORE_IF_MATCH)
        return ERR_OK;
    const char *etag = there(o->node) == UNKNOWN ? alias_real(w, o->node->key, cond->etag) : cond->etag;
    o->cond_etag = strdup(etag);
    return o->cond_etag ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

/* ---- Merging */

static bool is_read_later(const struct node *n, uint64_t number)
{
    const struct op *r;
    TAILQ_FOREACH(r, &n->readers, from_link)
        if (r->number > number)
            return true;
    return false;
}

/* Another one may take its place. Who waits for it to be sent would else be told that it was. */
static bool is_open(const struct writeback *w, const struct op *o)
{
    return !o->begun && !o->left && o->number > w->drain_until && !is_read_later(o->node, o->number);
}

/* The last operation of the node, if another one may take its place. */
static struct op *replaceable(const struct writeback *w, const struct node *n)
{
    struct op *last = n ? node_last(n) : NULL;
    return last && last->kind != OP_REMOVE && is_open(w, last) ? last : NULL;
}

/* The condition of what is replaced says what is in the store now. */
static enum err_code inherit(struct op *o, const struct op *old, struct err *e)
{
    char *etag = old->cond_etag ? strdup(old->cond_etag) : NULL;
    if (old->cond_etag && !etag)
        return err_set(e, ERR_NOMEM, "out of memory");
    free(o->cond_etag);
    o->cond_etag = etag;
    o->cond = old->cond;
    o->keeps = old->keeps;
    return ERR_OK;
}

/* `into` 0: the log has its end. */
static void replaced(struct writeback *w, struct op *old, uint64_t into)
{
    CLEANUP(free) char *from = old->from ? strdup(old->from->key) : NULL;
    if (into)
        note_done(w, old, RECORD_MERGED, into, NULL);
    room_give_locked(w, old->body ? old->size : 0);
    sender_unqueue(w, old);
    op_unlink(w, old);
    op_free(old);
    w->n_merged++;
    if (from)
        sender_after(w, from, NULL);
}

/* Journals the operation and puts it into the table, in the place of `old` unless that is NULL. It is the table's from then on. */
static enum err_code enter(struct writeback *w, struct op **op, struct op *old, struct err *e)
{
    struct op *o = *op;
    o->since_ms = old ? old->since_ms : clock_mono_ms();
    enum err_code code = old ? inherit(o, old, e) : ERR_OK;
    if (!code)
        code = note_op(w, o, e);
    if (code)
        return code;
    *op = NULL;
    op_link(w, o);
    if (old)
        replaced(w, old, o->number);
    sender_consider(w, o);
    return ERR_OK;
}

/* What was not journaled leaves no empty node. */
static void give_up(struct writeback *w, struct op *o)
{
    if (!o)
        return;
    struct node *n = TAKE(o->node), *from = TAKE(o->from);
    node_put(w, n);
    if (from != n)
        node_put(w, from);
}

/* ---- Putting */

static enum err_code make_put(struct writeback *w, const struct store_body *body, const struct store_meta *meta, struct op **out,
                              struct err *e)
{
    CLEANUP(op_free) struct op *o = op_new(OP_PUT);
    if (!o)
        return err_set(e, ERR_NOMEM, "out of memory");
    o->size = body->size;
    o->when = clock_now();
    o->body = body_take(w->bodies, body, e);
    if (!o->body)
        return e && e->code ? e->code : ERR_IO;
    if (meta && !(o->meta = store_meta_copy(meta)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (body->sha512 && !(o->sha512 = malloc(64)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (body->sha512)
        memcpy(o->sha512, body->sha512, 64);
    o->has_crc = body->crc64nvme != NULL;
    o->crc64nvme = body->crc64nvme ? *body->crc64nvme : 0;
    enum err_code code = op_name_version(o, e);
    if (!code)
        *out = TAKE(o);
    return code;
}

static enum err_code enter_put(struct writeback *w, const char *key, struct op **op, const struct store_cond *cond, uint64_t *number,
                               struct err *e)
{
    LOCK_SCOPE(&w->lock);
    struct op *o = *op;
    o->node = node_get(w, key);
    if (!o->node)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct op *old = replaceable(w, o->node);
    if (old && old->kind != OP_PUT) /* what it copies along is known to the store only */
        old = NULL;
    enum err_code code = check_cond(o->node, cond, e);
    if (!code)
        code = set_cond(w, o, cond, e);
    if (!code)
        code = enter(w, op, old, e);
    *number = o->number;
    if (code)
        give_up(w, *op);
    return code;
}

/* Where the journal is broken nothing but the store itself keeps the promise. */
static enum err_code durable_or_sent(struct writeback *w, const char *key, uint64_t number, const struct store_call *call, struct err *e)
{
    struct err err = ERR_INIT;
    if (note_sync(w, number, &err) == ERR_OK)
        return ERR_OK;
    LOG_DEBUG("writeback", "\"%s\" is waited for: %s", key, err.msg);
    return settle(w, key, call, e);
}

/* Larger than all that may be unsent: it is sent at once. */
static enum err_code put_through(struct writeback *w, const char *key, const struct store_body *body, const struct store_meta *meta,
                                 const struct store_cond *cond, const struct store_call *call, struct store_version *out, struct err *e)
{
    enum err_code code = settle_for_good(w, key, call, e);
    if (code)
        return code;
    lock_take(&w->lock);
    CLEANUP(free) char *etag = cond->kind == STORE_IF_MATCH ? strdup(alias_real(w, key, cond->etag)) : NULL;
    lock_drop(&w->lock);
    if (cond->kind == STORE_IF_MATCH && !etag)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct store_cond real = {.kind = cond->kind, .etag = etag};
    code = send_body(w, key, body, meta, &real, call ? call->cancel : NULL, out, e);
    if (!code) {
        LOCK_SCOPE(&w->lock);
        alias_set(w, key, NULL, NULL);
    }
    return code;
}

/* A container, which only its server can make. */
static bool is_container(const struct writeback *w, const char *key)
{
    const char *slash = strchr(key, '/');
    return (w->inner_caps.flags & STORE_CONTAINERS) && slash && slash[1] == 0;
}

enum err_code wb_put(void *impl, const char *key, const struct store_body *body, const struct store_meta *meta,
                     const struct store_cond *cond, const struct store_call *call, struct store_version *out, struct err *e)
{
    struct writeback *w = impl;
    struct err local = ERR_INIT;
    e = e ? e : &local;
    if (is_container(w, key))
        return store_put(w->inner, key, body, meta, cond, call, out, e);
    if (w->limit && body->size > w->limit)
        return put_through(w, key, body, meta, cond, call, out, e);
    enum err_code code = room_take(w, body->size, call, e);
    if (code)
        return code;
    CLEANUP(op_free) struct op *o = NULL;
    uint64_t number = 0;
    struct store_version version = {0};
    code = make_put(w, body, meta, &o, e);
    if (!code) {
        op_version(o, &version);
        code = enter_put(w, key, &o, cond, &number, e);
    }
    if (code) {
        LOCK_SCOPE(&w->lock);
        room_give_locked(w, body->size);
        return code;
    }
    *out = version;
    bool marker = body->size == 0 && str_ends(key, "/");
    return marker ? ERR_OK : durable_or_sent(w, key, number, call, e);
}

/* ---- Copying */

static enum err_code copy_meta(struct op *o, const struct store_copy *c, const struct store_meta *own, struct err *e)
{
    const struct store_meta *from = c->meta ? c->meta : own;
    if (!from && !c->mtime)
        return ERR_OK;
    o->meta = store_meta_copy(from);
    if (!o->meta)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (!c->meta && c->mtime && !(o->meta->has & STORE_HAS_MTIME)) {
        o->meta->mtime = *c->mtime;
        o->meta->has |= STORE_HAS_MTIME;
    }
    return ERR_OK;
}

/* Bytes that are not in the store yet go to the new key by themselves, and what will be under the old one is not waited for. */
static bool is_shared(const struct writeback *w, const struct op *source, const struct store_copy *c)
{
    if (!source || source->kind != OP_PUT)
        return false;
    if (strcmp(c->from, c->to) == 0)
        return is_open(w, source);
    /* What a put replaces may have more than metadata say, for instance tags. */
    return source->cond == STORE_IF_ABSENT && (!source->begun || source->size <= SHARED_MAX);
}

static enum err_code as_put(const struct op *source, const struct store_copy *c, struct op **out, struct err *e)
{
    CLEANUP(op_free) struct op *o = op_new(OP_PUT);
    if (!o)
        return err_set(e, ERR_NOMEM, "out of memory");
    o->body = body_ref(source->body);
    o->has_crc = source->has_crc;
    o->crc64nvme = source->crc64nvme;
    if (source->sha512 && !(o->sha512 = malloc(64)))
        return err_set(e, ERR_NOMEM, "out of memory");
    if (source->sha512)
        memcpy(o->sha512, source->sha512, 64);
    enum err_code code = copy_meta(o, c, source->meta, e);
    if (!code)
        *out = TAKE(o);
    return code;
}

/* A change of attributes of what is still to be copied here is a copy with these attributes, if its source is still what it was: a new
 * copy has its place behind what was done to that. */
static bool is_same_copy(const struct op *last, const struct store_copy *c)
{
    if (!last || last->kind != OP_COPY || !c->meta || strcmp(c->from, c->to) != 0)
        return false;
    const struct op *source = node_last(last->from);
    return !source || source->number <= last->number;
}

static enum err_code as_copy(struct writeback *w, struct op *source, const struct store_copy *c, struct op **out, struct err *e)
{
    CLEANUP(op_free) struct op *o = op_new(OP_COPY);
    if (!o)
        return err_set(e, ERR_NOMEM, "out of memory");
    bool again = is_same_copy(replaceable(w, source ? source->node : NULL), c);
    const char *etag = again ? source->from_etag : source ? source->etag : alias_real(w, c->from, c->from_etag);
    o->from_etag = strdup(etag);
    o->has_mtime = c->mtime != NULL;
    if (c->mtime)
        o->mtime = *c->mtime;
    if (c->meta)
        o->meta = store_meta_copy(c->meta);
    o->from = again ? source->from : node_get(w, c->from);
    if (!o->from_etag || !o->from || (c->meta && !o->meta))
        return err_set(e, ERR_NOMEM, "out of memory");
    *out = TAKE(o);
    return ERR_OK;
}

static enum err_code enter_copy_locked(struct writeback *w, const struct store_copy *c, struct op **op, uint64_t *number, struct err *e)
{
    struct node *from = node_find(w, c->from);
    if (there(from) == ABSENT)
        return err_set(e, ERR_NOT_FOUND, "\"%s\" was removed", c->from);
    struct op *source = from ? node_last(from) : NULL;
    if (source && strcmp(source->etag, c->from_etag) != 0)
        return err_set(e, ERR_CONFLICT, "\"%s\" is another version now", c->from);
    bool shared = is_shared(w, source, c);
    enum err_code code = shared ? as_put(source, c, op, e) : as_copy(w, source, c, op, e);
    if (code)
        return code;
    struct op *o = *op;
    o->size = source ? source->size : c->size;
    o->when = clock_now();
    /* As the record says it, so that a later mount knows the version by the same name. */
    o->etag = o->from_etag ? strdup(o->from_etag) : NULL;
    o->node = node_get(w, c->to);
    if (!o->node || (o->from_etag && !o->etag))
        return err_set(e, ERR_NOMEM, "out of memory");
    code = o->body ? op_name_version(o, e) : ERR_OK;
    if (!code)
        code = check_cond(o->node, &c->cond, e);
    if (!code)
        code = set_cond(w, o, &c->cond, e);
    struct op *old = replaceable(w, o->node);
    if (old == source && old && !shared && !is_same_copy(old, c)) /* it would be its own source */
        old = NULL;
    if (!code && o->body)
        w->bytes += o->size;
    if (!code && (code = enter(w, op, old, e)) && o->body)
        room_give_locked(w, o->size);
    *number = o->number;
    return code;
}

/* A copy that is not made yet depends on what others do to its source; bytes that are here do not. */
static bool is_safe(struct writeback *w, const struct store_copy *c)
{
    if (!c->from_etag) /* its version has no name yet */
        return false;
    if (!c->at_once)
        return true;
    LOCK_SCOPE(&w->lock);
    const struct node *from = node_find(w, c->from);
    return from && is_shared(w, node_last(from), c);
}

static enum err_code copy_through(struct writeback *w, const struct store_copy *c, const struct store_call *call,
                                  struct store_version *out, struct err *e)
{
    enum err_code code = settle(w, c->from, call, e);
    if (!code)
        code = settle_for_good(w, c->to, call, e);
    if (code)
        return code;
    lock_take(&w->lock);
    CLEANUP(free) char *etag = c->cond.kind == STORE_IF_MATCH ? strdup(alias_real(w, c->to, c->cond.etag)) : NULL;
    CLEANUP(free) char *from_etag = c->from_etag ? strdup(alias_real(w, c->from, c->from_etag)) : NULL;
    lock_drop(&w->lock);
    const struct store_uploads uploads = send_uploads(w);
    struct store_copy real = *c;
    real.uploads = &uploads;
    real.from_etag = from_etag;
    real.cond.etag = etag;
    if ((c->cond.kind == STORE_IF_MATCH && !etag) || (c->from_etag && !from_etag))
        return err_set(e, ERR_NOMEM, "out of memory");
    code = store_copy(w->inner, &real, call, out, e);
    if (!code) {
        LOCK_SCOPE(&w->lock);
        alias_set(w, c->to, NULL, NULL);
    }
    return code;
}

enum err_code wb_copy(void *impl, const struct store_copy *c, const struct store_call *call, struct store_version *out, struct err *e)
{
    struct writeback *w = impl;
    struct err local = ERR_INIT;
    e = e ? e : &local;
    if (!is_safe(w, c))
        return copy_through(w, c, call, out, e);
    enum err_code room = room_take(w, 0, call, e);
    if (room)
        return room;
    CLEANUP(op_free) struct op *o = NULL;
    uint64_t number = 0;
    struct store_version version = {0};
    {
        LOCK_SCOPE(&w->lock);
        enum err_code code = enter_copy_locked(w, c, &o, &number, e);
        if (code) {
            give_up(w, o);
            return code;
        }
        const struct node *n = node_find(w, c->to);
        op_version(node_last(n), &version);
    }
    *out = version;
    /* A rename is made durable by the next sync; attributes have no other one. */
    return strcmp(c->from, c->to) == 0 ? durable_or_sent(w, c->to, number, call, e) : ERR_OK;
}

/* ---- Removing */

/* What was never sent needs no removal: before it there was nothing, or there will be. */
static bool removes_all_of(const struct op *old)
{
    return old && old->cond == STORE_IF_ABSENT;
}

static enum err_code remove_locked(struct writeback *w, const char *key, const char *etag, struct op **op, struct err *e)
{
    struct node *n = node_find(w, key);
    if (there(n) == ABSENT)
        return ERR_OK;
    struct op *last = n ? node_last(n) : NULL;
    if (last && etag && strcmp(last->etag, etag) != 0)
        return err_set(e, ERR_CONFLICT, "\"%s\" is another version now", key);
    struct op *old = replaceable(w, n);
    if (removes_all_of(old)) {
        enum err_code code = note_discarded(w, old, e);
        if (code)
            return code;
        if (TAILQ_FIRST(&n->ops) == old)
            node_settle(w, n, NULL);
        replaced(w, old, 0);
        return ERR_OK;
    }
    struct op *o = *op = op_new(OP_REMOVE);
    if (!o)
        return err_set(e, ERR_NOMEM, "out of memory");
    o->when = clock_now();
    o->node = node_get(w, key);
    if (!o->node)
        return err_set(e, ERR_NOMEM, "out of memory");
    if (etag && !old && !(o->cond_etag = strdup(last ? etag : alias_real(w, key, etag))))
        return err_set(e, ERR_NOMEM, "out of memory");
    o->cond = o->cond_etag ? STORE_IF_MATCH : STORE_ALWAYS;
    return enter(w, op, old, e);
}

static enum err_code remove_one(struct writeback *w, const char *key, const char *etag, struct err *e)
{
    CLEANUP(op_free) struct op *o = NULL;
    LOCK_SCOPE(&w->lock);
    enum err_code code = remove_locked(w, key, etag, &o, e);
    if (code)
        give_up(w, o);
    return code;
}

enum err_code wb_remove(void *impl, const char *key, const char *etag, const struct store_call *call, struct err *e)
{
    struct writeback *w = impl;
    bool container = is_container(w, key);
    enum err_code code = container ? settle_below(w, key, call, e) : room_take(w, 0, call, e);
    if (!code && !container)
        return remove_one(w, key, etag, e);
    return code ? code : store_remove(w->inner, key, etag, call, e);
}

enum err_code wb_remove_many(void *impl, const char *const *keys, const char *const *etags, size_t n, const struct store_call *call,
                             enum err_code *results, struct err *e)
{
    for (size_t k = 0; k < n; k++) {
        struct err err = ERR_INIT;
        results[k] = wb_remove(impl, keys[k], etags ? etags[k] : NULL, call, &err);
    }
    return ERR_OK;
}

enum err_code wb_sync(void *impl, const struct store_call *call, struct err *e)
{
    struct writeback *w = impl;
    lock_take(&w->lock);
    uint64_t appended = w->appended;
    lock_drop(&w->lock);
    return note_sync(w, appended, e);
}
