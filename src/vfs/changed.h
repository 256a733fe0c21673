/* Changes by others of which the store is told (store_watch()). Private to src/vfs. */
#ifndef VFS_CHANGED_H
#define VFS_CHANGED_H

#include "vfs/tree.h"

/* The callback of store_watch(); `arg` is the vfs. Any thread; takes the tree's lock, never blocks. */
void changed_key(void *arg, const char *key, bool listed);

#endif
