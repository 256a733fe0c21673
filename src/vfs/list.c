/*
 * Listing a directory. One thread begins to list it, others that need it wait. A flat listing is merged as its pages come
 * (vfs/listing.h): who reads the directory gets the first names after the first page, who needs all of them waits. Where the store
 * lists a whole subtree for the price of one level, or in no order, all pages are collected and merged in one step.
 */
#include "vfs/list.h"

#include "store/walk.h"
#include "util/clock.h"
#include "vfs/ask_first.h"
#include "vfs/found.h"
#include "vfs/inode.h"
#include "vfs/listed.h"
#include "vfs/look.h"
#include "vfs/merge.h"
#include "vfs/refresh.h"
#include "vfs/resolve.h"
#include "vfs/saved.h"
#include "vfs/walk.h"

#include <string.h>

/* ---- All pages in one step */

/* What a listing is to bring. */
struct collecting {
    struct inode *dir;
    const struct vfs_caller *caller;
    bool background;
    unsigned pages;
    uint64_t end_ms;
    struct found_dir *found;
};

static enum err_code fetch_pages(struct vfs *v, const char *prefix, struct collecting *l, struct err *e)
{
    struct store_call call = call_of(l->caller);
    call.background = l->background;
    call.urgent = !l->background;
    CLEANUP(free) char *token = NULL;
    struct store_walk walk = {0};
    for (l->pages = 1;; l->pages++) {
        struct store_list ask = {.prefix = prefix, .delimiter = !vfs_has(v, STORE_LIST_SUBTREE), .token = token};
        struct store_page page = {0};
        l->end_ms = clock_mono_ms();
        enum err_code code = store_list(v->store, &ask, &call, &page, e);
        if (code)
            return code;
        code = found_dir_add_page(l->found, prefix, &page, e);
        bool more = !code && page.next;
        if (more)
            code = store_walk_on(&walk, prefix, page.n > 0, e);
        free(token);
        token = TAKE(page.next);
        store_page_release(&page);
        if (code || !more)
            return code;
    }
}

static enum err_code collect_once(struct vfs *v, struct collecting *l, bool *moved, struct err *e)
{
    BUF(prefix, KEY_BUF_MAX);
    CLEANUP(found_dir_free) struct found_dir *found = found_dir_new();
    if (!found)
        return err_set(e, ERR_NOMEM, "out of memory for a listing");
    l->found = found;
    lock_take(&v->tree);
    uint64_t seq = ++v->seq;
    inode_key_locked(l->dir, &prefix);
    lock_drop(&v->tree);

    uint64_t start = clock_mono_ms();
    enum err_code code = buf_check(&prefix, "key", e);
    if (!code)
        code = fetch_pages(v, buf_str(&prefix), l, e);
    if (code)
        return code;
    /* A subtree's age counts from its last page: it can be longer than the ttl. */
    uint64_t from = vfs_has(v, STORE_LIST_SUBTREE) ? l->end_ms : start;
    struct merge m = {.seq = seq, .start_ms = from, .complete = true, .prefix = buf_str(&prefix)};
    LOCK_SCOPE(&v->tree);
    *moved = !inode_key_is_locked(l->dir, buf_str(&prefix));
    if (*moved)
        return ERR_OK;
    l->dir->dir->extent = l->pages == 1 ? DIR_SMALL : DIR_LARGE;
    code = merge_locked(v, l->dir, found, &m, e);
    if (!code && vfs_has(v, STORE_LIST_SUBTREE) && !l->dir->fixed)
        refresh_listed_locked(v->refresh, l->dir, clock_mono_ms() - start);
    return code;
}

static enum err_code collect(struct vfs *v, struct inode *dir, const struct vfs_caller *c, bool background, struct err *e)
{
    struct collecting l = {.dir = dir, .caller = c, .background = background};
    for (int tries = 0; tries < MOVED_TRIES; tries++) {
        bool moved = false;
        enum err_code code = collect_once(v, &l, &moved, e);
        if (code || !moved)
            return code;
    }
    return err_set(e, ERR_CONFLICT, "the directory is being moved");
}

/* Whether its pages can be merged as they come. */
static bool comes_in_order(const struct vfs *v, const struct inode *dir)
{
    return !vfs_has(v, STORE_LIST_SUBTREE) && !vfs_has(v, STORE_UNORDERED) && !vfs_has(v, STORE_LIST_CONTENT) &&
           !__atomic_load_n(&v->unordered, __ATOMIC_RELAXED) && !holds_containers(v, dir);
}

static void forget_refusal(struct err *e)
{
    if (e)
        *e = (struct err)ERR_INIT;
}

