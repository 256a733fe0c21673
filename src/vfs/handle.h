/* Open files. Private to src/vfs. */
#ifndef VFS_HANDLE_H
#define VFS_HANDLE_H

#include "vfs/content.h"
#include "vfs/tree.h"

struct vfs_handle {
    unsigned refs;          /* atomic: reads that are parked outlive RELEASE */
    struct vfs *v;
    struct inode *inode;    /* counted */
    int flags;
    bool read;              /* at least once; under the tree lock */
    pid_t opener;           /* thread group that opened it; 0: not known */
    struct readahead ra;    /* guarded by the contents' lock */
    LIST_ENTRY(vfs_handle) link;
};
/* The inode of an open file or, where h is NULL, of a nodeid; counted. ERR_CONFLICT when there is none. Takes the lock. */
enum err_code handle_inode(struct vfs *v, uint64_t ino, const struct vfs_handle *h, struct inode **out, struct err *e) MUST_CHECK;
/* NULL without memory. The handle has one reference. The inode's mode allows `way`; `found` as backing_enter_locked() has it. */
struct vfs_handle *handle_new_locked(struct vfs *v, struct inode *i, int flags, enum open_state way, struct backing_file *found,
                                     struct err *e);
struct vfs_handle *handle_ref(struct vfs_handle *h);
void handle_unref(struct vfs_handle *h);

#endif
