#include "cli/journal_export.h"

#include "util/cleanup.h"
#include "util/digest.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE          (1u << 20)
#define COMPONENT_MAX  200 /* bytes; room is left for what is put behind it */
#define TRIES          1000
#define OUT_NAME_MAX   (64 * 1024)

/* One component of a key as a file name that is none of the special ones. A long one ends with its hash. */
static enum err_code component(const char *p, size_t len, char out[NAME_MAX + 1], struct err *e)
{
    char hex[2 * DIGEST_MAX + 1];
    if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.')) {
        snprintf(out, NAME_MAX + 1, "%s", len == 0 ? "%" : len == 1 ? "%2E" : "%2E%2E");
        return ERR_OK;
    }
    if (len <= COMPONENT_MAX) {
        snprintf(out, NAME_MAX + 1, "%.*s", (int)len, p);
        return ERR_OK;
    }
    enum err_code code = digest_hex(DIGEST_SHA256, p, len, hex, e);
    size_t keep = COMPONENT_MAX - 34;
    while (!code && keep > 0 && ((unsigned char)p[keep] & 0xC0) == 0x80)
        keep--;
    if (!code)
        snprintf(out, NAME_MAX + 1, "%.*s~%.32s", (int)keep, p, hex);
    return code;
}

/* The directory of that name in `dir`, made where it is missing. */
static int enter(int dir, const char *name, struct err *e)
{
    if (mkdirat(dir, name, 0700) != 0 && errno != EEXIST) {
        err_sys(e, errno, "make the directory %s", name);
        return -1;
    }
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        err_sys(e, errno, "%s", name);
    return fd;
}

static int open_target(const char *to, struct err *e)
{
    if (mkdir(to, 0700) != 0 && errno != EEXIST) {
        err_sys(e, errno, "make the directory %s", to);
        return -1;
    }
    int fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        err_sys(e, errno, "%s", to);
    return fd;
}

/* Goes down to the directory that the key's last component belongs in; that one is put into `last`. */
static int descend(int root, const char *key, char last[NAME_MAX + 1], struct buf *shown, struct err *e)
{
    CLEANUP(close) int dir = dup(root);
    for (;;) {
        size_t len = strcspn(key, "/");
        if (dir < 0 || component(key, len, last, e))
            return -1;
        if (!key[len])
            break;
        int next = enter(dir, last, e);
        buf_addf(shown, "%s/", last);
        close_cleanup(&dir);
        dir = next;
        key += len + 1;
    }
    int out = dir;
    dir = -1;
    return out;
}

/* A file that was not there. */
static int create(int dir, const char *name, char given[NAME_MAX + 1], struct err *e)
{
    int fd = -1;
    for (unsigned i = 1; fd < 0 && i <= TRIES; i++) {
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof(number), " (%u)", i);
        snprintf(given, NAME_MAX + 1, "%.*s%s", NAME_MAX - 20, name, number);
        fd = openat(dir, given, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    if (fd < 0)
        err_sys(e, errno, "make the file %s", name);
    return fd;
}

static enum err_code write_all(int fd, const char *p, size_t len, off_t at, struct err *e)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_sys(e, n < 0 ? errno : EIO, "write");
        p += n;
        len -= (size_t)n;
        at += n;
    }
    return ERR_OK;
}

/* Holes stay holes. */
static enum err_code copy_bytes(int from, int to, struct err *e)
{
    struct stat st;
    CLEANUP(free) char *piece = malloc(PIECE);
    enum err_code code = ERR_OK;
    if (!piece)
        return err_set(e, ERR_NOMEM, "no memory for a copy");
    if (fstat(from, &st) != 0)
        return err_sys(e, errno, "stat");
    off_t at = 0;
    while (!code && at < st.st_size) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break;
        at = data < 0 ? at : data;
        ssize_t n = pread(from, piece, PIECE, at);
        if (n < 0)
            return err_sys(e, errno, "read");
        if (n == 0)
            break;
        code = write_all(to, piece, (size_t)n, at, e);
        at += n;
    }
    if (!code && ftruncate(to, st.st_size) != 0)
        code = err_sys(e, errno, "resize");
    if (!code && fsync(to) != 0)
        code = err_sys(e, errno, "sync");
    return code;
}

/* Bytes that are in the journal. */
static enum err_code copy_op(const struct journal_entry *entry, int dir, const char *name, char given[NAME_MAX + 1], struct err *e)
{
    const struct journal_op *op = entry->op;
    int from = journal_log_bytes(entry->mount->log);
    CLEANUP(free) char *piece = malloc(RECORD_INLINE_MAX);
    if (!piece || op->size > RECORD_INLINE_MAX)
        return err_set(e, ERR_NOMEM, "no memory for a copy");
    ssize_t n = pread(from, piece, (size_t)op->size, (off_t)op->at);
    if (n != (ssize_t)op->size)
        return err_sys(e, n < 0 ? errno : EIO, "read");
    CLEANUP(close) int to = create(dir, name, given, e);
    if (to < 0)
        return e->code;
    enum err_code code = write_all(to, piece, (size_t)op->size, 0, e);
    if (!code && fsync(to) != 0)
        code = err_sys(e, errno, "sync");
    if (code)
        (void)unlinkat(dir, given, 0); /* ours, and not whole */
    return code;
}

static enum err_code copy_to(const char *path, int dir, const char *name, char given[NAME_MAX + 1], struct err *e)
{
    CLEANUP(close) int from = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0)
        return err_sys(e, errno, "%s", path);
    CLEANUP(close) int to = create(dir, name, given, e);
    if (to < 0)
        return e->code;
    enum err_code code = copy_bytes(from, to, e);
    if (code)
        (void)unlinkat(dir, given, 0); /* ours, and not whole */
    return code ? err_prefix(e, code, "%s", given) : ERR_OK;
}

enum err_code journal_export(const struct journal_entry *entry, const char *to, struct buf *name, struct err *e)
{
    char last[NAME_MAX + 1], given[NAME_MAX + 1], info[NAME_MAX + 16];
    const char *key = *entry->key ? entry->key : strrchr(entry->path, '/') + 1;
    BUF(shown, OUT_NAME_MAX);
    CLEANUP(close) int root = open_target(to, e);
    if (root < 0)
        return e->code;
    CLEANUP(close) int dir = descend(root, key, last, &shown, e);
    if (dir < 0)
        return e->code ? e->code : err_sys(e, errno, "%s", to);
    bool in_log = entry->op && !entry->op->file;
    enum err_code code = in_log ? copy_op(entry, dir, last, given, e) : copy_to(entry->path, dir, last, given, e);
    if (code)
        return code;
    if (entry->n_unfetched) {
        CLEANUP(free) char *description = str_printf("%s" LEFT_INFO, entry->path);
        snprintf(info, sizeof(info), "%s" LEFT_INFO, given);
        char unused[NAME_MAX + 1];
        code = description ? copy_to(description, dir, info, unused, e) : err_set(e, ERR_NOMEM, "no memory");
    }
    buf_addf(name, "%s%s", buf_str(&shown), given);
    return code;
}
