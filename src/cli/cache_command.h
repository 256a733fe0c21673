/* awsfs cache show|verify|warm|pin|unpin|evict|clear: the cache on the disk, mounted or not. */
#ifndef CLI_CACHE_COMMAND_H
#define CLI_CACHE_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

struct cache_request {
    const char *command;
    const char *what;         /* s3://bucket/prefix; of warm a path in a mount; NULL: all of the cache */
    const char *const *lists; /* of options, as given with -o */
    size_t n_lists;
    bool json;
    int usage_status, fail_status; /* to exit with: malformed command, it failed or (verify) something was bad */
};

/* Returns the status to exit with. */
int cache_command_run(const struct cache_request *r);

#endif
