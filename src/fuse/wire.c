#include "fuse/wire.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

/* Of protocol 7.40 (linux/fuse.h of Linux 6.9): bit 37 of INIT's flags, of which the upper half is a word of its own. */
#define PASSTHROUGH_FLAG2 (1u << (37 - 32))

/* The reply to INIT up to what 7.40 added. */
struct init_out {
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2;
    uint32_t max_stack_depth;
};

/* A worker reads a request and handles it before it reads the next one, so what a request carries can be left here for the
 * handler: libfuse has no other way to hand it over. */
static _Thread_local bool kill_wanted;

bool wire_kill_suidgid(void)
{
    return kill_wanted;
}

static bool wants_kill(const struct fuse_in_header *h, size_t len)
{
    const void *body = h + 1;
    size_t body_len = len - sizeof(*h);

    switch (h->opcode) {
    case FUSE_WRITE:
        return body_len >= sizeof(struct fuse_write_in) &&
               (((const struct fuse_write_in *)body)->write_flags & FUSE_WRITE_KILL_SUIDGID);
    case FUSE_SETATTR:
        return body_len >= sizeof(struct fuse_setattr_in) &&
               (((const struct fuse_setattr_in *)body)->valid & FATTR_KILL_SUIDGID);
    case FUSE_OPEN:
        return body_len >= sizeof(struct fuse_open_in) &&
               (((const struct fuse_open_in *)body)->open_flags & FUSE_OPEN_KILL_SUIDGID);
    case FUSE_CREATE:
        return body_len >= sizeof(struct fuse_create_in) &&
               (((const struct fuse_create_in *)body)->open_flags & FUSE_OPEN_KILL_SUIDGID);
    default:
        return false;
    }
}

/* Runs with cancellation enabled (libfuse ends its workers inside this read), so it takes no lock and allocates nothing. */
static ssize_t hook_read(int fd, void *buf, size_t len, void *userdata)
{
    ssize_t n = read(fd, buf, len);

    kill_wanted = false;
    if (n < (ssize_t)sizeof(struct fuse_in_header))
        return n;
    const struct fuse_in_header *h = buf;
    /* INIT is answered before any other request is read, so nothing races with these writes. */
    if (h->opcode == FUSE_INIT && (size_t)n >= sizeof(*h) + 16) {
        struct wire *w = userdata;
        w->init_unique = h->unique;
        const struct fuse_init_in *in = (const struct fuse_init_in *)(h + 1);
        w->init_offered = in->flags;
        w->passthrough_offered = (in->flags & FUSE_INIT_EXT) && (size_t)n >= sizeof(*h) + 20 &&
                                 (in->flags2 & PASSTHROUGH_FLAG2);
    }
    kill_wanted = wants_kill(h, (size_t)n);
    return n;
}

static ssize_t hook_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    struct wire *w = userdata;

    if (w->init_unique && count == 2 && iov[0].iov_len == sizeof(struct fuse_out_header)) {
        const struct fuse_out_header *h = iov[0].iov_base;
        /* `flags` (bytes 12 to 15) is there in every 7.x reply. */
        if (h->unique == w->init_unique && h->error == 0 && iov[1].iov_len >= 24) {
            struct init_out *out = iov[1].iov_base;
            bool offered = (w->init_offered & FUSE_HANDLE_KILLPRIV_V2) != 0;
            atomic_store(&w->kill_suidgid, offered);
            if (offered)
                out->flags = (out->flags & ~(uint32_t)FUSE_HANDLE_KILLPRIV) | FUSE_HANDLE_KILLPRIV_V2;
            if (w->passthrough && iov[1].iov_len >= sizeof(*out)) {
                out->flags |= FUSE_INIT_EXT;
                out->flags2 |= PASSTHROUGH_FLAG2;
                out->max_stack_depth = 1; /* the local files are on no stacked file system */
            }
            w->init_unique = 0;
        }
    }
    return writev(fd, iov, count);
}

int wire_clone(int master)
{
    uint32_t of = (uint32_t)master;
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

    if (fd < 0 || ioctl(fd, FUSE_DEV_IOC_CLONE, &of) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool wants_answer(const struct fuse_in_header *h)
{
    return h->opcode != FUSE_FORGET && h->opcode != FUSE_BATCH_FORGET && h->opcode != FUSE_INTERRUPT &&
           h->opcode != FUSE_NOTIFY_REPLY;
}

bool wire_refuse(int fd, void *buf, size_t size)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        return false;
    ssize_t n = read(fd, buf, size);
    if (n < 0) /* ENOENT: its program was killed meanwhile */
        return errno == EAGAIN || errno == EINTR || errno == ENOENT;
    const struct fuse_in_header *in = buf;
    if ((size_t)n < sizeof(*in))
        return false;
    struct fuse_out_header out = {.len = sizeof(out), .error = -ENOTCONN, .unique = in->unique};
    if (wants_answer(in))
        (void)!write(fd, &out, sizeof(out));
    explicit_bzero(buf, (size_t)n);
    return true;
}

static void tell(int fd, int what, void *about, size_t len, const char *name)
{
    struct fuse_out_header h = {.error = what};
    size_t name_len = name ? strlen(name) + 1 : 0;
    struct iovec iov[] = {{&h, sizeof(h)}, {about, len}, {(void *)name, name_len}};

    h.len = (uint32_t)(sizeof(h) + len + name_len);
    /* Failures mean that the kernel does not hold it, or that the mount is gone: both are fine. */
    (void)!writev(fd, iov, name ? 3 : 2);
}

void wire_tell_entry(int fd, uint64_t parent, const char *name)
{
    struct fuse_notify_inval_entry_out out = {.parent = parent, .namelen = (uint32_t)strlen(name)};

    tell(fd, FUSE_NOTIFY_INVAL_ENTRY, &out, sizeof(out), name);
}

void wire_tell_inode(int fd, uint64_t ino)
{
    struct fuse_notify_inval_inode_out out = {.ino = ino};

    tell(fd, FUSE_NOTIFY_INVAL_INODE, &out, sizeof(out), NULL);
}

#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
int wire_install(struct fuse_session *se)
{
    static const struct fuse_custom_io io = {.read = hook_read, .writev = hook_writev, .clone_fd = wire_clone};

    return fuse_session_custom_io_317(se, &io, sizeof(io), fuse_session_fd(se));
}
#else
int wire_install(struct fuse_session *se)
{
    static const struct fuse_custom_io io = {.read = hook_read, .writev = hook_writev};

    return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}
#endif
