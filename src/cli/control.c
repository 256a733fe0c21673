#include "cli/control.h"

#include "cli/state.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/private_dir.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 8
#define PATIENCE_S 5
#define PAUSE_MS   100
#define STARTING_S 60 /* within this a daemon that bound its socket listens on it */

struct control {
    struct control_ops ops;
    int listen_fd;
    int stop[2]; /* readable ([0]) once stopping */
    char path[PATH_MAX];
    ino_t ino; /* of our socket: a successor's is not removed */
    struct pool *pool;
    pthread_t thread;
};

struct client {
    struct control *control;
    int fd;
};

void control_dir(char out[PATH_MAX])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (geteuid() == 0)
        snprintf(out, PATH_MAX, "/run/awsfs");
    else if (runtime && runtime[0] == '/' && strlen(runtime) < 64)
        snprintf(out, PATH_MAX, "%s/awsfs", runtime);
    else
        snprintf(out, PATH_MAX, "/tmp/awsfs-%u", (unsigned)geteuid());
}

enum err_code control_path(const char *mountpoint, char out[PATH_MAX], struct err *e)
{
    char hex[2 * DIGEST_MAX + 1], dir[PATH_MAX];
    enum err_code code = digest_hex(DIGEST_SHA256, mountpoint, strlen(mountpoint), hex, e);

    if (code != ERR_OK)
        return code;
    control_dir(dir);
    snprintf(out, PATH_MAX, "%.*s/%.16s.sock", PATH_MAX - 32, dir, hex);
    return ERR_OK;
}

static bool is_welcome(int fd)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

