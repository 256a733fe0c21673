/* Renames refused because of a conflict, and their repetition by the kernel. Private to src/vfs. */
#ifndef VFS_REFUSED_H
#define VFS_REFUSED_H

#include "vfs/tree.h"

struct refused_rename {
    uint64_t parent, new_parent;
    const char *name, *new_name;
};

/* Remembers for two seconds that thread `pid` was refused this rename. Without the lock. */
void refused_add(struct vfs *v, pid_t pid, const struct refused_rename *r);

/* True, once, if this is the repetition of a refused one. Without the lock. */
bool refused_take(struct vfs *v, pid_t pid, const struct refused_rename *r);

#endif
