/*
 * The bytes of a staging file, wherever it is: a sparse local file, or secret memory. Not thread-safe. What was never
 * written has any value: the extent map says what counts.
 */
#ifndef JOURNAL_STAGE_BYTES_H
#define JOURNAL_STAGE_BYTES_H

#include "awsfs/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stage_bytes {
    int fd; /* -1: in memory */
    char *memory;
    size_t capacity;
};

/* A file with a random name in `dir`, 0600; its path is put into *path (malloc'd). ERR_NOSPC, ERR_IO, ERR_NOMEM. */
enum err_code stage_bytes_create(struct stage_bytes *b, const char *dir, char **path, struct err *e) MUST_CHECK;

/* A file that no name leads to. */
enum err_code stage_bytes_create_unnamed(struct stage_bytes *b, const char *dir, struct err *e) MUST_CHECK;

/* In memory: needs no memory yet. */
void stage_bytes_in_memory(struct stage_bytes *b);

/* Closes or wipes. */
void stage_bytes_release(struct stage_bytes *b);

/* Writes all of it, or fails: then any part of it may have been written. ERR_NOSPC, ERR_TOO_BIG, ERR_NOMEM, ERR_IO. */
enum err_code stage_bytes_write(struct stage_bytes *b, uint64_t offset, const void *p, size_t len,
                                struct err *e) MUST_CHECK;

/* All of it must have been written before. */
enum err_code stage_bytes_read(const struct stage_bytes *b, uint64_t offset, void *buf, size_t len,
                               struct err *e) MUST_CHECK;

/* The same range from one to the other, both of one kind. */
enum err_code stage_bytes_copy(struct stage_bytes *to, const struct stage_bytes *from, uint64_t offset, size_t len,
                               struct err *e) MUST_CHECK;

/* Makes the range zeros and gives its space back; false where the filesystem cannot. */
bool stage_bytes_drop(struct stage_bytes *b, uint64_t offset, uint64_t len);

/* Takes space for the range without changing bytes or size. ERR_NOSPC; where the filesystem cannot reserve: ERR_OK. */
enum err_code stage_bytes_reserve(struct stage_bytes *b, uint64_t offset, uint64_t len, struct err *e) MUST_CHECK;

/* Forgets what is behind `size`. */
void stage_bytes_cut(struct stage_bytes *b, uint64_t size);

#endif
