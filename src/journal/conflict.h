/* Names of what is put beside an object that others changed meanwhile. */
#ifndef JOURNAL_CONFLICT_H
#define JOURNAL_CONFLICT_H

#include "util/buf.h"

/* Where a name is taken it is that of another conflict of the same second: as many are tried. */
#define CONFLICT_NAMES 20

/* Appends "KEY (conflict HOST DATE)"; from the second attempt on a number follows the date. */
void conflict_key(const char *key, unsigned attempt, struct buf *out);

#endif
