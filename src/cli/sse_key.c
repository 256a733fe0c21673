#include "cli/sse_key.h"

#include "util/buf.h"
#include "util/cleanup.h"
#include "util/log.h"
#include "util/secret.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 256 };

static enum err_code check_file(const char *path, int fd, struct err *e)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return err_sys(e, errno, "option sse_c_key_file: %s", path);
    if (!S_ISREG(st.st_mode))
        return err_set(e, ERR_INVAL, "option sse_c_key_file: %s is no regular file", path);
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return err_set(e, ERR_ACCESS, "option sse_c_key_file: %s belongs to user %u, not to this user or root", path,
                       (unsigned)st.st_uid);
    if (st.st_mode & 027)
        return err_set(e, ERR_ACCESS, "option sse_c_key_file: others may read or change %s: chmod 600 it", path);
    if (st.st_mode & 040)
        LOG_WARN("mount", "option sse_c_key_file: the group of %s may read it", path);
    return ERR_OK;
}

/* In any of the three forms. */
static bool decode(struct buf *text, uint8_t key[SSE_KEY_SIZE])
{
    BUF_SECRET(decoded, FILE_MAX);

    if (text->len == SSE_KEY_SIZE) {
        memcpy(key, text->data, SSE_KEY_SIZE);
        return true;
    }
    while (text->len && (text->data[text->len - 1] == '\n' || text->data[text->len - 1] == '\r'))
        text->data[--text->len] = '\0';
    if (text->len == 2 * SSE_KEY_SIZE && strlen(text->data) == text->len && hex_decode(text->data, key, SSE_KEY_SIZE))
        return true;
    if (!text->len || !base64_decode(&decoded, text->data, text->len) || decoded.len != SSE_KEY_SIZE)
        return false;
    memcpy(key, decoded.data, SSE_KEY_SIZE);
    return true;
}

uint8_t *sse_key_read(const char *path, struct err *e)
{
    BUF_SECRET(text, FILE_MAX + 2);
    CLEANUP(secret_free) uint8_t *key = secret_alloc(SSE_KEY_SIZE), *chunk = secret_alloc(FILE_MAX);
    CLEANUP(close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0) {
        err_sys(e, errno, "option sse_c_key_file: %s", path);
        return NULL;
    }
    if (!key || !chunk) {
        err_set(e, ERR_NOMEM, "no memory for a key");
        return NULL;
    }
    if (check_file(path, fd, e) != ERR_OK)
        return NULL;
    ssize_t n = read(fd, chunk, FILE_MAX);
    if (n < 0) {
        err_sys(e, errno, "option sse_c_key_file: %s", path);
        return NULL;
    }
    buf_add(&text, chunk, (size_t)n);
    if (text.failed || !decode(&text, key)) {
        err_set(e, ERR_INVAL, "option sse_c_key_file: %s holds no key: 32 bytes, 64 hex digits, or base64 of 32 bytes", path);
        return NULL;
    }
    return TAKE(key);
}
