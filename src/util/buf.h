/*
 * A growing byte buffer whose maximum is declared at birth. Always NUL-terminated behind its length once something was
 * added, so that text can be read in place. A failed addition (over the maximum, no memory) marks the buffer as failed and
 * later ones do nothing: builders check once, at the end.
 */
#ifndef UTIL_BUF_H
#define UTIL_BUF_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf {
    char *data; /* NULL while empty */
    size_t len; /* bytes, without the NUL */
    size_t cap;
    size_t max;
    bool failed;
    bool secret; /* in secret memory (util/secret.h) */
    enum err_code why; /* of the failed mark: ERR_NOMEM, ERR_INVAL, anything else means over `max` */
};

/* In the caller's storage; holds nothing until the first addition. `max` in bytes. */
void buf_init(struct buf *b, size_t max);
void buf_init_secret(struct buf *b, size_t max);

/* Frees what it holds; it can be used again. */
void buf_release(struct buf *b);

/* Empties, keeps the memory and clears the failed mark. */
void buf_clear(struct buf *b);

void buf_add(struct buf *b, const void *p, size_t len);
void buf_add_str(struct buf *b, const char *s);
void buf_add_char(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The text, "" while empty. Borrowed until the next change. */
const char *buf_str(const struct buf *b);

/* ERR_OK, or what went wrong with any addition: ERR_TOO_BIG, ERR_NOMEM, ERR_INVAL (not encodable); `what` names the buffer in the message. */
enum err_code buf_check(const struct buf *b, const char *what, struct err *e) MUST_CHECK;

/* Copies up to `len` bytes from `offset` on and returns how many: 0 at the end. `buf` is a struct buf; the form is that of a body's
 * read(), see net/http.h. */
ssize_t buf_read(void *buf, uint64_t offset, void *out, size_t len);

/* Hands the memory over (free() it, or secret_free() that of a secret buffer; never NULL unless failed: then NULL and the buffer is
 * released). */
char *buf_take(struct buf *b);

#define BUF(name, max_) CLEANUP_RELEASE(buf_release) struct buf name = {.max = (max_)}
#define BUF_SECRET(name, max_) CLEANUP_RELEASE(buf_release) struct buf name = {.max = (max_), .secret = true}

#endif
