/*
 * A mount's state directory, as the commands that need no mount see it.
 */
#ifndef CLI_JOURNAL_MOUNT_H
#define CLI_JOURNAL_MOUNT_H

#include "awsfs/err.h"
#include "cli/journal_log.h"
#include "util/cleanup.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* One mount, alive or not. */
struct journal_mount {
    struct journal_log *log; /* of write=back; NULL: none, or a daemon has it */
    char *dir;     /* its state directory */
    char *source, *endpoint, *mountpoint;
    char **lists;  /* of options, as it was mounted with */
    size_t n_lists;
    bool alive;    /* another process has its lock */
    size_t n_open; /* files that are being written */
    int lock_fd;   /* ours; -1: not held */
};

/* That of the directory `name` below `root`, alive or not; nothing of its log yet. NULL without memory, or where its path is too long. */
struct journal_mount *journal_mount_new(const char *root, const char *name);
void journal_mount_free(struct journal_mount *m);
CLEANUP_DEFINE(struct journal_mount, journal_mount_free)

/* Takes the mount's lock, so that no daemon begins to use what is there. ERR_BUSY: it is alive. */
enum err_code journal_hold(struct journal_mount *m, struct err *e) MUST_CHECK;

#endif
