/* The one table that turns a failure into the errno a program sees. */
#ifndef FUSE_ERRNO_OF_H
#define FUSE_ERRNO_OF_H

#include "awsfs/err.h"

/* The positive errno for `code`; 0 for ERR_OK. Pure, any thread. A code outside of the list is EIO. */
int errno_of(enum err_code code);

#endif
