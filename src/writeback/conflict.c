/*
 * Conditions that failed: others changed what an operation was made for, or an earlier attempt of ours whose end we did not hear of has
 * done it already. What is there tells which: our own bytes are no conflict. Else what was written here is put beside.
 */
#include "journal/conflict.h"
#include "store/fetch.h"
#include "util/buf.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"
#include "writeback/inside.h"

#include <string.h>

#define CHUNK (256u << 10)

/* ---- Is it ours? */

struct comparison {
    const struct body *body;
    int fd;
    uint64_t at;
    char *buf; /* CHUNK bytes */
};

static bool compare_data(void *arg, const void *p, size_t len)
{
    struct comparison *c = arg;
    const char *bytes = p;
    while (len) {
        ssize_t n = body_read(c->body, c->fd, c->at, c->buf, len < CHUNK ? len : CHUNK);
        if (n <= 0 || memcmp(c->buf, bytes, (size_t)n) != 0)
            return false;
        bytes += n;
        len -= (size_t)n;
        c->at += (uint64_t)n;
    }
    return true;
}

/* Byte by byte: rare, and the only answer that is always right. */
static enum err_code compare_bytes(struct writeback *w, const char *key, const char *etag, const struct body *body, bool *same,
                                   struct err *e)
{
    CLEANUP(free) char *buf = malloc(CHUNK);
    CLEANUP(close) int fd = body_open(body, e);
    if (fd == -2 || !buf)
        return buf ? ERR_IO : err_set(e, ERR_NOMEM, "out of memory");
    struct comparison c = {.body = body, .fd = fd, .buf = buf};
    const struct store_get get = {.key = key, .etag = etag, .length = body->size, .whole = true, .call = {.cancel = w->end},
                                  .data = compare_data, .arg = &c};
    struct err why = ERR_INIT;
    enum err_code code = store_fetch(w->inner, &get, NULL, &why);
    *same = code == ERR_OK && c.at == body->size;
    bool decided = code == ERR_OK || code == ERR_CONFLICT || code == ERR_NOT_FOUND || (code == ERR_CANCELED && !cancel_fired(w->end));
    return decided ? ERR_OK : err_set(e, code, "\"%s\" could not be compared with what is to be stored: %s", key, why.msg);
}

/* Whether two objects have the same bytes. Their hashes came along with a copy; where they have none the bytes are fetched: rare, and
 * the only answer that is always right. */
static enum err_code same_bytes(struct writeback *w, const char *a_key, const struct store_object *a, const char *b_key,
                                const struct store_object *b, bool *same, struct err *e)
{
    const char *a_told = store_meta_prop(a->meta, "sha512", NULL), *b_told = store_meta_prop(b->meta, "sha512", NULL);
    *same = a->version.size == b->version.size && (a->version.size == 0 || (a_told && b_told && strcmp(a_told, b_told) == 0));
    if (*same || (a_told && b_told))
        return ERR_OK;
    struct err why = ERR_INIT;
    enum err_code code = store_same_bytes(w->inner, a_key, &a->version, b_key, &b->version, w->end, same, &why);
    return code ? err_set(e, code, "\"%s\" could not be compared with what it was copied from: %s", b_key, why.msg) : ERR_OK;
}

static enum err_code is_ours(struct writeback *w, const struct op *o, const struct store_object *now, bool *ours, struct err *e)
{
    const char *told = store_meta_prop(now->meta, "sha512", NULL);
    char hex[129];
    *ours = false;
    if (now->version.size != o->size)
        return ERR_OK;
    if (o->size == 0 || strcmp(now->version.etag, o->etag) == 0) {
        *ours = true;
        return ERR_OK;
    }
    if (o->sha512 && told) {
        hex_encode(o->sha512, 64, hex);
        if (strcmp(told, hex) != 0)
            return ERR_OK;
    }
    return compare_bytes(w, o->node->key, now->version.etag, o->body, ours, e);
}

