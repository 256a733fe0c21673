#include "fuse/errno_of.h"

#include <errno.h>

static const int table[ERR_COUNT] = {
    [ERR_OK] = 0,
    [ERR_NOT_FOUND] = ENOENT,
    [ERR_ACCESS] = EACCES,
    [ERR_EXISTS] = EEXIST,
    [ERR_CONFLICT] = ESTALE,
    [ERR_THROTTLED] = EIO,
    [ERR_TIMEOUT] = EIO,
    [ERR_NET] = EIO,
    [ERR_AUTH] = EACCES,
    [ERR_PROTO] = EIO,
    [ERR_TOO_BIG] = EFBIG,
    [ERR_NOSPC] = ENOSPC,
    [ERR_NOMEM] = ENOMEM,
    [ERR_INVAL] = EINVAL,
    [ERR_UNSUPPORTED] = EOPNOTSUPP,
    [ERR_CANCELED] = EINTR,
    [ERR_IO] = EIO,
    [ERR_NAME_TOO_LONG] = ENAMETOOLONG,
    [ERR_BAD_NAME] = EILSEQ,
    [ERR_NOT_DIR] = ENOTDIR,
    [ERR_IS_DIR] = EISDIR,
    [ERR_NOT_EMPTY] = ENOTEMPTY,
    [ERR_CROSS] = EXDEV,
    [ERR_BUSY] = EBUSY,
    [ERR_PERM] = EPERM,
    [ERR_READ_ONLY] = EROFS,
    [ERR_NO_ATTR] = ENODATA,
    [ERR_RANGE] = ERANGE,
    [ERR_QUOTA] = EDQUOT,
    [ERR_KEY_REJECTED] = EKEYREJECTED,
    [ERR_BAD_HANDLE] = EBADF,
    [ERR_AGAIN] = EAGAIN,
};

int errno_of(enum err_code code)
{
    if ((unsigned)code >= ERR_COUNT)
        return EIO;
    return table[code];
}
