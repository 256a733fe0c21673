/* What the files of renames look like. Private to journal/renames*.c. */
#ifndef JOURNAL_RENAMES_FILE_H
#define JOURNAL_RENAMES_FILE_H

#include "journal/durable.h"
#include "journal/renames.h"

#include <stdbool.h>
#include <stdint.h>

#define RENAMES_SUFFIX ".rename"
#define RENAMES_UNDO   ".undo"
#define RENAMES_ASIDE  ".bad"

#define RENAMES_HEAD      8u          /* length and CRC-32C of the record, little-endian */
#define RENAMES_FRAME_MAX (256u << 10) /* bytes of a record: metadata of an object fit */

#define RENAMES_LIFE      32u

struct rename_note {
    char *path;
    int fd; /* locked as long as somebody works on it */
    bool durable; /* its end has to be, too: it would be carried out again */
};

/* Locks the file for who works on it. -1 with errno: somebody else does. */
int renames_lock(int fd);

/* ---- renames_life.c. Of a record that was not synced, its end is neither: after a power loss the record of a rename that was long done
 * may be there again, when the names stand for other things. So its name, RANDOM-BOOT-INODE.rename, says when it holds: in this boot,
 * and not as a copy of itself. */

/* "-BOOT-INODE" of an open file. */
bool renames_life(int fd, char out[RENAMES_LIFE]);
/* That part of a path, and what follows; NULL: it holds for ever. */
const char *renames_life_in(const char *path);
/* Whether it says nothing any more. */
bool renames_is_past(const char *path, int fd);

#endif
