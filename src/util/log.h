/*
 * The log: component, level, request id, one line. Goes to stderr in the foreground, to a file with log=FILE, else to
 * syslog. A failure is logged once, where it is decided. Credentials never come here: their type prints as asterisks.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include "awsfs/err.h"

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Opens the sink. `dest` is "stderr", "syslog" or a file path, which is created with mode 0600 and appended to. Call before
 * threads start. */
enum err_code log_open(const char *dest, enum log_level level, struct err *e) MUST_CHECK;

/* Opens the file again (after a rotation; on SIGHUP, from a normal thread). */
void log_reopen(void);

void log_close(void);

/* True where a line of that level would be written: to spare its preparation. */
bool log_enabled(enum log_level level);

/* One line "TIME LEVEL COMPONENT: message". Control characters are escaped. At most 1,000 characters. Any thread. */
void log_line(enum log_level level, const char *component, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#define LOG_ERROR(component, ...) log_line(LOG_LEVEL_ERROR, component, __VA_ARGS__)
#define LOG_WARN(component, ...) log_line(LOG_LEVEL_WARN, component, __VA_ARGS__)
#define LOG_INFO(component, ...) log_line(LOG_LEVEL_INFO, component, __VA_ARGS__)
#define LOG_DEBUG(component, ...)                                                                                          \
    do {                                                                                                                   \
        if (log_enabled(LOG_LEVEL_DEBUG))                                                                                  \
            log_line(LOG_LEVEL_DEBUG, component, __VA_ARGS__);                                                             \
    } while (0)

#endif
