/*
 * The sockets that libcurl opens. We make them ourselves for two reasons: close-on-exec, and to look into a send queue:
 * what an upload wrote may sit in the kernel's buffer (megabytes) long after libcurl is done with it, and a slow line
 * that still drains it is not a server that does not answer.
 */
#include "net/http_internal.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

curl_socket_t socket_open(void *engine, curlsocktype purpose, struct curl_sockaddr *addr)
{
    struct http_engine *h = engine;
    (void)purpose;
    if (h->sockets_n == h->sockets_cap) {
        unsigned cap = h->sockets_cap ? 2 * h->sockets_cap : 64;
        int *more = reallocarray(h->sockets, cap, sizeof(*more));
        if (!more)
            return CURL_SOCKET_BAD;
        h->sockets = more;
        h->sockets_cap = cap;
    }
    int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    h->sockets[h->sockets_n++] = fd;
    return fd;
}

int socket_close(void *engine, curl_socket_t fd)
{
    struct http_engine *h = engine;
    for (unsigned i = 0; i < h->sockets_n; i++) {
        if (h->sockets[i] == fd) {
            h->sockets[i] = h->sockets[--h->sockets_n];
            break;
        }
    }
    return close(fd);
}

/* Port and printed address of one end of a socket. */
static bool end_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *), char ip[INET6_ADDRSTRLEN], int *port)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    if (get(fd, (struct sockaddr *)&ss, &len) != 0)
        return false;
    const void *addr;
    if (ss.ss_family == AF_INET) {
        addr = &((struct sockaddr_in *)&ss)->sin_addr;
        *port = ntohs(((struct sockaddr_in *)&ss)->sin_port);
    } else if (ss.ss_family == AF_INET6) {
        addr = &((struct sockaddr_in6 *)&ss)->sin6_addr;
        *port = ntohs(((struct sockaddr_in6 *)&ss)->sin6_port);
    } else {
        return false;
    }
    return inet_ntop(ss.ss_family, addr, ip, INET6_ADDRSTRLEN) != NULL;
}

static bool socket_is_of(int fd, const struct progress *p)
{
    char ip[INET6_ADDRSTRLEN];
    int port;
    return end_of(fd, getsockname, ip, &port) && port == p->local_port && end_of(fd, getpeername, ip, &port) &&
           port == p->remote_port && strcmp(ip, p->remote_ip) == 0;
}

int socket_unsent(const struct http_transfer *t)
{
    const struct http_engine *h = t->h;
    for (unsigned i = 0; i < h->sockets_n; i++) {
        int bytes;
        if (socket_is_of(h->sockets[i], &t->progress))
            return ioctl(h->sockets[i], SIOCOUTQ, &bytes) == 0 ? bytes : -1;
    }
    return -1;
}
