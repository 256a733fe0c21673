#include "fuse/fatal.h"

#include "util/cleanup.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BIT(sig) (1ULL << ((sig)-1))

/* Signals that do nothing by default, or stop: a stopped program waits on. */
static const uint64_t harmless = BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGCONT) | BIT(SIGSTOP) | BIT(SIGTSTP) |
                                 BIT(SIGTTIN) | BIT(SIGTTOU);
static const uint64_t asked_for = BIT(SIGINT) | BIT(SIGQUIT);

static bool mask(const char *status, const char *label, uint64_t *out)
{
    const char *line = strstr(status, label);
    if (!line)
        return false;
    char *end;
    *out = strtoull(line + strlen(label), &end, 16);
    return end != line + strlen(label);
}

bool fatal_in_status(const char *status)
{
    uint64_t own, shared, blocked, ignored, caught;
    if (!mask(status, "\nSigPnd:", &own) || !mask(status, "\nShdPnd:", &shared) || !mask(status, "\nSigBlk:", &blocked) ||
        !mask(status, "\nSigIgn:", &ignored) || !mask(status, "\nSigCgt:", &caught))
        return true;
    uint64_t pending = own | shared;
    if (pending & BIT(SIGKILL))
        return true;
    pending &= ~blocked & ~ignored;
    return (pending & ~caught & ~harmless) || (pending & caught & asked_for);
}

bool fatal_pending(pid_t tid)
{
    char path[48], text[4096];
    if (tid <= 0)
        return true;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    __attribute__((cleanup(close_cleanup))) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (n <= 0)
        return true;
    text[n] = 0;
    return fatal_in_status(text);
}
