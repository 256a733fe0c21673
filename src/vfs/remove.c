/* unlink and rmdir. They return when the store has done it. */
#include "store/walk.h"
#include "util/clock.h"
#include "vfs/dirs.h"
#include "vfs/hold.h"
#include "vfs/inode.h"
#include "vfs/remove.h"
#include "vfs/ranges.h"
#include "vfs/resolve.h"
#include "vfs/send.h"
#include "vfs/unfinished.h"
#include "vfs/view.h"

#include <string.h>

#define REMOVE_ATTEMPTS 4

void removed_locked(struct vfs *v, struct inode *dir, struct inode *i)
{
    CLEANUP(free) char *name = strdup(i->name), *component = strdup(i->component);
    if (i->active) {
        i->active->sent_gen = i->active->gen;
        i->active->attr_sent_gen = i->active->attr_gen;
        send_dirty_locked(v, i);
    }
    view_outdate_locked(v, i);
    inode_detach_locked(v, i);
    if (i->active)
        inode_settle_locked(v, i);
    struct inode *mark = name && component ? inode_new_locked(v, dir, name, component, INODE_NONE) : NULL;
    if (!mark || inode_link_locked(v, mark, NULL)) {
        dir_unlist_locked(v, dir);
    } else {
        inode_changed_locked(v, mark);
    }
    if (mark)
        inode_unref_locked(v, mark);
}

/* The directory and what stands under the name, both counted. */
static enum err_code find(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c, struct inode **dir,
                          struct inode **out, struct err *e)
{
    *dir = *out = NULL;
    if (v->cfg.read_only || vfs_has(v, STORE_READ_ONLY))
        return err_set(e, ERR_READ_ONLY, "mounted read-only");
    lock_take(&v->tree);
    enum err_code code = inode_find_dir_locked(v, parent, dir, e);
    if (code)
        *dir = NULL;
    else
        inode_ref_locked(*dir);
    lock_drop(&v->tree);
    if (!code)
        code = resolve(v, *dir, name, c, out, e);
    if (!code && !*out)
        code = err_set(e, ERR_NOT_FOUND, "\"%s\" does not exist", name);
    if (!code && (*out)->fixed)
        code = err_set(e, ERR_PERM, "\"%s\" cannot be removed by itself", name);
    return code;
}

/* Removes the version that is known, so that a request that is executed late cannot take what was put there afterwards. Unlinking
 * means whatever is there: where that is another version, it is asked for and removed as such. */
static enum err_code remove_version(struct vfs *v, const char *key, const char *etag, const struct vfs_caller *c, struct err *e)
{
    struct store_call call = call_of(c);
    enum err_code code = unfinished_claim(v, key, false, c, e);
    if (code)
        return code;
    if (vfs_has(v, STORE_SLOW_COPY)) /* has no conditions: they would be requests of their own and promise nothing */
        return store_remove(v->store, key, NULL, &call, e);
    code = etag ? store_remove(v->store, key, etag, &call, e) : ERR_CONFLICT;
    for (int attempt = 0; code == ERR_CONFLICT && attempt < REMOVE_ATTEMPTS; attempt++) {
        struct store_object now = {0};
        code = store_stat(v->store, key, &call, &now, e);
        if (!code)
            code = store_remove(v->store, key, now.version.etag, &call, e);
        else if (code == ERR_NOT_FOUND)
            code = ERR_OK;
        store_object_release(&now);
    }
    return code;
}

static enum err_code unlink_found(struct vfs *v, struct inode *dir, struct inode *i, const struct vfs_caller *c,
                                  struct err *e)
{
    if (i->kind == INODE_DIR)
        return err_set(e, ERR_IS_DIR, "is a directory");
    lock_take(&v->tree);
    bool there = (i->flags & INODE_LINKED) && i->parent == dir;
    /* A put that failed, or was stopped, may have been done all the same. */
    bool in_store = i->active->tried || !(i->flags & (INODE_NEW | INODE_LOCAL));
    CLEANUP(free) char *key = inode_key_dup_locked(i);
    CLEANUP(free) char *etag = i->etag && !(i->flags & INODE_NEW) ? strdup(i->etag) : NULL;
    lock_drop(&v->tree);
    if (!there)
        return err_set(e, ERR_NOT_FOUND, "\"%s\" was removed by others", key ? key : "");
    if (!key)
        return err_set(e, ERR_NOMEM, "out of memory");
    enum err_code code = ERR_OK;
    if (in_store) {
        if (c->nowait)
            return ERR_AGAIN;
        code = preserve(v, i, c, e);
        if (!code)
            code = remove_version(v, key, etag, c, e);
        if (code)
            return code;
    }
    LOCK_SCOPE(&v->tree);
    removed_locked(v, dir, i);
    if (in_store)
        dir_keep_locked(v, dir);
    return ERR_OK;
}

