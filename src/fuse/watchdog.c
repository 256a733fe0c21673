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

/* What the child has open: the connection, the other end of the daemon's pipe, the daemon's process, where it says that it watches. */
enum { DEVICE, PIPE, DAEMON, READY, N_OPEN };

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
    if (write(READY, "", 1) != 1 || close(READY) != 0)
        _exit(1);
    while (poll(&alive, 1, -1) < 0 && errno == EINTR)
        ;
    (void)mlock(request, max_request); /* what was to be written may be a secret */
    while (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) >= 0 && !fds[1].revents && wire_refuse(DEVICE, request, max_request))
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

static void close_all(int fds[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Whether the child has begun to watch; else it ends. */
static bool has_begun(int ready)
{
    char byte;
    ssize_t n;

    do
        n = read(ready, &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1;
}

static void wait_for_end(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

static enum err_code start(struct watchdog *w, int open[N_OPEN], int ready, size_t max_request, struct err *e)
{
    pid_t pid = fork_without_signals();
    int why = pid < 0 ? errno : 0;

    if (pid == 0)
        watch(open, max_request);
    close(open[READY]);
    open[READY] = -1;
    if (why)
        return err_sys(e, why, "fork");
    w->pid = pid;
    if (has_begun(ready))
        return ERR_OK;
    wait_for_end(pid);
    w->pid = 0;
    return err_set(e, ERR_IO, "it ended at once");
}

enum err_code watchdog_start(struct watchdog *w, int device, size_t max_request, struct err *e)
{
    int alive[2] = {-1, -1}, ready[2] = {-1, -1};
    enum err_code code;

    int clone = wire_clone(device), daemon = clone < 0 ? -1 : (int)syscall(SYS_pidfd_open, getpid(), 0);
    if (daemon < 0 || pipe2(alive, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0)
        code = err_sys(e, errno, "its descriptors");
    else
        code = ERR_OK;
    int open[N_OPEN] = {[DEVICE] = clone, [PIPE] = alive[0], [DAEMON] = daemon, [READY] = ready[1]};
    if (code == ERR_OK)
        code = start(w, open, ready[0], max_request, e);
    close_all(open, N_OPEN);
    close_all(ready, 1);
    if (code != ERR_OK) {
        close_all(&alive[1], 1);
        return err_prefix(e, code, "the process that watches the daemon");
    }
    w->pipe = alive[1];
    return ERR_OK;
}

void watchdog_begin(struct watchdog *w)
{
    if (w->pid && w->pipe >= 0)
        close(w->pipe);
    w->pipe = -1;
}

void watchdog_stop(struct watchdog *w)
{
    if (!w->pid)
        return;
    kill(w->pid, SIGKILL);
    wait_for_end(w->pid);
    watchdog_begin(w);
    w->pid = 0;
}
