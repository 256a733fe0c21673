/*
 * Writing chunks past the page cache: with a large file that takes a tenth of the processor time that copies into fresh pages
 * take, and drives nothing else out of memory. Where the file system cannot, or the memory is not aligned, it is written as usual.
 */
#include "cache/cache_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>

#define ALIGN    4096u /* of memory, offset and length: enough for every disk */
#define WORTH    4     /* chunks: fewer wait longer for the disk than they are worth */
#define NO_DIRECT (-2)

static int direct_fd(struct cache_entry *n)
{
    char self[40];
    if (n->direct_fd != -1)
        return n->direct_fd;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", n->fd);
    int fd = open(self, O_WRONLY | O_DIRECT | O_CLOEXEC);
    return n->direct_fd = fd < 0 ? NO_DIRECT : fd;
}

void direct_close_locked(struct cache_entry *n)
{
    if (n->direct_fd >= 0)
        close(n->direct_fd);
    n->direct_fd = -1;
}

static bool aligned(const struct cache_block *b)
{
    return (uintptr_t)b->p % ALIGN == 0 && b->len % ALIGN == 0;
}

/* How many bytes of the run were written. */
static size_t write_direct(struct cache_entry *n, struct cache_block **b, unsigned count)
{
    struct iovec iov[BATCH_CHUNKS];
    size_t len = 0;
    unsigned k = 0;
    for (; k < count && aligned(b[k]); k++) {
        iov[k] = (struct iovec){(void *)b[k]->p, b[k]->len};
        len += b[k]->len;
    }
    int fd = k >= WORTH ? direct_fd(n) : NO_DIRECT;
    ssize_t done;
    do
        done = fd >= 0 ? pwritev(fd, iov, (int)k, (off_t)(b[0]->index * CACHE_CHUNK)) : 0;
    while (done < 0 && errno == EINTR);
    if (done < 0 && errno == EINVAL) { /* it was opened so, and cannot */
        direct_close_locked(n);
        n->direct_fd = NO_DIRECT;
    }
    return done > 0 ? (size_t)done : 0;
}

enum err_code direct_write(struct cache_entry *n, struct cache_block **b, unsigned count, struct err *e)
{
    size_t done = write_direct(n, b, count), at = 0;
    enum err_code code = ERR_OK;
    for (unsigned k = 0; !code && k < count; at += b[k]->len, k++) {
        size_t have = done > at ? done - at : 0;
        if (have < b[k]->len)
            code = write_full(n->fd, (const char *)b[k]->p + have, b[k]->len - have, b[k]->index * CACHE_CHUNK + have, e);
    }
    return code;
}
