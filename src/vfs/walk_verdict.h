/* What was sampled in the last listings without delimiter. Private to src/vfs/walk*. */
#ifndef VFS_WALK_VERDICT_H
#define VFS_WALK_VERDICT_H

#include "vfs/tree.h"

#define VERDICTS 64

struct verdict {
    uint32_t number;   /* of the listing; 0: free */
    uint32_t shared;   /* directories that went by it since the last sample */
    enum posix_state state;
};

struct verdicts {
    struct verdict v[VERDICTS];
    unsigned next;     /* the oldest */
};

#endif
