#include "journal/stage_bytes.h"

#include "journal/durable.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/secret.h"
#include "util/str.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_TRIES  8
#define MEMORY_STEP 4096
#define COPY_CHUNK  65536

enum err_code stage_bytes_create(struct stage_bytes *b, const char *dir, char **path, struct err *e)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        uint8_t id[12];
        char hex[2 * sizeof(id) + 1];
        random_bytes(id, sizeof(id));
        hex_encode(id, sizeof(id), hex);
        CLEANUP(free) char *name = str_printf("%s/stage-%s", dir, hex);
        if (!name)
            return err_set(e, ERR_NOMEM, "no memory for a staging file");
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0) {
            (void)flock(fd, LOCK_EX | LOCK_NB); /* it is in use as long as it is open (journal/left.h) */
            *b = (struct stage_bytes){.fd = fd};
            *path = TAKE(name);
            return ERR_OK;
        }
        if (errno != EEXIST)
            return durable_failed(e, errno, "create a staging file in", dir);
    }
    return err_set(e, ERR_IO, "no free name for a staging file in %s", dir);
}

enum err_code stage_bytes_create_unnamed(struct stage_bytes *b, const char *dir, struct err *e)
{
    int fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd >= 0) {
        *b = (struct stage_bytes){.fd = fd};
        return ERR_OK;
    }
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
        return durable_failed(e, errno, "create a staging file in", dir);
    CLEANUP(free) char *path = NULL;
    enum err_code code = stage_bytes_create(b, dir, &path, e);
    if (!code)
        unlink(path);
    return code;
}

void stage_bytes_in_memory(struct stage_bytes *b)
{
    *b = (struct stage_bytes){.fd = -1};
}

void stage_bytes_release(struct stage_bytes *b)
{
    if (b->fd >= 0)
        close(b->fd);
    secret_free(b->memory);
    stage_bytes_in_memory(b);
}

static enum err_code grow_memory(struct stage_bytes *b, uint64_t need, struct err *e)
{
    if (need <= b->capacity)
        return ERR_OK;
    if (need > SIZE_MAX / 2)
        return err_set(e, ERR_TOO_BIG, "a staged file in memory of %llu bytes", (unsigned long long)need);
    size_t capacity = (size_t)need + (size_t)need / 2 + MEMORY_STEP;
    char *p = secret_alloc(capacity);
    if (!p && (p = secret_alloc(capacity = (size_t)need)) == NULL)
        return err_set(e, ERR_NOMEM, "no locked memory for a staged file");
    if (b->capacity)
        memcpy(p, b->memory, b->capacity);
    secret_free(b->memory);
    b->memory = p;
    b->capacity = capacity;
    return ERR_OK;
}

enum err_code stage_bytes_write(struct stage_bytes *b, uint64_t offset, const void *p, size_t len, struct err *e)
{
    if (b->fd < 0) {
        enum err_code code = grow_memory(b, offset + len, e);
        if (!code)
            memcpy(b->memory + offset, p, len);
        return code;
    }
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(b->fd, (const char *)p + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return durable_failed(e, n < 0 ? errno : ENOSPC, "write", "a staging file");
        done += (size_t)n;
    }
    return ERR_OK;
}

enum err_code stage_bytes_read(const struct stage_bytes *b, uint64_t offset, void *buf, size_t len, struct err *e)
{
    if (b->fd < 0) {
        if (offset > b->capacity || len > b->capacity - offset)
            return err_set(e, ERR_IO, "a staged file in memory is shorter than it was");
        memcpy(buf, b->memory + offset, len);
        return ERR_OK;
    }
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(b->fd, (char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return durable_failed(e, errno, "read", "a staging file");
        if (n == 0)
            return err_set(e, ERR_IO, "a staging file is shorter than it was");
        done += (size_t)n;
    }
    return ERR_OK;
}

enum err_code stage_bytes_copy(struct stage_bytes *to, const struct stage_bytes *from, uint64_t offset, size_t len,
                               struct err *e)
{
    if (from->fd < 0) {
        assert(offset + len <= from->capacity);
        return stage_bytes_write(to, offset, from->memory + offset, len, e);
    }
    char chunk[COPY_CHUNK];
    for (size_t done = 0, n; done < len; done += n) {
        n = len - done < sizeof(chunk) ? len - done : sizeof(chunk);
        enum err_code code = stage_bytes_read(from, offset + done, chunk, n, e);
        if (!code)
            code = stage_bytes_write(to, offset + done, chunk, n, e);
        if (code)
            return code;
    }
    return ERR_OK;
}

bool stage_bytes_drop(struct stage_bytes *b, uint64_t offset, uint64_t len)
{
    if (b->fd >= 0)
        return fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0;
    if (offset < b->capacity) {
        uint64_t left = b->capacity - offset;
        secret_wipe(b->memory + offset, (size_t)(left < len ? left : len));
    }
    return true;
}

enum err_code stage_bytes_reserve(struct stage_bytes *b, uint64_t offset, uint64_t len, struct err *e)
{
    if (b->fd < 0 || fallocate(b->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) == 0 || errno == EOPNOTSUPP ||
        errno == ENOSYS)
        return ERR_OK;
    return durable_failed(e, errno, "reserve space in", "a staging file");
}

void stage_bytes_cut(struct stage_bytes *b, uint64_t size)
{
    struct stat st;
    if (b->fd >= 0 && fstat(b->fd, &st) == 0 && (uint64_t)st.st_size > size)
        (void)!ftruncate(b->fd, (off_t)size);
    else if (b->fd < 0 && size < b->capacity)
        secret_wipe(b->memory + size, b->capacity - (size_t)size);
}
