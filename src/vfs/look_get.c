/* A small file's attributes, asked for together with its bytes: who looks it up will most often read it. */
#include "store/fetch.h"
#include "store/meta.h"
#include "util/clock.h"
#include "vfs/beside.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/neighbours.h"
#include "vfs/neighbours_order.h"

#include <string.h>

struct bytes {
    char *buf;
    size_t size, got;
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
    struct store_get g = {.key = key, .etag = version.etag, .length = version.size, .whole = true, .call = call_of(c),
                          .data = on_data, .arg = &b};
    struct store_object object = {0};
    uint64_t start = clock_mono_ms();
    bool whole = store_fetch(v->store, &g, &object, NULL) == ERR_OK && b.got == b.size, told = whole && object.meta;
    if (whole)
        beside_give(v->beside, key, &version, buf);
    lock_take(&v->tree);
    if (told)
        told = look_take_locked(v, i, seq, start, &object) == ERR_OK;
    if (whole)
        neighbours_keep_locked(v, i, key, version.etag, buf);
    lock_drop(&v->tree);
    store_object_release(&object);
    return told;
}
