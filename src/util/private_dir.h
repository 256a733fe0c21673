/* A directory that nobody else can look into. */
#ifndef UTIL_PRIVATE_DIR_H
#define UTIL_PRIVATE_DIR_H

#include "awsfs/err.h"

/* Makes `path` with mode 0700 (and missing parents with 0755); that it is there is durable. One that is there must be ours and no symbolic link; wider rights
 * are taken away. ERR_ACCESS, ERR_NOT_DIR, ERR_IO name the path. */
enum err_code private_dir(const char *path, struct err *e) MUST_CHECK;

/* private_dir() of a path that a user gives: one with wider rights must moreover be empty (but for lost+found) or have in it a
 * name that matches one of `own` (fnmatch(3), NULL at the end), so that nobody's /etc is shut by a slip. ERR_NOT_EMPTY if not;
 * nothing was changed then. */
enum err_code private_dir_given(const char *path, const char *const *own, struct err *e) MUST_CHECK;

#endif
