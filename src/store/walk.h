/*
 * The end of a walk over the pages of a listing. A page may bring nothing and not be the last, and a token is opaque, so only
 * the number of pages tells a server that never ends from a slow one.
 */
#ifndef STORE_WALK_H
#define STORE_WALK_H

#include "awsfs/err.h"

#include <stdbool.h>

/* Pages in succession that bring nothing. */
#define STORE_WALK_IDLE_MAX 1000
/* Pages altogether: more than any bucket has that can be listed at all. */
#define STORE_WALK_MAX 1000000

/* Zeroed before the first page; the caller's, not shared. */
struct store_walk {
    unsigned pages, idle;
};

/* Counts a page of the listing of `prefix`, before the next is asked for; never blocks. `brought`: it had something that the
 * walk looks for. ERR_PROTO, with a line in the log, where another page is one too many. */
enum err_code store_walk_on(struct store_walk *w, const char *prefix, bool brought, struct err *e) MUST_CHECK;

#endif
