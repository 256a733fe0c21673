/* The file of option sse_c_key_file. */
#ifndef CLI_SSE_KEY_H
#define CLI_SSE_KEY_H

#include "awsfs/err.h"

#include <stdint.h>

enum { SSE_KEY_SIZE = 32 };

/* The key from a file that has 32 bytes, 64 hex digits or base64 of 32 bytes; a newline may follow text. The file must be
 * regular, belong to root or to this user, and be closed to others; that its group may read it is a warning. In secret memory:
 * secret_free() it. NULL: ERR_INVAL, ERR_ACCESS, ERR_IO, ERR_NOMEM; nothing of the content is told. */
uint8_t *sse_key_read(const char *path, struct err *e);

#endif
