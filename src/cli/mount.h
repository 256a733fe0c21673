/* The main command: mounts SOURCE at DIR and serves it. */
#ifndef CLI_MOUNT_H
#define CLI_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

struct mount_request {
    const char *source, *dir;
    const char *const *lists; /* of options, as given with -o */
    size_t n_lists;
    bool foreground;
    bool only_check;          /* mount(8)'s -f: everything but the mount */
    bool verbose;
    bool sloppy;              /* mount(8)'s -s: unknown options are no error */
    int usage_status, fail_status; /* to exit with: malformed command, failed mount */
};

/* Returns the status to exit with: in the background 0 when the mount answers, in the foreground when it has ended. Everything
 * that is wrong is one line on stderr. */
int mount_run(const struct mount_request *r);

#endif
