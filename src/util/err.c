#include "awsfs/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[ERR_COUNT] = {
    [ERR_OK] = "OK",
    [ERR_NOT_FOUND] = "NOT_FOUND",
    [ERR_ACCESS] = "ACCESS",
    [ERR_EXISTS] = "EXISTS",
    [ERR_CONFLICT] = "CONFLICT",
    [ERR_THROTTLED] = "THROTTLED",
    [ERR_TIMEOUT] = "TIMEOUT",
    [ERR_NET] = "NET",
    [ERR_AUTH] = "AUTH",
    [ERR_PROTO] = "PROTO",
    [ERR_TOO_BIG] = "TOO_BIG",
    [ERR_NOSPC] = "NOSPC",
    [ERR_NOMEM] = "NOMEM",
    [ERR_INVAL] = "INVAL",
    [ERR_UNSUPPORTED] = "UNSUPPORTED",
    [ERR_CANCELED] = "CANCELED",
    [ERR_IO] = "IO",
    [ERR_NAME_TOO_LONG] = "NAME_TOO_LONG",
    [ERR_BAD_NAME] = "BAD_NAME",
    [ERR_NOT_DIR] = "NOT_DIR",
    [ERR_IS_DIR] = "IS_DIR",
    [ERR_NOT_EMPTY] = "NOT_EMPTY",
    [ERR_CROSS] = "CROSS",
    [ERR_BUSY] = "BUSY",
    [ERR_PERM] = "PERM",
    [ERR_READ_ONLY] = "READ_ONLY",
    [ERR_NO_ATTR] = "NO_ATTR",
    [ERR_RANGE] = "RANGE",
    [ERR_QUOTA] = "QUOTA",
    [ERR_KEY_REJECTED] = "KEY_REJECTED",
    [ERR_BAD_HANDLE] = "BAD_HANDLE",
    [ERR_AGAIN] = "AGAIN",
};

const char *err_name(enum err_code code)
{
    if ((unsigned)code >= ERR_COUNT || !names[code])
        return "UNKNOWN";
    return names[code];
}

/* Ends a text that filled its buffer with "...", not in the middle of a UTF-8 sequence. */
static void mark_truncated(char *text, size_t size)
{
    size_t end = size - 4;
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
        end--;
    memcpy(text + end, "...", 4);
}

static void replace_controls(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++) {
        if (*p < 0x20 || *p == 0x7F)
            *p = '?';
    }
}

/* Formats into `out`, which the arguments must not point into. */
static void format_msg(char out[ERR_MSG_SIZE], const char *fmt, va_list ap)
{
    int n = vsnprintf(out, ERR_MSG_SIZE, fmt, ap);
    if (n < 0)
        out[0] = '\0';
    else if (n >= ERR_MSG_SIZE)
        mark_truncated(out, ERR_MSG_SIZE);
    replace_controls(out);
}

/* Stores "A<sep>B". */
static void join_msg(char out[ERR_MSG_SIZE], const char *a, const char *sep, const char *b)
{
    char joined[ERR_MSG_SIZE];
    int n = snprintf(joined, sizeof(joined), "%s%s%s", a, sep, b);
    if (n < 0)
        return;
    if (n >= ERR_MSG_SIZE)
        mark_truncated(joined, sizeof(joined));
    replace_controls(joined);
    memcpy(out, joined, sizeof(joined));
}

enum err_code err_vset(struct err *e, enum err_code code, const char *fmt, va_list ap)
{
    if (!e)
        return code;
    char text[ERR_MSG_SIZE];
    format_msg(text, fmt, ap);
    e->code = code;
    memcpy(e->msg, text, sizeof(text));
    return code;
}

enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    err_vset(e, code, fmt, ap);
    va_end(ap);
    return code;
}

enum err_code err_prefix(struct err *e, enum err_code code, const char *fmt, ...)
{
    if (!e)
        return code;
    char context[ERR_MSG_SIZE];
    va_list ap;
    va_start(ap, fmt);
    format_msg(context, fmt, ap);
    va_end(ap);
    if (e->code == ERR_OK)
        e->code = code;
    if (e->msg[0])
        join_msg(e->msg, context, ": ", e->msg);
    else
        memcpy(e->msg, context, sizeof(context));
    return e->code;
}

/* ENOENT is missing on purpose: a local file that is not there must never look like an object that does not exist. */
static const struct {
    int errnum;
    enum err_code code;
} errno_codes[] = {
    {EACCES, ERR_ACCESS},       {EPERM, ERR_ACCESS},       {EEXIST, ERR_EXISTS},
    {ENOSPC, ERR_NOSPC},        {EDQUOT, ERR_NOSPC},       {ENOMEM, ERR_NOMEM},
    {EINVAL, ERR_INVAL},        {EFBIG, ERR_TOO_BIG},      {ENAMETOOLONG, ERR_NAME_TOO_LONG},
    {EILSEQ, ERR_BAD_NAME},     {ENOTDIR, ERR_NOT_DIR},    {EISDIR, ERR_IS_DIR},
    {ENOTEMPTY, ERR_NOT_EMPTY}, {EXDEV, ERR_CROSS},        {EBUSY, ERR_BUSY},
    {EROFS, ERR_READ_ONLY},     {EBADF, ERR_BAD_HANDLE},   {ERANGE, ERR_RANGE},
    {EAGAIN, ERR_AGAIN},        {ETIMEDOUT, ERR_TIMEOUT},  {ECONNREFUSED, ERR_NET},
    {ECONNRESET, ERR_NET},      {ENOSYS, ERR_UNSUPPORTED}, {EOPNOTSUPP, ERR_UNSUPPORTED},
    {EINTR, ERR_CANCELED},      {ECANCELED, ERR_CANCELED},
};

static enum err_code code_of_errno(int errnum)
{
    for (size_t i = 0; i < sizeof(errno_codes) / sizeof(errno_codes[0]); i++) {
        if (errno_codes[i].errnum == errnum)
            return errno_codes[i].code;
    }
    return ERR_IO;
}

enum err_code err_sys(struct err *e, int errnum, const char *fmt, ...)
{
    enum err_code code = code_of_errno(errnum);
    if (!e)
        return code;
    char context[ERR_MSG_SIZE];
    va_list ap;
    va_start(ap, fmt);
    format_msg(context, fmt, ap);
    va_end(ap);
    char reason[128];
    e->code = code;
    join_msg(e->msg, context, ": ", strerror_r(errnum, reason, sizeof(reason)));
    return code;
}

enum err_code err_copy(struct err *to, const struct err *from)
{
    if (!from)
        return ERR_OK;
    if (to && to != from)
        *to = *from;
    return from->code;
}
