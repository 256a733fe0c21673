/*
 * Parts of a large file that are sent while the program still writes it in order, from empty on. The upload is begun when 64 MiB
 * are there, or when the disk of the staging files is full, and recorded before its first part; it becomes the object when the
 * file is put. A part that was changed since is sent again then. Where the disk is full, parts that are in the store give their
 * local bytes up (stage_send_away()).
 *
 * An early is the inode's while active->early points to it; the tree lock protects it. Its tasks keep the inode open.
 * Private to src/vfs.
 */
#ifndef VFS_EARLY_H
#define VFS_EARLY_H

#include "vfs/plan.h"
#include "vfs/tree.h"

struct early;

/* After bytes were written at [offset, offset + len): sends what has become complete. `full`: there is little space left, so that
 * also a small one is begun. Never blocks. */
void early_wrote_locked(struct vfs *v, struct inode *i, uint64_t offset, uint64_t len, bool full);

/* Whether that write should look how much space is left: now and then. */
bool early_asks(uint64_t offset, uint64_t len);
#define EARLY_ROOM (64ULL << 20)

/* The disk is full: gives local bytes up that are in the store, waits for some if need be. False where there is nothing to wait
 * for. ERR_AGAIN with nowait, ERR_CANCELED; without locks, the handle open. */
enum err_code early_make_room(struct vfs *v, struct inode *i, const struct vfs_caller *c, bool *made, struct err *e) MUST_CHECK;

/* Takes it away from the inode, once none of its parts is under way: nothing more is sent by itself. NULL where there is none, or
 * where it cannot be used to put the file (then it was dropped; where bytes are only there: ERR_BUSY). `cancel` (may be
 * NULL) stops those parts. Without locks. */
enum err_code early_take(struct vfs *v, struct inode *i, struct cancel *cancel, struct early **out, struct err *e) MUST_CHECK;

/* The put has ended: `put` as an object. Else it is dropped, or given back where bytes are only there. */
void early_end(struct vfs *v, struct inode *i, struct early *early, bool put);

/* None of its tasks is under way: aborts it in the background, unless bytes are only there (then nobody does by himself), and frees
 * it. */
void early_drop_locked(struct vfs *v, struct early *early);

/* What of it the bytes of are nowhere else, and what is before that, for a description (journal/stage.h): in `about`, whose parts are
 * malloc'd in one piece and need nothing of `early`, nor does its `upload_id`, which is in that piece too. Changes nothing where there
 * is none, or no memory. */
void early_describe_locked(const struct early *early, struct stage_about *about);

/* All parts of the frozen state, those that can be used as they are done. */
enum err_code early_plan(struct early *early, struct plan *p, uint64_t size, struct err *e) MUST_CHECK;
const char *early_id(const struct early *early);
/* What was stored with it when it was begun, borrowed, and the generation of the attributes that this is. */
struct store_meta *early_meta(const struct early *early, uint64_t *attr_gen);

#endif
