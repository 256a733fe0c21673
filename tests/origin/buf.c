#include "buf.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *x_alloc(size_t size_bytes)
{
    void *p = calloc(1, size_bytes ? size_bytes : 1);

    if (!p)
        abort();
    return p;
}

void *x_realloc(void *p, size_t size_bytes)
{
    p = realloc(p, size_bytes ? size_bytes : 1);
    if (!p)
        abort();
    return p;
}

char *x_strndup(const char *s, size_t len)
{
    char *copy = x_alloc(len + 1);

    memcpy(copy, s, len);
    return copy;
}

char *x_strdup(const char *s)
{
    return x_strndup(s, strlen(s));
}

/* Room for len bytes more and a NUL. */
static void reserve(struct buf *b, size_t len)
{
    size_t cap = b->cap ? b->cap * 2 : 256;

    if (b->cap - b->len >= len + 1)
        return;
    while (cap - b->len < len + 1)
        cap *= 2;
    b->data = x_realloc(b->data, cap);
    b->cap = cap;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    reserve(b, len);
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = 0;
}

void buf_adds(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *format, ...)
{
    va_list args, again;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(b->data ? b->data + b->len : NULL, b->cap - b->len, format, args);
    va_end(args);
    if (len < 0)
        abort();
    if ((size_t)len >= b->cap - b->len) {
        reserve(b, (size_t)len);
        vsnprintf(b->data + b->len, b->cap - b->len, format, again);
    }
    va_end(again);
    b->len += (size_t)len;
}

/* Bytes that stand for themselves in the text of an element; of a key that is encoded as an URL. */
static const bool plain_xml[256] = {
    [0x20 ... '"' - 1] = true, ['"' + 1 ... '&' - 1] = true, ['&' + 1 ... '<' - 1] = true, ['='] = true,
    ['>' + 1 ... 0xFF] = true,
};
static const bool plain_url[256] = {
    ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['0' ... '9'] = true, ['-'] = true,
    ['_'] = true,         ['.'] = true,         ['*'] = true,         ['/'] = true,
};

/* The bytes from `s` on that stand for themselves; the NUL behind them does not. */
static size_t plain_span(const bool plain[256], const char *s)
{
    size_t n = 0;

    while (plain[(unsigned char)s[n]])
        n++;
    return n;
}

void buf_add_xml(struct buf *b, const char *s)
{
    for (;; s++) {
        size_t plain = plain_span(plain_xml, s);

        buf_add(b, s, plain);
        s += plain;
        if (!*s)
            break;
        if (*s == '&')
            buf_adds(b, "&amp;");
        else if (*s == '<')
            buf_adds(b, "&lt;");
        else if (*s == '>')
            buf_adds(b, "&gt;");
        else if (*s == '"')
            buf_adds(b, "&quot;");
        else
            buf_addf(b, "&#x%x;", (unsigned char)*s);
    }
}

void buf_add_url(struct buf *b, const char *s)
{
    for (;; s++) {
        size_t plain = plain_span(plain_url, s);

        buf_add(b, s, plain);
        s += plain;
        if (!*s)
            break;
        if (*s == ' ')
            buf_adds(b, "+");
        else
            buf_addf(b, "%%%02X", (unsigned char)*s);
    }
}

void buf_add_number(struct buf *b, long long value)
{
    char digits[24];
    size_t at = sizeof(digits);
    unsigned long long left = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;

    do
        digits[--at] = (char)('0' + left % 10);
    while (left /= 10);
    if (value < 0)
        digits[--at] = '-';
    buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_add_element(struct buf *b, const char *name, const char *text)
{
    if (!text)
        return;
    buf_adds(b, "<");
    buf_adds(b, name);
    buf_adds(b, ">");
    buf_add_xml(b, text);
    buf_adds(b, "</");
    buf_adds(b, name);
    buf_adds(b, ">");
}

char *buf_take(struct buf *b)
{
    char *data = b->data ? b->data : x_strdup("");

    memset(b, 0, sizeof(*b));
    return data;
}

void buf_consume(struct buf *b, size_t n)
{
    if (n)
        memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

void buf_release(struct buf *b)
{
    free(b->data);
    memset(b, 0, sizeof(*b));
}
