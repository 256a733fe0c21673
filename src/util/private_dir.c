#include "util/private_dir.h"

#include "util/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* That `path` is there survives a power loss: what is synced in it would be lost with it. Where the parent cannot be read by us, or
 * synced at all, nothing can be done. */
static enum err_code sync_parent(const char *path, struct err *e)
{
    char parent[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    size_t n = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);

    if (n >= sizeof(parent))
        return ERR_OK;
    if (slash)
        memcpy(parent, path, n);
    CLEANUP(close) int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP || errno == EROFS)
        return ERR_OK;
    return err_sys(e, errno, "sync directory %s", parent);
}

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
        if (mkdir(part, 0755) == 0)
            (void)sync_parent(part, NULL);
        else if (errno != EEXIST)
            return;
    }
}

static bool is_own(const char *name, const char *const *own)
{
    while (*own && fnmatch(*own, name, 0) != 0)
        own++;
    return *own;
}

/* What cannot be read is not ours. */
static bool is_of_others(int dirfd, const char *const *own)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    bool others = !d, ours = false;

    if (!d && fd >= 0)
        close(fd);
    while (d && !ours && (entry = readdir(d))) {
        const char *name = entry->d_name;
        ours = is_own(name, own);
        others |= strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcmp(name, "lost+found") != 0;
    }
    if (d)
        closedir(d);
    return others && !ours;
}

static enum err_code make_private(const char *path, const char *const *own, struct err *e)
{
    struct stat st;

    bool made = mkdir(path, 0700) == 0;
    if (!made && errno == ENOENT) {
        make_parents(path);
        made = mkdir(path, 0700) == 0;
        if (!made && errno != EEXIST)
            return err_sys(e, errno, "directory %s", path);
    }
    enum err_code code = made ? sync_parent(path, e) : ERR_OK;
    if (code)
        return code;
    CLEANUP(close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return err_set(e, ERR_NOT_DIR, "%s is not a directory (symbolic links are not followed here)", path);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(e, errno, "directory %s", path);
    if (st.st_uid != geteuid())
        return err_set(e, ERR_ACCESS, "directory %s belongs to user %u, not to the user of this mount", path,
                       (unsigned)st.st_uid);
    if (!(st.st_mode & 077))
        return ERR_OK;
    if (own && is_of_others(fd, own))
        return err_set(e, ERR_NOT_EMPTY, "directory %s has something else in it and is open to others: give an empty one, or a new one",
                       path);
    return fchmod(fd, 0700) == 0 ? ERR_OK : err_sys(e, errno, "directory %s", path);
}

enum err_code private_dir(const char *path, struct err *e)
{
    return make_private(path, NULL, e);
}

enum err_code private_dir_given(const char *path, const char *const *own, struct err *e)
{
    return make_private(path, own, e);
}
