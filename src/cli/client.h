/* The commands that talk to a running mount: awsfs status, flush, umount. Each returns the status to exit with. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <stdbool.h>
#include <stdio.h>

/* Prints the state of the mount at `dir`, or of all mounts of this user (NULL), as text or JSON. */
int client_status(const char *dir, bool json);

/* Waits until what was written there is in the store; progress on a terminal. */
int client_flush(const char *dir);

/* The same, then unmounts and waits until the daemon has ended. Also removes the mount of a daemon that is gone,
 * and then says that nothing was waited for: 1. */
int client_umount(const char *dir);

/* The first line of the answer to a request (cli/control.h) by the daemon of the mount at `mountpoint`, a resolved path; malloc'd. NULL
 * where there is none. */
char *client_ask(const char *mountpoint, const char *request);

/* Whether `now`, a daemon's status, is of the one that `before` is of, and that goes on: another may serve the same mountpoint by
 * now. Either may be NULL, for no answer: of `now` false, of `before` any daemon counts. Pure. */
bool client_goes_on(const char *before, const char *now);

/* Prints one line of JSON (the daemon's) as indented text. */
void client_print_text(const char *json, FILE *out);

#endif