enum err_code vfs_unlink(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c, struct err *e)
{
    struct inode *dir, *i;
    enum err_code code = find(v, parent, name, c, &dir, &i, e);
    struct hold hold = {.a = i, .gone = i};
    if (!code && !(code = hold_take(v, &hold, i, c, e))) {
        code = unlink_found(v, dir, i, c, e);
        hold_drop(v, &hold);
    }
    inode_unref(v, i);
    inode_unref(v, dir);
    return code;
}

enum err_code check_empty(struct vfs *v, const char *key, const struct vfs_caller *c, char marker[STORE_ETAG_SIZE],
                          struct err *e)
{
    struct store_call call = call_of(c);
    CLEANUP(free) char *token = NULL;
    char etag[STORE_ETAG_SIZE] = "";
    struct store_walk walk = {0};
    enum err_code code;
    do {
        struct store_list l = {.prefix = key, .max_keys = 2, .token = token};
        struct store_page page = {0};
        code = store_list(v->store, &l, &call, &page, e);
        if (code)
            return code;
        for (size_t n = 0; n < page.n && !code; n++) {
            const struct store_version *version = &page.entries[n].object.version;
            if (strcmp(page.entries[n].key, key) != 0 || version->size > 0)
                code = err_set(e, ERR_NOT_EMPTY, "the directory is not empty");
            else
                memcpy(etag, version->etag, sizeof(etag));
        }
        if (!code && page.next) /* the marker again and again is nothing new */
            code = store_walk_on(&walk, key, false, e);
        free(token);
        token = TAKE(page.next);
        store_page_release(&page);
    } while (!code && token);
    if (!code && marker)
        memcpy(marker, etag, sizeof(etag));
    return code;
}

bool dir_has_unsent_locked(const struct inode *dir)
{
    size_t cursor = 0;
    for (const struct inode *i; (i = map_next(dir->dir->children, &cursor));)
        if (i->kind != INODE_NONE && (i->flags & (INODE_NEW | INODE_LOCAL)))
            return true;
    return false;
}

/* Removes the marker that the listing told, no other object: what others put under its key since is a file in the directory.
 * A container goes as such, and its server refuses where it is not empty. */
static enum err_code rmdir_in_store(struct vfs *v, const char *key, bool container, const struct vfs_caller *c, struct err *e)
{
    struct store_call call = call_of(c);
    char marker[STORE_ETAG_SIZE];
    struct err err = ERR_INIT;
    enum err_code code = unfinished_claim(v, key, false, c, e);
    if (!code)
        code = check_empty(v, key, c, marker, e);
    if (code || !vfs_has(v, STORE_MARKERS) || (!container && !*marker))
        return code;
    code = store_remove(v->store, key, container ? NULL : marker, &call, &err);
    if (code == ERR_CONFLICT)
        return err_set(e, ERR_NOT_EMPTY, "others have put something into the directory");
    return code ? err_copy(e, &err) : ERR_OK;
}

static enum err_code rmdir_found(struct vfs *v, struct inode *dir, struct inode *i, const struct vfs_caller *c,
                                 struct err *e)
{
    if (i->kind != INODE_DIR)
        return err_set(e, ERR_NOT_DIR, "not a directory");
    lock_take(&v->tree);
    bool full = dir_has_unsent_locked(i), local = i->flags & INODE_LOCAL;
    bool there = (i->flags & INODE_LINKED) && i->parent == dir, container = is_container_locked(v, i);
    CLEANUP(free) char *key = inode_key_dup_locked(i);
    lock_drop(&v->tree);
    if (!there)
        return err_set(e, ERR_NOT_FOUND, "the directory was removed by others");
    if (full)
        return err_set(e, ERR_NOT_EMPTY, "the directory is not empty");
    if (!key)
        return err_set(e, ERR_NOMEM, "out of memory");
    enum err_code code = ERR_OK;
    if (!local) {
        if (c->nowait)
            return ERR_AGAIN;
        code = rmdir_in_store(v, key, container, c, e);
    }
    LOCK_SCOPE(&v->tree);
    if (code == ERR_NOT_EMPTY)
        dir_unlist_locked(v, i); /* what is in it shows with the next listing */
    if (code)
        return code;
    i->dir->marker_due = false;
    removed_locked(v, dir, i);
    if (!local)
        dir_keep_locked(v, dir);
    return ERR_OK;
}

enum err_code vfs_rmdir(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c, struct err *e)
{
    struct inode *dir, *i;
    enum err_code code = find(v, parent, name, c, &dir, &i, e);
    struct hold hold = {.a = i};
    if (!code && !(code = hold_take(v, &hold, i, c, e))) {
        code = rmdir_found(v, dir, i, c, e);
        hold_drop(v, &hold);
    }
    inode_unref(v, i);
    inode_unref(v, dir);
    return code;
}
