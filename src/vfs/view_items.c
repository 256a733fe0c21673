#include "vfs/view_items.h"

#include "util/cleanup.h"
#include "util/secret.h"
#include "vfs/found.h"
#include "vfs/inode.h"
#include "vfs/resolve.h"

#include <string.h>

#define STALE_MAX 10 /* names asked for one by one: more of them cost less by a listing */
#define ITEMS_MAX 200000 /* more parameters than an account and region can have */

/* Where an item's bytes come from. */
struct view_source {
    char *key;  /* in the store */
    size_t skip; /* of it belongs to the directory */
    struct content *content; /* NULL: to be asked for */
    struct store_meta *meta;
    struct store_version version;
    char *bytes; /* secret memory */
    bool sealed; /* the store asks for it when the view is opened */
};

void view_items_release(struct view_items *x)
{
    for (size_t k = 0; k < x->n; k++) {
        free(x->sources[k].key);
        if (x->sources[k].content)
            content_unref(x->sources[k].content);
        store_meta_unref(x->sources[k].meta);
        secret_free(x->sources[k].bytes);
    }
    free(x->sources);
    free(x->items);
    *x = (struct view_items){.v = x->v};
}

static bool grow(struct view_items *x)
{
    if (x->n < x->cap)
        return true;
    size_t cap = x->cap ? 2 * x->cap : 64;
    struct view_source *sources = realloc(x->sources, cap * sizeof(*sources));
    if (!sources)
        return false;
    x->sources = sources;
    x->cap = cap;
    return true;
}

static void mix(struct view_items *x, const char *s)
{
    /* The sum of what the pieces are: their order in a map is none. */
    x->state += inode_number(s, strlen(s));
}

/* What others have not got yet is no part of it; of what is being changed, the version that they have. */
static bool is_item(const struct inode *i)
{
    return i->kind == INODE_FILE && i->etag && !(i->flags & (INODE_VIRTUAL | INODE_NEW | INODE_LOCAL));
}

static enum err_code take_file_locked(struct view_items *x, const struct inode *i, size_t skip, struct err *e)
{
    if (x->n >= ITEMS_MAX)
        return err_set(e, ERR_TOO_BIG, "more than %d files, a view has at most so many", ITEMS_MAX);
    if (!grow(x))
        return err_set(e, ERR_NOMEM, "out of memory for a view");
    struct view_source *s = &x->sources[x->n];
    *s = (struct view_source){.key = inode_key_dup_locked(i), .skip = skip};
    if (!s->key)
        return err_set(e, ERR_NOMEM, "out of memory for a view");
    x->n++;
    inode_version_locked(i, &s->version);
    s->meta = store_meta_ref(i->meta);
    /* What was written here is known to be there, its bytes as the store shows them are not. */
    bool held = i->content && !(i->flags & INODE_STALE);
    s->sealed = !held && (i->flags & INODE_SEALED);
    if (held) {
        s->content = content_ref(i->content);
        s->version.size = content_size(i->content);
    }
    x->bytes += s->version.size;
    BUF(identity, KEY_BUF_MAX);
    /* A file that is open is not sealed meanwhile, and no other one for that. */
    buf_addf(&identity, "%s %s %d", s->key, i->etag, held || s->sealed);
    mix(x, buf_str(&identity));
    return ERR_OK;
}

/* Depth is bounded by a key's length. */
static enum err_code take_dir_locked(struct view_items *x, const struct inode *dir, size_t skip, bool top, struct err *e)
{
    size_t cursor = 0;
    enum err_code code = ERR_OK;
    for (const struct inode *i; !code && (i = map_next(dir->dir->children, &cursor));) {
        if (i->kind != INODE_DIR) {
            /* The object beside the directory is the parent's. */
            if (is_item(i) && !(top && (i->flags & INODE_SELF)))
                code = take_file_locked(x, i, skip, e);
            continue;
        }
        if (i->flags & INODE_VIRTUAL)
            continue;
        if (x->tree) {
            code = take_dir_locked(x, i, skip, false, e);
            continue;
        }
        const struct inode *self = inode_child_locked(i, SELF_NAME);
        if (self && is_item(self))
            code = take_file_locked(x, self, skip, e);
    }
    return code;
}

enum err_code view_items_take_locked(struct view_items *x, struct err *e)
{
    lock_assert_held(&x->v->tree);
    BUF(key, KEY_BUF_MAX);
    inode_key_locked(x->dir, &key);
    mix(x, "");
    enum err_code code = take_dir_locked(x, x->dir, key.len, true, e);
    if (!code && x->bytes > x->v->caps->view_max)
        return err_set(e, ERR_TOO_BIG, "values of %llu bytes in %zu files, a view takes at most %llu",
                       (unsigned long long)x->bytes, x->n, (unsigned long long)x->v->caps->view_max);
    return code;
}

