/*
 * The files of a directory in the order of their names, or of a large one those from a name on. A snapshot: names that come
 * later are not in it. Protected by the tree lock.
 */
#ifndef VFS_NEIGHBOURS_ORDER_H
#define VFS_NEIGHBOURS_ORDER_H

#include <stdbool.h>
#include <stddef.h>

struct vfs;
struct inode;

#define ORDER_MAX 4096 /* files */

struct order_file {
    struct inode *inode; /* counted */
    bool seen;           /* was read */
};

struct order {
    struct order_file *files;
    size_t n;
};

/* A file whose bytes are in the store and can be fetched. */
bool order_takes_locked(const struct inode *i);

/* Fills `out` (zeroed) from what is known of the directory: all of its files, or the first ORDER_MAX from the name on. False
 * without memory. */
bool order_build_locked(struct inode *dir, const char *from, struct order *out);
void order_release_locked(struct vfs *v, struct order *o);

/* The position of a name; o->n where it is not there. */
size_t order_find_locked(const struct order *o, const char *name);

/* The inode that has the name at that position now; borrowed. NULL: none that can be fetched. */
struct inode *order_at_locked(struct vfs *v, struct inode *dir, struct order *o, size_t at);

#endif
