/* Fetching what a changed file comes from while it is written. Private to src/vfs. */
#ifndef VFS_BASE_H
#define VFS_BASE_H

#include "vfs/tree.h"

/* After the first change of a file: begins to fetch its base in the background if it is small. Never blocks. */
void base_fetch_locked(struct vfs *v, struct inode *i);

#endif
