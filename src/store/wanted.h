/* What the beginning of a listing's page tells of one key (struct store_list, `wanted`). Pure. */
#ifndef STORE_WANTED_H
#define STORE_WANTED_H

#include "awsfs/store.h"

/* The object of that key, borrowed from the entries, which are the first ones of a page without delimiter, in its order. NULL: they do
 * not tell yet that it is there and that nothing is below `wanted`/, or tell otherwise, which more of them will not change (`*over`;
 * may be NULL). */
const struct store_object *store_wanted(const char *wanted, const struct store_entry *entries, size_t n, bool *over);

#endif
