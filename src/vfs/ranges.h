/*
 * Which stretches of a directory were listed when: a name inside of one of them that is not known is known not to exist, also
 * where the directory as a whole was never listed. Private to src/vfs; everything here is protected by the tree lock.
 */
#ifndef VFS_RANGES_H
#define VFS_RANGES_H

#include <stdbool.h>
#include <stdint.h>

struct vfs;
struct inode;
struct merge;
struct ranges;

/* Notes what the pages of `m` covered of the directory. Best effort: without memory it is asked again. */
void range_add_locked(struct vfs *v, struct inode *dir, const struct merge *m);

/* Whether objects and directories of that component were listed within ttl, and by which request. */
bool range_covers_locked(const struct vfs *v, const struct inode *dir, const char *component, uint64_t *seq,
                         uint64_t *start_ms);

/* What was listed of the directory until now is no answer to what is asked from now on. */
void dir_unlist_locked(struct vfs *v, struct inode *dir);

/* NULL is fine. */
void ranges_free(struct ranges *r);

#endif
