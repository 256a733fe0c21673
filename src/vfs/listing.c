#include "vfs/listing_impl.h"

#include "store/meta.h"
#include "vfs/inode.h"
#include "vfs/merge.h"
#include "vfs/resolve.h"

#include <assert.h>
#include <string.h>

struct worker {
    struct listing *l;
    struct span *range;
};

/* ---- Life */

static void free_parts(struct listing *l)
{
    for (struct span *x = l->spans ? spans_first(l->spans) : NULL; x; x = spans_next(x)) {
        struct part *part = x->user;
        if (part)
            pack_release(&part->pack);
        free(part);
    }
}

void listing_unref_locked(struct listing *l)
{
    if (!l || --l->refs > 0)
        return;
    free_parts(l);
    spans_free(l->spans);
    found_dir_free(l->apart);
    store_page_release(&l->after);
    catalog_unref(l->names);
    cancel_unref(l->cancel);
    inode_unref_locked(l->v, l->dir);
    free(l->prefix);
    free(l);
}

struct listing *listing_ref_locked(struct listing *l)
{
    l->refs++;
    return l;
}

static struct part *new_part(const struct listing *l, struct span *x)
{
    struct part *part = calloc(1, sizeof(*part));
    if (part)
        part->pack.prefix = l->prefix;
    return x->user = part;
}

static struct listing *new_locked(struct vfs *v, struct inode *dir)
{
    struct listing *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    *l = (struct listing){.refs = 1, .v = v, .dir = inode_ref_locked(dir), .seq = UINT64_MAX, .err = ERR_INIT};
    l->prefix = inode_key_dup_locked(dir);
    l->cancel = cancel_new();
    l->apart = found_dir_new();
    l->spans = l->prefix ? spans_new(l->prefix, vfs_has(v, STORE_START_AFTER)) : NULL;
    if (!l->cancel || !l->apart || !l->spans || !new_part(l, spans_first(l->spans))) {
        listing_unref_locked(l);
        return NULL;
    }
    return l;
}

static void fail_locked(struct listing *l, enum err_code code, const struct err *err)
{
    if (l->code)
        return;
    l->code = code;
    l->err = *err;
    cancel_fire(l->cancel);
}

void listing_want_locked(struct listing *l)
{
    l->wanted++;
}

void listing_leave_locked(struct listing *l)
{
    struct err err = ERR_INIT;
    assert(l->wanted > 0);
    if (--l->wanted == 0 && !l->ended)
        fail_locked(l, err_set(&err, ERR_CANCELED, "nobody wants the listing any more"), &err);
}

bool listing_wanted_locked(const struct listing *l)
{
    return !l->code && !l->ended;
}

bool listing_ended_locked(const struct listing *l)
{
    return l->ended;
}

enum err_code listing_result_locked(const struct listing *l, struct err *e)
{
    return l->code ? err_copy(e, &l->err) : ERR_OK;
}

bool listing_disorder_locked(const struct listing *l)
{
    return l->disorder;
}

struct catalog *listing_names_locked(const struct listing *l)
{
    return l->names;
}

uint64_t listing_start_ms(const struct listing *l)
{
    return l->start_ms;
}

/* ---- The end */

static bool is_dir_locked(const struct listing *l, const char *name)
{
    struct catalog_at at;
    const struct found *f = found_dir_get(l->apart, name);
    return (f && f->is_dir) || (catalog_find(l->names, name, &at) && chunk_is_dir(at.chunk, at.k));
}

