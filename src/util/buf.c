#include "util/buf.h"

#include "util/secret.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAP 64

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_init_secret(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max, .secret = true};
}

static void free_data(struct buf *b)
{
    if (b->secret)
        secret_free(b->data);
    else
        free(b->data);
    b->data = NULL;
}

void buf_release(struct buf *b)
{
    free_data(b);
    *b = (struct buf){.max = b->max, .secret = b->secret};
}

void buf_clear(struct buf *b)
{
    if (b->secret && b->data)
        secret_wipe(b->data, b->cap);
    b->len = 0;
    b->failed = false;
    b->why = ERR_OK;
    if (b->data)
        b->data[0] = '\0';
}

static bool fail(struct buf *b, enum err_code why)
{
    b->failed = true;
    b->why = why;
    return false;
}

/* Moves the bytes to `cap` bytes of memory. A secret is never left behind in memory that realloc() gave back. */
static bool move_to(struct buf *b, size_t cap)
{
    char *data;
    if (b->secret) {
        data = secret_alloc(cap);
        if (data && b->data)
            memcpy(data, b->data, b->len + 1);
        if (data)
            free_data(b);
    } else {
        data = realloc(b->data, cap);
    }
    if (!data)
        return fail(b, ERR_NOMEM);
    b->data = data;
    b->cap = cap;
    return true;
}

/* Makes room for `len` more bytes and the NUL. */
static bool reserve(struct buf *b, size_t len)
{
    if (b->failed)
        return false;
    if (b->len > b->max || len > b->max - b->len || len >= SIZE_MAX - b->len)
        return fail(b, ERR_TOO_BIG);
    size_t need = b->len + len + 1;
    if (need <= b->cap)
        return true;
    size_t cap = b->cap > FIRST_CAP / 2 ? b->cap : FIRST_CAP / 2;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap - 1 > b->max)
        cap = b->max + 1;
    return move_to(b, cap);
}

void buf_add(struct buf *b, const void *p, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len)
        memcpy(b->data + b->len, p, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_add_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

/* glibc's printf has up to a kilobyte of the text on its stack, also when it only counts. */
#define PRINTF_STACK 8192

static int print(const struct buf *b, char *to, size_t size, const char *fmt, va_list ap)
{
    int n = vsnprintf(to, size, fmt, ap);
    if (b->secret)
        secret_wipe_stack(PRINTF_STACK);
    return n;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = print(b, NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        fail(b, ERR_INVAL);
        return;
    }
    if (!reserve(b, (size_t)n))
        return;
    va_start(ap, fmt);
    print(b, b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

enum err_code buf_check(const struct buf *b, const char *what, struct err *e)
{
    if (!b->failed)
        return ERR_OK;
    switch (b->why) {
    case ERR_NOMEM:
        return err_set(e, ERR_NOMEM, "%s: out of memory", what);
    case ERR_INVAL:
        return err_set(e, ERR_INVAL, "%s: not valid text", what);
    default:
        return err_set(e, ERR_TOO_BIG, "%s: over its limit of %zu bytes", what, b->max);
    }
}

ssize_t buf_read(void *buf, uint64_t offset, void *out, size_t len)
{
    const struct buf *b = buf;
    if (offset >= b->len)
        return 0;
    if (len > b->len - (size_t)offset)
        len = b->len - (size_t)offset;
    memcpy(out, b->data + offset, len);
    return (ssize_t)len;
}

char *buf_take(struct buf *b)
{
    if (!b->data)
        reserve(b, 0);
    if (b->failed) {
        buf_release(b);
        return NULL;
    }
    b->data[b->len] = '\0';
    char *data = TAKE(b->data);
    buf_release(b);
    return data;
}
