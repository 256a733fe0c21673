/*
 * Names that a listing brought and nobody has asked for: records of the directory's catalog (vfs/catalog.h), which become inodes
 * when somebody does. Of a name that is in both, the inode counts: its record is taken, and the inode is marked as listed.
 * A name that is in neither does not exist as far as a whole listing within ttl tells. Private to src/vfs.
 */
#ifndef VFS_LISTED_H
#define VFS_LISTED_H

#include "vfs/catalog.h"
#include "vfs/found.h"
#include "vfs/merge.h"

/* The directory begins to be listed anew: its records are those of an empty catalog, which grows. Inodes stay. Borrowed; NULL
 * without memory. */
struct catalog *listed_begin_locked(struct vfs *v, struct inode *dir);
/* There are no records any more. */
void listed_drop_locked(struct vfs *v, struct inode *dir);

/* Brings the directory's inodes in line with a page of the listing, and takes it over (also on failure). Objects that have to
 * stand beside a directory of this mount go to `apart`. */
enum err_code listed_add_locked(struct vfs *v, struct inode *dir, struct segment *s, struct chunk *names, struct found_dir *apart,
                                const struct merge *m, struct err *e) MUST_CHECK;

/* The inode of a record that is not taken, made now and linked; borrowed. NULL: there is none, the directory was removed, or no
 * memory for it. */
struct inode *listed_take_locked(struct inode *dir, const char *name);
/* True if such a record is there. */
bool listed_has_locked(const struct inode *dir, const char *name);
/* An inode was linked, maybe in place of a record. */
void listed_linked_locked(struct inode *i);

/* Makes inodes of the first `most` files, or of the first `most` from the name on, that are records. */
void listed_take_files_locked(struct inode *dir, const char *from, size_t most);
/* The same of the first `most` directories. */
void listed_take_dirs_locked(struct inode *dir, size_t most);
/* Whether a record of a directory stands before the name, as far as `most` records tell. */
bool listed_dir_before_locked(const struct inode *dir, const char *name, size_t most);

#endif
