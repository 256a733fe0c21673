/*
 * Files that were fetched ahead and that nobody has read yet, by inode and in the order in which they were asked for.
 * Protected by the tree lock.
 */
#ifndef VFS_NEIGHBOURS_HELD_H
#define VFS_NEIGHBOURS_HELD_H

#include "awsfs/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct vfs;
struct inode;
struct content;
struct map;

struct held_file {
    struct inode *inode; /* counted */
    struct content *content;
    char *key, *etag;    /* of what is fetched */
    uint64_t bytes, at_ms;
    uint64_t stream;     /* for whom; 0: nobody asked for it in advance */
    TAILQ_ENTRY(held_file) link;
};

TAILQ_HEAD(held_list, held_file);

struct held {
    struct map *by_inode;
    struct held_list oldest_first;
    uint64_t bytes;
};

enum err_code held_init(struct held *h, struct err *e) MUST_CHECK;
/* It must be empty. */
void held_release(struct held *h);

/* Notes that `bytes` of the inode's version are about to be fetched; it must not be there. The content is borrowed. NULL
 * without memory. */
struct content *held_add_locked(struct vfs *v, struct held *h, struct inode *i, uint64_t bytes, uint64_t stream);
struct held_file *held_get_locked(const struct held *h, const struct inode *i);

/* The inode has the very version, under the very key. */
bool held_fits_locked(const struct held_file *f, const struct inode *i);

/* Takes it out and frees it, and its content unless `taken`, which gets that reference, is not NULL. Attributes that came with
 * the bytes are kept. */
void held_drop_locked(struct vfs *v, struct held *h, struct held_file *f, struct content **taken);

#endif
