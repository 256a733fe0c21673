/*
 * Open files that are served by a local file instead of by vfs_read(): which may be, and what happens to a name when such a file is
 * to be opened in another way. How the handles of one inode go together is open_mode.h.
 *
 * A version may be served so when all its bytes are in one local file, checked; of BACKING_MIN and more (less is no gain); when this
 * mount has not written the file since it started (who is writing will write again, and a reader by passthrough does not see that), nor wanted to while it was served so;
 * and when nobody else has it open otherwise, to write above all.
 *
 * The local file is kept from its eviction by who gave it (backing_source) until the last handle is released. It may be unlinked
 * before; it is never changed, since mappings of it outlive the handles. Private to src/vfs.
 */
#ifndef VFS_BACKING_H
#define VFS_BACKING_H

#include "vfs/tree.h"

#define BACKING_MIN (1024u * 1024)

/* Before the first open; `source` is copied. */
void backing_from(struct vfs *v, const struct backing_source *source);

/* Asks the source where an open with these flags may be served so. Releases nothing: `out` is given to backing_enter_locked() or
 * backing_release(). Without locks; may touch the disk. */
void backing_find(struct vfs *v, struct inode *i, int flags, const struct vfs_caller *c, struct backing_file *out);

/* How an open is to be served (an inode in OPEN_PASSTHROUGH whose file turned out to be damaged serves no further handle): OPEN_PASSTHROUGH or OPEN_COPIED. The inode's mode may not allow the latter: then backing_part(). */
enum open_state backing_way_locked(struct vfs *v, struct inode *i, int flags, const struct vfs_caller *c,
                                   const struct backing_file *found);

/* A handle was opened so; takes `found` over where it is needed. */
void backing_enter_locked(struct vfs *v, struct inode *i, enum open_state way, struct backing_file *found);

/* A handle was released: what the last one leaves is moved to `out`. */
void backing_leave_locked(struct inode *i, struct backing_file *out);

/* Gives a file back, if there is one. Without locks. */
void backing_release(struct vfs *v, struct backing_file *f);

/* Gives the name of an inode in OPEN_PASSTHROUGH a fresh inode with the same version and attributes, so that it can be changed; the
 * old one keeps its handles. Returns ERR_CONFLICT (for the kernel: look it up again) where that was done, now or before; ERR_OK where
 * nothing is served so any more: the caller tries again; or ERR_AGAIN, ERR_CANCELED, ERR_NOMEM. Waits for a sending that is under
 * way. `i` is referenced. */
enum err_code backing_part(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;

#endif
