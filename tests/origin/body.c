#include "body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "pattern.h"

enum { MEMORY_MAX = 1 << 20, SEND_BUFFER = 128 << 10 };

enum blob_kind { BLOB_MEMORY, BLOB_FILE, BLOB_SYNTHETIC, BLOB_REPEATED, BLOB_PATTERN };

struct blob {
    int refs;
    enum blob_kind kind;
    char *data; /* memory; the unit that is repeated */
    size_t len;
    int fd;
    uint64_t seed; /* of synthetic content; where in the pattern it begins */
};

static void blob_unref(struct blob *b)
{
    if (--b->refs)
        return;
    if (b->kind == BLOB_FILE)
        close(b->fd);
    free(b->data);
    free(b);
}

static struct body *body_new(size_t count)
{
    struct body *b = x_alloc(sizeof(*b) + count * sizeof(b->extents[0]));

    b->refs = 1;
    return b;
}

static void body_push(struct body *b, struct blob *blob, uint64_t offset, uint64_t len)
{
    if (len == 0)
        return;
    blob->refs++;
    b->extents[b->count++] = (struct extent){blob, offset, len};
    b->size += len;
}

static struct body *body_of_blob(struct blob blob, uint64_t size)
{
    struct blob *copy = x_alloc(sizeof(*copy));
    struct body *b = body_new(1);

    *copy = blob;
    copy->refs = 1;
    body_push(b, copy, 0, size);
    blob_unref(copy);
    return b;
}

struct body *body_new_bytes(void *data, size_t len)
{
    return body_of_blob((struct blob){.kind = BLOB_MEMORY, .data = data, .len = len}, len);
}

struct body *body_new_synthetic(uint64_t seed, uint64_t size)
{
    return body_of_blob((struct blob){.kind = BLOB_SYNTHETIC, .seed = seed}, size);
}

struct body *body_new_pattern(uint64_t start, uint64_t size)
{
    return body_of_blob((struct blob){.kind = BLOB_PATTERN, .seed = start}, size);
}

struct body *body_new_repeated(const char *unit, uint64_t size)
{
    return body_of_blob((struct blob){.kind = BLOB_REPEATED, .data = x_strdup(unit), .len = strlen(unit)}, size);
}

struct body *body_new_file(int fd, uint64_t size)
{
    return body_of_blob((struct blob){.kind = BLOB_FILE, .fd = fd}, size);
}

static void push_range(struct body *out, const struct body *b, uint64_t offset, uint64_t size)
{
    for (size_t i = 0; i < b->count && size; i++) {
        const struct extent *e = &b->extents[i];
        uint64_t len;

        if (offset >= e->len) {
            offset -= e->len;
            continue;
        }
        len = e->len - offset < size ? e->len - offset : size;
        body_push(out, e->blob, e->offset + offset, len);
        size -= len;
        offset = 0;
    }
}

struct body *body_slice(const struct body *b, uint64_t offset, uint64_t size)
{
    struct body *out = body_new(b->count);

    push_range(out, b, offset, size);
    if (size == b->size)
        out->sums = b->sums;
    return out;
}

struct body *body_join(struct body *const *bodies, size_t count)
{
    size_t extents = 0;
    struct body *out;

    for (size_t i = 0; i < count; i++)
        extents += bodies[i]->count;
    out = body_new(extents);
    for (size_t i = 0; i < count; i++) {
        if (i == 0) {
            out->sums = bodies[0]->sums;
            out->sums.have &= 1U << SUM_CRC32 | 1U << SUM_CRC32C | 1U << SUM_CRC64NVME;
        } else {
            sum_set_append(&out->sums, &bodies[i]->sums, bodies[i]->size);
        }
        push_range(out, bodies[i], 0, bodies[i]->size);
    }
    return out;
}

struct body *body_ref(struct body *b)
{
    b->refs++;
    return b;
}

void body_unref(struct body *b)
{
    if (!b || --b->refs)
        return;
    for (size_t i = 0; i < b->count; i++)
        blob_unref(b->extents[i].blob);
    free(b);
}

static void synthetic_read(uint64_t seed, uint64_t offset, unsigned char *out, size_t len)
{
    while (len) {
        uint64_t word = synthetic_word(seed, offset / 8);
        size_t skip = offset % 8;
        size_t n = 8 - skip < len ? 8 - skip : len;

        memcpy(out, (unsigned char *)&word + skip, n);
        out += n;
        offset += n;
        len -= n;
        for (; len >= 8; out += 8, offset += 8, len -= 8) {
            word = synthetic_word(seed, offset / 8);
            memcpy(out, &word, 8);
        }
    }
}

static void repeated_read(const struct blob *b, size_t start, char *out, size_t len)
{
    while (len) {
        size_t n = b->len - start < len ? b->len - start : len;

        memcpy(out, b->data + start, n);
        out += n;
        len -= n;
        start = 0;
    }
}

