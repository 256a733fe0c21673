#include "util/child.h"

#include "util/cancel.h"
#include "util/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* The end of a child has no descriptor on older kernels: it is looked for so often. */
enum { LOOK_MS = 20, READ_SIZE = 4096 };

struct child {
    const char *name;
    pid_t pid; /* and group; 0: has ended and was waited for */
    int status;
    int output, wake; /* -1: closed */
    uint64_t deadline_ms;
};

static enum err_code spawn_failed(const char *name, int rc, struct err *e)
{
    if (rc == ENOENT)
        return err_set(e, ERR_NOT_FOUND, "there is no program '%s'", name);
    if (rc == EACCES || rc == ENOEXEC)
        return err_set(e, ERR_ACCESS, "'%s' cannot be executed: %s", name, strerror(rc));
    return err_sys(e, rc, "'%s' cannot be started", name);
}

/* In the child, where only what is safe in a signal handler may be called. posix_spawn() would do, but for the death
 * signal: a daemon that is killed leaves no command behind. */
static _Noreturn void become(char *const argv[], pid_t parent, int output, int report)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
        dup2(null, STDERR_FILENO) >= 0) {
        /* Ours are marked so already; this is for what others have opened in this process. */
        close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
        execvp(argv[0], argv);
    }
    int why = errno;
    ssize_t n = write(report, &why, sizeof(why));
    (void)n; /* the exit status says it too */
    _exit(127);
}

/* Starts the command with its output going to `output`; 0 or an errno. */
static int spawn(struct child *c, char *const argv[], int output)
{
    pid_t self = getpid();
    int report[2], why = 0;
    ssize_t n;

    if (pipe2(report, O_CLOEXEC))
        return errno;
    c->pid = fork();
    if (c->pid == 0)
        become(argv, self, output, report[1]);
    int rc = c->pid < 0 ? errno : 0;
    close(report[1]);
    do
        n = rc ? 0 : read(report[0], &why, sizeof(why));
    while (n < 0 && errno == EINTR);
    close(report[0]);
    return rc ? rc : n == (ssize_t)sizeof(why) ? why : 0;
}

static enum err_code start(struct child *c, char *const argv[], struct err *e)
{
    int ends[2];

    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake < 0)
        return err_sys(e, errno, "eventfd");
    if (pipe2(ends, O_CLOEXEC))
        return err_sys(e, errno, "pipe");
    c->output = ends[0];
    int rc = spawn(c, argv, ends[1]);
    close(ends[1]);
    return rc ? spawn_failed(c->name, rc, e) : ERR_OK;
}

static void wake(void *arg)
{
    const struct child *c = arg;
    uint64_t one = 1;
    ssize_t n = write(c->wake, &one, sizeof(one));

    (void)n; /* full means that it is awake */
}

/* Waits for output, a cancel or `until_ms`. */
static enum err_code wait_some(struct child *c, uint64_t until_ms, struct cancel *cancel, struct err *e)
{
    struct pollfd fds[] = {{.fd = c->output, .events = POLLIN}, {.fd = c->wake, .events = POLLIN}};
    uint64_t now = clock_mono_ms();

    if (cancel && cancel_fired(cancel))
        return err_set(e, ERR_CANCELED, "'%s' was not waited for", c->name);
    if (now >= c->deadline_ms)
        return err_set(e, ERR_TIMEOUT, "'%s' did not end in time and was killed", c->name);
    if (until_ms > c->deadline_ms)
        until_ms = c->deadline_ms;
    if (poll(fds, 2, until_ms > now ? (int)(until_ms - now) : 0) < 0 && errno != EINTR)
        return err_sys(e, errno, "poll");
    return ERR_OK;
}

/* To the end of its output. */
static enum err_code collect(struct child *c, struct buf *out, struct cancel *cancel, struct err *e)
{
    char bytes[READ_SIZE];
    enum err_code code = ERR_OK;

    while (!code && !(code = wait_some(c, UINT64_MAX / 2, cancel, e))) {
        fcntl(c->output, F_SETFL, O_NONBLOCK);
        ssize_t n = read(c->output, bytes, sizeof(bytes));

        if (n == 0)
            break;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            code = err_sys(e, errno, "read from '%s'", c->name);
        else if (n > 0 && (size_t)n > out->max - out->len)
            code = err_set(e, ERR_TOO_BIG, "'%s' prints more than %zu bytes and was killed", c->name, out->max);
        else if (n > 0)
            buf_add(out, bytes, (size_t)n);
    }
    explicit_bzero(bytes, sizeof(bytes));
    return code ? code : buf_check(out, c->name, e);
}

/* To the end of the process itself. */
static enum err_code wait_end(struct child *c, struct cancel *cancel, struct err *e)
{
    close(c->output);
    c->output = -1;
    for (;;) {
        pid_t ended = waitpid(c->pid, &c->status, WNOHANG);

        if (ended == c->pid) {
            c->pid = 0;
            return ERR_OK;
        }
        if (ended < 0 && errno != EINTR)
            return err_sys(e, errno, "wait for '%s'", c->name);
        enum err_code code = wait_some(c, clock_mono_ms() + LOOK_MS, cancel, e);
        if (code)
            return code;
    }
}

static enum err_code judge(const struct child *c, struct err *e)
{
    if (WIFSIGNALED(c->status))
        return err_set(e, ERR_IO, "'%s' was ended by signal %d", c->name, WTERMSIG(c->status));
    if (WEXITSTATUS(c->status))
        return err_set(e, ERR_IO, "'%s' failed with status %d", c->name, WEXITSTATUS(c->status));
    return ERR_OK;
}

static void end(struct child *c)
{
    if (c->pid > 0) {
        kill(-c->pid, SIGKILL);
        while (waitpid(c->pid, &c->status, 0) < 0 && errno == EINTR)
            ;
    }
    if (c->output >= 0)
        close(c->output);
    if (c->wake >= 0)
        close(c->wake);
}

enum err_code child_run(char *const argv[], unsigned timeout_ms, struct buf *out, struct cancel *cancel, struct err *e)
{
    struct child c = {.name = argv[0], .output = -1, .wake = -1, .deadline_ms = clock_mono_ms() + timeout_ms};
    struct cancel_hook hook = {0};
    enum err_code code = start(&c, argv, e);

    if (!code) {
        cancel_hook_add(cancel, &hook, wake, &c);
        if (!(code = collect(&c, out, cancel, e)) && !(code = wait_end(&c, cancel, e)))
            code = judge(&c, e);
        cancel_hook_remove(cancel, &hook);
    }
    end(&c);
    return code;
}
