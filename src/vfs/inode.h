/* Inodes: their life, names, keys and versions, and how fresh they are. Private to src/vfs. */
#ifndef VFS_INODE_H
#define VFS_INODE_H

#include "vfs/tree.h"

/* One reference, not linked. NULL without memory. */
struct inode *inode_new_locked(struct vfs *v, struct inode *parent, const char *name, const char *component,
                               enum inode_kind kind);
struct inode *inode_ref_locked(struct inode *i);
void inode_unref_locked(struct vfs *v, struct inode *i);
void inode_unref(struct vfs *v, struct inode *i);

/* By nodeid; borrowed. ERR_CONFLICT when there is none. */
enum err_code inode_find_locked(struct vfs *v, uint64_t ino, struct inode **out, struct err *e) MUST_CHECK;
enum err_code inode_find_dir_locked(struct vfs *v, uint64_t ino, struct inode **out, struct err *e) MUST_CHECK;

/* Gives it to the kernel: one more lookup, a nodeid. */
enum err_code inode_give_locked(struct vfs *v, struct inode *i, struct err *e) MUST_CHECK;

/* Takes back `count` of its lookups: what vfs_forget() does. */
void inode_forget_locked(struct vfs *v, uint64_t ino, uint64_t count);

/* Puts it into its parent's map, in place of what is there. ERR_NOT_FOUND: the directory itself was removed. */
enum err_code inode_link_locked(struct vfs *v, struct inode *i, struct err *e) MUST_CHECK;
/* Takes it out of its parent's map (and drops that reference): the kernel asked for what makes it go. */
void inode_detach_locked(struct vfs *v, struct inode *i);
void inode_detach_children_locked(struct vfs *v, struct inode *dir);
/* The same where others made it go: the kernel is told. */
void inode_expel_locked(struct vfs *v, struct inode *i);
/* The inode of a name, made now where the name is only a record of the directory's listing (listed.h); borrowed. NULL: none, or
 * no memory for it (then listed_has_locked() tells). */
struct inode *inode_child_locked(const struct inode *dir, const char *name);

/* Appends the key: "a/b" or "a/b/" for a directory, "" for the root. */
void inode_key_locked(const struct inode *i, struct buf *out);
/* False when it was moved since its key was taken. */
bool inode_key_is_locked(const struct inode *i, const char *key);
/* The path as a user sees it, below the mount. */
void inode_path_locked(const struct inode *i, struct buf *out);
/* A copy of the key; NULL without memory. */
char *inode_key_dup_locked(const struct inode *i);

/* Sets version and, if not NULL, metadata (takes a reference); forgets content of another version. */
enum err_code inode_set_version_locked(struct vfs *v, struct inode *i, const struct store_version *version,
                                       struct store_meta *meta, struct err *e) MUST_CHECK;
void inode_version_locked(const struct inode *i, struct store_version *out);
void inode_set_meta_locked(struct inode *i, struct store_meta *meta);
/* The version has other bytes than the one that its metadata were told of (store/meta.h). */
void inode_drop_sums_locked(struct inode *i);

/* Makes sure `active` is there / drops it when nothing needs it. */
enum err_code inode_activate_locked(struct vfs *v, struct inode *i, struct err *e) MUST_CHECK;
void inode_settle_locked(struct vfs *v, struct inode *i);

static inline bool active_dirty(const struct active *a)
{
    return a->gen != a->sent_gen;
}
/* What is put replaces whatever is there (W4), and needs no base. */
static inline bool active_rewrites(const struct active *a)
{
    return a->rewrite_gen > a->sent_gen;
}
/* It has a place in the store: under its name, or beside the one who took that. */
static inline bool inode_placed(const struct inode *i)
{
    return !i->parent || (i->flags & (INODE_LINKED | INODE_CONFLICT));
}
static inline bool inode_removed_locked(const struct inode *i)
{
    return i->parent && !(i->flags & INODE_LINKED);
}
static inline bool inode_unsent(const struct inode *i)
{
    return i->active && !(i->flags & INODE_LOCAL) && (active_dirty(i->active) || i->active->attr_gen != i->active->attr_sent_gen);
}

/* The nodeid-independent st_ino of what is at that key. */
uint64_t inode_number(const char *key, size_t len);
/* The same for a key in two parts: a hash of the first part, to be gone on with. */
uint64_t inode_number_begin(const char *key, size_t len);
uint64_t inode_number_end(uint64_t begun, const char *rest, size_t len);

/* ---- Freshness: R2 */

bool inode_fresh_locked(const struct vfs *v, const struct inode *i);
bool dir_fresh_locked(const struct vfs *v, const struct inode *dir);
/* What is left of the ttl for what was confirmed at checked_ms. */
uint64_t ttl_left_ms(const struct vfs *v, uint64_t checked_ms);
/* A change was made here. */
void inode_changed_locked(struct vfs *v, struct inode *i);

#endif
