/* What the files of a listing share. Private to them; the tree lock protects all of it but what one range's owner works on. */
#ifndef VFS_LISTING_IMPL_H
#define VFS_LISTING_IMPL_H

#include "vfs/found.h"
#include "vfs/listing.h"
#include "vfs/pack.h"
#include "vfs/spans.h"

/* What a range has of its own: its place among the names, and what is held back of it. */
struct part {
    struct segment *segment;
    struct pack pack;
};

struct listing {
    unsigned refs, wanted, workers;
    struct vfs *v;
    struct inode *dir;       /* counted */
    char *prefix;
    struct spans *spans;
    struct catalog *names;   /* counted; NULL before the first page */
    struct found_dir *apart; /* what the whole directory decides */
    struct store_page after; /* objects behind the ends of their ranges: the same */
    uint64_t seq, start_ms;  /* of the first request: those of all names together */
    struct cancel *cancel;
    bool ended, disorder;
    bool saved;              /* it was, by an earlier mount (saved.h) */
    enum err_code code;
    struct err err;
};

/* Asks for the next page of a range and merges it. Without the lock; blocks on the network. ERR_AGAIN: the directory was moved;
 * ERR_UNSUPPORTED: the server cannot begin at the range's key. */
enum err_code listing_page(struct listing *l, struct span *range, const struct store_call *call, struct err *e) MUST_CHECK;

/* A page that came another way: all there is of the directory. Takes what is in it. ERR_AGAIN: the directory was moved. */
enum err_code listing_given_page(struct listing *l, struct span *range, struct store_page *page, const struct found_stamp *told,
                                 struct err *e) MUST_CHECK;

/* listing_page() for a lookup, which wants no more than one page: *whole false, some names of a larger directory became inodes. */
enum err_code listing_small_page(struct listing *l, struct span *range, const struct store_call *call, bool *whole,
                                 struct err *e) MUST_CHECK;

#endif
