/* Writes the bytes of journal entries into a directory. */
#ifndef CLI_JOURNAL_EXPORT_H
#define CLI_JOURNAL_EXPORT_H

#include "cli/journal_find.h"
#include "util/buf.h"

/* Copies the file of an entry into the directory `to` (made where it is missing, 0700), as its key says: with directories of its
 * own for what is before a slash. Nothing that is there is replaced (" (2)" and so on follow the name), no symbolic link is
 * followed, and no name leads out. What it has of bytes that are not there is zeros, and its description is put beside it.
 * Appends the name, below `to`, that it got. ERR_NOSPC, ERR_IO, ERR_NOT_DIR, ERR_ACCESS, ERR_NOMEM. */
enum err_code journal_export(const struct journal_entry *entry, const char *to, struct buf *name, struct err *e) MUST_CHECK;

#endif
