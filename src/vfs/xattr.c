/*
 * Extended attributes: the store's properties under its prefix (not listed), and plain user.* attributes that are kept with the
 * object (listed).
 */
#include "util/str.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/send.h"
#include "vfs/view.h"

#include <string.h>
#include <sys/xattr.h>

#define SYMLINK_TARGET "symlink-target"
#define SYMLINK_MAX 4095

static enum err_code take(struct vfs *v, uint64_t ino, struct inode **out, struct err *e)
{
    LOCK_SCOPE(&v->tree);
    enum err_code code = inode_find_locked(v, ino, out, e);
    if (!code)
        inode_ref_locked(*out);
    return code;
}

/* What the name is below the store's prefix; NULL for a plain attribute. */
static const char *property_of(const struct vfs *v, const char *name)
{
    const char *prefix = v->caps->xattr_prefix;
    return prefix && str_starts(name, prefix) ? name + strlen(prefix) : NULL;
}

/* Not in the store, which takes no empty objects: its properties are those that its first put is to have. */
static bool is_prepared_locked(const struct vfs *v, const struct inode *i)
{
    return vfs_has(v, STORE_EMPTY_REFUSED) && (i->flags & INODE_NEW) && i->kind == INODE_FILE;
}

static enum err_code property_get(struct vfs *v, struct inode *i, const char *property, const struct vfs_caller *c,
                                  struct buf *out, struct err *e)
{
    if (c->nowait)
        return ERR_AGAIN;
    enum err_code code = look_always(v, i, c, e);
    if (code)
        return code;
    struct store_object object = {0};
    lock_take(&v->tree);
    bool prepared = is_prepared_locked(v, i);
    bool none = !prepared && ((!i->etag && !is_container_locked(v, i)) || (i->flags & INODE_LOCAL));
    CLEANUP(free) char *key = inode_key_dup_locked(i);
    inode_version_locked(i, &object.version);
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_ref(i->meta);
    /* After a change that the store was told of: where a version has it, there is another version now. */
    bool changed = !prepared && !meta && (i->flags & INODE_STALE) && vfs_has(v, STORE_LIST_CONTENT);
    lock_drop(&v->tree);
    if (none)
        return err_set(e, ERR_NO_ATTR, "not in the store");
    if (!key)
        return err_set(e, ERR_NOMEM, "out of memory");
    object.meta = meta;
    struct store_call call = call_of(c);
    return store_property_get(v->store, key, changed ? NULL : &object, property, &call, out, e);
}

