#include "cli/client.h"

#include "cli/control.h"
#include "cli/mounts.h"
#include "fuse/session.h"
#include "util/buf.h"
#include "util/child.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define ENDS_WITHIN_MS    10000 /* what takes longer is said; a daemon whose mount is gone everywhere has begun to end long before */
#define ANSWERS_WITHIN_MS 10000
#define FORCED_TRIES      20
#define FORCED_MS         100

static int complain(const struct err *e)
{
    fprintf(stderr, "awsfs: %s\n", e->msg);
    return 1;
}

/* `refused`: there is such a socket, and nobody listens to it. */
static FILE *connect_to(const char *path, const char *request, bool *refused, struct err *e)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    CLEANUP(close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *refused = false;
    if (strlen(path) >= sizeof(to.sun_path)) {
        err_set(e, ERR_NAME_TOO_LONG, "%s is too long for a socket", path);
        return NULL;
    }
    memcpy(to.sun_path, path, strlen(path));
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0 ||
        send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) {
        *refused = errno == ECONNREFUSED;
        err_sys(e, errno, "%s", path);
        return NULL;
    }
    FILE *f = fdopen(fd, "r");
    if (f)
        fd = -1;
    else
        err_sys(e, errno, "fdopen");
    return f;
}

static bool is_mounted(const char *mountpoint)
{
    CLEANUP(free) struct mount_entry *m = malloc(sizeof(*m));

    return m && mounts_find(mountpoint, m) && strcmp(m->type, "fuse.awsfs") == 0;
}

/* The kernel says so of a mount whose daemon is gone; it asks nobody for that. */
static bool is_dead(const char *mountpoint)
{
    struct stat st;

    return is_mounted(mountpoint) && stat(mountpoint, &st) != 0 && errno == ENOTCONN;
}

/* Who was killed leaves its mount, and its socket, to which nobody listens, until another mount clears it away. */
static void explain(const char *dir, const char *path, const char *mountpoint, bool refused, struct err *e)
{
    if ((refused && is_mounted(mountpoint)) || (access(path, F_OK) != 0 && is_dead(mountpoint)))
        err_set(e, ERR_IO, "no daemon serves %s: fusermount3 -u %s removes the mount", dir, dir);
    else if (refused || access(path, F_OK) != 0)
        err_set(e, ERR_NOT_FOUND, "%s: no mount of awsfs of this user is there", dir);
}

/* A connection to the daemon of the mount at `dir`; `mountpoint` is its resolved path. */
static FILE *ask(const char *dir, const char *request, char mountpoint[PATH_MAX], struct err *e)
{
    char path[PATH_MAX];

    if (mounts_resolve(dir, mountpoint, e) != ERR_OK || control_path(mountpoint, path, e) != ERR_OK)
        return NULL;
    bool refused;
    FILE *f = connect_to(path, request, &refused, e);
    if (!f)
        explain(dir, path, mountpoint, refused, e);
    return f;
}

char *client_ask(const char *mountpoint, const char *request)
{
    char path[PATH_MAX];
    char *line = NULL;
    size_t cap = 0;
    bool refused;
    FILE *f = control_path(mountpoint, path, NULL) == ERR_OK ? connect_to(path, request, &refused, NULL) : NULL;

    if (f && getline(&line, &cap, f) <= 0) {
        free(line);
        line = NULL;
    }
    if (f)
        fclose(f);
    return line;
}

static void newline(FILE *out, unsigned depth)
{
    fputc('\n', out);
    for (unsigned i = 1; i < depth; i++)
        fputs("  ", out);
}

/* The inside of a string: escapes that hide nothing are undone. Returns its closing quote. */
static const char *print_string(const char *c, FILE *out)
{
    for (; *c && *c != '"'; c++) {
        if (*c == '\\' && c[1] && strchr("\"\\/", c[1]))
            c++;
        else if (*c == '\\' && c[1])
            fputc(*c++, out);
        fputc(*c, out);
    }
    return c;
}

