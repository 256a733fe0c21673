/* Keeping credentials of the environment from the programs that are started (fusermount3, by libfuse). */
#ifndef CLI_ENVIRONMENT_H
#define CLI_ENVIRONMENT_H

struct environment {
    char **full, **clean;
};

/* From now on `environ` has no variables that hold credentials; the others are the same. Threads that only read others may
 * run. Without memory nothing changes. */
void environment_hide(struct environment *e);

/* Undoes it. */
void environment_restore(struct environment *e);

#endif
