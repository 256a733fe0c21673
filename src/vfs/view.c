#include "vfs/view.h"

#include "util/clock.h"
#include "vfs/found.h"
#include "vfs/inode.h"
#include "vfs/merge.h"
#include "vfs/view_items.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOG_AGAIN_MS 60000

enum store_form view_form_locked(const struct vfs *v, const struct inode *dir, const char *name)
{
    lock_assert_held(&v->tree);
    if (!vfs_has(v, STORE_SELF_NAMES) || strcmp(name, SELF_NAME) == 0)
        return STORE_FORM_PLAIN;
    if (!strchr(name, '@') && !dir->fixed)
        return STORE_FORM_PLAIN;
    BUF(key, KEY_BUF_MAX);
    inode_key_locked(dir, &key);
    buf_add_str(&key, name);
    return key.failed ? STORE_FORM_PLAIN : store_form(v->store, buf_str(&key));
}

enum store_form view_form(struct vfs *v, const struct inode *dir, const char *name)
{
    if (!vfs_has(v, STORE_SELF_NAMES))
        return STORE_FORM_PLAIN;
    LOCK_SCOPE(&v->tree);
    return view_form_locked(v, dir, name);
}

/* ---- What is kept */

static void give_up_locked(struct vfs *v, size_t at)
{
    struct inode *i = v->views[at];
    v->views_bytes -= i->size;
    v->views[at] = v->views[--v->n_views];
    inode_detach_locked(v, i);
    if (!i->active && i->content) {
        content_unref(i->content);
        i->content = NULL;
    }
    inode_unref_locked(v, i);
}

void views_drop_locked(struct vfs *v)
{
    while (v->n_views > 0)
        give_up_locked(v, 0);
}

static size_t place_of(const struct vfs *v, const struct inode *i)
{
    size_t k = 0;
    while (k < v->n_views && v->views[k] != i)
        k++;
    return k;
}

bool view_is_kept_locked(const struct vfs *v, const struct inode *i)
{
    lock_assert_held(&v->tree);
    return place_of(v, i) < v->n_views;
}

void view_forgotten_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    size_t at = place_of(v, i);
    if (at < v->n_views && !(i->flags & INODE_LINKED))
        give_up_locked(v, at);
}

/* Those that nobody can ask for any more, then the oldest, until there is room. */
static void keep_locked(struct vfs *v, struct inode *i)
{
    for (size_t k = v->n_views; k-- > 0;)
        if (!(v->views[k]->flags & INODE_LINKED) && !v->views[k]->ino)
            give_up_locked(v, k);
    while (v->n_views > 0 && (v->n_views == VIEWS_KEPT || v->views_bytes + i->size > VIEWS_KEPT_BYTES)) {
        size_t oldest = 0;
        for (size_t k = 1; k < v->n_views; k++)
            if (v->views[k]->changed_seq < v->views[oldest]->changed_seq)
                oldest = k;
        give_up_locked(v, oldest);
    }
    v->views[v->n_views++] = inode_ref_locked(i);
    v->views_bytes += i->size;
}

/* Also that there is no such version is no longer known. */
static bool made_of_others(const struct inode *i)
{
    if (i->kind == INODE_NONE)
        return strchr(i->name, '@') != NULL;
    return (i->flags & INODE_VIRTUAL) && !(i->kind == INODE_DIR && i->name[0] == '@');
}

void view_outdate_locked(struct vfs *v, struct inode *i)
{
    lock_assert_held(&v->tree);
    if (!v->made_any)
        return;
    for (struct inode *dir = i->parent; dir; dir = dir->parent) {
        size_t cursor = 0;
        for (struct inode *x; (x = map_next(dir->dir->children, &cursor));)
            if (made_of_others(x))
                inode_expel_locked(v, x);
    }
}

/* ---- Rendering */

/* The ETag is "STATE-NUMBER": what the rendering was made of, and which one it is. */
static bool is_of_state(const struct inode *i, uint64_t state)
{
    char wanted[24];
    snprintf(wanted, sizeof(wanted), "%016" PRIx64 "-", state);
    return i && (i->flags & INODE_VIEW) && i->etag && strncmp(i->etag, wanted, strlen(wanted)) == 0;
}

/* A rendering that stands for that state and is within ttl; counted. */
static struct inode *take_kept_locked(struct vfs *v, struct inode *dir, const char *name, uint64_t state)
{
    struct inode *i = inode_child_locked(dir, name);
    bool good = is_of_state(i, state) && (i->content || (i->flags & INODE_SEALED)) && inode_fresh_locked(v, i);
    return good ? inode_ref_locked(i) : NULL;
}

