/*
 * Splits text into words as a POSIX shell does where nothing is expanded: blanks separate, '...' takes all literally,
 * "..." and plain text know the backslash. Inside "..." a backslash quotes only '"' and itself, and stays otherwise.
 * The rules are those of shlex.split() in Python's library, by which the SDK for Python reads section names and
 * commands.
 */
#ifndef UTIL_SHLEX_H
#define UTIL_SHLEX_H

#include "util/buf.h"

enum shlex { SHLEX_WORD, SHLEX_END, SHLEX_OPEN_QUOTE, SHLEX_BARE_BACKSLASH };

/* Appends the next word, which may be empty (''), to `word` and moves *text behind it. Pure. */
enum shlex shlex_next(const char **text, struct buf *word);

#endif
