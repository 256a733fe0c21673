/*
 * One listing of a directory, page by page, merged as the pages come. The first page is fetched by whoever asks; where there are
 * more, the rest comes in the background, by several requests at once (vfs/spans.h), as long as somebody wants it. Names that
 * only the whole directory can decide (escapes, objects beside directories of their name) appear at the end.
 *
 * BEGUN -> (first page) -> ENDED, or -> UNDER_WAY -> ENDED. While it is BEGUN or UNDER_WAY dir->listing is true, and nobody else
 * lists the directory. It has a catalog of its own, which is the directory's from the first page on. Reference-counted; all of it
 * is protected by the tree lock but what one range's owner works on. Private to src/vfs.
 */
#ifndef VFS_LISTING_H
#define VFS_LISTING_H

#include "vfs/catalog.h"
#include "vfs/found.h"
#include "vfs/tree.h"

struct listing;

/* The caller has set dir->listing. Asks for the first page (one with names, or the last) with the caller's patience, and merges
 * it; *out (counted) is set where there are more, else NULL. With `small` there are no more: if *whole is then false, the page
 * brought some names of a larger directory. Without the lock. ERR_CONFLICT: the directory is being moved. */
enum err_code listing_begin(struct vfs *v, struct inode *dir, const struct vfs_caller *c, bool small, bool *whole,
                            struct listing **out, struct err *e) MUST_CHECK;

/* The same with all names of the directory at hand: a page that an earlier mount was told; takes what is in it. `key` is the
 * directory's, as the page has it; the number was taken before anything of it was known. ERR_AGAIN: it has another one. */
enum err_code listing_saved(struct vfs *v, struct inode *dir, const char *key, struct store_page *page, const struct found_stamp *told,
                            struct err *e) MUST_CHECK;

/* Goes on in the background; dir->listing becomes false, and `changed` is told, when it has ended. */
void listing_go_on_locked(struct listing *l);

struct listing *listing_ref_locked(struct listing *l);
void listing_unref_locked(struct listing *l);
/* Somebody waits for its names, or may come to read them / does not any more: with the last one it is given up. */
void listing_want_locked(struct listing *l);
void listing_leave_locked(struct listing *l);

/* It is under way, and has not been given up. */
bool listing_wanted_locked(const struct listing *l);
bool listing_ended_locked(const struct listing *l);
/* How it ended. */
enum err_code listing_result_locked(const struct listing *l, struct err *e) MUST_CHECK;
/* It failed because the server's order is none; the directory can be listed all the same. */
bool listing_disorder_locked(const struct listing *l);
struct catalog *listing_names_locked(const struct listing *l);
uint64_t listing_start_ms(const struct listing *l);

#endif
