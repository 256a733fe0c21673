#include "cli/config.h"

#include "cli/source.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (256 * 1024)
#define LINE_MAX_BYTES 4096

/* The line without white space around it. Ends in place. */
static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t n = strlen(s);
    while (n && isspace((unsigned char)s[n - 1]))
        s[--n] = '\0';
    return s;
}

/* Whether the section "[NAME]" is that of `source`. */
static enum err_code section(char *line, const char *source, bool *ours, struct err *e)
{
    size_t n = strlen(line);
    struct source named;

    if (n < 3 || line[n - 1] != ']')
        return err_set(e, ERR_INVAL, "a section is written [SOURCE], as in [s3://bucket]");
    line[n - 1] = '\0';
    enum err_code code = source_parse(trim(line + 1), &named, e);
    if (code != ERR_OK)
        return code;
    *ours = strcmp(named.text, source) == 0;
    source_release(&named);
    return ERR_OK;
}

static enum err_code one_line(char *line, const char *source, bool *ours, struct options *o, struct options *others,
                              struct err *e)
{
    if (!*line || *line == '#' || *line == ';')
        return ERR_OK;
    if (*line == '[')
        return section(line, source, ours, e);
    char *value = strchr(line, '=');
    if (value)
        *value++ = '\0';
    const char *name = trim(line);
    if (!*name)
        return err_set(e, ERR_INVAL, "a line is `option = value` or `option`");
    if (strcmp(name, "config") == 0)
        return err_set(e, ERR_INVAL, "option config cannot stand in a config file");
    return options_set(*ours ? o : others, name, value ? trim(value) : NULL, e);
}

enum err_code config_parse(const char *text, size_t len, const char *path, const char *source, struct options *o,
                           struct err *e)
{
    CLEANUP_RELEASE(options_release) struct options others;
    enum err_code code = options_init(&others, e);
    bool ours = true;
    unsigned number = 1;

    for (const char *p = text, *end = text + len; code == ERR_OK && p < end; number++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = (size_t)((nl ? nl : end) - p);
        if (n > LINE_MAX_BYTES || memchr(p, '\0', n)) {
            return err_set(e, ERR_INVAL, "%s:%u: %s", path, number,
                           n > LINE_MAX_BYTES ? "a line has at most 4096 bytes" : "a NUL byte: this is no text file");
        }
        CLEANUP(free) char *line = str_ndup(p, n);
        if (!line)
            return err_set(e, ERR_NOMEM, "no memory for %s", path);
        code = one_line(trim(line), source, &ours, o, &others, e);
        p = nl ? nl + 1 : end;
    }
    return code == ERR_OK ? ERR_OK : err_prefix(e, code, "%s:%u", path, number - 1);
}

enum err_code config_read(const char *path, const char *source, struct options *o, struct err *e)
{
    CLEANUP(close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(e, errno, "option config=%s", path);
    if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
        return err_set(e, ERR_INVAL, "option config=%s: legal is a text file of at most %d KiB", path, FILE_MAX / 1024);
    CLEANUP(free) char *text = malloc(FILE_MAX);
    if (!text)
        return err_set(e, ERR_NOMEM, "no memory for %s", path);
    size_t len = 0;
    ssize_t n;
    while (len < FILE_MAX && (n = read(fd, text + len, FILE_MAX - len)) != 0) {
        if (n < 0)
            return err_sys(e, errno, "option config=%s", path);
        len += (size_t)n;
    }
    return config_parse(text, len, path, source, o, e);
}

static enum err_code parse_lists(struct options *o, const char *const *lists, size_t n, bool sloppy, struct err *e)
{
    enum err_code code = ERR_OK;

    o->sloppy = sloppy;
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        code = options_parse_list(o, lists[i], e);
    return code;
}

enum err_code options_read(struct options *o, const char *const *lists, size_t n, bool sloppy, const char *source, bool is_ssm,
                           struct err *e)
{
    enum err_code code = options_init(o, e);

    if (code == ERR_OK)
        code = parse_lists(o, lists, n, sloppy, e);
    if (code == ERR_OK && o->config) {
        CLEANUP_RELEASE(options_release) struct options first = *o;
        code = options_init(o, e);
        o->sloppy = sloppy;
        if (code == ERR_OK)
            code = config_read(first.config, source, o, e);
        if (code == ERR_OK)
            code = parse_lists(o, lists, n, sloppy, e);
    }
    return code == ERR_OK ? options_finish(o, is_ssm, e) : code;
}
