#include "store/meta.h"
#include "util/clock.h"
#include "util/str.h"
#include "vfs/dirs.h"
#include "vfs/early.h"
#include "vfs/inode.h"
#include "vfs/listed.h"
#include "vfs/remember.h"
#include "vfs/seal.h"
#include "vfs/view.h"

#include <string.h>

#define FRESH_FOR_EVER UINT64_MAX

struct inode *inode_new_locked(struct vfs *v, struct inode *parent, const char *name, const char *component,
                               enum inode_kind kind)
{
    lock_assert_held(&v->tree);
    struct inode *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    i->refs = 1;
    i->kind = kind;
    i->name = strdup(name);
    i->component = strcmp(name, component) == 0 ? i->name : strdup(component);
    if (!i->name || !i->component || (kind == INODE_DIR && dir_new_locked(v, i, NULL))) {
        if (i->component != i->name)
            free(i->component);
        free(i->name);
        free(i);
        return NULL;
    }
    i->parent = parent ? inode_ref_locked(parent) : NULL;
    v->n_inodes++;
    return i;
}

struct inode *inode_ref_locked(struct inode *i)
{
    i->refs++;
    return i;
}

static void inode_free_locked(struct vfs *v, struct inode *i)
{
    if (i->content)
        content_unref(i->content);
    store_meta_unref(i->meta);
    dir_free(i->dir);
    if (i->active)
        stage_free(i->active->stage);
    free(i->active);
    free(i->etag);
    if (i->component != i->name)
        free(i->component);
    free(i->name);
    free(i);
    v->n_inodes--;
}

void inode_unref_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    while (i && --i->refs == 0) {
        struct inode *parent = i->parent;
        inode_free_locked(v, i);
        i = parent;
    }
}

void inode_unref(struct vfs *v, struct inode *i)
{
    if (!i)
        return;
    LOCK_SCOPE(&v->tree);
    inode_unref_locked(v, i);
}

enum err_code inode_find_locked(struct vfs *v, uint64_t ino, struct inode **out, struct err *e)
{
    lock_assert_held(&v->tree);
    struct inode *i = map_get(v->by_ino, &ino, sizeof(ino));
    if (!i)
        return err_set(e, ERR_CONFLICT, "no such inode");
    *out = i;
    return ERR_OK;
}

enum err_code inode_find_dir_locked(struct vfs *v, uint64_t ino, struct inode **out, struct err *e)
{
    enum err_code code = inode_find_locked(v, ino, out, e);
    if (!code && (*out)->kind != INODE_DIR)
        return err_set(e, ERR_NOT_DIR, "not a directory");
    return code;
}

enum err_code inode_give_locked(struct vfs *v, struct inode *i, struct err *e)
{
    lock_assert_held(&v->tree);
    if (!i->ino) {
        i->ino = ++v->next_ino;
        if (map_put(v->by_ino, i, e)) {
            i->ino = 0;
            return ERR_NOMEM;
        }
    }
    if (i->lookups++ == 0)
        inode_ref_locked(i);
    return ERR_OK;
}

void vfs_forget(struct vfs *v, uint64_t ino, uint64_t count)
{
    LOCK_SCOPE(&v->tree);
    inode_forget_locked(v, ino, count);
}

void inode_forget_locked(struct vfs *v, uint64_t ino, uint64_t count)
{
    lock_assert_held(&v->tree);
    struct inode *i = map_get(v->by_ino, &ino, sizeof(ino));
    if (!i || i == v->root)
        return;
    i->lookups -= count < i->lookups ? count : i->lookups;
    if (i->lookups > 0)
        return;
    map_remove(v->by_ino, &ino, sizeof(ino));
    i->ino = 0;
    if (i->flags & INODE_VIEW)
        view_forgotten_locked(v, i);
    inode_unref_locked(v, i);
}

enum err_code inode_link_locked(struct vfs *v, struct inode *i, struct err *e)
{
    lock_assert_held(&v->tree);
    struct dir *d = i->parent->dir;
    if (inode_removed_locked(i->parent))
        return err_set(e, ERR_NOT_FOUND, "the directory was removed");
    struct inode *old = map_get(d->children, i->name, strlen(i->name));
    if (old && inode_unsent(old) && old->active->opens > 0) /* made in the same moment: no write to it is forgotten */
        old->flags |= INODE_CONFLICT;
    if (old)
        inode_detach_locked(v, old);
    if (map_put(d->children, i, e))
        return ERR_NOMEM;
    i->flags |= INODE_LINKED;
    listed_linked_locked(i);
    if (i->kind == INODE_NONE)
        d->negative++;
    inode_ref_locked(i);
    return ERR_OK;
}

