/* Who goes through a tree is noticed by the directories it opens, and served by walks. */
#include "util/clock.h"
#include "vfs/ask_first.h"
#include "vfs/inode.h"
#include "vfs/list.h"
#include "vfs/listed.h"
#include "vfs/resolve.h"
#include "vfs/saved.h"
#include "vfs/walk.h"

#include <string.h>

#define NOTICE_MS  10000 /* between a directory and its children */
#define MISSED_MAX 2
#define FIRST_OF_MAX 10000 /* names that are looked through */

static bool was_opened(const struct inode *dir)
{
    return dir->dir->opened_ms && clock_mono_ms() - dir->dir->opened_ms < NOTICE_MS;
}

/* The first directory there, in the order of readdir. */
static bool is_first_locked(const struct inode *dir)
{
    size_t cursor = 0;
    if (map_size(dir->parent->dir->children) > FIRST_OF_MAX || listed_dir_before_locked(dir->parent, dir->name, FIRST_OF_MAX))
        return false;
    for (const struct inode *i; (i = map_next(dir->parent->dir->children, &cursor));)
        if (i->kind == INODE_DIR && strcmp(i->name, dir->name) < 0)
            return false;
    return true;
}

/* The parent's children are opened one after another. */
static bool is_next_locked(const struct vfs *v, const struct inode *dir)
{
    const struct inode *parent = dir->parent;
    if (!parent || holds_containers(v, parent) || !was_opened(parent) || parent->dir->missed >= MISSED_MAX)
        return false;
    return parent->dir->opened_below > 1 || is_first_locked(dir);
}

/* The uppermost directory that is gone through; NULL: none. */
static struct inode *top_locked(const struct vfs *v, struct inode *dir)
{
    struct inode *top = NULL;
    for (; dir->parent && is_next_locked(v, dir); dir = dir->parent)
        top = dir->parent;
    return top;
}

static void note_locked(struct inode *dir)
{
    if (dir->parent && was_opened(dir->parent) && dir->dir->opened_ms < dir->parent->dir->opened_ms)
        dir->parent->dir->opened_below++;
    dir->dir->opened_ms = clock_mono_ms();
    dir->dir->opened_below = 0;
}

/* One page of the walk that leads to the directory, unless one that is under way brings it. */
static enum err_code walk_to(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e)
{
    enum err_code code = ERR_OK;
    struct walk *w = NULL;
    lock_take(&v->tree);
    while (!code && !dir_fresh_locked(v, dir) && !dir->dir->listing) {
        if (page_comes_locked(dir)) {
            code = wait_changed_locked(v, c, e);
            continue;
        }
        struct inode *top = walk_fits_locked(v, dir) ? top_locked(v, dir) : NULL;
        w = top ? walk_begin_locked(v, dir, top, &code, e) : NULL;
        if (code == ERR_AGAIN)
            code = wait_changed_locked(v, c, e);
        if (w || code || !top)
            break;
    }
    lock_drop(&v->tree);
    if (!w)
        return code;
    code = walk_next(v, w, c, e);
    LOCK_SCOPE(&v->tree);
    if (dir->parent)
        dir->parent->dir->missed = dir_fresh_locked(v, dir) ? 0 : dir->parent->dir->missed + 1;
    return code;
}

enum err_code walk_open(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct list_view *out, struct err *e)
{
    lock_take(&v->tree);
    bool fresh = dir_fresh_locked(v, dir), wait = !(c && c->nowait);
    if (fresh || wait)
        note_locked(dir);
    lock_drop(&v->tree);
    fresh = fresh || (wait && saved_take(v, dir, c));
    enum err_code code = !fresh && wait ? walk_to(v, dir, c, e) : ERR_OK;
    if (code == ERR_ACCESS || code == ERR_UNSUPPORTED) { /* with a delimiter it may be allowed */
        if (e)
            *e = (struct err)ERR_INIT;
        code = ERR_OK;
    }
    *out = (struct list_view){0};
    if (!code)
        code = list_open(v, dir, c, out, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    walk_ahead_locked(v, dir);
    return ERR_OK;
}
