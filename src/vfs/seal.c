#include "vfs/seal.h"

#include "store/meta.h"
#include "vfs/content.h"
#include "vfs/inode.h"

#include <string.h>

static bool wanted_locked(const struct inode *i)
{
    return (i->flags & INODE_SEALED) && !i->content && !(i->active && i->active->stage);
}

/* The bytes of the version that the inode stands for. */
static enum err_code take_locked(struct vfs *v, struct inode *i, const char *key, struct store_object *o, struct err *e)
{
    if (!wanted_locked(i))
        return ERR_OK;
    if (o->sealed || !i->etag || strcmp(i->etag, o->version.etag) != 0) {
        i->flags |= INODE_STALE;
        return err_set(e, ERR_CONFLICT, "\"%s\" has another version now", key);
    }
    struct content *content = content_new(v->contents, key, &o->version, e);
    enum err_code code = content ? content_fill(content, o->content, o->version.size, true, e) : ERR_NOMEM;
    if (code) {
        content_unref(content);
        return code;
    }
    i->content = content;
    i->size = o->version.size;
    return ERR_OK;
}

enum err_code seal_break(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    bool wanted = wanted_locked(i);
    CLEANUP(free) char *key = wanted ? inode_key_dup_locked(i) : NULL;
    lock_drop(&v->tree);
    if (!wanted)
        return ERR_OK;
    if (c && c->nowait)
        return ERR_AGAIN;
    if (!key)
        return err_set(e, ERR_NOMEM, "out of memory");
    struct store_call call = {.cancel = c ? c->cancel : NULL, .urgent = true, .unseal = true};
    CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
    enum err_code code = store_stat(v->store, key, &call, &o, e);
    if (code == ERR_NOT_FOUND) { /* the name will be looked for again */
        LOCK_SCOPE(&v->tree);
        i->flags |= INODE_STALE;
        return err_set(e, ERR_CONFLICT, "\"%s\" is gone", key);
    }
    LOCK_SCOPE(&v->tree);
    return code ? code : take_locked(v, i, key, &o, e);
}

void seal_again_locked(struct inode *i)
{
    if (!(i->flags & INODE_SEALED))
        return;
    if (i->content)
        content_unref(i->content);
    i->content = NULL;
    i->size = 0;
}
