/*
 * Attributes that a listing does not carry: asked for only where they are likely to be there, remembered with the version.
 */
#include "util/clock.h"
#include "vfs/inode.h"
#include "vfs/listed.h"
#include "vfs/look.h"
#include "vfs/merge.h"
#include "vfs/remember.h"
#include "vfs/saved.h"
#include "vfs/walk.h"

#include <string.h>

#define PARALLEL 32
#define SAMPLE 2
#define BESIDE_MAX 8 /* names of one directory: most of them may be new ones */

static const unsigned posix_bits = STORE_HAS_MODE | STORE_HAS_UID | STORE_HAS_GID | STORE_HAS_MTIME;

bool look_needed_locked(const struct vfs *v, const struct inode *i)
{
    if (!vfs_has(v, STORE_POSIX) || i->meta || !i->parent || i->kind == INODE_NONE || (i->flags & (INODE_NEW | INODE_LOCAL)))
        return false;
    if (i->kind == INODE_DIR && ((i->flags & INODE_NO_MARKER) || is_container_locked(v, i)))
        return false;
    switch (v->cfg.attrs) {
    case VFS_ATTRS_HEAD:
        return true;
    case VFS_ATTRS_AUTO:
        return i->parent->dir->posix == POSIX_YES;
    default:
        return false;
    }
}

bool look_wanted_locked(const struct vfs *v, const struct inode *dir)
{
    bool asked = v->cfg.attrs == VFS_ATTRS_HEAD || (v->cfg.attrs == VFS_ATTRS_AUTO && dir->dir->posix == POSIX_YES);
    return asked && vfs_has(v, STORE_POSIX);
}

/* What the store said of an inode's key. */
static enum err_code take_locked(struct vfs *v, struct inode *i, uint64_t seq, uint64_t start_ms, enum err_code code,
                                 const struct store_object *o, struct err *e)
{
    if (inode_unsent(i) || i->changed_seq > seq) {
        /* What was written here is newer, but what others stored with the version it overwrites must be carried along. */
        bool carried = !code && (!i->meta || i->remembered) && i->etag &&
                       ((i->active && active_rewrites(i->active)) || strcmp(i->etag, o->version.etag) == 0);
        if (carried)
            inode_set_meta_locked(i, o->meta);
        return code == ERR_NOT_FOUND ? ERR_OK : code;
    }
    if (code == ERR_NOT_FOUND && i->kind == INODE_DIR) {
        i->flags |= INODE_NO_MARKER;
        return ERR_OK;
    }
    struct merge m = {.seq = seq, .start_ms = start_ms};
    if (code == ERR_NOT_FOUND)
        return (i->flags & INODE_LINKED) ? merge_absent_locked(v, i->parent, i->name, i->component, &m, e) : ERR_OK;
    if (code)
        return code;
    if (i->kind == INODE_DIR) {
        i->flags &= (uint16_t)~INODE_NO_MARKER;
        return inode_set_version_locked(v, i, &o->version, o->meta, e);
    }
    if (i->flags & INODE_LINKED)
        return merge_object_locked(v, i->parent, i->name, i->component, o, &m, NULL, e);
    if (i->etag && strcmp(i->etag, o->version.etag) == 0)
        inode_set_meta_locked(i, o->meta);
    return ERR_OK;
}

enum err_code look_take_locked(struct vfs *v, struct inode *i, uint64_t seq, uint64_t start_ms, const struct store_object *o)
{
    return take_locked(v, i, seq, start_ms, ERR_OK, o, NULL);
}

struct look {
    struct vfs *v;
    struct inode *inode;
    struct store_call call;
    enum err_code code;
    struct err err;
};

static void look_one(void *item)
{
    struct look *l = item;
    struct vfs *v = l->v;
    BUF(key, KEY_BUF_MAX);
    lock_take(&v->tree);
    inode_key_locked(l->inode, &key);
    uint64_t seq = ++v->seq;
    lock_drop(&v->tree);

    uint64_t start = clock_mono_ms();
    struct store_object o = {0};
    l->code = store_stat(v->store, buf_str(&key), &l->call, &o, &l->err);
    lock_take(&v->tree);
    l->code = take_locked(v, l->inode, seq, start, l->code, &o, &l->err);
    lock_drop(&v->tree);
    store_object_release(&o);
}

/* What a store says of one object and not of the others beside it. */
static bool is_of_one_object(enum err_code code)
{
    return code == ERR_ACCESS || code == ERR_KEY_REJECTED || code == ERR_INVAL;
}