static enum err_code plain_get(struct vfs *v, struct inode *i, const char *name, const struct vfs_caller *c,
                               struct buf *out, struct err *e)
{
    if (!vfs_has(v, STORE_POSIX))
        return err_set(e, ERR_UNSUPPORTED, "this store keeps no attributes of its own");
    enum err_code code = look_shown(v, i, c, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    size_t len;
    const char *value = store_meta_xattr(i->meta, name, &len);
    if (!value)
        return err_set(e, ERR_NO_ATTR, "no attribute %s", name);
    buf_add(out, value, len);
    return buf_check(out, "attribute", e);
}

enum err_code vfs_getxattr(struct vfs *v, uint64_t ino, const char *name, const struct vfs_caller *c, struct buf *out,
                           struct err *e)
{
    if (!str_starts(name, "user."))
        return err_set(e, ERR_UNSUPPORTED, "only user attributes are kept");
    struct inode *i;
    enum err_code code = take(v, ino, &i, e);
    if (code)
        return code;
    const char *property = property_of(v, name);
    code = property ? property_get(v, i, property, c, out, e) : plain_get(v, i, name, c, out, e);
    inode_unref(v, i);
    return code;
}

enum err_code vfs_listxattr(struct vfs *v, uint64_t ino, const struct vfs_caller *c, struct buf *out, struct err *e)
{
    /* Only what is known: programs list the attributes of every file they copy, and a request for each would be what makes other
     * tools slow. Where attributes are likely (a POSIX directory) they are known since the lookup. */
    LOCK_SCOPE(&v->tree);
    struct inode *i;
    enum err_code code = inode_find_locked(v, ino, &i, e);
    if (code)
        return code;
    for (size_t k = 0; i->meta && k < i->meta->n_xattrs; k++)
        buf_add(out, i->meta->xattrs[k].name, strlen(i->meta->xattrs[k].name) + 1);
    return buf_check(out, "attributes", e);
}

/* New metadata become the inode's and go to the store: at once, unless a put is due anyway. */
static enum err_code store_changed(struct vfs *v, struct inode *i, struct store_meta *meta, const struct vfs_caller *c,
                                   struct err *e)
{
    lock_take(&v->tree);
    CLEANUP(free) char *key = inode_key_dup_locked(i);
    lock_drop(&v->tree);
    enum err_code code = key ? store_check_meta(v->store, key, meta, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (code)
        return code;
    lock_take(&v->tree);
    inode_set_meta_locked(i, meta);
    bool wait = false;
    if (!(i->flags & INODE_LOCAL) && !(code = inode_activate_locked(v, i, e))) {
        i->active->attr_gen++;
        inode_changed_locked(v, i);
        send_dirty_locked(v, i);
        wait = i->active->writers == 0;
    }
    lock_drop(&v->tree);
    return code || !wait ? code : send_wait(v, i, true, c, e);
}

static enum err_code plain_set(struct vfs *v, struct inode *i, const char *name, const void *value, size_t size, int flags,
                               const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    bool keeps = vfs_has(v, STORE_POSIX) && !is_container_locked(v, i);
    lock_drop(&v->tree);
    if (!keeps)
        return err_set(e, ERR_UNSUPPORTED, "no attributes are kept of this");
    enum err_code code = look_always(v, i, c, e);
    if (code)
        return code;
    lock_take(&v->tree);
    bool there = store_meta_xattr(i->meta, name, NULL) != NULL;
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_copy(i->meta);
    lock_drop(&v->tree);
    if ((flags & XATTR_CREATE) && there)
        return err_set(e, ERR_EXISTS, "attribute %s exists", name);
    if (((flags & XATTR_REPLACE) || !value) && !there)
        return err_set(e, ERR_NO_ATTR, "no attribute %s", name);
    code = meta ? store_meta_set_xattr(meta, name, value, size, e) : err_set(e, ERR_NOMEM, "out of memory");
    return code ? code : store_changed(v, i, meta, c, e);
}

static enum err_code property_prepare(struct vfs *v, struct inode *i, const char *property, const void *value, size_t size,
                                      struct err *e)
{
    lock_take(&v->tree);
    CLEANUP(free) char *key = inode_key_dup_locked(i);
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_ref(i->meta);
    lock_drop(&v->tree);
    CLEANUP(store_meta_unref) struct store_meta *changed = NULL;
    enum err_code code = key ? store_property_prepare(v->store, key, meta, property, value, size, &changed, e)
                             : err_set(e, ERR_NOMEM, "out of memory");
    LOCK_SCOPE(&v->tree);
    if (!code)
        inode_set_meta_locked(i, changed);
    return code;
}

/* What was emptied and not yet filled again, or only by a write that was refused, is never sent to a store without empty objects: a
 * property is then of what is there. */
static bool waits_for_content(struct vfs *v, const struct inode *i)
{
    LOCK_SCOPE(&v->tree);
    return !vfs_has(v, STORE_EMPTY_REFUSED) || !i->active || !active_dirty(i->active) || i->size > 0;
}

static enum err_code property_set(struct vfs *v, struct inode *i, const char *property, const void *value, size_t size,
                                  const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    bool prepare = is_prepared_locked(v, i);
    lock_drop(&v->tree);
    if (prepare)
        return property_prepare(v, i, property, value, size, e);
    enum err_code code = look_always(v, i, c, e);
    if (!code && waits_for_content(v, i))
        code = send_wait(v, i, true, c, e);
    if (code)
        return code;
    lock_take(&v->tree);
    CLEANUP(free) char *key = inode_key_dup_locked(i);
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_ref(i->meta);
    lock_drop(&v->tree);
    CLEANUP(store_meta_unref) struct store_meta *changed = NULL;
    struct store_call call = call_of(c);
    code = key ? store_property_set(v->store, key, meta, property, value, size, &call, &changed, e)
               : err_set(e, ERR_NOMEM, "out of memory");
    if (!code && changed)
        return store_changed(v, i, changed, c, e);
    LOCK_SCOPE(&v->tree);
    if (!code) {
        i->flags |= INODE_STALE;
        inode_set_meta_locked(i, NULL);
        view_outdate_locked(v, i);
    }
    return code;
}

static enum err_code change(struct vfs *v, uint64_t ino, const char *name, const void *value, size_t size, int flags,
                            const struct vfs_caller *c, struct err *e)
{
    if (v->cfg.read_only || vfs_has(v, STORE_READ_ONLY))
        return err_set(e, ERR_READ_ONLY, "mounted read-only");
    if (!str_starts(name, "user."))
        return err_set(e, ERR_UNSUPPORTED, "only user attributes are kept");
    if (c->nowait)
        return ERR_AGAIN;
    struct inode *i;
    enum err_code code = take(v, ino, &i, e);
    if (code)
        return code;
    const char *property = property_of(v, name);
    code = property ? property_set(v, i, property, value, size, c, e) : plain_set(v, i, name, value, size, flags, c, e);
    inode_unref(v, i);
    return code;
}

enum err_code vfs_setxattr(struct vfs *v, uint64_t ino, const char *name, const void *value, size_t size, int flags,
                           const struct vfs_caller *c, struct err *e)
{
    return change(v, ino, name, value ? value : "", size, flags, c, e);
}

enum err_code vfs_removexattr(struct vfs *v, uint64_t ino, const char *name, const struct vfs_caller *c, struct err *e)
{
    return change(v, ino, name, NULL, 0, 0, c, e);
}

/* ---- Symbolic links: the target is the object's body, or (geesefs) a piece of metadata */

static enum err_code read_target(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct buf *out, struct err *e)
{
    char target[SYMLINK_MAX + 1];
    lock_take(&v->tree);
    struct store_version version;
    inode_version_locked(i, &version);
    CLEANUP(free) char *key = inode_key_dup_locked(i);
    enum err_code code = ERR_OK;
    if (version.size > SYMLINK_MAX || version.size == 0)
        code = err_set(e, ERR_IO, "a symbolic link with a target of %llu bytes", (unsigned long long)version.size);
    else if (!i->content && !(i->content = key ? content_new(v->contents, key, &version, e) : NULL))
        code = ERR_NOMEM;
    CLEANUP(content_unref) struct content *content = code ? NULL : content_ref(i->content);
    lock_drop(&v->tree);
    if (!code)
        code = content_read_wait(content, 0, target, (size_t)version.size, true, c->cancel, e);
    if (code)
        return code;
    size_t len = (size_t)version.size; /* s3fs reads it without white space around */
    buf_add(out, target, len);
    return buf_check(out, "target", e);
}

enum err_code vfs_readlink(struct vfs *v, uint64_t ino, const struct vfs_caller *c, struct buf *out, struct err *e)
{
    struct inode *i;
    enum err_code code = take(v, ino, &i, e);
    if (code)
        return code;
    lock_take(&v->tree);
    size_t len = 0;
    const char *stored = store_meta_prop(i->meta, SYMLINK_TARGET, &len);
    bool is_link = i->kind == INODE_SYMLINK;
    if (stored)
        buf_add(out, stored, len);
    lock_drop(&v->tree);
    if (!is_link)
        code = err_set(e, ERR_INVAL, "not a symbolic link");
    else if (!stored)
        code = c->nowait ? ERR_AGAIN : read_target(v, i, c, out, e);
    inode_unref(v, i);
    return code;
}
