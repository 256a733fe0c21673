/*
 * Listing a directory. One thread lists it, others that need it wait; all pages are collected and merged in one step, so that
 * a directory is never seen half. Where the store lists a whole subtree for the price of one level, the subtree is taken.
 */
#include "util/clock.h"
#include "vfs/tree.h"

#include <string.h>

/* More pages than any bucket of this design's limits has; a server that never ends its listing is refused. */
#define PAGES_MAX 1000000

static enum err_code fetch_pages(struct vfs *v, const char *prefix, const struct vfs_caller *c, struct found_dir *found,
                                 uint64_t *end_ms, struct err *e)
{
    struct store_call call = call_of(c);
    CLEANUP(free) char *token = NULL;
    for (int n = 0; n < PAGES_MAX; n++) {
        struct store_list l = {.prefix = prefix, .delimiter = !vfs_has(v, STORE_LIST_SUBTREE), .token = token};
        struct store_page page = {0};
        *end_ms = clock_mono_ms();
        enum err_code code = store_list(v->store, &l, &call, &page, e);
        if (code)
            return code;
        code = found_dir_add_page(found, prefix, &page, e);
        free(token);
        token = TAKE(page.next);
        store_page_release(&page);
        if (code || !token)
            return code;
    }
    return err_set(e, ERR_PROTO, "the listing of \"%s\" does not end", prefix);
}

static enum err_code list_once(struct vfs *v, struct inode *dir, const struct vfs_caller *c, bool *moved, struct err *e)
{
    BUF(prefix, KEY_BUF_MAX);
    CLEANUP(found_dir_free) struct found_dir *found = found_dir_new();
    if (!found)
        return err_set(e, ERR_NOMEM, "out of memory for a listing");
    lock_take(&v->tree);
    uint64_t seq = ++v->seq;
    inode_key_locked(dir, &prefix);
    lock_drop(&v->tree);

    uint64_t start = clock_mono_ms(), last_page = start;
    enum err_code code = buf_check(&prefix, "key", e);
    if (!code)
        code = fetch_pages(v, buf_str(&prefix), c, found, &last_page, e);
    if (code)
        return code;
    /* A subtree's age counts from its last page: it can be longer than the ttl. */
    uint64_t from = vfs_has(v, STORE_LIST_SUBTREE) ? last_page : start;
    struct merge m = {.seq = seq, .start_ms = from, .complete = true, .prefix = buf_str(&prefix)};
    LOCK_SCOPE(&v->tree);
    *moved = !inode_key_is_locked(dir, buf_str(&prefix));
    return *moved ? ERR_OK : merge_locked(v, dir, found, &m, e);
}

static enum err_code list_now(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e)
{
    for (int tries = 0; tries < MOVED_TRIES; tries++) {
        bool moved = false;
        enum err_code code = list_once(v, dir, c, &moved, e);
        if (code || !moved)
            return code;
    }
    return err_set(e, ERR_CONFLICT, "the directory is being moved");
}

enum err_code list_dir(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    /* With ttl=0 a listing that began after this call is as fresh as one of our own. */
    uint64_t asked_seq = v->seq;
    enum err_code code = ERR_OK;
    for (;;) {
        if (dir_fresh_locked(v, dir) || dir->dir->listed_seq > asked_seq)
            goto out;
        if (c && c->nowait) {
            code = ERR_AGAIN;
            goto out;
        }
        if (!dir->dir->listing)
            break;
        code = wait_changed_locked(v, c, e);
        if (code)
            goto out;
    }
    dir->dir->listing = true;
    lock_drop(&v->tree);

    code = list_now(v, dir, c, e);
    if (!code)
        code = look_sample(v, dir, NULL, c, e);

    lock_take(&v->tree);
    if (code) /* also where only the look at a sample failed: the next one decides */
        dir->dir->listed = false;
    dir->dir->listing = false;
    cond_broadcast(&v->changed);
out:
    lock_drop(&v->tree);
    return code;
}
