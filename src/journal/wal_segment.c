#include "journal/wal_segment.h"

#include "journal/durable.h"
#include "util/digest.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#define RESERVE_LEAST (64u << 10)  /* bytes: some hundred ends */
#define AHEAD_BYTES   (256u << 10) /* of zeros: more make the one sync that writes them slower than they make the others fast */
#define AHEAD_RECORD  (20u << 10)  /* bytes of the largest record that is worth them */

#ifndef BCACHEFS_SUPER_MAGIC /* linux/magic.h has it since Linux 6.7 */
#define BCACHEFS_SUPER_MAGIC 0xca451a4e
#endif

void wal_segment_free(struct wal_segment *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s->path);
    free(s);
}

static enum err_code write_at(int fd, const struct iovec *parts, int n, size_t len, uint64_t at, const char *path,
                              struct err *e)
{
    struct iovec left[3];
    memcpy(left, parts, (size_t)n * sizeof(*parts));
    for (struct iovec *v = left; len > 0;) {
        ssize_t done = pwritev(fd, v, (int)(left + n - v), (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return durable_failed(e, done < 0 ? errno : ENOSPC, "write", path);
        at += (size_t)done;
        len -= (size_t)done;
        for (; len > 0 && (size_t)done >= v->iov_len; v++)
            done -= (ssize_t)v->iov_len;
        if (len > 0) {
            v->iov_base = (char *)v->iov_base + done;
            v->iov_len -= (size_t)done;
        }
    }
    return ERR_OK;
}

/* On a disk that is nearly full the log begins with little: that something was sent has to be told before anything makes room. A file
 * that is used again keeps what it has. */
static int reserve(int fd, uint64_t bytes)
{
    struct stat st;
    uint64_t least = bytes < RESERVE_LEAST ? bytes : RESERVE_LEAST;
    if (fstat(fd, &st) != 0)
        return errno;
    if (posix_fallocate(fd, 0, (off_t)bytes) != ENOSPC)
        return 0; /* not every filesystem can */
    if (ftruncate(fd, st.st_size) != 0)
        return errno;
    return (uint64_t)st.st_size >= least ? 0 : posix_fallocate(fd, 0, (off_t)least);
}

static enum err_code begin(struct wal_segment *s, const char *identity, uint64_t bytes, struct err *e)
{
    uint8_t header[WAL_HEADER_BYTES];
    struct stat st;
    enum err_code code = wal_header_encode(&s->header, identity, header, e);
    if (code)
        return code;
    if (reserve(s->fd, bytes) == ENOSPC)
        return durable_failed(e, ENOSPC, "reserve room for", s->path);
    struct iovec v = {header, sizeof(header)};
    code = write_at(s->fd, &v, 1, sizeof(header), 0, s->path, e);
    if (!code && (fsync(s->fd) != 0 || fstat(s->fd, &st) != 0))
        code = durable_failed(e, errno, "sync", s->path);
    if (!code)
        code = durable_sync_parent(s->path, e);
    if (!code) {
        s->bytes = (uint64_t)st.st_size;
        s->written = s->written < s->bytes ? s->written : s->bytes;
    }
    return code;
}

/* `chattr +C` of a file or its directory, before it had bytes, ends that. */
static bool copied_on_write(int fd)
{
    struct statfs st;
    int flags = 0; /* an int, though the request is declared with a long: ioctl_iflags(2) */
    if (fstatfs(fd, &st) != 0 || ((uint32_t)st.f_type != BTRFS_SUPER_MAGIC && (uint32_t)st.f_type != BCACHEFS_SUPER_MAGIC))
        return false;
    return ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0 || !(flags & FS_NOCOW_FL);
}

/* A segment gets its name before its header: what a crash leaves between the two has the header of another life, under a name that
 * is not that one's, or none at all. */
static enum err_code open_file(struct wal_segment *s, const struct wal_freed *reuse, struct err *e)
{
    if (reuse && rename(reuse->path, s->path) != 0)
        return durable_failed(e, errno, "rename", reuse->path);
    s->written = reuse ? reuse->written : 0;
    s->fd = open(s->path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (reuse ? 0 : O_EXCL), 0600);
    if (s->fd < 0)
        return durable_failed(e, errno, "create", s->path);
    s->no_ahead = copied_on_write(s->fd);
    return ERR_OK;
}

struct wal_segment *wal_segment_create(const char *dir, const char *identity, uint64_t first, const struct wal_freed *reuse,
                                       uint64_t bytes, struct err *e)
{
    CLEANUP(wal_segment_free) struct wal_segment *s = calloc(1, sizeof(*s));
    if (s) {
        s->fd = -1;
        s->path = str_printf("%s/%016" PRIx64 WAL_SUFFIX, dir, first);
    }
    if (!s || !s->path) {
        (void)err_set(e, ERR_NOMEM, "no memory for a segment of the journal");
        return NULL;
    }
    s->header.first = s->next = first;
    s->end = WAL_HEADER_BYTES;
    random_bytes(&s->header.salt, sizeof(s->header.salt));
    if (open_file(s, reuse, e))
        return NULL;
    if (begin(s, identity, bytes, e)) {
        unlink(s->path);
        return NULL;
    }
    return TAKE(s);
}

/* What is behind the end may be anything but a frame of this life. */
static void fill_ahead(struct wal_segment *s, size_t len)
{
    static const uint8_t zeros[16 << 10];
    if (s->end <= s->written)
        return;
    s->written = s->end;
    uint64_t to = (s->end / AHEAD_BYTES + 1) * AHEAD_BYTES;
    to = to < s->bytes ? to : s->bytes;
    while (len <= AHEAD_RECORD && !s->no_ahead && s->written < to) {
        size_t n = to - s->written < sizeof(zeros) ? (size_t)(to - s->written) : sizeof(zeros);
        struct iovec v = {(void *)zeros, n};
        s->no_ahead = write_at(s->fd, &v, 1, n, s->written, s->path, NULL) != ERR_OK;
        s->written += s->no_ahead ? 0 : n;
    }
}

enum err_code wal_segment_write(struct wal_segment *s, const struct wal_frame *f, struct err *e)
{
    uint8_t head[WAL_FRAME_BYTES];
    static const uint8_t zeros[8];
    size_t pad = wal_frame_encode(f, s->header.salt, head);
    struct iovec parts[] = {{head, sizeof(head)}, {(void *)f->p, f->len}, {(void *)zeros, pad}};
    size_t len = wal_frame_size(f->len);
    enum err_code code = write_at(s->fd, parts, 3, len, s->end, s->path, e);
    if (code)
        return code;
    s->end += len;
    s->next++;
    if (s->bytes < s->end)
        s->bytes = s->end;
    fill_ahead(s, len);
    return ERR_OK;
}

enum err_code wal_segment_load(const char *path, size_t max, uint8_t **p, size_t *len, struct err *e)
{
    struct stat st;
    CLEANUP(close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fdatasync(fd) != 0 || fstat(fd, &st) != 0)
        return durable_failed(e, errno, "open", path);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
        return err_set(e, ERR_TOO_BIG, "%s: %lld bytes are more than a segment of the journal has", path,
                       (long long)st.st_size);
    CLEANUP(free) uint8_t *bytes = malloc((size_t)st.st_size + 1);
    if (!bytes)
        return err_set(e, ERR_NOMEM, "no memory for %lld bytes of the journal", (long long)st.st_size);
    size_t at = 0;
    for (ssize_t n; at < (size_t)st.st_size; at += (size_t)n) {
        while ((n = pread(fd, bytes + at, (size_t)st.st_size - at, (off_t)at)) < 0 && errno == EINTR)
            ;
        if (n < 0)
            return durable_failed(e, errno, "read", path);
        if (n == 0)
            break;
    }
    *len = at;
    *p = TAKE(bytes);
    return ERR_OK;
}
