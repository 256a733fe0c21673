/* Sending what is unsent: when and by whom (send.c), and one attempt of it. Private to src/vfs. */
#ifndef VFS_SEND_H
#define VFS_SEND_H

#include "vfs/tree.h"

/* Sends what is unsent of an inode (content, else attributes) and waits until it is in the store or has failed; starts nothing
 * for a state that has failed before unless `again`. ERR_AGAIN with nowait, where it is not small, here as a whole and for the journal of
 * write=back (`brief`): then it is sent on this thread. Without the lock, `i` referenced. */
enum err_code send_wait(struct vfs *v, struct inode *i, bool again, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* The same in the background. */
void send_start_locked(struct vfs *v, struct inode *i);
/* Sends within about a second unless something else does before. */
void send_later_locked(struct vfs *v, struct inode *i);
/* After every change of what is there or of what was sent: the inode is in vfs.unsent exactly while something of it is unsent. */
void send_dirty_locked(struct vfs *v, struct inode *i);
/* Nobody has it open any more: what is unsent goes to the store, what failed is left in the state directory. */
void send_last_close_locked(struct vfs *v, struct inode *i);
/* True if the present state could not be sent. */
bool send_has_failed(const struct active *a);
/* What it failed for was on this machine, and may be over: a full disk, or the limit of what may be unsent. */
bool send_may_work_now(const struct active *a);
/* Leaves what failed in the state directory; the name shows what the store has again, under a new inode. Where there is no memory
 * for that now, it is put off; `at_end` (of the vfs): it is done at once, with the lock held. */
void send_give_up_locked(struct vfs *v, struct inode *i, bool at_end);
/* After a sending or a hold: what was changed meanwhile is sent or put off, as its state asks. */
void send_rest_locked(struct vfs *v, struct inode *i);
/* Marks a sending as begun (`cancel` is taken over, may be NULL) and as ended. */
void send_begin_locked(struct vfs *v, struct inode *i, struct cancel *cancel);
void send_end_locked(struct vfs *v, struct inode *i);

/* ---- One attempt */

/* One attempt to put what is unsent, on a pool thread: content with its attributes (send_content.c), or attributes alone
 * (send_attr.c). The outcome is in the inode. */
void send_content(struct vfs *v, struct inode *i);
void send_attr(struct vfs *v, struct inode *i);

/* W4: a new file only where there is none, a changed one over the version it came from. `etag` is borrowed. */
struct store_cond send_condition(const struct inode *i, const char *etag);

/* What is stored beside other bytes, with a reference; after a look (look.h). The time of the last write counts unless it was set
 * later; sums of the bytes that were there are left out. */
enum err_code send_meta_locked(struct vfs *v, struct inode *i, struct store_meta **out, struct err *e) MUST_CHECK;

/* Records that generation `gen` (and `attr_gen`) could not be sent. */
void send_failed_locked(struct vfs *v, struct inode *i, uint64_t gen, uint64_t attr_gen, const struct err *e);

#endif
