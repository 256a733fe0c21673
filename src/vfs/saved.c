#include "vfs/saved.h"

#include "cache/listings.h"
#include "util/clock.h"
#include "vfs/beside.h"
#include "vfs/inode.h"
#include "vfs/listing.h"
#include "vfs/resolve.h"
#include "vfs/saved_pack.h"

#include <string.h>

#define SLICE    4096 /* names packed at a time: the tree is locked for about half a millisecond */
#define AGAIN_MS 1000 /* after what was kept was of no use */

static bool kept_locked(const struct vfs *v, const struct inode *dir)
{
    return v->beside && v->cfg.ttl_ms > 0 && !vfs_has(v, STORE_LIST_SUBTREE) && !vfs_has(v, STORE_LIST_CONTENT) &&
           !holds_containers(v, dir) && !dir->fixed && !(dir->flags & (INODE_NEW | INODE_LOCAL | INODE_VIRTUAL));
}

/* ---- Keeping */

/* What is packed, a part at a time. */
struct keeping {
    struct vfs *v;
    char *key;
    uint64_t start_ms;
    uint8_t hint;          /* dir.posix */
    struct catalog *names; /* counted; NULL: none */
    struct catalog_at at;
    bool more;             /* of `names`, from `at` on */
    struct buf out;
    struct saved_pack pack;
};

static void keeping_free_locked(struct keeping *k)
{
    catalog_unref(k->names);
    buf_release(&k->out);
    free(k->key);
    free(k);
}

static void pack_found(struct saved_pack *p, const struct found_dir *f)
{
    const struct store_object *marker = found_dir_marker(f);
    if (marker)
        saved_pack_add(p, "", 0, &marker->version);
    size_t cursor = 0;
    for (const struct found *x; (x = found_dir_next(f, &cursor));) {
        if (x->has_object)
            saved_pack_add(p, x->component, x->len, &x->object.version);
        if (x->is_dir)
            saved_pack_add(p, x->component, x->len, NULL);
    }
}

static void pack_slice_locked(struct keeping *k)
{
    char name[CHUNK_NAME_MAX + 1];
    struct store_version version;
    for (unsigned n = 0; k->more && n < SLICE && !k->out.failed; n++) {
        size_t len = chunk_name(k->at.chunk, k->at.k, name);
        bool is_dir = chunk_is_dir(k->at.chunk, k->at.k);
        if (!is_dir)
            chunk_version(k->at.chunk, k->at.k, &version);
        saved_pack_add(&k->pack, name, len, is_dir ? NULL : &version);
        k->more = catalog_next(k->names, &k->at);
    }
}

static void put(struct keeping *k)
{
    saved_pack_end(&k->pack);
    if (!k->out.failed)
        beside_listed(k->v->beside, k->key, k->start_ms, k->hint, k->out.data, k->out.len);
}

static void pack_rest(void *arg)
{
    struct keeping *k = arg;
    struct vfs *v = k->v;
    lock_take(&v->tree);
    while (k->more && !k->out.failed) {
        pack_slice_locked(k);
        lock_drop(&v->tree);
        lock_take(&v->tree);
    }
    lock_drop(&v->tree);
    put(k);
    lock_take(&v->tree);
    keeping_free_locked(k);
    v->background--;
    cond_broadcast(&v->changed);
    lock_drop(&v->tree);
}

static struct keeping *begin_locked(struct vfs *v, struct inode *dir, const struct merge *m)
{
    struct keeping *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    *k = (struct keeping){.v = v, .start_ms = m->start_ms, .hint = dir->dir->posix, .key = strdup(m->prefix)};
    buf_init(&k->out, CACHE_LISTING_MAX);
    k->pack.out = &k->out;
    struct catalog *names = m->records ? dir->dir->names : NULL;
    if (names) {
        k->names = catalog_ref(names);
        k->more = catalog_seek(names, 0, &k->at);
    }
    return k;
}

