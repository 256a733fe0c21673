/* What is put off, and the drain that waits for it. Private to src/vfs. */
#ifndef VFS_DRAIN_H
#define VFS_DRAIN_H

#include "vfs/tree.h"

/* Frames what is put off: drains that begin meanwhile wait for it, and so does the end of the vfs. `failed`: something that the
 * program was told is done could not be. `d` lies in the task. */
void deferred_begin_locked(struct vfs *v, struct deferred *d);
void deferred_end_locked(struct vfs *v, struct deferred *d, bool failed);

#endif
