/*
 * What is left of a rename that was cut off. Both names of every object are looked at: by one listing of each tree.
 *
 *   old name       new name            forward                            undo
 *   as recorded    nothing             copied, then removed               -
 *   as recorded    the same bytes      removed                            the copy is removed
 *   others' now    our copy            both stay                          the copy is removed
 *   others' now    nothing             stays: a person has to look        -
 *   any            something else      both stay: a person has to look    both stay
 *   nothing        something           -                                  stays: it is all there is
 *   nothing        nothing             told, unless it had been copied    -
 */
#include "vfs/move.h"

#include "store/meta.h"
#include "store/walk.h"
#include "util/cancel.h"
#include "util/log.h"
#include "util/map.h"
#include "util/pool.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

#define PARALLEL 32
#define BATCH    1000

enum verdict {
    DONE,     /* nothing is to be removed */
    REMOVE,   /* the old name, or with undo the new one */
    CHANGED,  /* the old name has something else */
    OTHERS,   /* the new name has something else */
    LOST,     /* there is neither */
};

struct object {
    const struct work *w;
    const struct rename_item *item;
    size_t number;
    char *to;
    struct store_version here, there; /* under the old and the new name; ETag "": nothing */
    enum verdict verdict;
    struct err err; /* it could not be found out, or done */
};

struct work {
    const struct move *m;
    struct rename_note *note;
    const struct rename_plan *plan;
    struct store_meta *meta;
    struct object *objects;
    struct map *by_key; /* by the old name */
    volatile bool stop;
};

static struct map_key key_of(const void *value)
{
    const struct object *o = value;
    return (struct map_key){o->item->key, strlen(o->item->key)};
}

static void work_release(struct work *w)
{
    for (size_t k = 0; w->objects && k < w->plan->n; k++)
        free(w->objects[k].to);
    free(w->objects);
    map_free(w->by_key);
    store_meta_unref(w->meta);
}

static enum err_code work_init(struct work *w, struct err *e)
{
    const struct rename_plan *p = w->plan;
    w->objects = calloc(p->n + 1, sizeof(*w->objects));
    w->by_key = map_new(key_of);
    w->meta = p->meta ? store_meta_of(p->meta, e) : NULL;
    if (!w->objects || !w->by_key || (p->meta && !w->meta))
        return err_set(e, ERR_NOMEM, "no memory to go on with a rename");
    for (size_t k = 0; k < p->n; k++) {
        struct object *o = &w->objects[k];
        *o = (struct object){.w = w, .item = &p->items[k], .number = k, .to = move_target(p, p->items[k].key)};
        if (!o->to)
            return err_set(e, ERR_NOMEM, "no memory to go on with a rename");
        if (map_get(w->by_key, o->item->key, strlen(o->item->key)))
            return err_set(e, ERR_PROTO, "the record of a rename names \"%s\" twice", o->item->key);
        enum err_code code = map_put(w->by_key, o, e);
        if (code)
            return code;
    }
    return ERR_OK;
}

/* ---- What there is */

static void found(const struct work *w, const struct store_entry *entry, bool old)
{
    CLEANUP(free) char *name = old ? NULL : str_printf("%s%s", w->plan->from, entry->key + strlen(w->plan->to));
    const char *key = old ? entry->key : name;
    struct object *o = key ? map_get(w->by_key, key, strlen(key)) : NULL;
    if (o)
        *(old ? &o->here : &o->there) = entry->object.version;
}

static enum err_code list_tree(const struct work *w, bool old, struct err *e)
{
    const struct store_call call = {.cancel = w->m->cancel};
    const char *prefix = old ? w->plan->from : w->plan->to;
    CLEANUP(free) char *token = NULL;
    struct store_walk walk = {0};
    do {
        struct store_list l = {.prefix = prefix, .token = token};
        struct store_page page = {0};
        enum err_code code = store_list(w->m->store, &l, &call, &page, e);
        for (size_t k = 0; !code && k < page.n; k++)
            if (!page.entries[k].is_prefix)
                found(w, &page.entries[k], old);
        if (!code && page.next)
            code = store_walk_on(&walk, prefix, page.n > 0, e);
        free(token);
        token = TAKE(page.next);
        store_page_release(&page);
        if (code)
            return code;
    } while (token);
    return ERR_OK;
}

