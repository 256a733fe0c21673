/*
 * Listings renewed shortly before they are too old, for stores that list whole subtrees at the price of a rate
 * (STORE_LIST_SUBTREE): who uses a tree regularly never waits for its listing again. A directory that was listed is
 * listed once more, in the background, if anything of the mount was used meanwhile; where nothing was, or the listing
 * takes long beside the ttl, it grows old. Each renewal begins at a time of its own, so that mounts that began together
 * do not go on together. Private to src/vfs.
 */
#ifndef VFS_REFRESH_H
#define VFS_REFRESH_H

#include "vfs/tree.h"

struct refresh;

/* NULL: ERR_NOMEM. Uses v->timers and v->pool. */
struct refresh *refresh_new(struct vfs *v, struct err *e);
void refresh_free(struct refresh *r);

/* Begins nothing any more, and keeps no directory. Before the end of background tasks is waited for. NULL is fine.
 * Without the lock. */
void refresh_end(struct refresh *r);

/* A program used something that may be asked of the store. */
void refresh_used_locked(struct refresh *r);

/* All below `dir` was listed, which took so long. */
void refresh_listed_locked(struct refresh *r, struct inode *dir, uint64_t took_ms);

/* How many ms after a listing the next one begins; 0: it is left to grow old. `chance` is any number. Pure. */
uint64_t refresh_after_ms(uint64_t ttl_ms, uint64_t took_ms, uint32_t chance);

#endif
