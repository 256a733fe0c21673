#include "util/private_dir.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
