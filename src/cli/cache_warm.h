/* awsfs cache warm: what is read through a mount is cached by it. */
#ifndef CLI_CACHE_WARM_H
#define CLI_CACHE_WARM_H

#include "cli/cache_command.h"

/* Reads the files below the path, and waits a few seconds at most until they are in the cache. Returns the status to exit with. */
int cache_warm(const struct cache_request *r);

#endif
