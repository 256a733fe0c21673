/*
 * Answers for a daemon that was killed, or that reads no more requests while it still sends. What is in the kernel's queue would be read by
 * nobody, and it does not end either where a thread of the daemon waits in the kernel for the lock of a directory that such a request
 * holds (notify.h): that thread cannot die, and its descriptor keeps the connection. So a process of its own has a descriptor of the
 * connection too. It does nothing while the daemon reads; after that it answers every request with ENOTCONN until the daemon's last
 * thread is gone, and then ends.
 */
#ifndef FUSE_WATCHDOG_H
#define FUSE_WATCHDOG_H

#include "awsfs/err.h"

#include <stddef.h>
#include <sys/types.h>

struct watchdog {
    pid_t pid; /* 0: none runs */
    int pipe;  /* the daemon's end, -1: closed, which says that nobody reads requests any more */
};

/* For the connection of `device`, which it clones, with requests of up to `max_request` bytes. ERR_IO with the cause: nobody watches then,
 * and all else works. No secret may be in memory but by secret.h: the process is a fork of this one. */
enum err_code watchdog_start(struct watchdog *w, int device, size_t max_request, struct err *e) MUST_CHECK;

/* The daemon has stopped reading requests, though it goes on: those that still come are answered from now on. */
void watchdog_begin(struct watchdog *w);

/* When the mount is gone, and no thread of this process waits in the kernel for a request. Waits for its end, which comes at once. Without
 * one, nothing. */
void watchdog_stop(struct watchdog *w);

#endif
