/*
 * What libfuse 3.14 does not show of the kernel's protocol (7.38, linux/fuse.h). Two hooks around the reads and writes of
 * /dev/fuse: the first sees each request before libfuse decodes it, the second completes the reply to INIT.
 *
 * The point of both is HANDLE_KILLPRIV_V2: without it the kernel precedes every write by a GETXATTR of security.capability.
 * With it the kernel marks the writes, truncations and opens at which setuid and setgid must go, and does not clear them
 * itself. Before libfuse 3.17 it is also how passthrough is asked for (passthrough.h).
 */
#ifndef FUSE_WIRE_H
#define FUSE_WIRE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fuse_session;

struct wire {
    uint64_t init_unique;     /* of the INIT request; 0 before it came and after it was answered */
    uint32_t init_offered;    /* flags the kernel offered there */
    bool passthrough_offered; /* FUSE_PASSTHROUGH was among them */
    bool passthrough;         /* it is to be put into the reply; set by the handler of INIT */
    atomic_bool kill_suidgid; /* it was offered and taken */
};

/* Puts the hooks on a mounted session whose userdata begins with a `struct wire`. 0 or a negative errno. */
int wire_install(struct fuse_session *se);

/* One more descriptor of a connection: what is read from one of them is answered there, and ends with an error when that one is closed
 * (fuse_dev_release() of Linux). -1: there is none. */
int wire_clone(int master);

/* The kernel forgets a name, or the pages and attributes of an inode. Blocks behind requests on that directory (its lock) or inode (its
 * pages), and no signal ends that. What fails was forgotten already. */
void wire_tell_entry(int fd, uint64_t parent, const char *name);
void wire_tell_inode(int fd, uint64_t ino);

/* Reads a request and answers ENOTCONN, as the kernel does where the daemon is gone, or returns at once where `fd`, which it makes
 * non-blocking, has none. False when the connection has ended, or what was read is no request. `buf`: for the largest request, wiped
 * afterwards. Safe in a signal handler. */
bool wire_refuse(int fd, void *buf, size_t size);

/* Whether the request that the calling worker has read last asks to clear setuid and setgid (WRITE, SETATTR, OPEN, CREATE).
 * Only valid on a worker, inside the handler of that request. */
bool wire_kill_suidgid(void);

#endif
