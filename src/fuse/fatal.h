/* Whether a thread that waits for a request must be let go. Private to src/fuse. */
#ifndef FUSE_FATAL_H
#define FUSE_FATAL_H

#include <stdbool.h>
#include <sys/types.h>

/* True if a signal is pending for thread `tid` that ends its process, or an interrupt or quit (^C, ^\) that it handles: what a
 * program lets interrupt it. Other signals that it handles (timers, children, window size) do not end a call on a disk's
 * filesystem either. True as well when it cannot be told: the thread is gone, or lives where its number means nothing here. */
bool fatal_pending(pid_t tid);

/* The decision on the text of /proc/TID/status. */
bool fatal_in_status(const char *status);

#endif
