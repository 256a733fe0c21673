/*
 * Listings without delimiter: of a whole subtree, page after page. A lookup that nothing answers takes one page of the directory
 * from the name on, which brings what is below its next names too; who goes through a tree (find, du, cp -r, grep -r) opens one
 * directory after another, and is served by pages that are fetched ahead of it.
 *
 * A walk is what one such listing has told so far: the key at which its last page ended, and the names of those directories that
 * the page did not pass (the one it ended in, and those above that). A directory that pages have passed from its beginning
 * is merged as listed, by the time of the first of them; the others as far as they are known. A walk is begun where
 * nothing is known yet and a walker is noticed: a directory was opened, and then its first child, or any two of its children. A page
 * that does not bring what it was for is followed by a listing with delimiter, and two in succession end the attempts in that
 * directory. At most one page of a walk is fetched ahead of the directory that was opened last.
 *
 * Private to src/vfs. Everything is protected by the tree lock; a walk that is `busy` belongs to the thread that set it.
 */
#ifndef VFS_WALK_H
#define VFS_WALK_H

#include "vfs/tree.h"

struct walks;
struct found_dir;
struct list_view;

struct verdicts;

struct walks *walks_new(struct err *e);
struct verdicts *walks_verdicts(struct walks *w);
/* Nothing is fetched afterwards; what is under way is waited for with vfs.background. Takes the tree lock. */
void walks_end(struct vfs *v);
void walks_free(struct walks *w);

/* Whether a lookup in the directory asks without delimiter. */
bool walk_fits_locked(const struct vfs *v, const struct inode *dir);
/* The server cannot begin a listing at a key: there are no walks. */
void walk_refuse_locked(struct vfs *v);
/* A number for what such a listing brings (struct merge). */
uint32_t walk_number_locked(struct vfs *v);

/* A lookup's page, merged: what it was, and what it found, which the walk takes. */
struct walk_page {
    uint32_t number;
    const char *prefix, *from, *last; /* keys: of the directory, behind which it began, at which it ended (NULL: the end) */
    struct found_dir *found;
};
void walk_keep_locked(struct vfs *v, struct inode *dir, struct walk_page *p);

/* list_open() for who opens the directory to read it: without the lock, `dir` referenced by the caller. */
enum err_code walk_open(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct list_view *out,
                        struct err *e) MUST_CHECK;

/* Whether the directories of one listing, together, were found to carry POSIX metadata: NO where all sampled ones do not, YES
 * where some do, so that each is sampled by itself. UNKNOWN: none was, or it is time for another sample. `counts`: a directory
 * goes by the answer. (walk_verdict.c) */
enum posix_state walk_verdict_locked(struct vfs *v, uint32_t number, bool counts);
void walk_judge_locked(struct vfs *v, uint32_t number, bool posix);

/* ---- Between walk.c and walk_open.c */

/* The walk that can complete the directory with its next page, for an opener whose walk covers `top` and what is below it:
 * what an earlier one has told of it already, or a new one. It is busy then. NULL: `*code` says why; ERR_AGAIN: one is busy with it,
 * wait. */
struct walk *walk_begin_locked(struct vfs *v, struct inode *dir, struct inode *top, enum err_code *code, struct err *e);
/* Its next page, fetched and merged. Without the lock. Ends being busy. */
enum err_code walk_next(struct vfs *v, struct walk *w, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* The directory was opened and is known: where the last page of its walk has it, the next one is fetched in the background. */
void walk_ahead_locked(struct vfs *v, const struct inode *dir);

#endif
