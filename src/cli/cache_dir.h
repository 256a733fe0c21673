/* Where the cache is, and by what names objects are known there. */
#ifndef CLI_CACHE_DIR_H
#define CLI_CACHE_DIR_H

#include "cli/options.h"
#include "cli/stack.h"

#include <limits.h>
#include <stdbool.h>

/* cache=DIR, or the default: /var/cache/awsfs for root, else $XDG_CACHE_HOME/awsfs or ~/.cache/awsfs. False: none is wanted, or
 * there is no place for it. */
bool cache_dir(const struct options *o, char out[PATH_MAX]);

/* The same object has the same names in every mount that shows it: the server without the bucket's name (AWS is one server: names
 * of buckets are unique there), and the bucket with the prefix of the mount. */
void cache_names(const struct stack *s, char *origin, size_t origin_size, char *prefix, size_t prefix_size);

#endif
