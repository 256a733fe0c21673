/* A directory that nobody else can look into. */
#ifndef UTIL_PRIVATE_DIR_H
#define UTIL_PRIVATE_DIR_H

#include "awsfs/err.h"

/* Makes `path` with mode 0700 (and missing parents with 0755). One that is there must be ours and no symbolic link; wider rights
 * are taken away. ERR_ACCESS, ERR_NOT_DIR, ERR_IO name the path. */
enum err_code private_dir(const char *path, struct err *e) MUST_CHECK;

#endif
