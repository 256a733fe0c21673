/* Small files that may hold secrets: keys, cached tokens. What is read lives in secret memory. */
#ifndef AWS_SECRET_FILE_H
#define AWS_SECRET_FILE_H

#include "awsfs/err.h"
#include "util/buf.h"

#include <stdbool.h>

enum { SECRET_FILE_MAX = 1 << 20 };

/* Appends the whole file to `out` (secret, with room for SECRET_FILE_MAX). With `own`, one that other users may read
 * gives a warning in the log. ERR_NOT_FOUND: it is not there, or is no regular file. ERR_ACCESS, ERR_IO: it is there
 * and cannot be read. ERR_TOO_BIG above SECRET_FILE_MAX bytes. Messages begin with the path. Blocks on the disk. */
enum err_code secret_file_read(const char *path, bool own, struct buf *out, struct err *e) MUST_CHECK;

/* Replaces the file, which must have been there, by one of the same owner with mode 0600: whole or not at all. */
enum err_code secret_file_write(const char *path, const struct buf *text, struct err *e) MUST_CHECK;

#endif
