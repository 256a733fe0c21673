#include "vfs/neighbours_held.h"

#include "util/clock.h"
#include "vfs/inode.h"

#include <string.h>

static struct map_key key_of(const void *value)
{
    const struct held_file *f = value;
    return (struct map_key){&f->inode, sizeof(f->inode)};
}

enum err_code held_init(struct held *h, struct err *e)
{
    TAILQ_INIT(&h->oldest_first);
    h->by_inode = map_new(key_of);
    return h->by_inode ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

void held_release(struct held *h)
{
    map_free(h->by_inode);
}

static void file_free(struct held_file *f)
{
    content_unref(f->content);
    free(f->key);
    free(f->etag);
    free(f);
}

struct content *held_add_locked(struct vfs *v, struct held *h, struct inode *i, uint64_t bytes, uint64_t stream)
{
    lock_assert_held(&v->tree);
    struct held_file *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    struct store_version version;
    inode_version_locked(i, &version);
    *f = (struct held_file){.inode = i, .bytes = bytes, .stream = stream, .at_ms = clock_mono_ms()};
    f->key = inode_key_dup_locked(i);
    f->etag = strdup(version.etag);
    f->content = f->key && f->etag ? content_new(v->contents, f->key, &version, NULL) : NULL;
    if (!f->content || map_put(h->by_inode, f, NULL)) {
        file_free(f);
        return NULL;
    }
    content_set_reader(f->content, i->ino);
    inode_ref_locked(i);
    TAILQ_INSERT_TAIL(&h->oldest_first, f, link);
    h->bytes += bytes;
    return f->content;
}

struct held_file *held_get_locked(const struct held *h, const struct inode *i)
{
    return map_get(h->by_inode, &i, sizeof(i));
}

bool held_fits_locked(const struct held_file *f, const struct inode *i)
{
    return i->etag && strcmp(i->etag, f->etag) == 0 && i->size == content_size(f->content) && inode_key_is_locked(i, f->key);
}

static void keep_attributes_locked(const struct held_file *f, struct inode *i)
{
    if (i->meta || !held_fits_locked(f, i))
        return;
    CLEANUP(store_meta_unref) struct store_meta *meta = content_meta(f->content);
    if (meta)
        inode_set_meta_locked(i, meta);
}

void held_drop_locked(struct vfs *v, struct held *h, struct held_file *f, struct content **taken)
{
    lock_assert_held(&v->tree);
    struct inode *i = f->inode;
    map_remove(h->by_inode, &i, sizeof(i));
    TAILQ_REMOVE(&h->oldest_first, f, link);
    h->bytes -= f->bytes;
    keep_attributes_locked(f, i);
    if (taken)
        *taken = TAKE(f->content);
    file_free(f);
    inode_unref_locked(v, i);
}
