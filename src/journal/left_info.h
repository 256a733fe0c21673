/* The description beside a file that is left for its owner (JSON), as it is written. left.h reads it. */
#ifndef JOURNAL_LEFT_INFO_H
#define JOURNAL_LEFT_INFO_H

#include "journal/stage.h"
#include "util/buf.h"

#define LEFT_INFO_MAX (16u * 1024 * 1024)

/* Begins it with what is known of the file, of `size` bytes; what else there is to say may be appended. */
void left_info_begin(struct buf *b, const struct stage_about *about, uint64_t size);

/* Ends it and puts it beside the file `path`; durable when it returns. ERR_NOSPC, ERR_IO, ERR_NOMEM. */
enum err_code left_info_put(struct buf *b, const char *path, struct err *e) MUST_CHECK;

#endif
