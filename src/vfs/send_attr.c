/* Attributes alone: a copy of the object onto itself with other metadata, or the marker of a directory. */
#include "vfs/inode.h"
#include "vfs/remember.h"
#include "vfs/send.h"
#include "vfs/unfinished.h"

#include <string.h>

static ssize_t read_nothing(void *arg, uint64_t offset, void *buf, size_t len)
{
    return 0;
}

/* Directories: the marker is put anew. */
static enum err_code put_marker(struct vfs *v, const char *key, const struct store_meta *meta, struct cancel *cancel,
                                struct store_version *out, struct err *e)
{
    if (!*key) { /* the mount's root has no object of its own */
        *out = (struct store_version){.etag = "-"};
        return ERR_OK;
    }
    struct store_body body = {.read = read_nothing};
    struct store_cond always = {.kind = STORE_ALWAYS};
    struct store_call call = {.cancel = cancel};
    return store_put(v->store, key, &body, meta, &always, &call, out, e);
}

void send_attr(struct vfs *v, struct inode *i)
{
    struct err err = ERR_INIT;
    struct store_version version;
    lock_take(&v->tree);
    struct active *a = i->active;
    /* Content that was written since the sending began is not this failure's: only what is in the store counts as tried. */
    uint64_t attr_gen = a->attr_gen, gen = a->sent_gen;
    bool gone = !(i->flags & INODE_LINKED) && i->parent, is_dir = i->kind == INODE_DIR;
    bool as_marker = is_dir && !(i->etag && i->size > 0); /* others may have put bytes into a marker */
    CLEANUP(free) char *key = inode_key_dup_locked(i);
    CLEANUP(free) char *etag = strdup(i->etag ? i->etag : "");
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_ref(i->meta);
    uint64_t size = i->size;
    CLEANUP(cancel_unref) struct cancel *cancel = cancel_ref(a->send_cancel);
    lock_drop(&v->tree);

    enum err_code code = key && etag ? ERR_OK : err_set(&err, ERR_NOMEM, "out of memory");
    if (!code && !gone)
        code = unfinished_claim_now(v, key, &err);
    if (!code && !gone && as_marker) {
        code = put_marker(v, key, meta, cancel, &version, &err);
    } else if (!code && !gone) {
        struct store_copy copy = {.from = key, .from_etag = etag, .size = size, .to = key, .meta = meta,
                                  .cond = {.kind = STORE_IF_MATCH, .etag = etag}, .uploads = &v->copy_uploads};
        struct store_call call = {.cancel = cancel};
        code = store_copy(v->store, &copy, &call, &version, &err);
    }
    LOCK_SCOPE(&v->tree);
    if (code) {
        if (code == ERR_CANCELED)
            return;
        LOG_ERROR("vfs", "attributes of \"%s\" could not be stored: %s", key ? key : "", err.msg);
        send_failed_locked(v, i, gen, attr_gen, &err);
        i->flags |= INODE_STALE;
        return;
    }
    a->attr_sent_gen = attr_gen;
    a->failure.code = ERR_OK;
    send_dirty_locked(v, i);
    if (gone)
        return;
    if (active_dirty(a)) { /* written on meanwhile: what is shown stays, but what it came from has another version now */
        version.size = i->size;
        version.mtime = i->mtime;
    }
    if (is_dir)
        i->flags &= (uint16_t)~(INODE_NO_MARKER | INODE_LOCAL);
    if (i->content && content_relocate(i->content, key, version.etag, NULL))
        i->flags |= INODE_STALE;
    if (inode_set_version_locked(v, i, &version, NULL, NULL))
        i->flags |= INODE_STALE;
    i->flags |= INODE_OUR_MTIME;
    inode_changed_locked(v, i);
    remember_made_locked(v, i, &version);
}
