/* One page of a listing, from the request into the tree. */
#include "vfs/listing_impl.h"

#include "store/meta.h"
#include "util/clock.h"
#include "vfs/inode.h"
#include "vfs/listed.h"

#include <string.h>

/* A page on its way into the tree. */
struct coming {
    struct span *range;
    struct part *part;
    struct store_page page;
    uint64_t seq, start_ms;
    enum pack_end how;
    const char *end;
    struct packed packed;
};

static enum err_code ask(struct listing *l, struct coming *c, const struct store_call *call, struct err *e)
{
    struct vfs *v = l->v;
    struct store_list question;
    CLEANUP(free) char *after = malloc(span_key_max(l->spans));
    if (!after)
        return err_set(e, ERR_NOMEM, "out of memory for a listing");
    lock_take(&v->tree);
    span_ask(l->spans, c->range, &question, after);
    c->seq = ++v->seq;
    c->start_ms = clock_mono_ms();
    lock_drop(&v->tree);
    return store_list(v->store, &question, call, &c->page, e);
}

/* What belongs to the range; the names up to its last one can be cut off no more. */
static enum err_code take_locked(struct listing *l, struct coming *c, struct err *e)
{
    bool disorder;
    enum err_code code = span_page(l->spans, c->range, &c->page, &disorder, e);
    l->disorder |= disorder;
    if (disorder)
        __atomic_store_n(&l->v->unordered, true, __ATOMIC_RELAXED);
    bool over = c->range->state == SPAN_DONE;
    c->end = c->range->end;
    c->how = !over ? PACK_GOES_ON : c->end ? PACK_AT_KEY : PACK_AT_LAST;
    return code;
}

static enum err_code keep_apart(struct listing *l, struct coming *c, struct err *e)
{
    enum err_code code = ERR_OK;
    for (size_t k = 0; k < c->packed.apart.n && !code; k++)
        code = found_dir_add_entry(l->apart, l->prefix, &c->packed.apart.entries[k], e);
    if (code || c->packed.after.n == 0)
        return code;
    struct store_page *to = &l->after, *from = &c->packed.after;
    struct store_entry *more = reallocarray(to->entries, to->n + from->n, sizeof(*more));
    if (!more)
        return err_set(e, ERR_NOMEM, "out of memory for a listing");
    to->entries = more;
    memcpy(to->entries + to->n, from->entries, from->n * sizeof(*more));
    to->n += from->n;
    from->n = 0;
    return ERR_OK;
}

/* Marks the catalog as the directory's, with the first page. */
static enum err_code open_locked(struct listing *l, struct err *e)
{
    if (l->names)
        return ERR_OK;
    struct catalog *names = listed_begin_locked(l->v, l->dir);
    if (!names)
        return err_set(e, ERR_NOMEM, "out of memory for a listing");
    l->names = catalog_ref(names);
    ((struct part *)spans_first(l->spans)->user)->segment = catalog_first(names);
    l->dir->dir->listed = false;
    return ERR_OK;
}

/* What the marker says decides how the rest is looked at. */
static enum err_code merge_marker_early(struct listing *l, struct coming *c, struct err *e)
{
    BUF(last, KEY_BUF_MAX);
    if (!found_dir_marker(l->apart) || !c->range->last)
        return ERR_OK;
    buf_add_str(&last, l->prefix);
    buf_add_str(&last, c->range->last);
    struct merge m = {.seq = c->seq, .start_ms = c->start_ms, .prefix = l->prefix, .last_key = buf_str(&last)};
    return merge_locked(l->v, l->dir, l->apart, &m, e);
}

static enum err_code add_locked(struct listing *l, struct coming *c, struct err *e)
{
    enum err_code code = open_locked(l, e);
    if (!code)
        code = keep_apart(l, c, e);
    if (code)
        return code;
    if (c->seq < l->seq) {
        l->start_ms = c->start_ms;
        l->seq = c->seq;
        code = merge_marker_early(l, c, e);
    }
    struct merge m = {.seq = c->seq, .start_ms = c->start_ms, .prefix = l->prefix};
    if (!code && c->packed.names)
        code = listed_add_locked(l->v, l->dir, c->part->segment, TAKE(c->packed.names), l->apart, &m, e);
    if (!code && c->how != PACK_GOES_ON)
        catalog_close(l->names, c->part->segment);
    return code;
}

/* Releases the page. */
static enum err_code bring(struct listing *l, struct coming *c, struct err *e)
{
    struct vfs *v = l->v;
    lock_take(&v->tree);
    enum err_code code = take_locked(l, c, e);
    lock_drop(&v->tree);
    if (!code)
        code = pack_page(&c->part->pack, &c->page, c->how, c->end, c->seq, c->start_ms, &c->packed, e);
    if (!code) {
        lock_take(&v->tree);
        code = inode_key_is_locked(l->dir, l->prefix) ? add_locked(l, c, e) : ERR_AGAIN;
        lock_drop(&v->tree);
    }
    store_page_release(&c->page);
    packed_release(&c->packed);
    return code;
}

enum err_code listing_page(struct listing *l, struct span *range, const struct store_call *call, struct err *e)
{
    struct coming c = {.range = range, .part = range->user};
    enum err_code code = ask(l, &c, call, e);
    return code ? code : bring(l, &c, e);
}

enum err_code listing_given_page(struct listing *l, struct span *range, struct store_page *page, const struct found_stamp *told,
                                 struct err *e)
{
    struct coming c = {.range = range, .part = range->user, .page = *page, .seq = told->seq, .start_ms = told->start_ms};
    *page = (struct store_page){0};
    return bring(l, &c, e);
}

/* Some names of a larger directory become inodes, as a lookup's page does. */
static enum err_code merge_some(struct listing *l, struct coming *c, struct err *e)
{
    struct store_page *page = &c->page;
    CLEANUP(free) char *last = page->n ? strdup(page->entries[page->n - 1].key) : NULL;
    if (!last)
        return page->n ? err_set(e, ERR_NOMEM, "out of memory for a listing") : ERR_OK;
    enum err_code code = found_dir_add_page(l->apart, l->prefix, page, e);
    struct merge m = {.seq = c->seq, .start_ms = c->start_ms, .prefix = l->prefix, .last_key = last, .pages = true};
    if (code)
        return code;
    LOCK_SCOPE(&l->v->tree);
    if (!inode_key_is_locked(l->dir, l->prefix))
        return ERR_AGAIN;
    l->dir->dir->extent = DIR_LARGE;
    return merge_locked(l->v, l->dir, l->apart, &m, e);
}

enum err_code listing_small_page(struct listing *l, struct span *range, const struct store_call *call, bool *whole,
                                 struct err *e)
{
    struct coming c = {.range = range, .part = range->user};
    *whole = false;
    enum err_code code = ask(l, &c, call, e);
    if (!code && c.page.next) {
        code = merge_some(l, &c, e);
        store_page_release(&c.page);
        return code;
    }
    LOCK_SCOPE(&l->v->tree);
    if (!code)
        code = take_locked(l, &c, e);
    if (!code)
        code = pack_page(&c.part->pack, &c.page, PACK_AT_LAST, NULL, c.seq, c.start_ms, &c.packed, e);
    if (!code)
        code = inode_key_is_locked(l->dir, l->prefix) ? add_locked(l, &c, e) : ERR_AGAIN;
    store_page_release(&c.page);
    packed_release(&c.packed);
    *whole = !code;
    return code;
}
