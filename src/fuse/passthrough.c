#include "fuse/passthrough.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <errno.h>
#include <sys/ioctl.h>

/* fuse_backing_map and the ioctls of protocol 7.40 (linux/fuse.h of Linux 6.9), which Debian 12's header lacks. */
struct backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};

#define IOC_BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

int32_t passthrough_open(struct fuse_session *se, int fd)
{
    const struct backing_map map = {.fd = fd};
    int id = ioctl(fuse_session_fd(se), IOC_BACKING_OPEN, &map);

    return id > 0 ? id : id < 0 && errno ? -errno : -EIO;
}

void passthrough_close(struct fuse_session *se, int32_t id)
{
    uint32_t which = (uint32_t)id;

    ioctl(fuse_session_fd(se), IOC_BACKING_CLOSE, &which);
}
