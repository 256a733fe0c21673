/* A small file's attributes, asked for together with its bytes: who looks it up will most often read it. */
#include "util/clock.h"
#include "vfs/beside.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/neighbours.h"
#include "vfs/neighbours_order.h"

#include <string.h>

/* One get that is waited for. */
struct bytes {
    struct lock lock;
    struct cond ended;
    char *buf;
    size_t size, got;
    bool done;
    enum err_code code;
    struct store_object object;
};

static bool on_data(void *arg, const void *p, size_t len)
{
    struct bytes *b = arg;
    if (len > b->size - b->got)
        return false;
    memcpy(b->buf + b->got, p, len);
    b->got += len;
    return true;
}

static void on_done(void *arg, enum err_code code, const struct store_object *object, const struct err *e)
{
    struct bytes *b = arg;
    LOCK_SCOPE(&b->lock);
    b->code = code;
    if (!code && object) {
        b->object.version = object->version;
        b->object.meta = store_meta_ref(object->meta);
    }
    b->done = true;
    cond_signal(&b->ended);
}

static void get_and_wait(struct vfs *v, struct bytes *b, struct store_get *g)
{
    lock_init(&b->lock, "look at bytes", LOCK_LEAF);
    cond_init(&b->ended);
    g->data = on_data;
    g->done = on_done;
    g->arg = b;
    enum err_code refused = store_get(v->store, g, NULL);
    lock_take(&b->lock);
    while (!refused && !b->done)
        (void)cond_wait(&b->ended, &b->lock, UINT64_MAX);
    if (refused)
        b->code = refused;
    lock_drop(&b->lock);
    cond_release(&b->ended);
    lock_release(&b->lock);
}

bool look_gets_locked(const struct vfs *v, const struct inode *i)
{
    return order_takes_locked(i) && i->size <= CONTENT_BLOCK && !i->content && !i->active && !vfs_has(v, STORE_SECRET) &&
           !vfs_has(v, STORE_LIST_CONTENT) && neighbours_may_keep_locked(v, i);
}

bool look_by_get(struct vfs *v, struct inode *i, const struct vfs_caller *c)
{
    struct store_version version;
    lock_take(&v->tree);
    CLEANUP(free) char *key = look_gets_locked(v, i) ? inode_key_dup_locked(i) : NULL;
    inode_version_locked(i, &version);
    uint64_t seq = ++v->seq;
    lock_drop(&v->tree);
    if (key && beside_holds(v->beside, key, &version))
        return false;
    CLEANUP(free) char *buf = key ? malloc(version.size) : NULL;
    if (!buf)
        return false;

    struct bytes b = {.buf = buf, .size = version.size};
    struct store_get g = {.key = key, .etag = version.etag, .length = version.size, .whole = true, .call = call_of(c)};
    uint64_t start = clock_mono_ms();
    get_and_wait(v, &b, &g);
    bool told = !b.code && b.object.meta && b.got == b.size;
    if (!b.code && b.got == b.size)
        beside_give(v->beside, key, &version, buf);
    lock_take(&v->tree);
    if (told)
        told = look_take_locked(v, i, seq, start, &b.object) == ERR_OK;
    if (!b.code && b.got == b.size)
        neighbours_keep_locked(v, i, key, version.etag, buf);
    lock_drop(&v->tree);
    store_object_release(&b.object);
    return told;
}
