/* What a listing or a stat says becomes names and inodes. Private to src/vfs. */
#ifndef VFS_MERGE_H
#define VFS_MERGE_H

#include "vfs/found.h"
#include "vfs/tree.h"

struct merge {
    uint64_t seq, start_ms; /* of the request; of the first one where several pages are merged together */
    bool complete;          /* these are all names there are */
    const char *prefix;     /* key of the directory */
    const char *from;       /* of pages that do not begin with the directory: the key behind which they do; NULL */
    const char *last_key;   /* of a page that is not the last one: a directory may still follow an object; NULL */
    const char *only;       /* a component that is decided in spite of last_key; NULL */
    bool pages;             /* everything behind `from` up to `last_key` (NULL: to the end) was listed */
    bool records;           /* the other names are records of the directory's catalog (listed.h) */
    bool saved;             /* an earlier mount brought it, or this one before (saved.h) */
    uint32_t walk;          /* the listing without delimiter that brought it; 0: none */
};

/* Brings the children of `dir` in line with what was found. */
enum err_code merge_locked(struct vfs *v, struct inode *dir, const struct found_dir *f, const struct merge *m,
                           struct err *e) MUST_CHECK;
/* One object whose name is known. `out` (may be NULL) is borrowed. */
enum err_code merge_object_locked(struct vfs *v, struct inode *dir, const char *name, const char *component,
                                  const struct store_object *object, const struct merge *m, struct inode **out,
                                  struct err *e) MUST_CHECK;
/* Records that a name does not exist. */
enum err_code merge_absent_locked(struct vfs *v, struct inode *dir, const char *name, const char *component,
                                  const struct merge *m, struct err *e) MUST_CHECK;

/* For one name of a listing, of which no inode is made unless there is one. `version` NULL: a directory. */
enum merge_verdict {
    MERGE_KEPT,   /* the inode stays, in line with what was listed */
    MERGE_GONE,   /* it is not what was listed, or nobody needs it: it was taken away */
    MERGE_BESIDE, /* a directory that only this mount has: the object has to stand beside it */
};
enum merge_verdict merge_record_locked(struct vfs *v, struct inode *i, const struct store_version *version,
                                       const struct merge *m);
/* A listing that began later has seen all names: one that is not there now does not exist. */
bool merge_is_outdated(const struct inode *dir, const struct merge *m);

#endif