static void pattern_read(uint64_t position, char *out, size_t len)
{
    while (len) {
        size_t n;
        const char *bytes = pattern_at(position, &n);

        n = n < len ? n : len;
        memcpy(out, bytes, n);
        out += n;
        position += n;
        len -= n;
    }
}

static bool blob_read(const struct blob *b, uint64_t offset, char *out, size_t len)
{
    switch (b->kind) {
    case BLOB_MEMORY:
        memcpy(out, b->data + offset, len);
        return true;
    case BLOB_SYNTHETIC:
        synthetic_read(b->seed, offset, (unsigned char *)out, len);
        return true;
    case BLOB_REPEATED:
        repeated_read(b, (size_t)(offset % b->len), out, len);
        return true;
    case BLOB_PATTERN:
        pattern_read(b->seed + offset, out, len);
        return true;
    case BLOB_FILE:
        while (len) {
            ssize_t n = pread(b->fd, out, len, (off_t)offset);

            if (n <= 0)
                return false;
            out += n;
            offset += (uint64_t)n;
            len -= (size_t)n;
        }
        return true;
    }
    return false;
}

/* The extent that holds offset, which becomes relative to it; NULL at the end. */
static const struct extent *extent_at(const struct body *b, uint64_t *offset)
{
    for (size_t i = 0; i < b->count; i++) {
        if (*offset < b->extents[i].len)
            return &b->extents[i];
        *offset -= b->extents[i].len;
    }
    return NULL;
}

bool body_read(const struct body *b, uint64_t offset, void *out, size_t len)
{
    char *p = out;

    while (len) {
        uint64_t in_extent = offset;
        const struct extent *e = extent_at(b, &in_extent);
        size_t n;

        if (!e)
            return false;
        n = e->len - in_extent < len ? (size_t)(e->len - in_extent) : len;
        if (!blob_read(e->blob, e->offset + in_extent, p, n))
            return false;
        p += n;
        offset += n;
        len -= n;
    }
    return true;
}

ssize_t body_send(const struct body *b, uint64_t offset, uint64_t max, int socket_fd)
{
    char buffer[SEND_BUFFER];
    const struct extent *e = extent_at(b, &offset);
    uint64_t start;

    if (!e) {
        errno = EINVAL;
        return -1;
    }
    if (max > e->len - offset)
        max = e->len - offset;
    start = e->offset + offset;
    if (e->blob->kind == BLOB_MEMORY)
        return send(socket_fd, e->blob->data + start, max, MSG_NOSIGNAL);
    if (e->blob->kind == BLOB_FILE) {
        off_t file_offset = (off_t)start;

        return sendfile(socket_fd, e->blob->fd, &file_offset, max < (1U << 20) ? max : (1U << 20));
    }
    if (e->blob->kind == BLOB_PATTERN) {
        size_t len;
        const char *bytes = pattern_at(e->blob->seed + start, &len);

        return send(socket_fd, bytes, max < len ? max : len, MSG_NOSIGNAL);
    }
    if (max > sizeof(buffer))
        max = sizeof(buffer);
    blob_read(e->blob, start, buffer, max);
    return send(socket_fd, buffer, max, MSG_NOSIGNAL);
}

bool body_is_large_synthetic(const struct body *b)
{
    uint64_t size = 0;

    for (size_t i = 0; i < b->count; i++)
        if (b->extents[i].blob->kind == BLOB_SYNTHETIC || b->extents[i].blob->kind == BLOB_PATTERN)
            size += b->extents[i].len;
    return size > 64U << 20;
}

void sink_init(struct sink *s, unsigned want)
{
    memset(s, 0, sizeof(*s));
    s->fd = -1;
    sums_init(&s->sums, want);
}

static int temporary_file(void)
{
    const char *dir = getenv("TMPDIR");
    char path[4096];
    int fd;

    if (!dir || !*dir)
        dir = "/var/tmp";
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    snprintf(path, sizeof(path), "%s/origin-XXXXXX", dir);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

bool sink_write(struct sink *s, const void *data, size_t len)
{
    sums_update(&s->sums, data, len);
    s->total += len;
    if (s->fd < 0 && s->len + len <= MEMORY_MAX) {
        s->mem = x_realloc(s->mem, s->len + len + 1);
        memcpy(s->mem + s->len, data, len);
        s->len += len;
        return true;
    }
    if (s->fd < 0) {
        s->fd = temporary_file();
        if (s->fd < 0 || !write_all(s->fd, s->mem, s->len))
            return false;
        free(s->mem);
        s->mem = NULL;
        s->len = 0;
    }
    return write_all(s->fd, data, len);
}

struct body *sink_finish(struct sink *s)
{
    struct body *b;

    if (s->fd >= 0) {
        b = body_new_file(s->fd, s->total);
        s->fd = -1;
    } else {
        b = body_new_bytes(s->mem, s->len);
        s->mem = NULL;
    }
    sums_final(&s->sums, &b->sums);
    return b;
}

void sink_release(struct sink *s)
{
    sums_release(&s->sums);
    free(s->mem);
    if (s->fd >= 0)
        close(s->fd);
    s->mem = NULL;
    s->fd = -1;
}
