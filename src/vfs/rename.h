/* Renames: of files within the store, from and to names that stay local, of directories. Private to src/vfs. */
#ifndef VFS_RENAME_H
#define VFS_RENAME_H

#include "journal/renames.h"
#include "vfs/tree.h"

struct unfinished;

struct rename {
    struct inode *from, *to_dir, *target; /* counted by the caller; target NULL: the new name is free */
    struct inode *from_dir;
    const char *name;       /* the new one */
    char *from_key, *to_key;
    char component[1024];   /* of the new key */
    char to_marker[STORE_ETAG_SIZE]; /* of the empty directory that is replaced; "": it has no marker */
    struct rename_note *note; /* the record of what is done; NULL: none */
    struct unfinished *left;  /* with it: what it takes to leave it */
    bool removed_any;       /* something of the old names was removed */
    bool from_stays;        /* others changed what was copied before it was deleted: theirs stands under the old name */
};
enum err_code rename_dir(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e) MUST_CHECK;
enum err_code rename_file(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* Sends what is unsent below a directory. */
enum err_code rename_settle_below(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* Of files from and to names that stay local (rename_local.c). */
enum err_code rename_from_local(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e) MUST_CHECK;
enum err_code rename_to_local(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* A directory was moved, or its objects were: what was asked before says nothing of what is below it now. */
void rename_below_locked(struct vfs *v, struct inode *dir);
/* Moves the inode to its new name in the tree, in place of the target. */
enum err_code rename_move_locked(struct vfs *v, struct rename *r, struct err *e) MUST_CHECK;

#endif
