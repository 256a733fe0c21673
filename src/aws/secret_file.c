#include "aws/secret_file.h"

#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 16384 };

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* A file below a directory that may not even be searched is as good as missing; one that is there and refuses is not.
 */
static enum err_code open_failed(const char *path, int errnum, struct err *e)
{
    struct stat st;

    if (errnum == ENOENT || errnum == ENOTDIR || (errnum == EACCES && stat(path, &st)))
        return err_set(e, ERR_NOT_FOUND, "%s does not exist", path);
    return err_set(e, errnum == EACCES || errnum == EPERM ? ERR_ACCESS : ERR_IO, "%s cannot be read: %s", path,
                   strerror(errnum));
}

static enum err_code read_all(const char *path, int fd, struct buf *out, struct err *e)
{
    char piece[PIECE];
    enum err_code code = ERR_OK;

    while (!code) {
        ssize_t n = read(fd, piece, sizeof(piece));

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            code = err_set(e, ERR_IO, "%s cannot be read: %s", path, strerror(errno));
        else if (n > 0 && (size_t)n > SECRET_FILE_MAX - out->len)
            code = err_set(e, ERR_TOO_BIG, "%s is larger than %d bytes", path, SECRET_FILE_MAX);
        else if (n > 0)
            buf_add(out, piece, (size_t)n);
    }
    explicit_bzero(piece, sizeof(piece));
    return code ? code : buf_check(out, path, e);
}

enum err_code secret_file_read(const char *path, bool own, struct buf *out, struct err *e)
{
    __attribute__((cleanup(close_fd))) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    if (fd < 0)
        return open_failed(path, errno, e);
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        return err_set(e, ERR_NOT_FOUND, "%s is no regular file", path);
    if (own && st.st_mode & (S_IRGRP | S_IROTH))
        LOG_WARN("aws", "%s can be read by other users: chmod 600 it", path);
    return read_all(path, fd, out, e);
}

static enum err_code write_all(int fd, const struct buf *text)
{
    for (size_t done = 0; done < text->len;) {
        ssize_t n = write(fd, text->data + done, text->len - done);

        if (n < 0 && errno != EINTR)
            return ERR_IO;
        done += n > 0 ? (size_t)n : 0;
    }
    return fsync(fd) ? ERR_IO : ERR_OK;
}

/* Root refreshes what another user logged in to: it stays that user's. */
static bool keep_owner(const char *path, int fd)
{
    struct stat st;

    return stat(path, &st) != 0 || st.st_uid == geteuid() || fchown(fd, st.st_uid, st.st_gid) == 0;
}

enum err_code secret_file_write(const char *path, const struct buf *text, struct err *e)
{
    BUF(temporary, 8192);

    buf_addf(&temporary, "%s.XXXXXX", path);
    enum err_code code = buf_check(&temporary, path, e);
    if (code)
        return code;
    __attribute__((cleanup(close_fd))) int fd = mkostemp(temporary.data, O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "%s cannot be replaced", path);
    if (write_all(fd, text) || !keep_owner(path, fd) || rename(temporary.data, path)) {
        code = err_sys(e, errno, "%s cannot be written", path);
        unlink(temporary.data);
    }
    return code;
}
