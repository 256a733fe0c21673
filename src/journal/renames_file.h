/* What the files of renames look like. Private to journal/renames*.c. */
#ifndef JOURNAL_RENAMES_FILE_H
#define JOURNAL_RENAMES_FILE_H

#include "journal/durable.h"
#include "journal/renames.h"

#define RENAMES_SUFFIX ".rename"
#define RENAMES_UNDO   ".undo"
#define RENAMES_ASIDE  ".bad"

#define RENAMES_HEAD      8u          /* length and CRC-32C of the record, little-endian */
#define RENAMES_FRAME_MAX (256u << 10) /* bytes of a record: metadata of an object fit */

struct rename_note {
    char *path;
    int fd; /* locked as long as somebody works on it */
};

#endif
