/* Which process a request comes from: a request carries a thread id. */
#ifndef VFS_PROCESS_H
#define VFS_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

/* The thread group of a thread, 0 when it cannot be told (gone, another namespace). */
pid_t process_of(pid_t tid);

/* True while the thread group has a living thread. */
bool process_lives(pid_t tgid);

#endif
