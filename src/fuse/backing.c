#include "fuse/backing.h"

#include "fuse/inside.h"
#include "fuse/machine.h"
#include "fuse/passthrough.h"
#include "util/log.h"
#include "util/map.h"

#include <errno.h>
#include <string.h>

struct backed {
    uint64_t id; /* the vfs's */
    int32_t kernel_id;
    unsigned opens;
};

static struct map_key key_of(const void *value)
{
    const struct backed *b = value;
    return (struct map_key){&b->id, sizeof(b->id)};
}

enum err_code backings_init(struct backings *b, struct err *e)
{
    lock_init(&b->lock, "backings", LOCK_FUSE_BACKING);
    b->by_id = map_new(key_of);
    return b->by_id ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for a mount");
}

void backings_release(struct backings *b)
{
    size_t cursor = 0;

    for (struct backed *one; b->by_id && (one = map_next(b->by_id, &cursor));)
        free(map_remove(b->by_id, &one->id, sizeof(one->id)));
    map_free(b->by_id);
    lock_release(&b->lock);
}

void backings_ask(struct session *s, struct fuse_conn_info *conn)
{
    struct err e = ERR_INIT;

    if (!s->config.passthrough)
        return;
    enum err_code code = machine_grants_passthrough(&e);
    if (code == ERR_OK && !passthrough_ask(&s->wire, conn))
        code = err_set(&e, ERR_UNSUPPORTED, "the kernel is built without it (CONFIG_FUSE_PASSTHROUGH)");
    if (code == ERR_OK)
        atomic_store(&s->backings.on, true);
    else
        LOG_INFO("fuse", "no passthrough, cached files are copied to their readers: %s", e.msg);
}

/* What will be the same for every file of this mount ends it; no memory or no descriptors left does not. */
static void refused(struct session *s, int why)
{
    bool for_good = why != ENOMEM && why != EMFILE && why != ENFILE;

    if (for_good && atomic_exchange(&s->backings.on, false))
        LOG_WARN("fuse", "no passthrough from now on, cached files are copied to their readers: %s%s", strerror(why),
                 why == EPERM  ? " (the kernel grants it to root of the machine only)"
                 : why == ELOOP ? " (the cache lies on a stacked file system, such as a container's overlay)"
                                : "");
}

static struct backed *begin(struct session *s, const struct vfs_backing *from)
{
    struct backed *b = malloc(sizeof(*b));
    int32_t id = b ? passthrough_open(s->se, from->fd) : -ENOMEM;

    if (id > 0) {
        *b = (struct backed){.id = from->id, .kernel_id = id};
        if (map_put(s->backings.by_id, b, NULL) == ERR_OK)
            return b;
        passthrough_close(s->se, id);
        id = -ENOMEM;
    }
    free(b);
    refused(s, -id);
    return NULL;
}

int32_t backing_take(struct session *s, struct vfs_handle *h)
{
    struct vfs_backing from;

    if (!vfs_backing(s->vfs, h, &from))
        return 0;
    LOCK_SCOPE(&s->backings.lock);
    if (!vfs_backing(s->vfs, h, &from)) /* refused meanwhile, to another handle */
        return 0;
    struct backed *b = map_get(s->backings.by_id, &from.id, sizeof(from.id));
    if (!b && !(b = begin(s, &from))) {
        vfs_backing_refused(s->vfs, h);
        return 0;
    }
    b->opens++;
    atomic_fetch_add(&s->backings.opens, 1);
    return b->kernel_id;
}

void backing_drop(struct session *s, struct vfs_handle *h)
{
    struct vfs_backing from;

    if (!vfs_backing(s->vfs, h, &from))
        return;
    LOCK_SCOPE(&s->backings.lock);
    struct backed *b = map_get(s->backings.by_id, &from.id, sizeof(from.id));
    if (!b || --b->opens > 0)
        return;
    passthrough_close(s->se, b->kernel_id);
    free(map_remove(s->backings.by_id, &from.id, sizeof(from.id)));
}
