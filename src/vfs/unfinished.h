/*
 * Renames with a record (journal/renames.h) that the call which began them has not ended: cut off by a crash, to be taken back, or left
 * for a person. Their copies are told by ETags, and a program may put the very same bytes under one of the names itself. So whoever is to
 * put something there, or to remove what is there, claims the name first: what is under way ends before, and nothing is done by the
 * record afterwards.
 *
 * A record is known by the path of its file. An attempt at it is due, or under way ("busy"), or neither; only calls of programs wait for
 * one, never a thread of a pool, whose queue an attempt may stand in: what they would send is put off (hold_covers_locked()).
 * Private to src/vfs.
 */
#ifndef VFS_UNFINISHED_H
#define VFS_UNFINISHED_H

#include "journal/renames.h"
#include "vfs/tree.h"

/* Adds the record at `path`, with an attempt due. Without the lock. ERR_BUSY: somebody works on it who is not known here, or has a claim on
 * it; otherwise as renames_read(). On an error nothing may be done by the record. */
enum err_code unfinished_add(struct vfs *v, const char *path, struct err *e) MUST_CHECK;

/* What a call needs to leave its own record, made before there is anything to leave: that cannot fail. NULL without memory. */
struct unfinished *unfinished_new(const char *from, const char *to, bool tree);
void unfinished_free(struct unfinished *u);
/* Adds it, as by unfinished_begin(). Takes both; the path, borrowed until unfinished_end(). Without the lock. */
const char *unfinished_put(struct vfs *v, struct unfinished *u, char *path);

/* Brackets every attempt to do something by a record. False: it is not known any more, or somebody works on it. Without the lock. */
bool unfinished_begin(struct vfs *v, const char *path);
/* `now`: the path of its file by now, taken; NULL: as it was. What was put off meanwhile is sent. */
void unfinished_end(struct vfs *v, const char *path, bool gone, char *now);
/* Instead of it, where another attempt comes at once: that is due, so that nobody claims a name before. */
void unfinished_hand_over(struct vfs *v, const char *path);
/* No attempt is due any more. */
void unfinished_not_due(struct vfs *v, const char *path);

/* Before a call makes, replaces or removes the object `key`; with `tree`, all that begin with it. Records that name it are
 * ended, for good when this returns. Costs nothing where there are none. Without the lock, not between
 * begin and end, not in a thread of a pool; may block for the requests of an attempt: ERR_CANCELED as `c` says. */
enum err_code unfinished_claim(struct vfs *v, const char *key, bool tree, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* The same for what is sent by a thread of a pool. ERR_CANCELED: it has to be put off. */
enum err_code unfinished_claim_now(struct vfs *v, const char *key, struct err *e) MUST_CHECK;
/* True if the inode's key is one of a record at which an attempt is due or under way. */
bool unfinished_covers_locked(const struct vfs *v, const struct inode *i);

/* Whether there is any record: a claim may have to wait, or change what there is to claim. */
bool unfinished_any(const struct vfs *v);

/* With nobody left who claims. */
void unfinished_release(struct vfs *v);

#endif
