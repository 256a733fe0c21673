#include "cli/daemon.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SLOW_S 2

/* What goes through the pipe, whole: smaller than PIPE_BUF. */
struct report {
    int status;
    char message[ERR_MSG_SIZE + 64];
};

static ssize_t read_report(int fd, struct report *r)
{
    ssize_t n;

    do
        n = read(fd, r, sizeof(*r));
    while (n < 0 && errno == EINTR);
    return n;
}

static int wait_for_child(pid_t pid, int fd)
{
    struct report r;
    int status = 0;

    if (read_report(fd, &r) == (ssize_t)sizeof(r)) {
        r.message[sizeof(r.message) - 1] = '\0';
        if (r.message[0])
            fprintf(stderr, "awsfs: %s\n", r.message);
        return r.status;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        fprintf(stderr, "awsfs: the daemon was ended by signal %d before the mount was there\n", WTERMSIG(status));
    else
        fprintf(stderr, "awsfs: the daemon ended before the mount was there\n");
    return 1;
}

int daemon_start(struct daemon *d, bool foreground)
{
    int ends[2];

    *d = (struct daemon){.foreground = foreground, .report_fd = -1};
    if (foreground)
        return -1;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        fprintf(stderr, "awsfs: pipe: %s\n", strerror(errno));
        return 1;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        fprintf(stderr, "awsfs: fork: %s\n", strerror(errno));
        return 1;
    }
    if (pid > 0) {
        close(ends[1]);
        return wait_for_child(pid, ends[0]);
    }
    close(ends[0]);
    setsid();
    /* A ^C at the command reaches only the parent. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    d->report_fd = ends[1];
    return -1;
}

static void *guard(void *arg)
{
    const struct timespec soon = {.tv_sec = SLOW_S};
    struct daemon *d = arg;
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    while ((sig = sigtimedwait(&set, NULL, &soon)) < 0)
        if (errno == EAGAIN && d->slow)
            d->slow(d->slow_arg);
    if (sig != SIGUSR1)
        _exit(daemon_failed(d, d->fail_status, "interrupted before the mount was there"));
    return NULL;
}

enum err_code daemon_leave(struct daemon *d, struct err *e)
{
    return d->foreground || chdir("/") == 0 ? ERR_OK : err_sys(e, errno, "/");
}

void daemon_guard(struct daemon *d, int fail_status)
{
    d->fail_status = fail_status;
    d->guarded = pthread_create(&d->guard, NULL, guard, d) == 0;
}

void daemon_unguard(struct daemon *d)
{
    prctl(PR_SET_PDEATHSIG, 0); /* an attribute of the thread that has set it */
    if (!d->guarded)
        return;
    d->guarded = false;
    pthread_kill(d->guard, SIGUSR1);
    pthread_join(d->guard, NULL);
}

static void send_report(struct daemon *d, int status, const char *message)
{
    struct report r = {.status = status};

    snprintf(r.message, sizeof(r.message), "%s", message);
    ssize_t n = write(d->report_fd, &r, sizeof(r));
    (void)n; /* a parent that was killed does not stop the mount */
    close(d->report_fd);
    d->report_fd = -1;
}

void daemon_ready(struct daemon *d)
{
    if (d->foreground || d->report_fd < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        if (null > STDERR_FILENO)
            close(null);
    }
    send_report(d, 0, "");
}

int daemon_failed(struct daemon *d, int status, const char *message)
{
    if (d->report_fd >= 0)
        send_report(d, status, message);
    else
        fprintf(stderr, "awsfs: %s\n", message);
    return status;
}
