/*
 * The closed list of ways a call can fail, shared by every layer. A fallible function returns `enum err_code` and puts the
 * detail into a `struct err *`, its last parameter, which has fixed storage so that failing cannot fail. The table that
 * turns a code into an errno is in src/fuse; nothing below it knows errno except the wrappers of system calls.
 */
#ifndef AWSFS_ERR_H
#define AWSFS_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum err_code {
    ERR_OK = 0,
    ERR_NOT_FOUND,     /* the server said that it does not exist (404); nothing else is an absence */
    ERR_ACCESS,        /* refused: 403, AccessDenied, a read-only mount's policy */
    ERR_EXISTS,        /* exists already, where it must not */
    ERR_CONFLICT,      /* a condition failed (412): somebody else changed it; ESTALE to the caller */
    ERR_THROTTLED,     /* asked to slow down, and the deadline came first */
    ERR_TIMEOUT,       /* a deadline passed */
    ERR_NET,           /* no connection, reset, cut off, DNS, TLS */
    ERR_AUTH,          /* no credentials, expired, signature refused */
    ERR_PROTO,         /* a reply that is malformed, too large, or contradicts itself */
    ERR_TOO_BIG,       /* more than the server or format can hold (EFBIG) */
    ERR_NOSPC,         /* local disk, dirty limit, an object's room for metadata */
    ERR_NOMEM,         /* memory, or the configured limit of it */
    ERR_INVAL,         /* an argument, option or value that is not legal */
    ERR_UNSUPPORTED,   /* the store or this version cannot do it */
    ERR_CANCELED,      /* interrupted or shut down */
    ERR_IO,            /* anything else: local I/O, internal failure */
    ERR_NAME_TOO_LONG, /* a name, key or hierarchy over its limit */
    ERR_BAD_NAME,      /* a name that is not UTF-8 or has characters the store cannot hold (EILSEQ) */
    ERR_NOT_DIR,
    ERR_IS_DIR,
    ERR_NOT_EMPTY,
    ERR_CROSS,         /* a rename that this store cannot do (EXDEV) */
    ERR_BUSY,
    ERR_PERM,          /* never possible here, whoever asks (EPERM) */
    ERR_READ_ONLY,     /* EROFS */
    ERR_NO_ATTR,       /* no such extended attribute (ENODATA) */
    ERR_RANGE,         /* the caller's buffer is too small (ERANGE) */
    ERR_QUOTA,         /* a limit of the account (EDQUOT) */
    ERR_KEY_REJECTED,  /* the encryption key cannot be used (EKEYREJECTED) */
    ERR_BAD_HANDLE,    /* the handle was not opened for this (EBADF) */
    ERR_AGAIN,         /* not answerable without waiting, and the caller asked not to wait */
    ERR_COUNT
};

#define ERR_MSG_SIZE 320

struct err {
    enum err_code code;
    char msg[ERR_MSG_SIZE]; /* one line, no secret in it; truncated with "..." when longer */
};

#define ERR_INIT {ERR_OK, ""}

#define MUST_CHECK __attribute__((warn_unused_result))

/* Records a failure. Replaces what was there. Control characters in the result become '?'. Returns `code`, so that
 * callers write `return err_set(e, ERR_ACCESS, "GetObject %s", key);`. `e` may be NULL. Any thread, never blocks. */
enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same with a va_list. */
enum err_code err_vset(struct err *e, enum err_code code, const char *fmt, va_list ap);

/* Puts "CONTEXT: " before the message that is there, keeping the code. Returns the code. `e` may be NULL, then `code` is
 * returned. */
enum err_code err_prefix(struct err *e, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* From a system call's errno, with strerror's text appended: "open /x: No such file or directory". */
enum err_code err_sys(struct err *e, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Copies `from` to `to` (either may be NULL) and returns from's code. */
enum err_code err_copy(struct err *to, const struct err *from);

/* The code's name, "NOT_FOUND", for logs and tests. Never NULL. */
const char *err_name(enum err_code code);

#endif
