/* What this process was given by whoever started it: put right for a daemon, and kept from the programs that it starts. */
#ifndef CLI_ENVIRONMENT_H
#define CLI_ENVIRONMENT_H

#include "awsfs/err.h"

/* Opens /dev/null for each of the descriptors 0, 1 and 2 that is closed, so that no file of ours gets its number and no message is
 * written into one; lets the ends of children be waited for, also where they were ignored; makes the paths in variables of the
 * environment absolute, since a daemon works in "/". Before any thread starts. ERR_NOMEM; the errors of open() and getcwd(). */
enum err_code environment_settle(struct err *e) MUST_CHECK;

struct environment {
    char **full, **clean; /* NULL: not hidden yet */
};

/* Credentials in the environment are kept from the programs that are started (fusermount3, by libfuse): from now on `environ` has
 * no variables that hold any; the others are the same. Threads that read it may run. Without memory nothing changes. */
void environment_hide(struct environment *e);

/* Undoes it. `e` stays until environment_release(): another thread may still be reading. */
void environment_restore(struct environment *e);

/* When no other thread reads the environment. */
void environment_release(struct environment *e);

#endif
