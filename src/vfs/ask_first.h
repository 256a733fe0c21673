/*
 * A lookup is answered by the beginning of the page that was asked for it: as soon as that tells that the file is there, and, where a
 * HEAD goes with the listing, that has come too. The rest of the page, which is for the names beside it, is merged when all of it is
 * there. Until then nobody else asks the store for what it may bring: whoever needs more of that directory, or of what is below it,
 * waits (page_comes_locked()), so that a name answered early costs no request more.
 *
 * Only files are answered so: that there is nothing, or a directory, is told by the whole page. Private to src/vfs.
 */
#ifndef VFS_ASK_FIRST_H
#define VFS_ASK_FIRST_H

#include "vfs/tree.h"

/* One question. Who asks fills in the upper part; strings are borrowed until first_end(). */
struct first {
    struct vfs *v;
    struct inode *dir;
    const char *name, *prefix, *key;
    const struct vfs_caller *caller;
    uint64_t seq, start_ms;
    bool beside;             /* a HEAD goes with the listing */

    /* Under the tree lock: */
    bool listed, stated;     /* they have told this: */
    struct store_object by_list, by_stat;
    bool done, coming;       /* it was tried; the directory is told that a page comes */
};

/* Has the listing, which goes without delimiter, tell when it knows enough. Not where nobody can be answered early, or the name may
 * stand for something else than the object of that key. */
void first_watch(struct first *f, struct store_list *l);

/* What the HEAD beside it has found. Without locks; the caller is answered on this thread where the listing has told. */
void first_stated(struct first *f, enum err_code code, const struct store_object *o);

/* The page was merged, or does not come. Takes the tree lock. */
void first_end(struct first *f);

/* Whether a page whose beginning has answered may still bring names of the directory, or of what it has: wait_changed_locked() and look
 * again. False once that takes so long that it is better to ask. */
bool page_comes_locked(const struct inode *dir);

#endif
