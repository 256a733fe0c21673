/*
 * A command of the user's, run without a shell, whose output is wanted: bounded in size and time, and never left
 * behind. It leads a process group of its own, reads from /dev/null, has no descriptor of ours beside its output,
 * signals as at a login, and the environment that this process was given. What it says on standard error is not kept:
 * it may hold secrets.
 */
#ifndef UTIL_CHILD_H
#define UTIL_CHILD_H

#include "util/buf.h"

struct cancel;

/* Runs argv[0] (looked for in PATH) and appends its standard output to `out`, whose maximum is the limit. Blocks until
 * it has ended with status 0. Otherwise the whole group is killed: ERR_TIMEOUT after `timeout_ms`, ERR_TOO_BIG above
 * the limit, ERR_CANCELED (`cancel` may be NULL), ERR_NOT_FOUND no such program, ERR_ACCESS not executable, ERR_IO it
 * failed. Messages name the program, never an argument or a byte of its output. */
enum err_code child_run(char *const argv[], unsigned timeout_ms, struct buf *out, struct cancel *cancel,
                        struct err *e) MUST_CHECK;

#endif
