#include "fuse/watchdog.h"

#include "fuse/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child has open: the connection, a pipe of which the daemon has the other end, the daemon's process. */
enum { DEVICE, PIPE, DAEMON, N_OPEN };

/* ---- In the child, where only what is safe in a signal handler may be called */

static bool keep_open(const int from[N_OPEN])
{
    int away[N_OPEN];

    for (int i = 0; i < N_OPEN; i++)
        if ((away[i] = fcntl(from[i], F_DUPFD, N_OPEN)) < 0)
            return false;
    for (int i = 0; i < N_OPEN; i++)
        if (dup2(away[i], i) < 0)
            return false;
    return close_range(N_OPEN, ~0U, 0) == 0;
}

static _Noreturn void watch(const int from[N_OPEN], size_t max_request)
{
    char *request = mmap(NULL, max_request, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct pollfd alive = {.fd = PIPE, .events = POLLIN};
    struct pollfd fds[] = {{.fd = DEVICE, .events = POLLIN}, {.fd = DAEMON, .events = POLLIN}};

    (void)prctl(PR_SET_NAME, "mount-watchdog"); /* not the name by which somebody kills all daemons */
    (void)setsid();
    if (request == MAP_FAILED || !keep_open(from) || chdir("/") != 0)
        _exit(1);
    while (poll(&alive, 1, -1) < 0 && errno == EINTR)
        ;
    (void)mlock(request, max_request); /* what was to be written may be a secret */
    while (poll(fds, N_OPEN - 1, -1) >= 0 && !fds[1].revents && wire_refuse(DEVICE, request, max_request))
        ;
    _exit(0);
}

/* ---- In the daemon */

static pid_t fork_without_signals(void)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = fork();
    if (pid != 0)
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

enum err_code watchdog_start(struct watchdog *w, int device, size_t max_request, struct err *e)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(e, errno, "pipe");
    int open[N_OPEN] = {[DEVICE] = wire_clone(device), [PIPE] = ends[0], [DAEMON] = (int)syscall(SYS_pidfd_open, getpid(), 0)};
    int why = open[DEVICE] < 0 || open[DAEMON] < 0 ? errno : 0;
    pid_t pid = why ? -1 : fork_without_signals();
    if (pid == 0)
        watch(open, max_request);
    if (pid < 0 && !why)
        why = errno;
    for (int i = 0; i < N_OPEN; i++)
        if (open[i] >= 0)
            close(open[i]);
    if (why) {
        close(ends[1]);
        return err_sys(e, why, "the process that watches the daemon");
    }
    *w = (struct watchdog){.pid = pid, .pipe = ends[1]};
    return ERR_OK;
}

void watchdog_stop(struct watchdog *w)
{
    if (!w->pid)
        return;
    kill(w->pid, SIGKILL);
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(w->pipe);
    *w = (struct watchdog){0};
}
