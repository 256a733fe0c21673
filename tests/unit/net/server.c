#include "server.h"

#include "util/clock.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX 256
#define HEAD_MAX  65536

struct server_conn {
    struct server *s;
    int fd;
    SSL *ssl;
    pthread_t thread;
    bool open; /* under the server's lock */
    char head[HEAD_MAX];
    size_t have; /* bytes in head that were read, beyond the present request too */
};

struct server {
    struct server_options o;
    int listener, port;
    char url[64], ca_file[64];
    SSL_CTX *tls;
    pthread_t thread;
    pthread_mutex_t lock; /* holds the rest */
    struct server_conn *conns[CONNS_MAX];
    unsigned conns_n, requests, now, peak, expects;
    bool stopping;
};

static bool stopping(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    bool v = s->stopping;
    pthread_mutex_unlock(&s->lock);
    return v;
}

/* ---- TLS ---- */

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert(x && X509_add_ext(cert, x, -1));
    X509_EXTENSION_free(x);
}

static void make_tls(struct server *s)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    assert(key && cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"awsfs test", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(cert, NID_subject_alt_name, "IP:127.0.0.1");
    assert(X509_sign(cert, key, EVP_sha256()));

    s->tls = SSL_CTX_new(TLS_server_method());
    assert(SSL_CTX_use_certificate(s->tls, cert) == 1 && SSL_CTX_use_PrivateKey(s->tls, key) == 1);
    snprintf(s->ca_file, sizeof(s->ca_file), "/tmp/awsfs-test-ca-XXXXXX");
    FILE *f = fdopen(mkstemp(s->ca_file), "w");
    assert(f && PEM_write_X509(f, cert));
    fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- bytes ---- */

static ssize_t receive(struct server_conn *c, void *p, size_t len)
{
    return c->ssl ? SSL_read(c->ssl, p, (int)len) : recv(c->fd, p, len, 0);
}

static size_t receive_some(struct server_conn *c, void *p, size_t len)
{
    ssize_t n = receive(c, p, len);
    return n > 0 ? (size_t)n : 0;
}

size_t server_read(struct server_conn *c, void *p, size_t len)
{
    if (c->have == 0)
        return receive_some(c, p, len);
    size_t n = c->have < len ? c->have : len;
    memcpy(p, c->head, n);
    memmove(c->head, c->head + n, c->have - n);
    c->have -= n;
    return n;
}

void server_send_bytes(struct server_conn *c, const void *p, size_t len)
{
    const char *at = p;
    while (len > 0) {
        ssize_t n = c->ssl ? SSL_write(c->ssl, at, (int)len) : send(c->fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        at += n;
        len -= (size_t)n;
    }
}

void server_send(struct server_conn *c, const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    assert(n >= 0);
    server_send_bytes(c, text, (size_t)n);
    free(text);
}

void server_reply(struct server_conn *c, int status, const char *body)
{
    server_send(c, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nX-Test: yes\r\n\r\n%s", status, strlen(body), body);
}

bool server_sleep(struct server_conn *c, unsigned ms)
{
    for (uint64_t end = clock_mono_ms() + ms; clock_mono_ms() < end && !stopping(c->s);)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    return !stopping(c->s);
}

void server_hang(struct server_conn *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    while (!stopping(c->s) && poll(&p, 1, 20) == 0)
        continue;
}

void server_reset(struct server_conn *c)
{
    struct linger l = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* ---- requests ---- */

static const char *header(const char *head, const char *name)
{
    size_t len = strlen(name);
    for (const char *p = strstr(head, "\r\n"); p; p = strstr(p + 2, "\r\n"))
        if (strncasecmp(p + 2, name, len) == 0 && p[2 + len] == ':')
            return p + 3 + len + strspn(p + 3 + len, " ");
    return NULL;
}

/* Reads a head into `head`; what was read beyond it stays in c->head. */
static bool read_head(struct server_conn *c, char *head)
{
    char *end;
    c->head[c->have] = '\0';
    while (!(end = strstr(c->head, "\r\n\r\n"))) {
        size_t n = c->have < HEAD_MAX - 1 ? receive_some(c, c->head + c->have, HEAD_MAX - 1 - c->have) : 0;
        if (n == 0)
            return false;
        c->have += n;
        c->head[c->have] = '\0';
    }
    size_t len = (size_t)(end - c->head) + 4;
    memcpy(head, c->head, len);
    head[len] = '\0';
    memmove(c->head, c->head + len, c->have - len);
    c->have -= len;
    return true;
}

static bool read_body(struct server_conn *c, struct server_request *r, char **body)
{
    size_t at = c->have < r->body_len ? c->have : r->body_len;
    *body = calloc(1, r->body_len + 1);
    memcpy(*body, c->head, at);
    memmove(c->head, c->head + at, c->have - at);
    c->have -= at;
    while (at < r->body_len) {
        size_t n = receive_some(c, *body + at, r->body_len - at);
        if (n == 0)
            return false;
        at += n;
    }
    r->body = *body;
    return true;
}

static bool refuse_expect(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    bool refuse = s->expects++ < s->o.refuse_expects;
    pthread_mutex_unlock(&s->lock);
    return refuse;
}

static void count(struct server *s, struct server_request *r)
{
    pthread_mutex_lock(&s->lock);
    r->number = ++s->requests;
    if (++s->now > s->peak)
        s->peak = s->now;
    pthread_mutex_unlock(&s->lock);
}

static bool serve_one(struct server_conn *c, unsigned on_conn, char *head)
{
    struct server *s = c->s;
    struct server_request r = {.head = head, .on_conn = on_conn};
    char *body = NULL;
    if (!read_head(c, head) || sscanf(head, "%15s %2047s", r.method, r.target) != 2)
        return false;
    const char *length = header(head, "Content-Length");
    r.body_len = length ? strtoull(length, NULL, 10) : 0;
    count(s, &r);
    bool stay = true, answer = true;
    if (header(head, "Expect") && refuse_expect(s)) {
        server_reply(c, 417, "");
        answer = false;
    } else if (header(head, "Expect")) {
        server_send(c, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    if (answer && !s->o.raw_body)
        answer = stay = read_body(c, &r, &body);
    if (answer)
        stay = s->o.answer(c, &r, s->o.arg);
    free(body);
    pthread_mutex_lock(&s->lock);
    s->now--;
    pthread_mutex_unlock(&s->lock);
    return stay;
}

static void *serve(void *arg)
{
    struct server_conn *c = arg;
    char *head = malloc(HEAD_MAX);
    bool stay = true;
    if (c->s->tls) {
        c->ssl = SSL_new(c->s->tls);
        SSL_set_fd(c->ssl, c->fd);
        stay = SSL_accept(c->ssl) == 1;
    }
    for (unsigned n = 1; stay && !stopping(c->s); n++)
        stay = serve_one(c, n, head);
    free(head);
    SSL_free(c->ssl);
    pthread_mutex_lock(&c->s->lock);
    c->open = false;
    close(c->fd);
    pthread_mutex_unlock(&c->s->lock);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct server *s = arg;
    int fd;
    while ((fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct server_conn *c = calloc(1, sizeof(*c));
        assert(c && s->conns_n < CONNS_MAX);
        *c = (struct server_conn){.s = s, .fd = fd, .open = true};
        pthread_mutex_lock(&s->lock);
        s->conns[s->conns_n++] = c;
        assert(pthread_create(&c->thread, NULL, serve, c) == 0);
        pthread_mutex_unlock(&s->lock);
    }
    return NULL;
}

struct server *server_start(const struct server_options *o)
{
    struct server *s = calloc(1, sizeof(*s));
    assert(s);
    signal(SIGPIPE, SIG_IGN);
    s->o = *o;
    pthread_mutex_init(&s->lock, NULL);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (o->small_buffer)
        setsockopt(s->listener, SOL_SOCKET, SO_RCVBUF, &(int){200000}, sizeof(int));
    int rc = bind(s->listener, (struct sockaddr *)&a, sizeof(a));
    assert(rc == 0 && listen(s->listener, 128) == 0);
    getsockname(s->listener, (struct sockaddr *)&a, &len);
    s->port = ntohs(a.sin_port);
    snprintf(s->url, sizeof(s->url), "%s://127.0.0.1:%d", o->tls ? "https" : "http", s->port);
    if (o->tls)
        make_tls(s);
    pthread_create(&s->thread, NULL, accept_all, s);
    return s;
}

void server_stop(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->lock);
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->conns_n; i++)
        if (s->conns[i]->open)
            shutdown(s->conns[i]->fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->conns_n; i++) {
        pthread_join(s->conns[i]->thread, NULL);
        free(s->conns[i]);
    }
    close(s->listener);
    SSL_CTX_free(s->tls);
    if (s->ca_file[0])
        unlink(s->ca_file);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *server_url(const struct server *s)
{
    return s->url;
}

unsigned server_port(const struct server *s)
{
    return (unsigned)s->port;
}

const char *server_ca_file(const struct server *s)
{
    return s->ca_file;
}

static unsigned read_locked(struct server *s, const unsigned *v)
{
    pthread_mutex_lock(&s->lock);
    unsigned n = *v;
    pthread_mutex_unlock(&s->lock);
    return n;
}

unsigned server_connections(struct server *s)
{
    return read_locked(s, &s->conns_n);
}

unsigned server_requests(struct server *s)
{
    return read_locked(s, &s->requests);
}

unsigned server_peak(struct server *s)
{
    return read_locked(s, &s->peak);
}
