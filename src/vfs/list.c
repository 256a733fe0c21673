/*
 * Listing a directory. One thread lists it, others that need it wait; all pages are collected and merged in one step, so that
 * a directory is never seen half. Where the store lists a whole subtree for the price of one level, the subtree is taken.
 */
#include "store/walk.h"
#include "util/clock.h"
#include "vfs/found.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/merge.h"
#include "vfs/resolve.h"
#include "vfs/walk.h"

#include <string.h>

/* What a listing is to bring, and what it brought. */
struct listing {
    struct inode *dir;
    const struct vfs_caller *caller;
    bool one_page;  /* no more than the first */
    unsigned pages;
    char *last_key; /* of a page that is not the last; NULL: these are all names */
    uint64_t end_ms;
    struct found_dir *found;
};

static enum err_code take_page(struct listing *l, const char *prefix, struct store_page *page, struct err *e)
{
    bool cut = l->one_page && page->next && page->n > 0;
    if (cut && !(l->last_key = strdup(page->entries[page->n - 1].key)))
        return err_set(e, ERR_NOMEM, "out of memory for a listing");
    return found_dir_add_page(l->found, prefix, page, e);
}

static enum err_code fetch_pages(struct vfs *v, const char *prefix, struct listing *l, struct err *e)
{
    struct store_call call = call_of(l->caller);
    CLEANUP(free) char *token = NULL;
    struct store_walk walk = {0};
    for (l->pages = 1;; l->pages++) {
        struct store_list ask = {.prefix = prefix, .delimiter = !vfs_has(v, STORE_LIST_SUBTREE), .token = token};
        struct store_page page = {0};
        l->end_ms = clock_mono_ms();
        enum err_code code = store_list(v->store, &ask, &call, &page, e);
        if (code)
            return code;
        code = take_page(l, prefix, &page, e);
        bool more = !code && page.next && !l->last_key;
        if (more)
            code = store_walk_on(&walk, prefix, page.n > 0, e);
        free(token);
        token = TAKE(page.next);
        store_page_release(&page);
        if (code || !more)
            return code;
    }
}

static enum err_code list_once(struct vfs *v, struct listing *l, bool *moved, struct err *e)
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
    struct merge m = {.seq = seq, .start_ms = from, .complete = !l->last_key, .prefix = buf_str(&prefix),
                      .last_key = l->last_key, .pages = l->last_key};
    LOCK_SCOPE(&v->tree);
    *moved = !inode_key_is_locked(l->dir, buf_str(&prefix));
    if (*moved)
        return ERR_OK;
    l->dir->dir->extent = l->pages == 1 && !l->last_key ? DIR_SMALL : DIR_LARGE;
    return merge_locked(v, l->dir, found, &m, e);
}

static enum err_code list_now(struct vfs *v, struct listing *l, struct err *e)
{
    for (int tries = 0; tries < MOVED_TRIES; tries++) {
        bool moved = false;
        free(TAKE(l->last_key));
        enum err_code code = list_once(v, l, &moved, e);
        if (code || !moved)
            return code;
    }
    return err_set(e, ERR_CONFLICT, "the directory is being moved");
}

/* True, and the caller lists it: nobody else does meanwhile. False where that is not needed, or there is an error. */
static bool begin_locked(struct vfs *v, struct inode *dir, const struct vfs_caller *c, enum err_code *code, struct err *e)
{
    /* With ttl=0 a listing that began after this call is as fresh as one of our own. */
    uint64_t asked_seq = v->seq;
    for (*code = ERR_OK; !*code;) {
        if (dir_fresh_locked(v, dir) || dir->dir->listed_seq > asked_seq)
            return false;
        if (c && c->nowait)
            *code = ERR_AGAIN;
        else if (!dir->dir->listing)
            return dir->dir->listing = true;
        else
            *code = wait_changed_locked(v, c, e);
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

enum err_code list_dir(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e)
{
    enum err_code code;
    lock_take(&v->tree);
    bool ours = begin_locked(v, dir, c, &code, e);
    lock_drop(&v->tree);
    if (!ours)
        return code ? code : sample_due(v, dir, c, e);

    struct listing l = {.dir = dir, .caller = c};
    code = list_now(v, &l, e);
    if (!code)
        code = look_sample(v, dir, NULL, c, e);
    LOCK_SCOPE(&v->tree);
    dir->dir->sample_due = false;
    if (code) /* also where only the look at a sample failed: the next one decides */
        dir->dir->listed = false;
    end_locked(v, dir);
    return code;
}

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

static void forget_refusal(struct err *e)
{
    if (e)
        *e = (struct err)ERR_INIT;
}

enum err_code list_small(struct vfs *v, struct inode *dir, const struct vfs_caller *c, bool *whole, struct err *e)
{
    enum err_code code = ERR_OK;
    lock_take(&v->tree);
    bool ours = may_be_small_locked(v, dir) && begin_small_locked(v, dir, c, &code, e);
    *whole = !ours && !code && dir_fresh_locked(v, dir);
    lock_drop(&v->tree);
    if (!ours)
        return code;

    struct listing l = {.dir = dir, .caller = c, .one_page = true};
    code = list_now(v, &l, e);
    *whole = !code && !l.last_key;
    free(l.last_key);
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