enum err_code look_many(struct vfs *v, struct inode **inodes, size_t n_all, const struct vfs_caller *c, struct err *e)
{
    if (n_all == 0)
        return ERR_OK;
    CLEANUP(free) struct look *looks = calloc(n_all, sizeof(*looks));
    if (!looks)
        return err_set(e, ERR_NOMEM, "out of memory");
    size_t n = 0;
    for (size_t k = 0; k < n_all; k++)
        if (!remember_take(v, inodes[k]))
            looks[n++] = (struct look){.v = v, .inode = inodes[k], .call = call_of(c)};
    if (n > 0)
        pool_each(v->pool, looks, n, sizeof(*looks), PARALLEL, look_one, NULL);
    for (size_t k = 0; k < n; k++)
        if (looks[k].code && !is_of_one_object(looks[k].code))
            return err_copy(e, &looks[k].err);
    return ERR_OK;
}

static bool known_locked(const struct vfs *v, const struct inode *i)
{
    return i->meta || (i->flags & (INODE_NEW | INODE_LOCAL)) || !vfs_has(v, STORE_POSIX) || !i->parent ||
           (i->kind == INODE_DIR && ((i->flags & INODE_NO_MARKER) || is_container_locked(v, i)));
}

/* By a server, in this mount. */
static bool told_locked(const struct vfs *v, const struct inode *i)
{
    return known_locked(v, i) && !i->remembered;
}

bool look_is_told_locked(const struct vfs *v, const struct inode *i)
{
    lock_assert_held(&v->tree);
    return told_locked(v, i);
}

enum err_code look_shown(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    bool known = known_locked(v, i);
    lock_drop(&v->tree);
    if (known)
        return ERR_OK;
    if (c && c->nowait)
        return ERR_AGAIN;
    return remember_take(v, i) ? ERR_OK : look_always(v, i, c, e);
}

enum err_code look_always(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    enum err_code code = ERR_OK;
    while (!code && !told_locked(v, i) && i->active && i->active->looking)
        code = c && c->nowait ? ERR_AGAIN : wait_changed_locked(v, c, e);
    bool known = told_locked(v, i);
    if (!code && !known)
        code = c && c->nowait ? ERR_AGAIN : inode_activate_locked(v, i, e);
    if (!code && !known)
        i->active->looking = true;
    lock_drop(&v->tree);
    if (code || known)
        return code;
    struct look l = {.v = v, .inode = i, .call = call_of(c)};
    look_one(&l);
    lock_take(&v->tree);
    i->active->looking = false;
    inode_settle_locked(v, i);
    cond_broadcast(&v->changed);
    lock_drop(&v->tree);
    return l.code ? err_copy(e, &l.err) : ERR_OK;
}

struct look_task {
    struct vfs *v;
    struct inode *inode;
};

static void look_task_run(void *arg)
{
    CLEANUP(free) struct look_task *t = arg;
    struct err err = ERR_INIT;
    if (look_always(t->v, t->inode, NULL, &err))
        LOG_DEBUG("vfs", "%s", err.msg); /* whoever needs it asks again, and has the error then */
    lock_take(&t->v->tree);
    inode_unref_locked(t->v, t->inode);
    t->v->background--;
    cond_broadcast(&t->v->changed);
    lock_drop(&t->v->tree);
}

void look_ahead_locked(struct vfs *v, struct inode *i)
{
    if (told_locked(v, i))
        return;
    struct look_task *t = malloc(sizeof(*t));
    if (!t)
        return;
    *t = (struct look_task){.v = v, .inode = i};
    if (pool_submit(v->pool, look_task_run, t, NULL)) {
        free(t);
        return;
    }
    inode_ref_locked(i);
    v->background++;
}

static size_t pick_kind_locked(const struct vfs *v, struct inode *dir, enum inode_kind kind, struct inode *out[SAMPLE], size_t n)
{
    size_t cursor = 0;
    for (struct inode *i; n < SAMPLE && (i = map_next(dir->dir->children, &cursor));)
        if (i->kind == kind && !known_locked(v, i))
            out[n++] = inode_ref_locked(i);
    return n;
}

/* The marker if there is one, and `first` where one name was asked for, else children that are files, or where there are none
 * directories. References for the caller. */
static size_t pick_locked(const struct vfs *v, struct inode *dir, struct inode *first, struct inode *out[SAMPLE])
{
    size_t n = 0;
    if (dir->parent && dir->etag && !dir->meta)
        out[n++] = inode_ref_locked(dir);
    if (first) {
        if (first->kind != INODE_NONE && !known_locked(v, first))
            out[n++] = inode_ref_locked(first);
        return n;
    }
    listed_take_files_locked(dir, "", SAMPLE);
    n = pick_kind_locked(v, dir, INODE_FILE, out, n);
    if (n > 0)
        return n;
    listed_take_dirs_locked(dir, SAMPLE);
    return pick_kind_locked(v, dir, INODE_DIR, out, n);
}