/* Children hold their parent: what is known below a directory that goes must go first. Depth is bounded by a key's length. */
void inode_detach_children_locked(struct vfs *v, struct inode *dir)
{
    listed_drop_locked(v, dir);
    size_t cursor = 0;
    for (struct inode *i; (i = map_next(dir->dir->children, &cursor));)
        inode_detach_locked(v, i);
}

void inode_detach_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    if (!(i->flags & INODE_LINKED))
        return;
    if (i->dir)
        inode_detach_children_locked(v, i);
    struct dir *d = i->parent->dir;
    map_remove(d->children, i->name, strlen(i->name));
    i->flags &= (uint16_t)~INODE_LINKED;
    if (i->kind == INODE_NONE)
        d->negative--;
    inode_unref_locked(v, i);
}

void inode_expel_locked(struct vfs *v, struct inode *i)
{
    bool told = (i->flags & INODE_LINKED) && i->parent->ino && (i->ino || i->kind == INODE_NONE);
    if (told && v->cfg.notify.entry)
        v->cfg.notify.entry(v->cfg.notify.arg, i->parent->ino, i->name);
    if ((i->flags & INODE_LINKED) && i->active && i->active->opens > 0)
        i->flags |= INODE_CONFLICT;
    inode_detach_locked(v, i);
}

struct inode *inode_child_locked(const struct inode *dir, const char *name)
{
    struct inode *i = map_get(dir->dir->children, name, strlen(name));
    return i || !dir->dir->names ? i : listed_take_locked(dir->dir->inode, name);
}

void inode_key_locked(const struct inode *i, struct buf *out)
{
    if (!i->parent)
        return;
    inode_key_locked(i->parent, out);
    if (i->flags & INODE_SELF) {
        /* The object beside the directory: its key is the directory's without the slash. */
        if (out->len > 0 && !out->failed)
            out->data[--out->len] = 0;
        return;
    }
    buf_add_str(out, i->component);
    if (i->kind == INODE_DIR)
        buf_add_char(out, '/');
}

bool inode_key_is_locked(const struct inode *i, const char *key)
{
    BUF(now, KEY_BUF_MAX);
    inode_key_locked(i, &now);
    return strcmp(buf_str(&now), key) == 0;
}

void inode_path_locked(const struct inode *i, struct buf *out)
{
    if (!i->parent)
        return;
    inode_path_locked(i->parent, out);
    buf_add_char(out, '/');
    buf_add_str(out, i->name);
}

char *inode_key_dup_locked(const struct inode *i)
{
    BUF(key, KEY_BUF_MAX);
    inode_key_locked(i, &key);
    return key.failed ? NULL : strdup(buf_str(&key));
}

void inode_set_meta_locked(struct inode *i, struct store_meta *meta)
{
    struct store_meta *old = i->meta;
    i->meta = store_meta_ref(meta);
    i->remembered = false;
    if (meta && meta != old && i->parent)
        remember_told_locked(i->parent->dir->vfs, i);
    store_meta_unref(old);
}

void inode_drop_sums_locked(struct inode *i)
{
    CLEANUP(store_meta_unref) struct store_meta *m = store_meta_has_sums(i->meta) ? store_meta_copy(i->meta) : NULL;
    if (!m)
        return;
    store_meta_drop_sums(m);
    inode_set_meta_locked(i, m);
}

enum err_code inode_set_version_locked(struct vfs *v, struct inode *i, const struct store_version *version,
                                       struct store_meta *meta, struct err *e)
{
    lock_assert_held(&v->tree);
    if (!i->etag || strcmp(i->etag, version->etag) != 0) {
        char *etag = strdup(version->etag);
        if (!etag)
            return err_set(e, ERR_NOMEM, "out of memory");
        free(i->etag);
        i->etag = etag;
    }
    i->size = version->size;
    i->mtime = version->mtime;
    if (meta)
        inode_set_meta_locked(i, meta);
    return ERR_OK;
}

