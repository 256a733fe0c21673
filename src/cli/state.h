/*
 * The directory in which a mount keeps what must survive it, one for each source and mount point below state=DIR, and the lock
 * that lets a new mount wait until the old one's daemon has sent what is due.
 */
#ifndef CLI_STATE_H
#define CLI_STATE_H

#include "awsfs/err.h"

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

struct state {
    char dir[PATH_MAX];
    int lock_fd;
};

#define STATE_INIT {.dir = "", .lock_fd = -1}

/* The default of state=: /var/lib/awsfs for root, else $XDG_STATE_HOME/awsfs or ~/.local/state/awsfs. ERR_INVAL: no home. */
enum err_code state_default(char out[PATH_MAX], struct err *e) MUST_CHECK;

/* Makes the directory of state= as private_dir_given() does. */
enum err_code state_make_root(const char *root, struct err *e) MUST_CHECK;

/* Opens and locks the directory of `identity` (source, endpoint, mount point) below `root`. Blocks while another daemon has it,
 * after calling waiting(arg) once. */
enum err_code state_open(struct state *s, const char *root, const char *identity, void (*waiting)(void *arg), void *arg,
                         struct err *e) MUST_CHECK;

/* The process that has the lock of the state directory `dir`, as /proc/locks tells; 0: nobody, or not known (of another PID namespace). */
pid_t state_holder(const char *dir);

/* Notes the lists of options (-o) that the mount has, for who works on the directory later without it. What cannot be written is
 * not noted. */
void state_write_options(const struct state *s, const char *const *lists, size_t n);

/* Those noted in the state directory `dir`: a malloc'd array of malloc'd texts; NULL and 0 where there are none. */
void state_read_options(const char *dir, char ***lists, size_t *n);

/* Unlocks. The directory stays. */
void state_close(struct state *s);

#endif
