/*
 * Filling the disk cache after a read, from the kernel. What a fast reader fetches is more than the cache can hash and write
 * meanwhile without slowing it, and more than memory may be kept for. But the kernel's page cache has it: so a block that is not
 * kept is only noted, with the CRC32C of what came from the network, and when nobody waits for bytes any more the pages are asked
 * for, checked against it and given to the cache.
 *
 * A note stands for the pages of one nodeid, which is one line of versions (vfs.h): only this mount's own writes change them, so
 * an inode that is, or was, written or is open for writing is not asked, and what was asked for meanwhile is not used. What is not
 * there while somebody reads may have been fetched ahead, and is asked for again. What the kernel has dropped by the end, or tells with other bytes, is lost for the cache: it is counted, never fetched a second time for
 * the cache alone, and stored when it is next read. A forgotten nodeid's note is lost the same way.
 *
 * One thread asks, for at most REFILL_ASKED requests at a time; answers come on the thread that serves the kernel, are copied and put
 * into the cache's queue there. Private to src/vfs.
 */
#ifndef VFS_REFILL_H
#define VFS_REFILL_H

#include "vfs/tree.h"

struct cache_entry;
struct refill;

/* For v->cfg.cache and v->cfg.notify.retrieve. Starts the thread. NULL without memory. */
struct refill *refill_new(struct vfs *v, struct err *e);

/* Gives up what is noted and waits for what was asked: whoever was asked must answer or have ended. Nothing is noted any more. NULL
 * is fine; so for refill_free(), which does it where that was not done. */
void refill_end(struct refill *r);
void refill_free(struct refill *r);

/* The chunk at `offset` of the entry's version has that CRC, and goes to who reads by nodeid `ino`. False: not noted (no nodeid, no
 * memory, written to). Takes the tree lock: without locks. */
bool refill_note(struct refill *r, struct cache_entry *entry, uint64_t ino, uint64_t offset, uint32_t crc);

/* What is noted for `from` belongs to `to`, the same bytes by another name. Under locks below LOCK_VFS_REFILL. */
void refill_moved(struct refill *r, struct cache_entry *to, struct cache_entry *from);

/* Goes on whoever reads, until everything noted was asked for or `wait_ms` has passed; true if it was. Without locks. */
bool refill_finish(struct refill *r, unsigned wait_ms);

struct refill_stats {
    uint64_t waiting;         /* chunks */
    uint64_t got, lost;       /* bytes */
    uint64_t memory;          /* bytes: of buffers in use, and of what is noted */
};
void refill_stats(struct refill *r, struct refill_stats *out);

#endif
