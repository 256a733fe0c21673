/* Object contents: immutable, shared, of any size. A body is a list of extents of blobs, so that
 * copies, slices and completed multipart uploads hold no bytes of their own. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sums.h"

struct blob;

struct extent {
    struct blob *blob;
    uint64_t offset;
    uint64_t len;
};

struct body {
    int refs;
    uint64_t size;
    struct sum_set sums; /* of the whole content, as far as known */
    size_t count;
    struct extent extents[];
};

/* New bodies, one reference each, owned by the caller: bytes taken over; the synthetic content of README.md;
 * the pattern of pattern.h from a start on; a unit repeated (and cut) to size bytes; an unlinked file's descriptor
 * taken over. */
struct body *body_new_bytes(void *data, size_t len);
struct body *body_new_synthetic(uint64_t seed, uint64_t size);
struct body *body_new_pattern(uint64_t start, uint64_t size);
struct body *body_new_repeated(const char *unit, uint64_t size);
struct body *body_new_file(int fd, uint64_t size);

/* A body of size bytes from offset on; both within b. And one body after another. References to the same blobs. */
struct body *body_slice(const struct body *b, uint64_t offset, uint64_t size);
struct body *body_join(struct body *const *bodies, size_t count);

/* References; unref takes NULL. */
struct body *body_ref(struct body *b);
void body_unref(struct body *b);

/* Copies len bytes at offset, within the body, to out. False when the file that holds them cannot be read. */
bool body_read(const struct body *b, uint64_t offset, void *out, size_t len);

/* Sends up to max bytes at offset to a non-blocking socket: bytes sent, or -1 with errno. */
ssize_t body_send(const struct body *b, uint64_t offset, uint64_t max, int socket_fd);

/* True when more than 64 MiB are synthetic: checksums of such bodies are not computed. */
bool body_is_large_synthetic(const struct body *b);

/* Receives a body of unknown origin, in memory up to 1 MiB, then in an unlinked temporary file, and
 * computes the checksums asked for. */
struct sink {
    struct sums sums;
    char *mem;
    size_t len;
    uint64_t total;
    int fd; /* -1 while in memory */
};

void sink_init(struct sink *s, unsigned want);
/* False with errno when the temporary file cannot be written. */
bool sink_write(struct sink *s, const void *data, size_t len);
/* The body with its checksums, owned by the caller; s is released. */
struct body *sink_finish(struct sink *s);
void sink_release(struct sink *s);