static void say(int fd, const char *text, size_t len)
{
    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static void say_progress(void *arg, uint64_t files, uint64_t bytes)
{
    const struct client *c = arg;
    char line[80];
    int n = snprintf(line, sizeof(line), "progress %llu %llu\n", (unsigned long long)files, (unsigned long long)bytes);

    say(c->fd, line, (size_t)n);
}

static void serve_status(struct client *c)
{
    BUF(out, 4 << 20);

    c->control->ops.status(c->control->ops.arg, &out);
    buf_add_char(&out, '\n');
    if (buf_check(&out, "status", NULL) == ERR_OK)
        say(c->fd, out.data, out.len);
}

static void serve_flush(struct client *c)
{
    struct err e = ERR_INIT;
    BUF(out, 1024);

    enum err_code code = c->control->ops.flush(c->control->ops.arg, say_progress, c, &e);
    uint64_t kept = c->control->ops.kept(c->control->ops.arg);
    if (kept)
        buf_addf(&out, "kept %llu\n", (unsigned long long)kept);
    if (code == ERR_OK)
        buf_add_str(&out, "done\n");
    else
        buf_addf(&out, "failed %s\n", e.msg);
    say(c->fd, buf_str(&out), out.len);
}

static void serve_done(struct client *c, void (*fn)(void *arg, const char *what), const char *what)
{
    fn(c->control->ops.arg, what);
    say(c->fd, "done\n", strlen("done\n"));
}

/* Until the daemon stops, or the client goes away. True: the connection stays, for the kernel to close when nothing is left of the process:
 * after control_free() it still has its cache to fill. */
static bool serve_wait(struct client *c)
{
    struct pollfd fds[] = {{.fd = c->control->stop[0], .events = POLLIN}, {.fd = c->fd, .events = POLLIN}};

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    return fds[1].revents == 0;
}

/* True: the connection stays. */
static bool answer(struct client *c, const char *line)
{
    const struct control_ops *ops = &c->control->ops;

    if (strcmp(line, "status") == 0)
        serve_status(c);
    else if (strcmp(line, "flush") == 0)
        serve_flush(c);
    else if (strcmp(line, "settle") == 0)
        ops->settle(ops->arg);
    else if (strcmp(line, "wait") == 0)
        return serve_wait(c);
    else if (strcmp(line, "retry") == 0 || str_starts(line, "retry "))
        serve_done(c, ops->retry, line[5] ? line + 6 : NULL);
    else if (str_starts(line, "changed "))
        serve_done(c, ops->changed, line + strlen("changed "));
    return false;
}

static void serve(void *arg)
{
    struct client *c = arg;
    char line[CONTROL_LINE_MAX], *end = NULL;
    size_t len = 0;
    ssize_t n;

    while (!end && len < sizeof(line) && (n = recv(c->fd, line + len, sizeof(line) - len, 0)) > 0) {
        end = memchr(line + len, '\n', (size_t)n);
        len += (size_t)n;
    }
    if (end)
        *end = '\0';
    if (!end || !answer(c, line))
        close(c->fd);
    free(c);
}

/* False: nobody is there. */
static bool accept_one(struct control *ctl)
{
    struct timeval patience = {.tv_sec = PATIENCE_S};
    CLEANUP(close) int fd = accept4(ctl->listen_fd, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return errno == ECONNABORTED || errno == EINTR; /* that one went away: others may be there */
    if (!is_welcome(fd))
        return true;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    CLEANUP(free) struct client *c = malloc(sizeof(*c));
    if (!c || pool_pending(ctl->pool) >= CLIENTS)
        return true;
    *c = (struct client){.control = ctl, .fd = fd};
    if (pool_submit(ctl->pool, serve, c, NULL) != ERR_OK)
        return true;
    c = NULL;
    fd = -1;
    return true;
}

static void *listen_loop(void *arg)
{
    struct control *c = arg;
    struct pollfd fds[] = {{.fd = c->stop[0], .events = POLLIN}, {.fd = c->listen_fd, .events = POLLIN}};

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (fds[0].revents)
            break;
        if (fds[1].revents && !accept_one(c)) /* perhaps for want of a descriptor: who waits is seen again at once */
            (void)poll(fds, 1, PAUSE_MS);
    }
    /* Who connected before the unmount that stops us, and so waits for our end, is not turned away. */
    while (accept_one(c))
        ;
    return NULL;
}

/* Nobody listens there any more. */
static bool is_dead(int dir, const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat st;
    CLEANUP(close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid() ||
        time(NULL) < st.st_mtime + STARTING_S)
        return false;
    int n = snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/%s", dir, name);
    return n > 0 && (size_t)n < sizeof(at.sun_path) && connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0 &&
           errno == ECONNREFUSED;
}

/* The sockets of daemons that were killed. */
static void sweep(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *d;

    while (dir && (d = readdir(dir)) != NULL) {
        size_t len = strlen(d->d_name);
        if (len > 5 && strcmp(d->d_name + len - 5, ".sock") == 0 && is_dead(dirfd(dir), d->d_name))
            unlinkat(dirfd(dir), d->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

static enum err_code listen_at(struct control *c, const char *mountpoint, struct err *e)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char dir[PATH_MAX];
    struct stat st;

    control_dir(dir);
    enum err_code code = private_dir(dir, e);
    if (code == ERR_OK)
        code = control_path(mountpoint, c->path, e);
    if (code != ERR_OK)
        return code;
    sweep(dir);
    if (strlen(c->path) >= sizeof(at.sun_path))
        return err_set(e, ERR_NAME_TOO_LONG, "%s is too long for a socket", c->path);
    memcpy(at.sun_path, c->path, strlen(c->path) + 1);
    c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(c->path); /* of a daemon that was killed: nothing is mounted there */
    if (c->listen_fd < 0 || bind(c->listen_fd, (struct sockaddr *)&at, sizeof(at)) != 0 || chmod(c->path, 0600) != 0 ||
        stat(c->path, &st) != 0 || listen(c->listen_fd, CLIENTS) != 0)
        return err_sys(e, errno, "%s", c->path);
    c->ino = st.st_ino;
    return ERR_OK;
}

struct control *control_new(const char *mountpoint, const struct control_ops *ops, struct err *e)
{
    struct control *c = calloc(1, sizeof(*c));

    if (!c) {
        err_set(e, ERR_NOMEM, "no memory for the control socket");
        return NULL;
    }
    *c = (struct control){.ops = *ops, .listen_fd = -1, .stop = {-1, -1}};
    c->pool = pool_new("awsfs-control", CLIENTS, e);
    if (!c->pool || listen_at(c, mountpoint, e) != ERR_OK)
        goto failed;
    if (pipe2(c->stop, O_CLOEXEC) != 0) {
        err_sys(e, errno, "pipe");
        goto failed;
    }
    if (pthread_create(&c->thread, NULL, listen_loop, c) != 0) {
        err_set(e, ERR_NOMEM, "cannot start the thread of the control socket");
        goto failed;
    }
    return c;

failed:
    pool_free(c->pool);
    close_cleanup(&c->listen_fd);
    close_cleanup(&c->stop[0]);
    close_cleanup(&c->stop[1]);
    free(c);
    return NULL;
}

void control_free(struct control *c)
{
    struct stat st;

    if (!c)
        return;
    ssize_t n = write(c->stop[1], "", 1);
    (void)n;
    pthread_join(c->thread, NULL);
    if (lstat(c->path, &st) == 0 && st.st_ino == c->ino)
        unlink(c->path);
    close(c->listen_fd);
    pool_free(c->pool);
    close(c->stop[0]);
    close(c->stop[1]);
    free(c);
}
