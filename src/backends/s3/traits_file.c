#include "backends/s3/traits_file.h"

#include "util/buf.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FIRST_LINE "awsfs-server 1"
#define LAST_LINE  "end"

enum { FILE_MAX = 16384, FUTURE_S = 3600 };

static const char *const verdict_names[] = {
    [S3_UNKNOWN] = "unknown", [S3_YES] = "yes", [S3_IGNORES] = "ignores", [S3_REFUSES] = "refuses"};

bool traits_file_path(const char *dir, const char *endpoint, const char *kind, char out[PATH_MAX])
{
    char hex[2 * DIGEST_MAX + 1];
    BUF(text, 2048);
    buf_addf(&text, "%s\n%s", endpoint, kind);
    if (text.failed || digest_hex(DIGEST_SHA256, text.data, text.len, hex, NULL) != ERR_OK)
        return false;
    return snprintf(out, PATH_MAX, "%s/%.32s", dir, hex) < PATH_MAX - 8;
}

static enum err_code damaged(struct err *e, const char *path, const char *why)
{
    return err_set(e, ERR_INVAL, "%s: %s", path, why);
}

/* The whole file into `text`. Only a regular one that nobody else may write. */
static enum err_code read_all(const char *path, struct buf *text, struct err *e)
{
    struct stat st;
    char chunk[4096];
    CLEANUP(close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "%s", path) : err_sys(e, errno, "%s", path);
    if (fstat(fd, &st) != 0)
        return err_sys(e, errno, "%s", path);
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return damaged(e, path, "it is not this user's own file");
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0)
            return err_sys(e, errno, "%s", path);
        if (n == 0)
            break;
        buf_add(text, chunk, (size_t)n);
    }
    if (text->failed || memchr(buf_str(text), 0, text->len) != NULL)
        return damaged(e, path, "it is too long or no text");
    return ERR_OK;
}

static bool take_verdict(struct traits_file *f, const char *name, const char *value, bool seen[S3_TRAITS])
{
    for (int t = 0; t < S3_TRAITS; t++) {
        if (strcmp(s3_trait_name(t), name) != 0 || seen[t])
            continue;
        for (size_t v = 0; v < ARRAY_LEN(verdict_names); v++) {
            if (strcmp(verdict_names[v], value) != 0)
                continue;
            f->verdicts[t] = (enum s3_verdict)v;
            seen[t] = f->asked = true;
            return true;
        }
    }
    return false;
}

/* What is printed into a log later. */
static bool is_plain(const char *s)
{
    for (; *s != 0; s++)
        if ((unsigned char)*s < ' ' || (unsigned char)*s > 0x7e)
            return false;
    return true;
}

static bool take_line(struct traits_file *f, const char *name, const char *value, const char *endpoint,
                      const char *kind, bool seen[S3_TRAITS])
{
    uint64_t when;
    if (strcmp(name, "endpoint") == 0)
        return strcmp(value, endpoint) == 0;
    if (strcmp(name, "kind") == 0)
        return strcmp(value, kind) == 0;
    if (strcmp(name, "asked") == 0 && str_parse_u64(value, &when) && when < INT32_MAX * 100ULL) {
        f->when = (time_t)when;
        return true;
    }
    if (strcmp(name, "addressing") == 0 && (strcmp(value, "path") == 0 || strcmp(value, "virtual") == 0)) {
        f->is_virtual = value[0] == 'v';
        return true;
    }
    if (strcmp(name, "server") == 0 && strlen(value) < sizeof(f->server) && is_plain(value)) {
        memcpy(f->server, value, strlen(value) + 1);
        return true;
    }
    return take_verdict(f, name, value, seen);
}

/* "name value" lines between the first and the last one. */
static bool parse(char *text, struct traits_file *f, const char *endpoint, const char *kind)
{
    bool seen[S3_TRAITS] = {false};
    char *save = NULL, *line = strtok_r(text, "\n", &save);
    if (line == NULL || strcmp(line, FIRST_LINE) != 0)
        return false;
    while ((line = strtok_r(NULL, "\n", &save)) != NULL && strcmp(line, LAST_LINE) != 0) {
        char *space = strchr(line, ' ');
        if (space == NULL)
            return false;
        *space = 0;
        if (!take_line(f, line, space + 1, endpoint, kind, seen))
            return false;
    }
    if (line == NULL || strtok_r(NULL, "\n", &save) != NULL)
        return false;
    for (int t = 0; t < S3_TRAITS; t++)
        if (f->asked != seen[t])
            return false;
    return f->when > 0;
}

enum err_code traits_file_load(const char *path, const char *endpoint, const char *kind, time_t now,
                               struct traits_file *out, struct err *e)
{
    struct traits_file f = {.is_virtual = -1};
    BUF(text, FILE_MAX);
    enum err_code code = read_all(path, &text, e);
    if (code != ERR_OK)
        return code;
    buf_add_char(&text, '\0');
    if (text.failed || !parse(text.data, &f, endpoint, kind))
        return damaged(e, path, "it is not what this version writes for that server");
    if (f.when > now + FUTURE_S || now - f.when > TRAITS_DAYS * 86400)
        return damaged(e, path, "it is too old");
    *out = f;
    return ERR_OK;
}

static enum err_code write_all(const char *path, const struct buf *text, struct err *e)
{
    CLEANUP(close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "%s", path);
    ssize_t n = write(fd, text->data, text->len);
    if (n < 0)
        return err_sys(e, errno, "%s", path);
    return (size_t)n == text->len ? ERR_OK : err_set(e, ERR_NOSPC, "%s", path);
}

enum err_code traits_file_save(const char *path, const char *endpoint, const char *kind, const struct traits_file *f,
                               struct err *e)
{
    char beside[PATH_MAX];
    BUF(text, FILE_MAX);
    buf_addf(&text, FIRST_LINE "\nendpoint %s\nkind %s\nasked %lld\n", endpoint, kind, (long long)f->when);
    if (f->server[0] != 0)
        buf_addf(&text, "server %s\n", f->server);
    if (f->is_virtual >= 0)
        buf_addf(&text, "addressing %s\n", f->is_virtual ? "virtual" : "path");
    for (int t = 0; f->asked && t < S3_TRAITS; t++)
        buf_addf(&text, "%s %s\n", s3_trait_name(t), verdict_names[f->verdicts[t]]);
    buf_add_str(&text, LAST_LINE "\n");
    enum err_code code = buf_check(&text, path, e);
    if (code != ERR_OK)
        return code;
    /* A name of its own for each process: two mounts may save at once. */
    if (snprintf(beside, sizeof(beside), "%s.%d", path, (int)getpid()) >= (int)sizeof(beside))
        return err_set(e, ERR_NAME_TOO_LONG, "%s", path);
    code = write_all(beside, &text, e);
    if (code == ERR_OK && rename(beside, path) != 0)
        code = err_sys(e, errno, "%s", path);
    if (code != ERR_OK)
        (void)unlink(beside);
    return code;
}
