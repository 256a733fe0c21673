/*
 * Read-ahead across files: who opens and reads the files of a directory one after another, in the order of its names (that of
 * listings and of readdir), gets the next ones fetched while it works on this one. Each directory is followed by itself, with
 * several readers told apart, so that who takes one file of each of several directories in turn is served as well.
 *
 * A reader (struct stream) is NEW (one file read) -> RUNNING (it went on with the very next file) -> STOPPED (what was fetched
 * for it was not used). The number of files ahead of it begins at one, doubles when it had to wait for a file that was asked
 * for in advance, and is halved for each that was fetched in vain: because the reader left it behind, or nobody came in time.
 * Beyond one it is at most what the reader takes within two round trips, so that who stops leaves little behind. Who takes one
 * file of each of many directories in turn is served round by round instead (neighbours_rounds.c).
 *
 * Invariants: what is fetched ahead and not yet read is bounded in number, in bytes, and in time; files fetched in vain are
 * bounded by an allowance that grows with those that were used, and slowly by itself; no file that was read a while ago is
 * fetched again; of a large file only the first block is fetched. The bytes lie in blocks of the one limit of memory, which
 * are fetched as read-ahead is (content.h): never where reads wait for memory, never in place of what nobody has read yet.
 * They are handed to an open file only if key, ETag and size are what they were.
 *
 * Everything is protected by the tree lock.
 */
#ifndef VFS_NEIGHBOURS_H
#define VFS_NEIGHBOURS_H

#include "vfs/content.h"

struct vfs;
struct inode;
struct neighbours;

#define NEIGHBOURS_WINDOW 64 /* files ahead of one reader */

/* What is to be fetched once the lock is dropped; a reference on each content. */
struct neighbours_plan {
    unsigned n;
    struct {
        struct content *content;
        uint64_t len;
    } item[NEIGHBOURS_WINDOW];
};

struct neighbours *neighbours_new(struct err *e);

/* The vfs ends: cancels what is under way and drops what is held; nothing is fetched afterwards. Takes the tree lock. */
void neighbours_end(struct vfs *v);

/* After neighbours_end(), when the threads of the vfs's pool are gone. NULL is fine. */
void neighbours_free(struct neighbours *n);

/* The content that was fetched ahead for the version that the inode has now, and how much of it is here; the caller's. NULL:
 * there is none. */
struct content *neighbours_take_locked(struct vfs *v, struct inode *i, enum content_hand *hand);

/* Bytes that were fetched for another reason and may be kept as if they had been fetched ahead, in the same bounds; they are not
 * counted in the statistics. Copies; does nothing where the inode is not that version any more. */
bool neighbours_may_keep_locked(const struct vfs *v, const struct inode *i);
void neighbours_keep_locked(struct vfs *v, struct inode *i, const char *key, const char *etag, const void *bytes);

/* An open file is read for the first time; `hand` is what was taken for it. Adds to `plan` (empty) what to fetch now. */
void neighbours_read_locked(struct vfs *v, struct inode *i, enum content_hand hand, struct neighbours_plan *plan);

/* Begins to fetch; never waits. No lock may be held. */
void neighbours_start(struct neighbours_plan *plan);

/* Files since the mount: fetched ahead, those of them that were read, and those that were not in time. */
struct neighbours_stats {
    uint64_t fetched, used, unused;
};
void neighbours_stats_locked(const struct vfs *v, struct neighbours_stats *out);

#endif