void client_print_text(const char *json, FILE *out)
{
    unsigned depth = 0;
    char before = '\0';

    for (const char *c = json; *c && *c != '\n'; before = *c++) {
        if (*c == '"') {
            c = print_string(c + 1, out);
            if (!*c)
                break;
        } else if (*c == '[' && c[1] == ']') {
            fputs("none", out);
            c++;
        } else if (*c == '[' || *c == '{') {
            depth++;
            if (*c == '{' && (before == '[' || before == ','))
                fputs("- ", out);
            else if (before)
                newline(out, depth);
        } else if (*c == ']' || *c == '}') {
            depth -= depth > 0;
        } else if (*c == ',') {
            newline(out, depth);
        } else if (*c == ':') {
            fputs(c[1] == '{' || (c[1] == '[' && c[2] != ']') ? ":" : ": ", out);
        } else {
            fputc(*c, out);
        }
    }
    fputc('\n', out);
}

static int print_status(FILE *f, bool json)
{
    CLEANUP(free) char *line = NULL;
    size_t cap = 0;
    ssize_t n = getline(&line, &cap, f);

    fclose(f);
    if (n <= 0) {
        fprintf(stderr, "awsfs: the daemon gave no answer\n");
        return 1;
    }
    if (json)
        fputs(line, stdout);
    else
        client_print_text(line, stdout);
    return 0;
}

static int status_of_all(bool json)
{
    char dir[PATH_MAX], path[PATH_MAX];
    const struct dirent *entry;
    unsigned n = 0;

    control_dir(dir);
    DIR *d = opendir(dir);
    while (d && (entry = readdir(d))) {
        if (!str_ends(entry->d_name, ".sock") ||
            snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >= (int)sizeof(path))
            continue;
        bool refused;
        FILE *f = connect_to(path, "status\n", &refused, NULL);
        if (f && n++ && !json)
            fputc('\n', stdout);
        if (f)
            print_status(f, json);
    }
    if (d)
        closedir(d);
    if (!n && !json)
        printf("no mount of awsfs of this user\n");
    return 0;
}

int client_status(const char *dir, bool json)
{
    struct err e = ERR_INIT;
    char mountpoint[PATH_MAX];

    if (!dir)
        return status_of_all(json);
    FILE *f = ask(dir, "status\n", mountpoint, &e);
    return f ? print_status(f, json) : complain(&e);
}

static void show_progress(const char *line)
{
    unsigned long long files, bytes;

    if (isatty(STDERR_FILENO) && sscanf(line, "progress %llu %llu", &files, &bytes) == 2)
        fprintf(stderr, "\r%llu files, %llu MiB left   ", files, bytes >> 20);
}

/* Programs were told of each; who unmounts may be another. */
static void show_kept(unsigned long long files)
{
    if (files)
        fprintf(stderr, "awsfs: %llu %s could not be stored and %s kept here: `awsfs journal list` shows %s\n", files,
                files == 1 ? "file" : "files", files == 1 ? "is" : "are", files == 1 ? "it" : "them");
}

static int flush(FILE *f)
{
    CLEANUP(free) char *line = NULL;
    unsigned long long kept = 0;
    size_t cap = 0;
    int status = -1;

    while (status < 0 && getline(&line, &cap, f) > 0) {
        line[strcspn(line, "\n")] = '\0';
        show_progress(line);
        (void)sscanf(line, "kept %llu", &kept);
        if (strcmp(line, "done") == 0)
            status = 0;
        if (str_starts(line, "failed ")) {
            fprintf(stderr, "awsfs: not everything was sent: %s\n", line + strlen("failed "));
            status = 1;
        }
    }
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
    show_kept(kept);
    if (status < 0)
        fprintf(stderr, "awsfs: the daemon ended before it had answered\n");
    fclose(f);
    return status < 0 ? 1 : status;
}

int client_flush(const char *dir)
{
    struct err e = ERR_INIT;
    char mountpoint[PATH_MAX];
    FILE *f = ask(dir, "flush\n", mountpoint, &e);

    return f ? flush(f) : complain(&e);
}

/* The daemon closes the connection when it has finished. */
static void wait_for_end(FILE *f)
{
    while (f && fgetc(f) != EOF)
        ;
    if (f)
        fclose(f);
}

static void wait_for_cache(FILE *f, const char *mountpoint)
{
    struct pollfd end = {.fd = f ? fileno(f) : -1, .events = POLLIN};
    if (f && poll(&end, 1, ENDS_WITHIN_MS) == 0)
        fprintf(stderr, "awsfs: %s: what was written is sent; what was just read is brought to the disk cache\n", mountpoint);
    wait_for_end(f);
}

