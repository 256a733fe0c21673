/* What is mounted where, from /proc/self/mountinfo: without asking the file systems themselves, which may hang. */
#ifndef CLI_MOUNTS_H
#define CLI_MOUNTS_H

#include "awsfs/err.h"

#include <limits.h>
#include <stdbool.h>

struct mount_entry {
    char type[64];
    char source[PATH_MAX];
};

/* The topmost mount exactly at `path` (absolute, resolved). False if there is none. */
bool mounts_find(const char *path, struct mount_entry *out);

/* The absolute path of `dir` with symbolic links resolved in all but its last component, or in all where that is no awsfs mount:
 * does not touch the root of a mount of awsfs. */
enum err_code mounts_resolve(const char *dir, char out[PATH_MAX], struct err *e) MUST_CHECK;

/* Whether something may be mounted at `dir`: an existing, empty directory that is no mount of awsfs. `out` is its resolved
 * path. ERR_NOT_DIR, ERR_NOT_EMPTY, ERR_BUSY, ERR_IO with what to do. */
enum err_code mounts_check_target(const char *dir, char out[PATH_MAX], struct err *e) MUST_CHECK;

#endif