/* ---- Beside */

static void keep_locked(struct writeback *w, const char *key, const char *kept)
{
    struct kept *slot = &w->conflicts[w->n_conflicts++ % CONFLICTS_KEPT];
    free(slot->key);
    free(slot->kept);
    *slot = (struct kept){strdup(key), strdup(kept), clock_now()};
}

/* Nothing is known of what the key has now: those who look are told by the inner store. */
static void kept_beside(struct writeback *w, struct op *o, const char *kept, const struct store_version *version, const char *why)
{
    LOCK_SCOPE(&w->lock);
    LOG_WARN("writeback", "\"%s\" was changed by others meanwhile (%s): what was written here is \"%s\"", o->node->key, why, kept);
    note_conflict(w, o, kept, version);
    keep_locked(w, o->node->key, kept);
    alias_set(w, o->node->key, NULL, NULL);
    sender_dropped(w, o, 0, 0);
}

static void put_beside(struct writeback *w, struct op *o, const struct err *why)
{
    const struct store_cond absent = {.kind = STORE_IF_ABSENT};
    struct store_version version;
    struct err err = ERR_INIT;
    BUF(key, 2 * RECORD_KEY_MAX);
    enum err_code code = ERR_CONFLICT;
    for (unsigned attempt = 1; code == ERR_CONFLICT && attempt <= CONFLICT_NAMES; attempt++) {
        buf_clear(&key);
        conflict_key(o->node->key, attempt, &key);
        code = o->kind == OP_PUT ? send_put(w, o, buf_str(&key), &absent, &version, &err)
                                 : send_copy(w, o, buf_str(&key), &absent, &version, &err);
    }
    if (!code) {
        kept_beside(w, o, buf_str(&key), &version, why->msg);
        return;
    }
    LOCK_SCOPE(&w->lock);
    sender_failed(w, o, &err);
}

bool conflict_hand_on_locked(struct writeback *w, struct op *o)
{
    lock_assert_held(&w->lock);
    struct op *next = TAILQ_NEXT(o, link);
    const struct op *r;
    TAILQ_FOREACH(r, &o->node->readers, from_link)
        if (r->number > o->number)
            return false;
    if (!next || next->kind == OP_COPY)
        return false;
    char *etag = o->cond_etag ? strdup(o->cond_etag) : NULL;
    if (o->cond_etag && !etag)
        return false;
    bool other = next->kind == OP_REMOVE && o->cond != STORE_IF_MATCH; /* it finds a version that is not ours, and leaves it */
    if (next->cond == STORE_IF_MATCH && !other) {
        free(next->cond_etag);
        next->cond_etag = TAKE(etag);
        next->cond = o->cond;
    }
    free(etag);
    sender_dropped(w, o, RECORD_MERGED, next->number);
    return true;
}

static void failed(struct writeback *w, struct op *o, const struct err *e)
{
    LOCK_SCOPE(&w->lock);
    sender_failed(w, o, e);
}

static void done(struct writeback *w, struct op *o, const struct store_version *version)
{
    LOCK_SCOPE(&w->lock);
    sender_done(w, o, version);
}

static bool is_marker(const struct op *o)
{
    return o->size == 0 && str_ends(o->node->key, "/");
}

void conflict_put(struct writeback *w, struct op *o, struct err *e)
{
    CLEANUP_RELEASE(store_object_release) struct store_object now = {0};
    struct err err = ERR_INIT;
    const struct store_call call = {.cancel = w->end};
    bool ours = false;
    enum err_code code = store_stat(w->inner, o->node->key, &call, &now, &err);
    if (!code)
        code = is_marker(o) && now.version.size == 0 ? (ours = true, ERR_OK) : is_ours(w, o, &now, &ours, &err);
    if (code && code != ERR_NOT_FOUND) {
        failed(w, o, &err);
    } else if (ours) {
        done(w, o, &now.version);
    } else {
        lock_take(&w->lock);
        bool handed_on = conflict_hand_on_locked(w, o);
        lock_drop(&w->lock);
        if (!handed_on)
            put_beside(w, o, e);
    }
}