static bool posix_meta(const struct inode *i)
{
    return i->meta && (i->meta->has & posix_bits);
}

/* A child with POSIX metadata shows itself under its name: the sample's inode may have been replaced by another kind. */
static bool decided_locked(struct inode *dir, struct inode **sample, size_t n)
{
    if (posix_meta(dir))
        return true;
    for (size_t k = 0; k < n; k++) {
        struct inode *now = sample[k] == dir ? dir : inode_child_locked(dir, sample[k]->name);
        if (now && posix_meta(now))
            return true;
    }
    return false;
}

/* Metadata that are known already, of the directory or of what was put here, decide without asking. */
static bool known_posix_locked(const struct inode *dir, const struct inode *first)
{
    return posix_meta(dir) || (first && posix_meta(first));
}

/* What is known of the directory, or of others in the same listing. One that has a marker of its own is asked about that. */
static enum posix_state verdict_locked(struct vfs *v, struct inode *dir)
{
    struct dir *d = dir->dir;
    bool own = d->posix == POSIX_YES || (d->posix == POSIX_NO && !d->posix_shared);
    if (own)
        return d->posix;
    bool shared = d->posix == POSIX_NO;
    enum posix_state all = walk_verdict_locked(v, d->walk, !shared);
    if (all == POSIX_YES || (all == POSIX_UNKNOWN && !shared) || (dir->etag && !dir->meta))
        return d->posix = POSIX_UNKNOWN;
    d->posix_shared = true;
    d->posix = POSIX_NO;
    if (!shared)
        saved_judged_locked(v, dir);
    return POSIX_NO;
}

static bool samples(const struct vfs *v, const struct inode *dir)
{
    return vfs_has(v, STORE_POSIX) && v->cfg.attrs == VFS_ATTRS_AUTO && !holds_containers(v, dir);
}

bool look_undecided_locked(struct vfs *v, const struct inode *i)
{
    lock_assert_held(&v->tree);
    return i->parent && i->kind != INODE_NONE && samples(v, i->parent) && !known_locked(v, i) &&
           verdict_locked(v, i->parent) == POSIX_UNKNOWN;
}

bool look_beside_locked(struct vfs *v, struct inode *dir)
{
    lock_assert_held(&v->tree);
    /* A page that told some of its names, when others were asked for, has not told this one: its attributes will be wanted too. */
    bool again = !dir->parent || dir->dir->walk || dir->dir->extent > DIR_ASKED;
    /* With ttl=0 names are asked for again and again: a HEAD each time would be one too many. */
    if (!again || v->cfg.ttl_ms == 0 || !vfs_has(v, STORE_START_AFTER) || !samples(v, dir) || dir->dir->beside >= BESIDE_MAX ||
        verdict_locked(v, dir) != POSIX_UNKNOWN)
        return false;
    dir->dir->beside++;
    return true;
}

static void judge_locked(struct vfs *v, struct inode *dir, bool yes)
{
    struct dir *d = dir->dir;
    d->posix = yes ? POSIX_YES : POSIX_NO;
    d->posix_shared = false;
    if (!yes || !posix_meta(dir)) /* a marker speaks for its own directory */
        walk_judge_locked(v, d->walk, yes);
    saved_judged_locked(v, dir);
}

enum err_code look_sample(struct vfs *v, struct inode *dir, struct inode *first, const struct vfs_caller *c, struct err *e)
{
    if (!samples(v, dir))
        return ERR_OK;
    struct inode *sample[SAMPLE] = {NULL};
    lock_take(&v->tree);
    bool decided = verdict_locked(v, dir) != POSIX_UNKNOWN;
    bool seen = first && first->meta; /* the answer to a question beside the listing */
    size_t n = decided || seen || known_posix_locked(dir, first) ? 0 : pick_locked(v, dir, first, sample);
    lock_drop(&v->tree);
    if (decided)
        return ERR_OK;
    bool got = first && n == 1 && sample[0] == first && (remember_take(v, first) || look_by_get(v, first, c));
    enum err_code code = got ? ERR_OK : look_many(v, sample, n, c, e);
    lock_take(&v->tree);
    /* Where there was nothing to look at, it stays open. */
    bool yes = (first && posix_meta(first)) || decided_locked(dir, sample, n);
    if (!code && (yes || seen || n > 0))
        judge_locked(v, dir, yes);
    for (size_t k = 0; k < n; k++)
        inode_unref_locked(v, sample[k]);
    lock_drop(&v->tree);
    return code;
}
