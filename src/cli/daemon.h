/*
 * Going into the background only after the mount is known to work: the command forks at once, the child does everything and
 * reports over a pipe, the parent waits for that report and ends with it.
 */
#ifndef CLI_DAEMON_H
#define CLI_DAEMON_H

#include "awsfs/err.h"

#include <pthread.h>
#include <stdbool.h>

struct daemon {
    bool foreground;
    int report_fd;   /* of the child; -1: reported, or in the foreground */
    int fail_status; /* to end with at a signal before it serves */
    void (*slow)(void *arg); /* NULL, or: called every two seconds until the mount is there, on a thread of its own; blocks for nothing */
    void *slow_arg;
    pthread_t guard;
    bool guarded;
};

/* In the foreground: returns -1. Otherwise forks: in the child returns -1, in the parent waits and returns the status to exit
 * with, after printing what the child reported. Before any thread starts. */
int daemon_start(struct daemon *d, bool foreground);

/* The child lets go of the directory it was started in, before anything is looked for that is looked for again later: a relative
 * path that is left fails now, not after hours. Nothing in the foreground. */
enum err_code daemon_leave(struct daemon *d, struct err *e) MUST_CHECK;

/* With SIGTERM and SIGINT blocked: until daemon_unguard() they end the process at once, with daemon_failed()'s report. There is
 * nothing to finish then. Both on the thread of daemon_start(). */
void daemon_guard(struct daemon *d, int fail_status);
void daemon_unguard(struct daemon *d);

/* It works: the parent ends with 0; the child lets go of the terminal. Once. */
void daemon_ready(struct daemon *d);

/* It does not: the line goes to the user ("awsfs: MESSAGE"), the parent ends with `status`. Returns `status`. */
int daemon_failed(struct daemon *d, int status, const char *message);

#endif