/* Sends the first request. *out as listing_begin() has it. */
static enum err_code begin(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct listing **out, struct err *e)
{
    bool whole;
    *out = NULL;
    if (!comes_in_order(v, dir))
        return collect(v, dir, c, false, e);
    enum err_code code = listing_begin(v, dir, c, false, &whole, out, e);
    if (!code || comes_in_order(v, dir)) /* only a listing changes that */
        return code;
    forget_refusal(e);
    return collect(v, dir, c, false, e);
}

/* ---- Who lists, and who waits */

/* Waits for `changed`, and keeps what is under way for that long. */
static enum err_code wait_locked(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e)
{
    struct listing *l = dir->dir->under_way;
    if (!l)
        return wait_changed_locked(v, c, e);
    listing_want_locked(listing_ref_locked(l));
    enum err_code code = wait_changed_locked(v, c, e);
    listing_leave_locked(l);
    listing_unref_locked(l);
    return code;
}

static bool may_join_locked(const struct vfs *v, const struct inode *dir, const struct list_view *view)
{
    const struct listing *l = dir->dir->under_way;
    return view && l && listing_wanted_locked(l) && dir->dir->under_way_shown && ttl_left_ms(v, listing_start_ms(l)) > 0;
}

static void open_view_locked(struct inode *dir, struct listing *l, struct list_view *view)
{
    if (!view)
        return;
    struct catalog *names = l ? listing_names_locked(l) : dir->dir->names;
    view->names = names ? catalog_ref(names) : NULL;
    view->listing = l ? listing_ref_locked(l) : NULL;
    if (l)
        listing_want_locked(l);
}

void list_close_locked(struct list_view *view)
{
    catalog_unref(view->names);
    if (view->listing)
        listing_leave_locked(view->listing);
    listing_unref_locked(view->listing);
    *view = (struct list_view){0};
}

/* True, and the caller lists it: nobody else does meanwhile. False where that is not needed, or there is an error; then `view` (NULL:
 * all names are wanted) is set. */
static bool begin_locked(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct list_view *view,
                         enum err_code *code, struct err *e)
{
    /* With ttl=0 a listing that began after this call is as fresh as one of our own. */
    uint64_t asked_seq = v->seq;
    for (*code = ERR_OK; !*code;) {
        bool known = dir_fresh_locked(v, dir) || dir->dir->listed_seq > asked_seq;
        if (known || may_join_locked(v, dir, view)) {
            open_view_locked(dir, known ? NULL : dir->dir->under_way, view);
            return false;
        }
        if (c && c->nowait)
            *code = ERR_AGAIN;
        else if (!dir->dir->listing && !page_comes_locked(dir))
            return dir->dir->listing = true;
        else
            *code = wait_locked(v, dir, c, e);
    }
    return false;
}

static void end_locked(struct vfs *v, struct inode *dir)
{
    dir->dir->listing = false;
    cond_broadcast(&v->changed);
}

/* What a listing for a lookup has left to be done. */
static enum err_code sample_due(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    bool due = dir->dir->sample_due && dir->dir->posix != POSIX_YES;
    lock_drop(&v->tree);
    if (!due)
        return ERR_OK;
    enum err_code code = c && c->nowait ? ERR_AGAIN : look_sample(v, dir, NULL, c, e);
    LOCK_SCOPE(&v->tree);
    dir->dir->sample_due = code != ERR_OK;
    return code;
}

/* The rest of the names comes in the background while the sample is looked at. */
static enum err_code go_on(struct vfs *v, struct inode *dir, struct listing *l, const struct vfs_caller *c,
                           struct list_view *view, struct err *e)
{
    lock_take(&v->tree);
    listing_want_locked(l);
    dir->dir->under_way_shown = false;
    listing_go_on_locked(l);
    lock_drop(&v->tree);
    enum err_code code = look_sample(v, dir, NULL, c, e);
    LOCK_SCOPE(&v->tree);
    dir->dir->under_way_shown = !code;
    cond_broadcast(&v->changed);
    if (!code)
        open_view_locked(dir, l, view);
    while (!code && !view && !listing_ended_locked(l))
        code = wait_changed_locked(v, c, e);
    if (!code && !view)
        code = listing_result_locked(l, e);
    listing_leave_locked(l);
    return code;
}

/* The caller is the one who lists it. */
static enum err_code list_now(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct list_view *view,
                              struct err *e)
{
    struct listing *l;
    enum err_code code = begin(v, dir, c, &l, e);
    if (l) {
        code = go_on(v, dir, l, c, view, e);
        LOCK_SCOPE(&v->tree);
        listing_unref_locked(l);
        return code;
    }
    if (!code)
        code = look_sample(v, dir, NULL, c, e);
    LOCK_SCOPE(&v->tree);
    dir->dir->sample_due = false;
    if (code) /* also where only the look at a sample failed: the next one decides */
        dir->dir->listed = false;
    else
        open_view_locked(dir, NULL, view);
    end_locked(v, dir);
    return code;
}

