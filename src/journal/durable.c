#include "journal/durable.h"

#include "util/cleanup.h"
#include "util/str.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum err_code durable_failed(struct err *e, int errnum, const char *what, const char *path)
{
    enum err_code code = errnum == ENOSPC || errnum == EDQUOT ? ERR_NOSPC
                         : errnum == EFBIG                    ? ERR_TOO_BIG
                         : errnum == ENOMEM                   ? ERR_NOMEM
                                                              : ERR_IO;
    (void)err_sys(e, errnum, "%s %s", what, path);
    if (e)
        e->code = code;
    return code;
}

enum err_code durable_sync_parent(const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    assert(slash);
    CLEANUP(free) char *dir = str_ndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!dir)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    CLEANUP(close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return durable_failed(e, errno, "sync", dir);
    return ERR_OK;
}

static enum err_code write_synced(const char *path, const void *p, size_t len, struct err *e)
{
    CLEANUP(close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return durable_failed(e, errno, "create", path);
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, (const char *)p + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return durable_failed(e, n < 0 ? errno : ENOSPC, "write", path);
        done += (size_t)n;
    }
    return fsync(fd) == 0 ? ERR_OK : durable_failed(e, errno, "sync", path);
}

enum err_code durable_put(const char *path, const void *p, size_t len, struct err *e)
{
    CLEANUP(free) char *tmp = str_printf("%s%s", path, DURABLE_SUFFIX);
    if (!tmp)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    enum err_code code = write_synced(tmp, p, len, e);
    if (!code && rename(tmp, path) != 0)
        code = durable_failed(e, errno, "rename", tmp);
    if (code) {
        unlink(tmp);
        return code;
    }
    return durable_sync_parent(path, e);
}