static enum err_code look(const struct move *m, const char *key, struct store_version *out, struct err *e)
{
    const struct store_call call = {.cancel = m->cancel};
    struct store_object now = {0};
    struct err err = ERR_INIT;
    enum err_code code = store_stat(m->store, key, &call, &now, &err);
    *out = code ? (struct store_version){.etag = ""} : now.version;
    store_object_release(&now);
    return code && code != ERR_NOT_FOUND ? err_copy(e, &err) : ERR_OK;
}

static enum err_code look_at_all(const struct work *w, struct err *e)
{
    enum err_code code;
    if (w->plan->tree)
        return (code = list_tree(w, false, e)) ? code : list_tree(w, true, e);
    struct object *o = &w->objects[0];
    return (code = look(w->m, o->to, &o->there, e)) ? code : look(w->m, o->item->key, &o->here, e);
}

/* ---- One object */

static bool is(const struct store_version *v, const char *etag)
{
    return etag && *v->etag && strcmp(v->etag, etag) == 0;
}

/* Made up before the service had it: the service tells another. */
static bool here_as_recorded(const struct object *o)
{
    const struct rename_item *i = o->item;
    return is(&o->here, i->etag) || (str_starts(i->etag, STORE_UNSENT) && *o->here.etag && o->here.size == i->size);
}

static bool there_is_our_copy(const struct object *o)
{
    return is(&o->there, o->item->copied) || (is(&o->there, o->item->etag) && o->there.size == o->item->size);
}

/* What stood at the new name before. */
static const char *replaced(const struct object *o)
{
    return strcmp(o->to, o->w->plan->to) == 0 ? o->w->plan->replaced : NULL;
}

static enum err_code settle(struct object *o, struct err *e)
{
    bool same = there_is_our_copy(o) && is(&o->here, o->item->etag);
    enum err_code code = ERR_OK;
    if (*o->here.etag && !same)
        code = move_same(o->w->m, o->item->key, &o->here, o->to, &o->there, &same, e);
    o->verdict = same ? REMOVE : !*o->here.etag || there_is_our_copy(o) ? DONE : OTHERS;
    return code;
}

static enum err_code copy(struct object *o, const char *over, struct err *e)
{
    const struct work *w = o->w;
    const struct store_call call = {.cancel = w->m->cancel};
    struct store_copy c = {.from = o->item->key, .from_etag = o->here.etag, .size = o->here.size, .to = o->to, .meta = w->meta,
                           .mtime = w->plan->keep_times ? &o->item->mtime : NULL, .uploads = w->m->uploads};
    c.cond = over ? (struct store_cond){.kind = STORE_IF_MATCH, .etag = over} : (struct store_cond){.kind = STORE_IF_ABSENT};
    struct err err = ERR_INIT;
    enum err_code code = move_copy(w->m->store, &c, &call, &o->there, &err);
    if (!code) {
        rename_note_copied(w->note, o->number, o->there.etag);
        o->verdict = REMOVE;
        return ERR_OK;
    }
    if (code != ERR_CONFLICT && code != ERR_NOT_FOUND)
        return err_copy(e, &err);
    /* Others were here meanwhile, or a copy that an earlier mount has asked for came late. */
    if ((code = look(w->m, o->to, &o->there, e)) || (code = look(w->m, o->item->key, &o->here, e)))
        return code;
    if (*o->there.etag)
        return settle(o, e);
    o->verdict = *o->here.etag ? CHANGED : LOST;
    return ERR_OK;
}

static enum err_code forward(struct object *o, struct err *e)
{
    bool empty = !*o->there.etag, before = is(&o->there, replaced(o));
    if (!*o->here.etag) {
        o->verdict = empty && !o->item->copied ? LOST : DONE;
        return ERR_OK;
    }
    if (before && !is(&o->there, o->item->copied) && here_as_recorded(o))
        return copy(o, replaced(o), e);
    if (!empty)
        return settle(o, e);
    if (here_as_recorded(o))
        return copy(o, NULL, e);
    o->verdict = CHANGED;
    return ERR_OK;
}