static enum err_code list(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct list_view *view, struct err *e)
{
    enum err_code code;
    if (!(c && c->nowait))
        (void)saved_take(v, dir, c);
    lock_take(&v->tree);
    bool ordered = comes_in_order(v, dir), ours = begin_locked(v, dir, c, view, &code, e);
    lock_drop(&v->tree);
    if (ours)
        code = list_now(v, dir, c, view, e);
    else if (!code)
        code = sample_due(v, dir, c, e);
    /* A server's order may turn out to be none when some names have come. */
    if (code != ERR_PROTO || !ours || !ordered || comes_in_order(v, dir))
        return code;
    forget_refusal(e);
    return list(v, dir, c, view, e);
}

enum err_code list_again(struct vfs *v, struct inode *dir, struct err *e)
{
    const struct vfs_caller c = {.cancel = v->ending};
    lock_take(&v->tree);
    bool others = dir->dir->listing;
    dir->dir->listing = true;
    lock_drop(&v->tree);
    if (others)
        return ERR_OK;
    enum err_code code = collect(v, dir, &c, true, e);
    LOCK_SCOPE(&v->tree);
    end_locked(v, dir);
    return code;
}

enum err_code list_dir(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e)
{
    return list(v, dir, c, NULL, e);
}

enum err_code list_open(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct list_view *out, struct err *e)
{
    *out = (struct list_view){0};
    enum err_code code = list(v, dir, c, out, e);
    if (!code)
        return ERR_OK;
    LOCK_SCOPE(&v->tree);
    list_close_locked(out);
    return code;
}

/* ---- For a lookup */

/* Who looks into the directories of a directory is served better by what a page without delimiter brings of them. */
static bool can_be_small_locked(const struct vfs *v, const struct inode *dir)
{
    return vfs_has(v, STORE_START_AFTER) && !vfs_has(v, STORE_LIST_SUBTREE) && v->cfg.ttl_ms > 0 &&
           !(dir->dir->has_dirs && walk_fits_locked(v, dir));
}

/* A first question is for the name alone, and for what is behind it: that is all most programs ask of a directory. A third one,
 * for what neither page had, is worth a try. */
static bool may_be_small_locked(const struct vfs *v, const struct inode *dir)
{
    struct dir *d = dir->dir;
    if (d->extent == DIR_UNKNOWN || d->extent == DIR_ASKED) {
        d->extent = d->extent == DIR_UNKNOWN ? DIR_ASKED : DIR_ASKED_TWICE;
        return false;
    }
    return d->extent != DIR_LARGE && can_be_small_locked(v, dir);
}

bool list_small_due(struct vfs *v, const struct inode *dir)
{
    LOCK_SCOPE(&v->tree);
    return dir->dir->extent == DIR_ASKED_TWICE && !dir->dir->listing && can_be_small_locked(v, dir);
}

/* True, and the caller lists it. Another lookup's listing is waited for; that of a whole directory may take long, and is not. */
static bool begin_small_locked(struct vfs *v, struct inode *dir, const struct vfs_caller *c, enum err_code *code, struct err *e)
{
    struct dir *d = dir->dir;
    *code = ERR_OK;
    while (!*code && d->listing_small)
        *code = wait_changed_locked(v, c, e);
    if (*code || d->listing || dir_fresh_locked(v, dir) || d->extent == DIR_LARGE)
        return false;
    return d->listing = d->listing_small = true;
}

enum err_code list_small(struct vfs *v, struct inode *dir, const struct vfs_caller *c, bool *whole, struct err *e)
{
    enum err_code code = ERR_OK;
    lock_take(&v->tree);
    bool ours = comes_in_order(v, dir) && may_be_small_locked(v, dir) && begin_small_locked(v, dir, c, &code, e);
    *whole = !ours && !code && dir_fresh_locked(v, dir);
    lock_drop(&v->tree);
    if (!ours)
        return code;

    struct listing *none;
    code = listing_begin(v, dir, c, true, whole, &none, e);
    LOCK_SCOPE(&v->tree);
    dir->dir->sample_due |= *whole;
    dir->dir->listing_small = false;
    end_locked(v, dir);
    if (code != ERR_ACCESS)
        return code;
    dir->dir->extent = DIR_LARGE; /* the name by itself may be allowed */
    forget_refusal(e);
    return ERR_OK;
}