void inode_version_locked(const struct inode *i, struct store_version *out)
{
    *out = (struct store_version){.size = i->size, .mtime = i->mtime};
    if (i->etag)
        memcpy(out->etag, i->etag, strlen(i->etag) + 1 > sizeof(out->etag) ? sizeof(out->etag) - 1 : strlen(i->etag) + 1);
}

enum err_code inode_activate_locked(struct vfs *v, struct inode *i, struct err *e)
{
    lock_assert_held(&v->tree);
    if (i->active)
        return ERR_OK;
    i->active = calloc(1, sizeof(*i->active));
    if (!i->active)
        return err_set(e, ERR_NOMEM, "out of memory");
    i->active->inode = i;
    return ERR_OK;
}

static void free_stage(void *arg)
{
    stage_free(arg);
}

void inode_settle_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    struct active *a = i->active;
    if (!a || a->opens || a->waiters || a->sending || a->held || a->looking || a->timer_armed || a->queued)
        return;
    if (a->stage && (i->flags & INODE_LOCAL) && (i->flags & INODE_LINKED))
        return;
    if (a->early)
        early_drop_locked(v, TAKE(a->early));
    if (a->stage && pool_submit(v->pool, free_stage, a->stage, NULL))
        stage_free(a->stage);
    i->active = NULL;
    free(a);
    seal_again_locked(i);
    bool spent = (i->flags & INODE_VIEW) && !view_is_kept_locked(v, i);
    if (i->content && (spent || !vfs_has(v, STORE_LIST_CONTENT))) {
        /* What its gets brought along: readers were answered before their end. */
        CLEANUP(store_meta_unref) struct store_meta *meta = i->meta ? NULL : content_meta(i->content);
        if (meta)
            inode_set_meta_locked(i, meta);
        content_unref(i->content);
        i->content = NULL;
    }
}

/* FNV-1a: stable across mounts, unlike the seeded hash of the maps. */
static uint64_t fold(uint64_t h, const char *key, size_t len)
{
    for (size_t n = 0; n < len; n++)
        h = (h ^ (unsigned char)key[n]) * 1099511628211ULL;
    return h;
}

uint64_t inode_number_begin(const char *key, size_t len)
{
    return fold(14695981039346656037ULL, key, len);
}

uint64_t inode_number_end(uint64_t begun, const char *rest, size_t len)
{
    uint64_t h = fold(begun, rest, len);
    return h > 1 ? h : h + 2;
}

uint64_t inode_number(const char *key, size_t len)
{
    return inode_number_end(inode_number_begin(key, len), "", 0);
}

static bool within_ttl(const struct vfs *v, uint64_t checked_ms)
{
    if (v->cfg.ttl_ms == VFS_TTL_INF)
        return true;
    return v->cfg.ttl_ms > 0 && clock_mono_ms() - checked_ms < v->cfg.ttl_ms;
}

uint64_t ttl_left_ms(const struct vfs *v, uint64_t checked_ms)
{
    if (v->cfg.ttl_ms == VFS_TTL_INF)
        return FRESH_FOR_EVER;
    uint64_t age = clock_mono_ms() - checked_ms;
    return age < v->cfg.ttl_ms ? v->cfg.ttl_ms - age : 0;
}

bool inode_fresh_locked(const struct vfs *v, const struct inode *i)
{
    if (!i->parent || (i->flags & (INODE_NEW | INODE_LOCAL)) || inode_unsent(i) || (i->active && (i->active->sending || i->active->held)))
        return true;
    return !(i->flags & INODE_STALE) && within_ttl(v, i->checked_ms);
}

bool dir_fresh_locked(const struct vfs *v, const struct inode *dir)
{
    /* It is kept here, also after what was known in it is gone: that says nothing of names that are not known. */
    if (dir->flags & INODE_LOCAL)
        return dir->dir->listed;
    return dir->dir->listed && within_ttl(v, dir->dir->listed_ms);
}

void inode_changed_locked(struct vfs *v, struct inode *i)
{
    i->changed_seq = ++v->seq;
    i->checked_ms = clock_mono_ms();
    i->flags &= (uint16_t)~INODE_STALE;
}

enum err_code wait_changed_locked(struct vfs *v, const struct vfs_caller *c, struct err *e)
{
    lock_assert_held(&v->tree);
    if (c && c->cancel && cancel_fired(c->cancel))
        return err_set(e, ERR_CANCELED, "interrupted");
    cond_wait(&v->changed, &v->tree, clock_mono_ms() + 100);
    return ERR_OK;
}