/* What replaced something is not taken back: that is gone, and the name was there before. */
static enum err_code backward(struct object *o, struct err *e)
{
    bool same = true;
    o->verdict = DONE;
    if (!*o->there.etag || !*o->here.etag || replaced(o))
        return ERR_OK;
    enum err_code code = ERR_OK;
    if (!there_is_our_copy(o))
        code = move_same(o->w->m, o->item->key, &o->here, o->to, &o->there, &same, e);
    if (!code && same)
        o->verdict = REMOVE;
    return code;
}

static void one(void *arg)
{
    struct object *o = arg;
    struct work *w = (struct work *)o->w;
    enum err_code code = w->plan->undo ? backward(o, &o->err) : forward(o, &o->err);
    if (code)
        __atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
}

/* ---- All of them */

static enum err_code remove_batch(struct work *w, struct object **batch, size_t n, struct err *e)
{
    const struct store_call call = {.cancel = w->m->cancel};
    const char *keys[BATCH], *etags[BATCH];
    enum err_code results[BATCH];
    for (size_t k = 0; k < n; k++) {
        keys[k] = w->plan->undo ? batch[k]->to : batch[k]->item->key;
        etags[k] = w->plan->undo ? batch[k]->there.etag : batch[k]->here.etag;
    }
    enum err_code code = store_remove_many(w->m->store, keys, etags, n, &call, results, e);
    for (size_t k = 0; !code && k < n; k++) {
        if (results[k] == ERR_CONFLICT)
            LOG_WARN("vfs", "\"%s\" was changed by others while \"%s\" was renamed to \"%s\": it stays", keys[k], w->plan->from, w->plan->to);
        else if (results[k])
            code = err_set(e, results[k], "\"%s\" could not be removed", keys[k]);
    }
    return code;
}

static enum err_code remove_all(struct work *w, struct err *e)
{
    struct object *batch[BATCH];
    size_t n = 0;
    enum err_code code = ERR_OK;
    for (size_t k = 0; !code && k < w->plan->n; k++) {
        if (w->objects[k].verdict == REMOVE)
            batch[n++] = &w->objects[k];
        if (n == BATCH || (n && k + 1 == w->plan->n)) {
            code = remove_batch(w, batch, n, e);
            n = 0;
        }
    }
    return code;
}

static enum err_code tell(const struct work *w, struct err *e)
{
    static const char *const why[] = {
        [CHANGED] = "was changed by others before it was copied", [OTHERS] = "is not what others have put at its new name",
        [LOST] = "was removed by others before it was copied"};
    size_t n = 0, first = 0;
    for (size_t k = w->plan->n; k-- > 0;) {
        if (w->objects[k].verdict < CHANGED)
            continue;
        n++;
        first = k;
    }
    if (!n)
        return ERR_OK;
    const struct object *o = &w->objects[first];
    return err_set(e, ERR_CONFLICT, "%zu of %zu objects: \"%s\" %s", n, w->plan->n, o->item->key, why[o->verdict]);
}

enum err_code move_resume(const struct move *m, struct rename_note *note, const struct rename_plan *plan, struct err *e)
{
    CLEANUP_RELEASE(work_release) struct work w = {.m = m, .note = note, .plan = plan};
    enum err_code code = work_init(&w, e);
    if (!code)
        code = look_at_all(&w, e);
    if (code)
        return code;
    pool_each(m->pool, w.objects, plan->n, sizeof(*w.objects), PARALLEL, one, &w.stop);
    for (size_t k = 0; k < plan->n; k++)
        if (w.objects[k].err.code)
            return err_copy(e, &w.objects[k].err);
    code = remove_all(&w, e);
    if (!code)
        code = store_sync(m->store, NULL, e);
    return code ? code : tell(&w, e);
}
