/*
 * The file of config=FILE: lines `option = value` or `option`, comments from '#' or ';' at a line's beginning, and sections
 * [SOURCE] whose options are only for that source. What stands before the first section is for all. The command line wins.
 */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "awsfs/err.h"
#include "cli/options.h"

/* Applies the file to `o` for `source` (its canonical text). Lines of other sources are checked too. ERR_INVAL,
 * ERR_UNSUPPORTED: "FILE:LINE: ..."; ERR_IO, ERR_NOT_FOUND, ERR_ACCESS: cannot be read. */
enum err_code config_read(const char *path, const char *source, struct options *o, struct err *e) MUST_CHECK;

/* The same from memory; `path` is for messages. */
enum err_code config_parse(const char *text, size_t len, const char *path, const char *source, struct options *o,
                           struct err *e) MUST_CHECK;

/* All options of a command: the defaults, then the file of config=, then the lists of the command line (-o), so that the last
 * wins; checked as a whole. `o` is to be released also after a failure. The errors of options.h and of config_read(). */
enum err_code options_read(struct options *o, const char *const *lists, size_t n, bool sloppy, const char *source, bool is_ssm,
                           struct err *e) MUST_CHECK;

#endif