/* -1: it does not say. No text of a status has quotes that are not escaped. */
static long pid_in(const char *status)
{
    static const char name[] = "\"pid\":";
    const char *at = status ? strstr(status, name) : NULL;

    return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

bool client_goes_on(const char *before, const char *now)
{
    long pid = pid_in(before);

    return now && strstr(now, "\"state\":\"serving\"") && (pid < 0 || pid_in(now) == pid);
}

static bool still_serves(const char *mountpoint, const char *before)
{
    CLEANUP(free) char *now = client_ask(mountpoint, "status\n");

    return client_goes_on(before, now);
}

/* The same once it is unmounted here; `before` is its status of before. False: the daemon goes on, since a mount namespace that was made
 * of this one has the mount too. */
static bool wait_for_daemon(FILE *f, const char *mountpoint, const char *before)
{
    if (!f)
        return true;
    struct pollfd end = {.fd = fileno(f), .events = POLLIN};
    bool told = false;
    int n;
    while ((n = poll(&end, 1, ENDS_WITHIN_MS)) <= 0) {
        if (n < 0 ? errno != EINTR : still_serves(mountpoint, before))
            break;
        if (n == 0 && !told)
            fprintf(stderr, "awsfs: %s is unmounted, and what was written is sent; waiting for its daemon (process %ld) to end\n", mountpoint,
                    pid_in(before));
        told |= n == 0;
    }
    if (n < 0) /* it cannot be waited for with an end */
        wait_for_end(f);
    else
        fclose(f);
    return n != 0;
}

/* Whether a request that no cache of the kernel answers finds nobody who takes it. */
static bool is_abandoned(const char *mountpoint)
{
    struct buf out;
    struct err e = ERR_INIT;
    char *const argv[] = {"stat", "--file-system", (char *)mountpoint, NULL};

    buf_init(&out, PATH_MAX + 4096);
    bool abandoned = child_run(argv, ANSWERS_WITHIN_MS, &out, NULL, &e) == ERR_TIMEOUT;
    buf_release(&out);
    return abandoned;
}

/* `refused`: nobody listens at its control socket. What programs there wait for is ended only where nobody serves the mount either. */
static enum err_code unmount(const char *mountpoint, bool refused, struct err *e)
{
    enum err_code code = session_unmount(mountpoint, false, e);
    if (code != ERR_BUSY || !refused || !is_abandoned(mountpoint))
        return code;
    for (int k = 0; k < FORCED_TRIES && code == ERR_BUSY; k++) { /* until the programs have left */
        usleep(FORCED_MS * 1000);
        *e = (struct err)ERR_INIT;
        code = session_unmount_dead(mountpoint, e);
    }
    return code;
}

int client_umount(const char *dir)
{
    struct err e = ERR_INIT;
    char mountpoint[PATH_MAX], path[PATH_MAX];

    if (mounts_resolve(dir, mountpoint, &e) != ERR_OK || !is_mounted(mountpoint)) {
        fprintf(stderr, "awsfs: %s: no mount of awsfs is there\n", dir);
        return 1;
    }
    bool refused = false;
    FILE *f = control_path(mountpoint, path, &e) == ERR_OK ? connect_to(path, "flush\n", &refused, &e) : NULL;
    bool answered = f != NULL;
    if (f && flush(f) != 0) {
        fprintf(stderr, "awsfs: %s stays mounted; `umount %s` unmounts it all the same\n", dir, dir);
        return 1;
    }
    /* What was just read goes to the disk cache: the kernel drops its pages when it unmounts. */
    FILE *end = NULL;
    if (answered)
        wait_for_cache(ask(dir, "settle\n", mountpoint, &e), mountpoint);
    CLEANUP(free) char *before = client_ask(mountpoint, "status\n");
    if (answered)
        end = ask(dir, "wait\n", mountpoint, &e);
    e = (struct err)ERR_INIT;
    if (unmount(mountpoint, refused, &e) != ERR_OK) {
        if (end)
            fclose(end);
        return complain(&e);
    }
    if (!wait_for_daemon(end, mountpoint, before))
        fprintf(stderr, "awsfs: %s is unmounted here, and what was written is sent, but another mount namespace (of a container, a service) "
                "has it too: its daemon goes on for that one until it is unmounted there\n", dir);
    if (!answered)
        fprintf(stderr, "awsfs: %s is unmounted, but its daemon did not answer: what it had not sent is kept here, `awsfs journal list` "
                "shows it, and the next mount sends what write=back has journaled\n", dir);
    return answered ? 0 : 1;
}