/* ---- Up to date */

struct stale {
    struct inode *inodes[STALE_MAX]; /* counted */
    size_t n;
    bool list; /* too many, or a directory of which not all names are known */
};

/* What was written here has no bytes as the store shows them. Depth is bounded by a key's length. */
static void find_stale_locked(struct vfs *v, struct inode *dir, bool tree, struct stale *out)
{
    size_t cursor = 0;
    for (struct inode *i; (i = map_next(dir->dir->children, &cursor));) {
        if (i->kind == INODE_DIR && !(i->flags & INODE_VIRTUAL)) {
            out->list |= !i->dir->listed && !(i->flags & INODE_LOCAL);
            struct inode *self = tree ? NULL : inode_child_locked(i, SELF_NAME);
            if (tree)
                find_stale_locked(v, i, true, out);
            if (!self)
                continue;
            i = self;
        }
        /* What is sealed has no bytes until it is read. */
        bool at_hand = i->content || (i->flags & INODE_SEALED);
        if (!is_item(i) || inode_unsent(i) || (at_hand && !(i->flags & INODE_STALE)))
            continue;
        i->flags |= INODE_STALE;
        if (out->n < STALE_MAX)
            out->inodes[out->n++] = inode_ref_locked(i);
        else
            out->list = true;
    }
}

static enum err_code ask_again(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    struct inode *dir = i->flags & INODE_LINKED ? inode_ref_locked(i->parent) : NULL;
    CLEANUP(free) char *name = dir ? strdup(i->name) : NULL;
    lock_drop(&v->tree);
    if (!dir)
        return ERR_OK;
    struct inode *now = NULL;
    enum err_code code = name ? resolve(v, dir, name, c, &now, e) : err_set(e, ERR_NOMEM, "out of memory");
    inode_unref(v, now);
    inode_unref(v, dir);
    return code;
}

enum err_code view_items_refresh(struct vfs *v, struct inode *dir, bool tree, const struct vfs_caller *c, struct err *e)
{
    struct stale stale = {0};
    enum err_code code = list_dir(v, dir, c, e);
    if (code)
        return code;
    lock_take(&v->tree);
    find_stale_locked(v, dir, tree, &stale);
    if (stale.list)
        dir->dir->listed = false;
    lock_drop(&v->tree);
    if (stale.list)
        code = list_dir(v, dir, c, e);
    for (size_t k = 0; k < stale.n; k++) {
        if (!code && !stale.list)
            code = ask_again(v, stale.inodes[k], c, e);
        inode_unref(v, stale.inodes[k]);
    }
    return code;
}

/* ---- Bytes */

/* ERR_NOT_FOUND: it is gone. */
static enum err_code ask(struct vfs *v, struct view_source *s, const struct vfs_caller *c, struct err *e)
{
    struct store_call call = call_of(c);
    call.unseal = true;
    CLEANUP_RELEASE(store_object_release) struct store_object now = {0};
    enum err_code code = store_stat(v->store, s->key, &call, &now, e);
    if (code)
        return code;
    if (!now.content)
        return err_set(e, ERR_PROTO, "%s has no content", s->key);
    s->version = now.version;
    store_meta_unref(s->meta);
    s->meta = TAKE(now.meta);
    s->bytes = TAKE(now.content);
    return ERR_OK;
}

static enum err_code read_one(struct vfs *v, struct view_source *s, const struct vfs_caller *c, struct err *e)
{
    if (!s->content)
        return ask(v, s, c, e);
    s->bytes = secret_alloc(s->version.size + 1);
    if (!s->bytes)
        return err_set(e, ERR_NOMEM, "no memory that can be locked for a view");
    if (s->version.size == 0)
        return ERR_OK;
    return content_read_wait(s->content, 0, s->bytes, (size_t)s->version.size, true, c ? c->cancel : NULL, e);
}

enum err_code view_items_read(struct vfs *v, struct view_items *x, const struct vfs_caller *c, struct err *e)
{
    x->items = calloc(x->n + 1, sizeof(*x->items));
    if (!x->items)
        return err_set(e, ERR_NOMEM, "out of memory for a view");
    size_t kept = 0;
    for (size_t k = 0; k < x->n; k++) {
        struct view_source *s = &x->sources[k];
        struct err why = ERR_INIT;
        enum err_code code = s->sealed ? ERR_OK : read_one(v, s, c, &why);
        if (code && code != ERR_NOT_FOUND)
            return err_copy(e, &why);
        if (code)
            continue;
        x->items[kept++] = (struct store_view_item){.key = s->key + s->skip, .version = s->version, .meta = s->meta,
                                                    .content = s->bytes};
    }
    x->n_items = kept;
    return ERR_OK;
}
