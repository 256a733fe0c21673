#include "support.h"

#include "util/log.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEEN_MAX = 256 };

extern char **environ;

static char dir[64];

void sandbox_enter(void)
{
    for (char **p = environ; *p;) {
        char name[128];

        snprintf(name, sizeof(name), "%.*s", (int)strcspn(*p, "="), *p);
        if (!strncmp(name, "AWS_", 4) || strcasestr(name, "_proxy")) {
            unsetenv(name);
            p = environ;
        } else {
            p++;
        }
    }
    strcpy(dir, "/tmp/awsfs-aws-XXXXXX");
    assert(mkdtemp(dir));
    setenv("HOME", dir, 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void sandbox_leave(void)
{
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *sandbox_dir(void)
{
    return dir;
}

void sandbox_write(const char *path, const char *text)
{
    char full[512];

    snprintf(full, sizeof(full), "%s/.aws", dir);
    mkdir(full, 0700);
    snprintf(full, sizeof(full), "%s/%s", dir, path);
    FILE *f = fopen(full, "w");
    assert(f);
    fputs(text, f);
    fclose(f);
    chmod(full, 0600);
}

void log_watch(void)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/log", dir);
    assert(!log_open(path, LOG_LEVEL_DEBUG, NULL));
}

void log_expect_no_marker(void)
{
    static char text[1 << 20];
    char path[128];

    log_close();
    snprintf(path, sizeof(path), "%s/log", dir);
    FILE *f = fopen(path, "r");
    assert(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    assert(*text);
    assert(!strstr(text, "MARKER"));
}

struct script {
    int listener;
    char url[64];
    void (*answer)(void *arg, const struct seen *r, unsigned number, struct buf *out);
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock; /* holds the rest */
    struct seen *seen;
    unsigned count;
    bool stop;
};

const char *seen_header(const struct seen *r, const char *name)
{
    static _Thread_local char value[8192];
    size_t len = strlen(name);

    value[0] = '\0';
    for (const char *p = strstr(r->head, "\r\n"); p; p = strstr(p + 2, "\r\n"))
        if (!strncasecmp(p + 2, name, len) && p[2 + len] == ':') {
            const char *begin = p + 3 + len + strspn(p + 3 + len, " ");
            snprintf(value, sizeof(value), "%.*s", (int)strcspn(begin, "\r"), begin);
            break;
        }
    return value;
}

static bool read_request(int fd, struct seen *r)
{
    size_t have = 0, length = 0;
    char *end = NULL;

    while (!end) {
        ssize_t n = recv(fd, r->head + have, sizeof(r->head) - 1 - have, 0);
        if (n <= 0)
            return false;
        have += (size_t)n;
        r->head[have] = '\0';
        end = strstr(r->head, "\r\n\r\n");
    }
    end += 4;
    r->body_len = have - (size_t)(end - r->head);
    memcpy(r->body, end, r->body_len);
    *end = '\0';
    if (sscanf(r->head, "%7s %4095s", r->method, r->target) != 2)
        return false;
    if (*seen_header(r, "Content-Length"))
        length = strtoul(seen_header(r, "Content-Length"), NULL, 10);
    if (!strncasecmp(seen_header(r, "Expect"), "100", 3))
        send(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    char sink[65536];
    size_t got = r->body_len;
    while (got < length) {
        ssize_t n = recv(fd, sink, sizeof(sink), 0);
        if (n <= 0)
            return false;
        size_t room = sizeof(r->body) - 1 - r->body_len, copy = (size_t)n < room ? (size_t)n : room;
        memcpy(r->body + r->body_len, sink, copy);
        r->body_len += copy;
        got += (size_t)n;
    }
    return true;
}

static void serve(struct script *s, int fd)
{
    struct seen *r = calloc(1, sizeof(*r));
    BUF(out, 16 << 20);

    assert(r);
    if (read_request(fd, r)) {
        pthread_mutex_lock(&s->lock);
        assert(s->count < SEEN_MAX);
        s->seen[s->count] = *r;
        unsigned number = ++s->count;
        pthread_mutex_unlock(&s->lock);
        s->answer(s->arg, r, number, &out);
        if (out.len)
            send(fd, out.data, out.len, MSG_NOSIGNAL);
        shutdown(fd, SHUT_WR);
    }
    free(r);
}

static void *serve_all(void *arg)
{
    struct script *s = arg;

    for (;;) {
        int fd = accept(s->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        serve(s, fd);
        close(fd);
    }
}

struct script *script_start(void (*answer)(void *arg, const struct seen *r, unsigned number, struct buf *out),
                            void *arg)
{
    struct script *s = calloc(1, sizeof(*s));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);

    assert(s);
    s->seen = calloc(SEEN_MAX, sizeof(*s->seen));
    s->answer = answer;
    s->arg = arg;
    pthread_mutex_init(&s->lock, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert(s->seen && s->listener >= 0 && !bind(s->listener, (struct sockaddr *)&a, sizeof(a)) &&
           !listen(s->listener, 128) && !getsockname(s->listener, (struct sockaddr *)&a, &len));
    snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", ntohs(a.sin_port));
    assert(!pthread_create(&s->thread, NULL, serve_all, s));
    return s;
}

void script_stop(struct script *s)
{
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    pthread_mutex_destroy(&s->lock);
    free(s->seen);
    free(s);
}

const char *script_url(const struct script *s)
{
    return s->url;
}

unsigned script_count(struct script *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = s->count;
    pthread_mutex_unlock(&s->lock);
    return n;
}

struct seen script_seen(struct script *s, unsigned number)
{
    pthread_mutex_lock(&s->lock);
    assert(number >= 1 && number <= s->count);
    struct seen r = s->seen[number - 1];
    pthread_mutex_unlock(&s->lock);
    return r;
}

void reply_add(struct buf *out, int status, const char *headers, const char *body)
{
    buf_addf(out, "HTTP/1.1 %d X\r\nConnection: close\r\n", status);
    buf_add_str(out, headers);
    if (!strstr(headers, "Content-Length"))
        buf_addf(out, "Content-Length: %zu\r\n", strlen(body));
    buf_add_str(out, "\r\n");
    buf_add_str(out, body);
}
