/*
 * The listing of one directory by several requests at once, in ranges of keys that meet exactly: each range is listed page by page
 * from its beginning (start-after, or where the range before it goes on), and what its pages have behind its end is left out. The
 * first pages come one by one; later the range that seems to have most before it is cut in its middle, as often as others have
 * come to their end. Each cut costs one request more.
 *
 * Keys of ranges and ends are below the directory's prefix and have no '/', so that no common prefix stands on two sides of an end.
 * Not thread-safe, sends nothing. Private to src/vfs.
 */
#ifndef VFS_SPANS_H
#define VFS_SPANS_H

#include "awsfs/store.h"
#include "store/walk.h"

#include <sys/queue.h>

struct spans;

enum span_state { SPAN_WAITS, SPAN_TAKEN, SPAN_DONE };

struct span {
    enum span_state state;
    char *after;        /* the keys are behind this; NULL: from the first on */
    char *end;          /* and not behind this; NULL: to the last */
    char *first, *last; /* of the keys that came last; NULL: none yet */
    size_t n;           /* how many those were */
    char *token;        /* of the next page; NULL: none yet */
    uint64_t names, pages;
    struct store_walk walk;
    void *user;         /* the owner's */
    TAILQ_ENTRY(span) link; /* in the order of keys */
};

#define SPANS_MAX 16    /* listed at once */
#define SPANS_SERIAL 10 /* pages that come one by one: a directory of so many is listed as if there were no ranges */

/* One range, waiting, for everything below the prefix. `cut`: it may be cut. NULL without memory. */
struct spans *spans_new(const char *prefix, bool cut);
void spans_free(struct spans *r); /* NULL is fine */
struct span *spans_first(struct spans *r);
struct span *spans_next(const struct span *x);
struct span *spans_before(struct span *x);

/* A range to be listed by one who has none; NULL: not now. `*cut_from` is the range that it was cut from, with its end moved, or
 * NULL. */
struct span *spans_take(struct spans *r, struct span **cut_from);
/* Gives back what was taken and could not be begun. True: it was just cut, and is gone again: the one before it goes on over its
 * keys. */
bool spans_put_back(struct spans *r, struct span *x);
/* The server cannot begin at a key: nothing is cut any more. True, and the range is gone: the one before it goes on over its
 * keys. False: that one is at its end, this one is listed, whatever it costs. */
bool spans_unplaced(struct spans *r, struct span *x);

/* The next request of a range. Borrowed: from the range, and `after_key` (the prefix and the key that it begins behind). */
void span_ask(const struct spans *r, const struct span *x, struct store_list *out, char after_key[]);
size_t span_key_max(const struct spans *r); /* bytes of after_key */

/* What came: leaves the entries in the page that are the range's, takes its token, and says in `state` whether that was its last.
 * ERR_PROTO, with *disorder true where the keys are in no order that ranges could be listed in. ERR_NOMEM. */
enum err_code span_page(struct spans *r, struct span *x, struct store_page *page, bool *disorder, struct err *e) MUST_CHECK;

bool spans_done(const struct spans *r); /* all of them are */
uint64_t spans_pages(const struct spans *r);

#endif
