#include "cli/sdnotify.h"

#include "util/cleanup.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void sd_tell(const char *fmt, ...)
{
    const char *where = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char text[512];
    va_list ap;

    if (!where || (where[0] != '/' && where[0] != '@') || strlen(where) >= sizeof(to.sun_path))
        return;
    memcpy(to.sun_path, where, strlen(where));
    if (where[0] == '@')
        to.sun_path[0] = '\0'; /* the abstract name space */
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    CLEANUP(close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || n < 0)
        return;
    size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
    ssize_t sent = sendto(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(where)));
    (void)sent;
}
