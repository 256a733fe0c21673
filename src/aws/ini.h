/*
 * The format of AWS's config and credentials files, as the SDKs for Python read it: [sections], `key = value` or
 * `key: value`, keys in lower case, '#' and ';' as the first character of a comment line, indented lines that continue
 * a value or, below a key with an empty value, form one nested block. A section or key that comes twice, a line that is
 * none of these, a NUL and text that is not UTF-8 are errors that name file and line.
 *
 * The text may hold secret keys: it lives in secret memory, and messages quote no values.
 */
#ifndef AWS_INI_H
#define AWS_INI_H

#include "aws/secret_file.h"
#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

enum { INI_FILE_MAX = SECRET_FILE_MAX, INI_ENTRIES_MAX = 5000, INI_SECTIONS_MAX = 1000 };

struct ini;

/* `name` stands in messages. The text is copied. NULL: ERR_INVAL, ERR_TOO_BIG above INI_FILE_MAX bytes, ERR_NOMEM. */
struct ini *ini_parse(const char *name, const char *text, size_t len, struct err *e);

/* Reads a file; one that is missing, or is not a regular file, is empty. One that cannot be read is empty too and gives
 * a warning in the log, so does one with `secret` that others may read. Blocks on the disk. */
struct ini *ini_load(const char *path, bool secret, struct err *e);

void ini_free(struct ini *ini);
CLEANUP_DEFINE(struct ini, ini_free)

/* False when the file was missing or unreadable; ini_problem() then says which, "" otherwise. */
bool ini_present(const struct ini *ini);
const char *ini_problem(const struct ini *ini);
bool ini_unreadable(const struct ini *ini); /* there, but it cannot be read */

size_t ini_sections(const struct ini *ini);

/* The text between the brackets, without blanks at its ends. */
const char *ini_section_name(const struct ini *ini, size_t section);
unsigned ini_section_line(const struct ini *ini, size_t section);

/* A value, "" for an empty one, NULL when absent. `sub` names a key of the nested block below `key`, or is NULL.
 * Borrowed. */
const char *ini_get(const struct ini *ini, size_t section, const char *key, const char *sub);

/* The line of that key for messages, 0 when absent. */
unsigned ini_line(const struct ini *ini, size_t section, const char *key, const char *sub);

#endif
