#include <syslog.h>

/* <syslog.h> has macros of the same names as ours. */
enum { PRIORITY_INFO = LOG_INFO, PRIORITY_DEBUG = LOG_DEBUG };
#undef LOG_INFO
#undef LOG_DEBUG

#include "util/log.h"

#include "util/clock.h"
#include "util/lock.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MSG_MAX  1000
#define TEXT_MAX (MSG_MAX + 128)

enum sink { SINK_STDERR, SINK_SYSLOG, SINK_FILE };

/* Written by log_open() before threads start, apart from `fd`, which `lock` guards. */
static struct {
    struct lock lock;
    enum sink sink;
    enum log_level level;
    int fd;
    char path[PATH_MAX];
} the_log = {.lock = LOCK_INIT("log", LOCK_LOG), .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
}

/* Absolute, so that a reopening after chdir() finds the same file. */
static enum err_code remember_path(const char *dest, struct err *e)
{
    char cwd[PATH_MAX] = "";
    if (dest[0] != '/' && !getcwd(cwd, sizeof(cwd)))
        return err_sys(e, errno, "current directory");
    int n = snprintf(the_log.path, sizeof(the_log.path), "%s%s%s", cwd, cwd[0] ? "/" : "", dest);
    if (n < 0 || (size_t)n >= sizeof(the_log.path))
        return err_set(e, ERR_NAME_TOO_LONG, "log file name is too long");
    return ERR_OK;
}

enum err_code log_open(const char *dest, enum log_level level, struct err *e)
{
    enum sink sink = SINK_FILE;
    int fd = STDERR_FILENO;
    if (strcmp(dest, "stderr") == 0)
        sink = SINK_STDERR;
    else if (strcmp(dest, "syslog") == 0)
        sink = SINK_SYSLOG;
    if (sink == SINK_FILE) {
        enum err_code rc = remember_path(dest, e);
        if (rc != ERR_OK)
            return rc;
        fd = open_file(the_log.path);
        if (fd < 0)
            return err_sys(e, errno, "log file %s", dest);
    }
    log_close();
    if (sink == SINK_SYSLOG)
        openlog("awsfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    LOCK_SCOPE(&the_log.lock);
    the_log.sink = sink;
    the_log.fd = fd;
    __atomic_store_n(&the_log.level, level, __ATOMIC_RELAXED);
    return ERR_OK;
}

void log_reopen(void)
{
    LOCK_SCOPE(&the_log.lock);
    if (the_log.sink != SINK_FILE)
        return;
    int fd = open_file(the_log.path);
    if (fd < 0)
        return; /* the old file is better than none */
    close(the_log.fd);
    the_log.fd = fd;
}

void log_close(void)
{
    LOCK_SCOPE(&the_log.lock);
    if (the_log.sink == SINK_FILE)
        close(the_log.fd);
    if (the_log.sink == SINK_SYSLOG)
        closelog();
    the_log.sink = SINK_STDERR;
    the_log.fd = STDERR_FILENO;
}

bool log_enabled(enum log_level level)
{
    return level <= __atomic_load_n(&the_log.level, __ATOMIC_RELAXED);
}

/* C0 and C1 controls (the latter are C2 80 to C2 9F), which a terminal might obey; every high byte where the text is
 * not UTF-8. The number of bytes to escape at `p`, or 0. */
static size_t bytes_to_escape(const unsigned char *p, bool valid)
{
    if (*p < 0x20 || *p == 0x7F)
        return 1;
    if (*p >= 0x80 && !valid)
        return 1;
    if (*p == 0xC2 && p[1] < 0xA0)
        return 2;
    return 0;
}

/* Copies `msg` with what must not be printed as \xHH, cut at `size` - 1 bytes between characters. */
static size_t escape(char *out, size_t size, const char *msg)
{
    bool valid = utf8_valid(msg, strlen(msg));
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)msg; *p;) {
        size_t escaped = bytes_to_escape(p, valid);
        size_t plain = 0;
        if (!escaped) {
            plain = 1;
            while ((p[plain] & 0xC0) == 0x80 && valid)
                plain++;
        }
        if (n + 4 * escaped + plain >= size)
            break;
        memcpy(out + n, p, plain);
        n += plain;
        for (size_t i = 0; i < escaped; i++)
            n += (size_t)snprintf(out + n, size - n, "\\x%02x", p[i]);
        p += escaped + plain;
    }
    out[n] = '\0';
    return n;
}

/* Removes the beginning of a UTF-8 sequence that vsnprintf cut off. */
static void trim_cut_sequence(char *s)
{
    size_t len = strlen(s);
    size_t back = 0;
    while (back < 3 && back < len && ((unsigned char)s[len - 1 - back] & 0xC0) == 0x80)
        back++;
    if (back < len && (unsigned char)s[len - 1 - back] >= 0xC0)
        s[len - 1 - back] = '\0';
}

static void write_fully(int fd, const char *p, size_t len)
{
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* there is nowhere to report it */
        p += n;
        len -= (size_t)n;
    }
}

/* "2026-11-21T14:47:59.123Z W net: " */
static size_t format_head(char *out, size_t size, enum log_level level, const char *component)
{
    struct timespec now = clock_now();
    struct tm tm;
    char date[32];
    gmtime_r(&now.tv_sec, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    int n = snprintf(out, size, "%s.%03ldZ %c %.32s: ", date, now.tv_nsec / 1000000, "EWID"[level], component);
    return n > 0 ? (size_t)n : 0;
}

static void write_line(enum log_level level, const char *component, const char *msg)
{
    char line[TEXT_MAX];
    size_t head = format_head(line, sizeof(line), level, component);
    size_t len = head + escape(line + head, MSG_MAX + 1, msg);
    LOCK_SCOPE(&the_log.lock);
    if (the_log.sink == SINK_SYSLOG) {
        static const int priorities[] = {LOG_ERR, LOG_WARNING, PRIORITY_INFO, PRIORITY_DEBUG};
        syslog(priorities[level], "%.32s: %s", component, line + head);
        return;
    }
    line[len++] = '\n';
    write_fully(the_log.fd, line, len);
}

void log_line(enum log_level level, const char *component, const char *fmt, ...)
{
    if (!log_enabled(level))
        return;
    int saved_errno = errno;
    char msg[MSG_MAX + 1];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    if (n >= 0) {
        if ((size_t)n >= sizeof(msg))
            trim_cut_sequence(msg);
        write_line(level, component, msg);
    }
    errno = saved_errno;
}