/* All names are there: what they decide together, and what is not there any more. */
static enum err_code complete_locked(struct listing *l, struct err *e)
{
    enum err_code code = ERR_OK;
    for (size_t k = 0; k < l->after.n && !code; k++) {
        const char *name = l->after.entries[k].key + strlen(l->prefix);
        code = found_dir_put(l->apart, name, &l->after.entries[k].object, is_dir_locked(l, name), e);
    }
    if (!code && !inode_key_is_locked(l->dir, l->prefix))
        code = err_set(e, ERR_CONFLICT, "the directory was moved while it was listed");
    if (code)
        return code;
    struct merge m = {.seq = l->seq, .start_ms = l->start_ms, .complete = true, .records = true, .prefix = l->prefix, .saved = l->saved};
    l->dir->dir->extent = spans_pages(l->spans) == 1 ? DIR_SMALL : DIR_LARGE;
    code = merge_locked(l->v, l->dir, l->apart, &m, e);
    if (l->seq < l->dir->dir->doubt_seq) /* somebody had a reason to ask anew since */
        l->dir->dir->listed = false;
    return code;
}

/* The last one who worked on it. */
static void end_locked(struct listing *l)
{
    struct err err = ERR_INIT;
    enum err_code code = l->code ? ERR_OK : complete_locked(l, &err);
    if (code)
        fail_locked(l, code, &err);
    if (l->names)
        catalog_end(l->names, l->code ? CATALOG_BROKEN : CATALOG_WHOLE);
    l->ended = true;
}

/* ---- In the background */

static void work(void *arg);

static bool submit_locked(struct listing *l, struct span *range)
{
    struct worker *w = malloc(sizeof(*w));
    if (!w)
        return false;
    *w = (struct worker){.l = l, .range = range};
    if (pool_submit(l->v->listers, work, w, NULL)) {
        free(w);
        return false;
    }
    l->workers++;
    return true;
}

/* Gives a range that was cut its place among the names. */
static bool place_locked(struct listing *l, struct span *range, struct span *from)
{
    if (!from)
        return true;
    struct part *part = new_part(l, range);
    if (part && (part->segment = catalog_cut(l->names, ((struct part *)from->user)->segment, range->after)))
        return true;
    free(part);
    (void)spans_put_back(l->spans, range); /* it goes into the one it was cut from */
    return false;
}

/* A range that was cut goes back into the one before it. */
static void displace_locked(struct listing *l, struct part *part)
{
    catalog_join(l->names, part->segment);
    free(part);
}

static struct span *next_locked(struct listing *l)
{
    struct span *from, *range = l->code ? NULL : spans_take(l->spans, &from);
    return range && place_locked(l, range, from) ? range : NULL;
}

static void more_workers_locked(struct listing *l)
{
    while (l->workers < SPANS_MAX) {
        struct span *range = next_locked(l);
        if (!range)
            return;
        if (submit_locked(l, range))
            continue;
        struct part *part = range->user;
        if (spans_put_back(l->spans, range))
            displace_locked(l, part);
        return;
    }
}

/* The server cannot begin at a key. True: others list the range's keys. */
static bool unplaced_locked(struct listing *l, struct span *range)
{
    struct part *part = range->user;
    if (!spans_unplaced(l->spans, range))
        return false;
    displace_locked(l, part);
    return true;
}

/* Lists a range to its end. The lock is held before and after. */
static void list_span_locked(struct listing *l, struct span *range)
{
    struct store_call call = {.cancel = l->cancel, .urgent = true};
    while (!l->code && range->state != SPAN_DONE) {
        struct err err = ERR_INIT;
        lock_drop(&l->v->tree);
        enum err_code code = listing_page(l, range, &call, &err);
        lock_take(&l->v->tree);
        if (code == ERR_UNSUPPORTED && range->after && !range->pages) {
            if (unplaced_locked(l, range))
                return;
            continue;
        }
        if (code == ERR_AGAIN)
            code = err_set(&err, ERR_CONFLICT, "the directory was moved while it was listed");
        if (code)
            fail_locked(l, code, &err);
        else
            more_workers_locked(l);
        cond_broadcast(&l->v->changed);
    }
}

