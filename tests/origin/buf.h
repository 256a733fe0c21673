/* Growing byte strings and allocation that never fails: a test server that is out of memory ends. */
#pragma once
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* data is NUL-terminated after data[len - 1] whenever cap > 0. All zero is an empty buffer. */
struct buf {
    char *data;
    size_t len;
    size_t cap;
};

/* malloc, realloc, strdup and strndup that abort when there is no memory. The caller owns the result. */
void *x_alloc(size_t size_bytes);
void *x_realloc(void *p, size_t size_bytes);
char *x_strdup(const char *s);
char *x_strndup(const char *s, size_t len);

/* Appends len bytes, a string, formatted text. */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends s escaped for XML text. Control characters become references, as S3 writes them,
 * although XML 1.0 forbids these. */
void buf_add_xml(struct buf *b, const char *s);

/* Appends s percent-encoded in the manner of encoding-type=url: '/' stays, a space becomes '+'. */
void buf_add_url(struct buf *b, const char *s);

/* Appends the number in decimal. */
void buf_add_number(struct buf *b, long long value);

/* Appends <name>text</name>, the text escaped; nothing when text is NULL. */
void buf_add_element(struct buf *b, const char *name, const char *text);

/* Gives the bytes away (NUL-terminated, owned by the caller, never NULL) and leaves b empty. */
char *buf_take(struct buf *b);

/* Forgets the first n bytes; n <= len. */
void buf_consume(struct buf *b, size_t n);

/* Leaves b empty; keeps its memory. */
void buf_clear(struct buf *b);

/* Frees the bytes and leaves b empty. */
void buf_release(struct buf *b);
