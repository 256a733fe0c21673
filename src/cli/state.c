#include "cli/state.h"

#include "util/cleanup.h"
#include "util/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Parents that are missing; errors show when the directory itself is made. */
static void make_parents(const char *path)
{
    char part[PATH_MAX];

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        size_t n = (size_t)(slash - path);
        if (n >= sizeof(part))
            return;
        memcpy(part, path, n);
        part[n] = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return;
    }
}

enum err_code private_dir(const char *path, struct err *e)
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno == ENOENT) {
        make_parents(path);
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return err_sys(e, errno, "directory %s", path);
    }
    CLEANUP(close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return err_set(e, ERR_NOT_DIR, "%s is not a directory (symbolic links are not followed here)", path);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(e, errno, "directory %s", path);
    if (st.st_uid != geteuid())
        return err_set(e, ERR_ACCESS, "directory %s belongs to user %u, not to the user of this mount", path,
                       (unsigned)st.st_uid);
    if ((st.st_mode & 077) && fchmod(fd, 0700) != 0)
        return err_sys(e, errno, "directory %s", path);
    return ERR_OK;
}

enum err_code state_default(char out[PATH_MAX], struct err *e)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;

    if (geteuid() == 0)
        n = snprintf(out, PATH_MAX, "/var/lib/awsfs");
    else if (state && state[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/awsfs", state);
    else if (home && home[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/.local/state/awsfs", home);
    else
        return err_set(e, ERR_INVAL, "no HOME in the environment: give option state=DIR");
    return n < PATH_MAX ? ERR_OK : err_set(e, ERR_NAME_TOO_LONG, "the state directory's path is too long");
}

/* For people who look into the directory. */
static void write_identity(const char *dir, const char *identity)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/mount", dir) >= (int)sizeof(path))
        return;
    CLEANUP(close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && write(fd, identity, strlen(identity)) < 0)
        return;
}

enum err_code state_open(struct state *s, const char *root, const char *identity, void (*waiting)(void *arg), void *arg,
                         struct err *e)
{
    char hex[2 * DIGEST_MAX + 1], path[PATH_MAX];
    enum err_code code = private_dir(root, e);

    if (code == ERR_OK)
        code = digest_hex(DIGEST_SHA256, identity, strlen(identity), hex, e);
    if (code == ERR_OK && snprintf(s->dir, sizeof(s->dir), "%s/%.16s", root, hex) >= (int)sizeof(s->dir) - 16)
        code = err_set(e, ERR_NAME_TOO_LONG, "the state directory's path is too long");
    if (code == ERR_OK)
        code = private_dir(s->dir, e);
    if (code != ERR_OK)
        return err_prefix(e, code, "option state");
    snprintf(path, sizeof(path), "%.*s/lock", PATH_MAX - 16, s->dir);
    CLEANUP(close) int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "option state: %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        waiting(arg);
        while (flock(fd, LOCK_EX) != 0)
            if (errno != EINTR)
                return err_sys(e, errno, "option state: %s", path);
    }
    write_identity(s->dir, identity);
    s->lock_fd = fd;
    fd = -1;
    return ERR_OK;
}

void state_close(struct state *s)
{
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    s->lock_fd = -1;
}