static void work(void *arg)
{
    struct worker *w = arg;
    struct listing *l = w->l;
    struct vfs *v = l->v;
    lock_take(&v->tree);
    for (struct span *range = w->range; range; range = next_locked(l))
        list_span_locked(l, range);
    free(w);
    if (--l->workers == 0) {
        end_locked(l);
        l->dir->dir->under_way = NULL;
        l->dir->dir->listing = false;
        v->background--;
        cond_broadcast(&v->changed);
        listing_unref_locked(l);
    }
    lock_drop(&v->tree);
}

void listing_go_on_locked(struct listing *l)
{
    struct vfs *v = l->v;
    lock_assert_held(&v->tree);
    listing_ref_locked(l);
    v->background++;
    l->dir->dir->under_way = l;
    struct span *range = next_locked(l);
    assert(range);
    if (submit_locked(l, range))
        return;
    struct err err = ERR_INIT;
    fail_locked(l, err_set(&err, ERR_NOMEM, "out of memory for a listing"), &err);
    end_locked(l);
    l->dir->dir->under_way = NULL;
    l->dir->dir->listing = false;
    v->background--;
    listing_unref_locked(l);
}

/* ---- The beginning */

static enum err_code begin_pages(struct listing *l, struct span *range, const struct store_call *call, struct err *e)
{
    enum err_code code;
    do
        code = listing_page(l, range, call, e);
    while (!code && range->state != SPAN_DONE && range->names == 0);
    return code;
}

/* ERR_AGAIN: moved. */
static enum err_code begin_once(struct listing *l, const struct vfs_caller *caller, bool small, bool *whole, struct err *e)
{
    struct vfs *v = l->v;
    struct store_call call = call_of(caller);
    struct span *from, *range = spans_take(l->spans, &from);
    enum err_code code = small ? listing_small_page(l, range, &call, whole, e) : begin_pages(l, range, &call, e);
    if (code || (small && !*whole))
        return code;
    LOCK_SCOPE(&v->tree);
    *whole = range->state == SPAN_DONE;
    if (!*whole) {
        (void)spans_put_back(l->spans, range);
        return ERR_OK;
    }
    end_locked(l);
    return listing_result_locked(l, e);
}

enum err_code listing_begin(struct vfs *v, struct inode *dir, const struct vfs_caller *c, bool small, bool *whole,
                            struct listing **out, struct err *e)
{
    enum err_code code = ERR_AGAIN;
    struct listing *l = NULL;
    for (int tries = 0; tries < MOVED_TRIES && code == ERR_AGAIN; tries++) {
        lock_take(&v->tree);
        listing_unref_locked(l);
        l = new_locked(v, dir);
        lock_drop(&v->tree);
        if (!l)
            return err_set(e, ERR_NOMEM, "out of memory for a listing");
        code = begin_once(l, c, small, whole, e);
    }
    LOCK_SCOPE(&v->tree);
    *out = NULL;
    if (code == ERR_AGAIN)
        code = err_set(e, ERR_CONFLICT, "the directory is being moved");
    if (code && l->names)
        catalog_end(l->names, CATALOG_BROKEN);
    if (!code && !small && !*whole)
        *out = TAKE(l);
    listing_unref_locked(l);
    return code;
}

enum err_code listing_saved(struct vfs *v, struct inode *dir, const char *key, struct store_page *page, const struct found_stamp *told,
                            struct err *e)
{
    struct span *from;
    lock_take(&v->tree);
    struct listing *l = new_locked(v, dir);
    lock_drop(&v->tree);
    if (!l)
        return err_set(e, ERR_NOMEM, "out of memory for a listing");
    l->saved = true;
    bool same = strcmp(l->prefix, key) == 0;
    enum err_code code = same ? listing_given_page(l, spans_take(l->spans, &from), page, told, e) : ERR_AGAIN;
    LOCK_SCOPE(&v->tree);
    if (!code) {
        end_locked(l);
        code = listing_result_locked(l, e);
    } else if (l->names) {
        catalog_end(l->names, CATALOG_BROKEN);
    }
    listing_unref_locked(l);
    return code;
}
