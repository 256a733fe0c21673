#include "vfs/process.h"

#include "util/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel opens none but the thread that leads its process (pidfd_open(2)), and says so 20 times as fast as its status is read. */
static bool leads(pid_t tid)
{
    int fd = (int)syscall(SYS_pidfd_open, tid, 0);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

pid_t process_of(pid_t tid)
{
    if (tid <= 0)
        return 0;
    if (leads(tid))
        return tid;
    char path[48], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    __attribute__((cleanup(close_cleanup))) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (n <= 0)
        return 0;
    text[n] = 0;
    const char *line = strstr(text, "\nTgid:");
    return line ? (pid_t)strtol(line + strlen("\nTgid:"), NULL, 10) : 0;
}

/* A zombie has closed its descriptors: it counts as gone. */
bool process_lives(pid_t tgid)
{
    char path[48], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)tgid);
    __attribute__((cleanup(close_cleanup))) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (n <= 0)
        return false;
    text[n] = 0;
    const char *state = strrchr(text, ')');
    return state && strlen(state) > 2 && state[2] != 'Z' && state[2] != 'X';
}
