#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t now_ms(void)
{
    return now_ns() / 1000000;
}

static bool watch(struct server *s, int fd, void *who)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = who};

    return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

static bool listen_on(struct server *s, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof(a);
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->listen_fd < 0)
        return false;
    setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(s->listen_fd, (struct sockaddr *)&a, sizeof(a)) || listen(s->listen_fd, SOMAXCONN) ||
        getsockname(s->listen_fd, (struct sockaddr *)&a, &len))
        return false;
    s->port = ntohs(a.sin_port);
    return true;
}

/* Thousands of connections need more than the customary 1024 descriptors. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

bool server_open(struct server *s, uint16_t port)
{
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    store_init(&s->store);
    parameters_init(&s->parameters);
    faults_init(&s->faults);
    network_init(&s->network);
    counts_init(&s->counts);
    s->region = x_strdup("us-east-1");
    s->ownership = x_strdup("BucketOwnerEnforced");
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->signal_fd = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
    raise_descriptors();
    return timers_open(&s->timers) && watch(s, s->timers.fd, &s->timers) && s->epoll_fd >= 0 && s->signal_fd >= 0 &&
           listen_on(s, port) && watch(s, s->listen_fd, &s->listen_fd) && watch(s, s->signal_fd, &s->signal_fd);
}

static void accept_all(struct server *s)
{
    int one = 1;
    int fd;

    while ((fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0 || errno == ECONNABORTED) {
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        conn_open(s, fd);
    }
}

void server_run(struct server *s)
{
    struct epoll_event events[64];

    for (;;) {
        int n = epoll_wait(s->epoll_fd, events, 64, conns_turn(s));

        if (n < 0 && errno != EINTR)
            return;
        for (int i = 0; i < n; i++) {
            void *who = events[i].data.ptr;

            if (who == &s->signal_fd)
                return;
            if (who == &s->listen_fd)
                accept_all(s);
            else if (who != &s->timers)
                conn_event(s, who, events[i].events);
        }
    }
}

void server_close(struct server *s)
{
    conns_close(s);
    close(s->listen_fd);
    close(s->signal_fd);
    close(s->epoll_fd);
    directories_release(&s->directories);
    counts_release(&s->counts);
    faults_release(&s->faults);
    network_release(&s->network);
    timers_close(&s->timers);
    store_release(&s->store);
    parameters_release(&s->parameters);
    free(s->region);
    free(s->ownership);
}