void saved_keep_locked(struct vfs *v, struct inode *dir, const struct found_dir *f, const struct merge *m)
{
    lock_assert_held(&v->tree);
    if (m->saved || !kept_locked(v, dir) || dir->dir->known_seq > m->seq)
        return;
    struct keeping *k = begin_locked(v, dir, m);
    if (!k)
        return;
    pack_found(&k->pack, f);
    if (k->names && catalog_names(k->names) > SAVED_NAMES_MAX)
        k->out.failed = true;
    pack_slice_locked(k);
    if (k->key && !k->out.failed && k->more && !v->closing && pool_submit(v->pool, pack_rest, k, NULL) == ERR_OK) {
        v->background++;
        return;
    }
    if (k->key && !k->more)
        put(k);
    keeping_free_locked(k);
}

void saved_judged_locked(struct vfs *v, struct inode *dir)
{
    lock_assert_held(&v->tree);
    CLEANUP(free) char *key = kept_locked(v, dir) && dir->dir->listed ? inode_key_dup_locked(dir) : NULL;
    if (key)
        beside_listing_hint(v->beside, key, dir->dir->listed_ms, dir->dir->posix);
}

/* ---- Taking */

/* As good as what was sampled of another directory: where one is found to carry more, it is sampled by itself. */
static void take_verdict_locked(struct dir *d, uint8_t hint)
{
    if (d->posix != POSIX_UNKNOWN || (hint != POSIX_YES && hint != POSIX_NO))
        return;
    d->posix = (enum posix_state)hint;
    d->posix_shared = hint == POSIX_NO;
}

/* True: the caller takes it, alone. */
static bool begin_take_locked(struct vfs *v, struct inode *dir, const struct vfs_caller *c)
{
    struct dir *d = dir->dir;
    uint64_t now = clock_mono_ms();
    while (d->taking)
        if (wait_changed_locked(v, c, NULL))
            return false;
    bool due = !d->saved_tried_ms || now - d->saved_tried_ms >= AGAIN_MS;
    if (!due || d->listing || !kept_locked(v, dir) || dir_fresh_locked(v, dir) || inode_removed_locked(dir))
        return false;
    d->saved_tried_ms = now;
    d->taking = d->listing = d->listing_small = true;
    return true;
}

static enum err_code take(struct vfs *v, struct inode *dir, const char *key, uint64_t seq)
{
    size_t len;
    uint64_t taken_ms;
    uint8_t hint;
    struct err err = ERR_INIT;
    struct store_page page = {0};
    CLEANUP(free) void *p = beside_listing(v->beside, key, v->cfg.ttl_ms, &taken_ms, &hint, &len);
    if (!p)
        return ERR_NOT_FOUND;
    enum err_code code = saved_unpack(p, len, key, &page, &err);
    if (code == ERR_PROTO || code == ERR_UNSUPPORTED)
        beside_listing_bad(v->beside, key, err.msg);
    if (code)
        return code;
    bool large = page.n > 1000;
    code = listing_saved(v, dir, key, &page, &(struct found_stamp){seq, taken_ms}, &err);
    store_page_release(&page);
    LOCK_SCOPE(&v->tree);
    if (!code && large)
        dir->dir->extent = DIR_LARGE;
    if (!code)
        take_verdict_locked(dir->dir, hint);
    dir->dir->sample_due |= !code;
    return code;
}

bool saved_take(struct vfs *v, struct inode *dir, const struct vfs_caller *c)
{
    BUF(key, KEY_BUF_MAX);
    lock_take(&v->tree);
    bool ours = begin_take_locked(v, dir, c);
    bool fresh = !ours && dir_fresh_locked(v, dir);
    uint64_t seq = ours ? ++v->seq : 0;
    inode_key_locked(dir, &key);
    lock_drop(&v->tree);
    if (!ours)
        return fresh;
    if (!key.failed)
        (void)!take(v, dir, buf_str(&key), seq);
    LOCK_SCOPE(&v->tree);
    dir->dir->taking = dir->dir->listing = dir->dir->listing_small = false;
    cond_broadcast(&v->changed);
    return dir_fresh_locked(v, dir);
}
