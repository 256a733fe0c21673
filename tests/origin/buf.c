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

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c != '&' && c != '<' && c != '>' && c != '"';
}

void buf_add_xml(struct buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        size_t plain = 0;

        while (is_plain((unsigned char)s[plain]))
            plain++;
        if (plain) {
            buf_add(b, s, plain);
            s += plain - 1;
        } else if (c == '&') {
            buf_adds(b, "&amp;");
        } else if (c == '<') {
            buf_adds(b, "&lt;");
        } else if (c == '>') {
            buf_adds(b, "&gt;");
        } else if (c == '"') {
            buf_adds(b, "&quot;");
        } else {
            buf_addf(b, "&#x%x;", c);
        }
    }
}

void buf_add_url(struct buf *b, const char *s)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.*/";

    for (; *s; s++) {
        size_t span = strspn(s, plain);

        buf_add(b, s, span);
        s += span;
        if (!*s)
            break;
        if (*s == ' ')
            buf_adds(b, "+");
        else
            buf_addf(b, "%%%02X", (unsigned char)*s);
    }
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

void buf_release(struct buf *b)
{
    free(b->data);
    memset(b, 0, sizeof(*b));
}
