/*
 * How the open handles of one inode are served. The kernel demands one way for all of them (fs/fuse/iomode.c, Linux 6.9), so the
 * first open decides and the last close ends it:
 *
 *     state        | open to be copied | open by passthrough | last close | passthrough refused
 *     CLOSED       | COPIED            | PASSTHROUGH         |            |
 *     COPIED       | COPIED            | not possible        | CLOSED     |
 *     PASSTHROUGH  | not possible      | PASSTHROUGH         | CLOSED     | COPIED
 *
 * Invariants: an inode in PASSTHROUGH has no handle that writes and nothing unsent but attributes. "Not possible" towards COPIED is
 * no error: the handle is opened COPIED, and the file, even when all of it is here by then, is served by passthrough after its last
 * close. Towards PASSTHROUGH it is: the name gets another inode (backing.h). A file that is written, truncated, replaced or removed
 * while in PASSTHROUGH leaves the inode as it is: its handles keep their version. "Refused" comes before any handle was answered
 * with passthrough. The kernel's third way, direct I/O, is not used: it denies shared mappings.
 *
 * Under the tree lock.
 */
#ifndef VFS_OPEN_MODE_H
#define VFS_OPEN_MODE_H

#include <stdbool.h>
#include <stdint.h>

enum open_state { OPEN_CLOSED, OPEN_COPIED, OPEN_PASSTHROUGH };

struct open_mode {
    enum open_state state;
    unsigned handles;
    uint64_t id; /* in PASSTHROUGH: of this time; never given twice */
};

/* Whether another handle may be opened that way. */
bool open_mode_allows(const struct open_mode *m, enum open_state way);

/* One more handle, in a way that is allowed. `id` is taken where that begins a time of passthrough. */
void open_mode_enter(struct open_mode *m, enum open_state way, uint64_t id);

/* One handle less. */
void open_mode_leave(struct open_mode *m);

/* All handles of PASSTHROUGH become COPIED. */
void open_mode_refuse(struct open_mode *m);

#endif
