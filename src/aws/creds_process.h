/* The command that prints credentials. Private to the credentials' files. */
#ifndef AWS_CREDS_PROCESS_H
#define AWS_CREDS_PROCESS_H

#include "aws/creds_source.h"

/* Splits `command` as a shell does, runs it without one, and decodes what it prints. `label` is the set's, for people.
 * Blocks up to `timeout_ms`. Never ERR_NOT_FOUND. Messages quote no argument and nothing that was printed. */
enum err_code creds_process_run(const char *command, unsigned timeout_ms, const char *label, struct cancel *cancel,
                                struct creds **out, struct err *e) MUST_CHECK;

#endif