/* What was to be copied is not there any more. */
static void source_lost(struct writeback *w, struct op *o, const struct err *e)
{
    LOCK_SCOPE(&w->lock);
    LOG_ERROR("writeback", "\"%s\" was to become \"%s\", but others have changed it meanwhile: it stays where it is (%s)", o->from->key,
              o->node->key, e->msg);
    note_done(w, o, RECORD_DISCARDED, 0, NULL);
    keep_locked(w, o->node->key, o->from->key);
    alias_set(w, o->node->key, NULL, NULL);
    sender_dropped(w, o, 0, 0);
}

static void attributes_lost(struct writeback *w, struct op *o, const struct err *e)
{
    LOCK_SCOPE(&w->lock);
    LOG_WARN("writeback", "attributes of \"%s\" were not stored, others have changed it meanwhile: %s", o->node->key, e->msg);
    alias_set(w, o->node->key, NULL, NULL);
    sender_dropped(w, o, RECORD_DISCARDED, 0);
}

/* An earlier mount has made the copy and what came after it, which is about to be found out. */
static bool is_passed(struct writeback *w, const struct op *o)
{
    const struct op *r;
    LOCK_SCOPE(&w->lock);
    if (o->left && TAILQ_NEXT(o, link))
        return true;
    TAILQ_FOREACH(r, &o->node->readers, from_link)
        if (o->left && r->number > o->number)
            return true;
    return false;
}

static void dropped(struct writeback *w, struct op *o)
{
    LOCK_SCOPE(&w->lock);
    sender_dropped(w, o, RECORD_DISCARDED, 0);
}

static enum err_code look(struct writeback *w, const char *key, struct store_object *out, bool *there, struct err *e)
{
    const struct store_call call = {.cancel = w->end};
    struct err err = ERR_INIT;
    enum err_code code = store_stat(w->inner, key, &call, out, &err);
    *there = code == ERR_OK;
    return code == ERR_OK || code == ERR_NOT_FOUND ? ERR_OK : err_copy(e, &err);
}

void conflict_copy(struct writeback *w, struct op *o, struct err *e)
{
    CLEANUP_RELEASE(store_object_release) struct store_object from = {0}, to = {0};
    struct err err = ERR_INIT;
    bool from_there = false, to_there = false, self = o->from == o->node;
    enum err_code code = look(w, o->from->key, &from, &from_there, &err);
    if (!code)
        code = look(w, o->node->key, &to, &to_there, &err);
    bool source = from_there && strcmp(from.version.etag, o->from_etag) == 0;
    /* An attempt of an earlier mount has made it. A copy has the ETag of its source unless that was put by parts, or is encrypted. */
    bool made = to_there && !self && to.version.size == o->size && strcmp(to.version.etag, o->from_etag) == 0;
    if (!code && !made && source && to_there && !self)
        code = same_bytes(w, o->from->key, &from, o->node->key, &to, &made, &err);
    if (code)
        failed(w, o, &err);
    else if (made)
        done(w, o, &to.version);
    else if (!source && is_passed(w, o))
        dropped(w, o);
    else if (self && !source)
        attributes_lost(w, o, e);
    else if (source)
        put_beside(w, o, e);
    else
        source_lost(w, o, e);
}

void conflict_remove(struct writeback *w, struct op *o)
{
    LOCK_SCOPE(&w->lock);
    LOG_WARN("writeback", "\"%s\" was to be removed, but others have changed it meanwhile: it stays", o->node->key);
    keep_locked(w, o->node->key, o->node->key);
    alias_set(w, o->node->key, NULL, NULL);
    sender_dropped(w, o, RECORD_DISCARDED, 0);
}