static enum err_code link_locked(struct vfs *v, struct inode *dir, const char *name, struct store_object *object,
                                 uint64_t state, uint64_t start_ms, struct inode **out, struct err *e)
{
    if (inode_removed_locked(dir))
        return err_set(e, ERR_NOT_FOUND, "the directory was removed");
    struct merge m = {.seq = ++v->seq, .start_ms = start_ms};
    snprintf(object->version.etag, sizeof(object->version.etag), "%016" PRIx64 "-%" PRIu64, state, m.seq);
    struct inode *i = NULL;
    enum err_code code = merge_object_locked(v, dir, name, name, object, &m, &i, e);
    if (code)
        return code;
    if (!i)
        return err_set(e, ERR_CONFLICT, "\"%s\" is another file now", name);
    i->flags |= INODE_VIRTUAL | INODE_VIEW;
    i->fixed = true;
    v->made_any = true;
    if (!object->sealed)
        keep_locked(v, i);
    *out = inode_ref_locked(i);
    return ERR_OK;
}

/* A program that asks every second is told each time, the log once a minute: who looks at the log finds the name in it. */
static void log_refusal(struct vfs *v, const char *key, enum err_code code, const struct err *e)
{
    uint64_t id = inode_number(e->msg, strlen(e->msg)), now = clock_mono_ms();
    lock_take(&v->tree);
    bool repeated = v->view_refused_id == id && now - v->view_refused_ms < LOG_AGAIN_MS;
    if (!repeated) {
        v->view_refused_id = id;
        v->view_refused_ms = now;
    }
    lock_drop(&v->tree);
    if (!repeated && (code == ERR_INVAL || code == ERR_TOO_BIG || code == ERR_ACCESS || code == ERR_UNSUPPORTED))
        LOG_WARN("vfs", "the view \"%s\": %s", key, e->msg);
}

static enum err_code render(struct vfs *v, struct view_items *items, const char *key, bool unseal, const struct vfs_caller *c,
                            struct store_object *out, struct err *e)
{
    enum err_code code = view_items_read(v, items, c, e);
    struct store_call call = call_of(c);
    call.unseal = unseal;
    if (!code)
        code = store_view(v->store, key, items->items, items->n_items, &call, out, e);
    return code;
}

enum err_code view_resolve(struct vfs *v, struct inode *dir, const char *name, bool tree, const struct vfs_caller *c,
                           struct inode **out, struct err *e)
{
    if (c && c->nowait)
        return ERR_AGAIN;
    CLEANUP_RELEASE(view_items_release) struct view_items items = {.v = v, .dir = dir, .tree = tree};
    BUF(key, KEY_BUF_MAX);
    struct err err = ERR_INIT;
    enum err_code code = view_items_refresh(v, dir, tree, c, &err);
    uint64_t start_ms = clock_mono_ms();
    lock_take(&v->tree);
    inode_key_locked(dir, &key);
    buf_add_str(&key, name);
    if (!code)
        code = view_items_take_locked(&items, &err);
    struct inode *kept = code ? NULL : take_kept_locked(v, dir, name, items.state);
    lock_drop(&v->tree);
    if (kept) {
        *out = kept;
        return ERR_OK;
    }
    CLEANUP_RELEASE(store_object_release) struct store_object object = {0};
    if (!code)
        code = render(v, &items, buf_str(&key), false, c, &object, &err);
    if (!code) {
        LOCK_SCOPE(&v->tree);
        code = link_locked(v, dir, name, &object, items.state, start_ms, out, &err);
    }
    if (code && code != ERR_CANCELED)
        log_refusal(v, buf_str(&key), code, &err);
    return code ? err_copy(e, &err) : ERR_OK;
}

enum err_code view_unseal(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct store_object *out, struct err *e)
{
    CLEANUP_RELEASE(view_items_release) struct view_items items = {.v = v};
    BUF(key, KEY_BUF_MAX);
    struct err err = ERR_INIT;
    enum err_code code = ERR_CONFLICT;
    lock_take(&v->tree);
    if (i->flags & INODE_LINKED) {
        items.dir = i->parent;
        items.tree = view_form_locked(v, i->parent, i->name) == STORE_FORM_TREE_VIEW;
        inode_key_locked(i, &key);
        code = view_items_take_locked(&items, &err);
    }
    if (!code && !is_of_state(i, items.state)) {
        i->flags |= INODE_STALE;
        code = ERR_CONFLICT;
    }
    lock_drop(&v->tree);
    if (code == ERR_CONFLICT)
        return err_set(e, ERR_CONFLICT, "what \"%s\" is made of has changed", buf_str(&key));
    if (!code)
        code = render(v, &items, buf_str(&key), true, c, out, &err);
    if (code && code != ERR_CANCELED)
        log_refusal(v, buf_str(&key), code, &err);
    return code ? err_copy(e, &err) : ERR_OK;
}
