/* Directories of small files f0000, f0001, ... whose bytes are their own paths, as readers of one after another have them. */
#ifndef TEST_VFS_NEIGHBOURS_SUPPORT_H
#define TEST_VFS_NEIGHBOURS_SUPPORT_H

#include "support.h"

/* Of the k-th file. */
void path_of(char out[64], const char *dir, int k);
/* Others put `n` files into the directory. */
void put_files(struct rig *r, const char *dir, int n);
/* Opens the k-th, reads it, which must bring its path, and closes it. */
void read_file(struct rig *r, const char *dir, int k);
/* Lists the directory, and marks: requests are counted from here. */
void list(struct rig *r, const char *dir);
struct vfs_stats stats(struct rig *r);

#endif
