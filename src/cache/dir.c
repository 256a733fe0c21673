/* The cache's directory: found safely, its files opened without following links, and the facts by which a file is known. */
#include "cache/cache_internal.h"
#include "cache/changes.h"
#include "util/private_dir.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>

/* 0700 and ours, below dirfd. */
static int open_below(struct cache *c, const char *name, struct err *e)
{
    struct stat st;
    if (mkdirat(c->dirfd, name, 0700) != 0 && errno != EEXIST)
        (void)err_sys(e, errno, "directory %s/%s", c->dir, name);
    int fd = openat(c->dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        (void)err_sys(e, errno, "directory %s/%s", c->dir, name);
    } else if (fstat(fd, &st) != 0 || st.st_uid != geteuid()) {
        (void)err_set(e, ERR_ACCESS, "directory %s/%s belongs to another user", c->dir, name);
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Dashes taken out, 32 hex digits: zeros where there is none, then no stamp outlives the process. */
static void read_boot(uint8_t boot[16])
{
    char text[64] = "", hex[33];
    size_t n = 0;
    CLEANUP(close) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    for (ssize_t i = 0; i < len && n < 32; i++)
        if (text[i] != '-')
            hex[n++] = text[i];
    hex[n] = '\0';
    if (!hex_decode(hex, boot, 16))
        memset(boot, 0, 16);
}

enum err_code dir_open(struct cache *c, struct err *e)
{
    static const char *const own[] = {"index.db", "content", NULL};
    enum err_code code = private_dir_given(c->dir, own, e);
    if (code)
        return code;
    c->dirfd = open(c->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (c->dirfd < 0)
        return err_sys(e, errno, "directory %s", c->dir);
    c->part_fd = open_below(c, "part", e);
    c->content_fd = c->part_fd < 0 ? -1 : open_below(c, "content", e);
    read_boot(c->boot);
    return c->content_fd < 0 ? (e && e->code ? e->code : ERR_IO) : ERR_OK;
}

void dir_close(struct cache *c)
{
    int *fds[] = {&c->dirfd, &c->part_fd, &c->content_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

void path_part(const struct cache *c, int64_t id, char out[PATH_LEN])
{
    snprintf(out, PATH_LEN, "part/%s-%lld", c->epoch, (long long)id);
}

void path_whole(const uint8_t hash[CACHE_SHA512], char out[PATH_LEN])
{
    char hex[2 * CACHE_SHA512 + 1];
    hex_encode(hash, CACHE_SHA512, hex);
    snprintf(out, PATH_LEN, "content/%.2s/%s", hex, hex);
}

/* ---- Files */

static int open_regular(struct cache *c, const char *path, int flags)
{
    struct stat st;
    int fd = openat(c->dirfd, path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = ENOENT;
        return -1;
    }
    return fd;
}

int file_open_shared(struct cache *c, const char *path, bool write)
{
    struct stat st;
    int fd = open_regular(c, path, write ? O_RDWR : O_RDONLY);
    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
        return fd;
    close(fd);
    return -1;
}

int file_open_alone(struct cache *c, const char *path, bool *missing)
{
    int fd = open_regular(c, path, O_RDONLY);
    *missing = fd < 0 && (errno == ENOENT || errno == ELOOP);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    close(fd);
    return -1;
}

int file_create(struct cache *c, const char *path)
{
    int fd = openat(c->dirfd, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

bool file_lock_writer(int fd)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    return fcntl(fd, F_OFD_SETLK, &l) == 0;
}

bool stamp_take(const struct cache *c, int fd, struct stamp *out)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    *out = (struct stamp){.dev = st.st_dev, .ino = st.st_ino, .size = (uint64_t)st.st_size, .mtime_s = st.st_mtim.tv_sec,
                          .mtime_ns = st.st_mtim.tv_nsec, .ctime_s = st.st_ctim.tv_sec, .ctime_ns = st.st_ctim.tv_nsec};
    memcpy(out->boot, c->boot, sizeof(out->boot));
    return true;
}

bool stamp_same(const struct stamp *a, const struct stamp *b)
{
    static const uint8_t none[16];
    return memcmp(a, b, sizeof(*a)) == 0 && memcmp(a->boot, none, sizeof(none)) != 0;
}

bool read_full(int fd, void *p, size_t len, uint64_t offset)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(fd, (char *)p + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

enum err_code write_full(int fd, const void *p, size_t len, uint64_t offset, struct err *e)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, (const char *)p + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            (void)err_sys(e, n < 0 ? errno : ENOSPC, "write to the cache");
            return ERR_NOSPC;
        }
        done += (size_t)n;
    }
    return ERR_OK;
}

static uint64_t bytes_of(const struct cache *c, const char *name)
{
    struct stat st;
    return fstatat(c->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? (uint64_t)st.st_size : 0;
}

uint64_t dir_wal_bytes(const struct cache *c)
{
    return bytes_of(c, "index.db-wal");
}

uint64_t dir_db_bytes(const struct cache *c)
{
    return bytes_of(c, "index.db") + bytes_of(c, "index.db-shm") + bytes_of(c, "index.db.bad") + changes_bytes(c->dirfd);
}

uint64_t dir_free_bytes(const struct cache *c)
{
    struct statvfs v;
    return fstatvfs(c->dirfd, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : 0;
}
