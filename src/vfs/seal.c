#include "vfs/seal.h"

#include "store/meta.h"
#include "vfs/content.h"
#include "vfs/inode.h"
#include "vfs/view.h"

#include <stdio.h>
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
    if (i->flags & INODE_VIEW) /* the store gives renderings no ETag */
        snprintf(o->version.etag, sizeof(o->version.etag), "%s", i->etag ? i->etag : "");
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

static enum err_code ask(struct vfs *v, const char *key, const struct vfs_caller *c, struct store_object *out, struct err *e)
{
    struct store_call call = call_of(c);
    call.unseal = true;
    return store_stat(v->store, key, &call, out, e);
}

enum err_code seal_break(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    bool wanted = wanted_locked(i), is_view = i->flags & INODE_VIEW;
    CLEANUP(free) char *key = wanted ? inode_key_dup_locked(i) : NULL;
    lock_drop(&v->tree);
    if (!wanted)
        return ERR_OK;
    if (c && c->nowait)
        return ERR_AGAIN;
    if (!key)
        return err_set(e, ERR_NOMEM, "out of memory");
    CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
    enum err_code code = is_view ? view_unseal(v, i, c, &o, e) : ask(v, key, c, &o, e);
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
