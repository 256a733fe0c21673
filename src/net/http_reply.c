/* The reply's status, headers and collected body. Everything here is what a server sent: bounded and checked. */
#include "net/http_internal.h"

#include "util/str.h"

#include <string.h>

#define HEADERS_MAX      65536
#define BODY_MAX_DEFAULT (1024 * 1024)

void reply_init(struct reply *r, size_t max_body, bool secret)
{
    memset(r, 0, sizeof(*r));
    buf_init(&r->headers, 2 * HEADERS_MAX);
    if (max_body == 0)
        max_body = BODY_MAX_DEFAULT;
    if (secret)
        buf_init_secret(&r->body, max_body);
    else
        buf_init(&r->body, max_body);
}

void reply_release(struct reply *r)
{
    buf_release(&r->headers);
    buf_release(&r->body);
}

void reply_restart(struct reply *r)
{
    r->status = 0;
    r->ended = r->has_length = r->chunked = false;
    buf_clear(&r->headers);
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static enum err_code status_line(struct reply *r, const char *p, size_t len, struct err *e)
{
    const char *space = memchr(p, ' ', len);
    size_t left = space ? len - (size_t)(space - p) : 0;
    if (left < 4)
        return err_set(e, ERR_PROTO, "malformed status line");
    int status = 0;
    for (int i = 1; i <= 3; i++) {
        if (space[i] < '0' || space[i] > '9')
            return err_set(e, ERR_PROTO, "malformed status line");
        status = 10 * status + (space[i] - '0');
    }
    if (status < 100 || (left > 4 && space[4] >= '0' && space[4] <= '9'))
        return err_set(e, ERR_PROTO, "malformed status line");
    reply_restart(r);
    r->status = status;
    return ERR_OK;
}

/* Two lengths that differ are how one reply is passed off as another. */
static enum err_code note_framing(struct reply *r, const char *name, const char *value, struct err *e)
{
    if (str_ieq(name, "Transfer-Encoding"))
        r->chunked = true;
    if (!str_ieq(name, "Content-Length"))
        return ERR_OK;
    uint64_t length;
    if (!str_parse_u64(value, &length))
        return err_set(e, ERR_PROTO, "reply with a malformed Content-Length");
    if (r->has_length && r->length != length)
        return err_set(e, ERR_PROTO, "reply with two values of Content-Length");
    r->has_length = true;
    r->length = length;
    return ERR_OK;
}

/* obs-fold of RFC 9112: the line goes on with the value before it, which is the buffer's last string. */
static void unfold(struct reply *r, const char *p, size_t len)
{
    if (r->headers.len == 0)
        return;
    r->headers.len--;
    buf_add_char(&r->headers, ' ');
    buf_add(&r->headers, p, len);
    buf_add_char(&r->headers, '\0');
}

static enum err_code store(struct reply *r, const char *p, size_t len, struct err *e)
{
    const char *colon = memchr(p, ':', len);
    if (!colon || colon == p)
        return err_set(e, ERR_PROTO, "malformed header line");
    size_t name_len = (size_t)(colon - p), start = name_len + 1;
    while (start < len && blank(p[start]))
        start++;
    size_t name_at = r->headers.len;
    buf_add(&r->headers, p, name_len);
    buf_add_char(&r->headers, '\0');
    size_t value_at = r->headers.len;
    buf_add(&r->headers, p + start, len - start);
    buf_add_char(&r->headers, '\0');
    if (r->headers.failed)
        return err_set(e, ERR_PROTO, "no room for the reply's headers");
    return note_framing(r, r->headers.data + name_at, r->headers.data + value_at, e);
}

enum err_code reply_line(struct reply *r, const char *p, size_t len, struct err *e)
{
    r->header_bytes += len;
    if (r->header_bytes > HEADERS_MAX)
        return err_set(e, ERR_PROTO, "reply with more than %d bytes of headers", HEADERS_MAX);
    if (memchr(p, '\0', len))
        return err_set(e, ERR_PROTO, "reply with a NUL in its headers");
    if (r->ended)
        return ERR_OK; /* a trailer: nothing of it is used */
    while (len > 0 && (p[len - 1] == '\r' || p[len - 1] == '\n'))
        len--;
    if (len >= 5 && memcmp(p, "HTTP/", 5) == 0)
        return status_line(r, p, len, e);
    if (len == 0) {
        r->ended = r->status >= 200;
        return ERR_OK;
    }
    while (len > 0 && blank(p[len - 1]))
        len--;
    size_t start = 0;
    while (start < len && blank(p[start]))
        start++;
    if (start == 0)
        return len > 0 ? store(r, p, len, e) : ERR_OK;
    unfold(r, p + start, len - start);
    return ERR_OK;
}

bool http_reply_header_next(const struct http_transfer *t, size_t *cursor, const char **name, const char **value)
{
    const struct buf *b = &t->reply.headers;
    if (*cursor >= b->len)
        return false;
    *name = b->data + *cursor;
    *value = *name + strlen(*name) + 1;
    *cursor = (size_t)(*value - b->data) + strlen(*value) + 1;
    return true;
}

const char *http_reply_header(const struct http_transfer *t, const char *name)
{
    size_t cursor = 0;
    const char *n, *value;
    while (http_reply_header_next(t, &cursor, &n, &value))
        if (str_ieq(n, name))
            return value;
    return NULL;
}
