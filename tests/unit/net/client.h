/* Requests whose end a test waits for, and bodies to send. */
#ifndef TESTS_NET_CLIENT_H
#define TESTS_NET_CLIENT_H

#include "net/http.h"

#include <pthread.h>

/* One request and what came of it. Zeroed before; call_release() afterwards. */
struct call {
    struct http_transfer *t;
    pthread_mutex_t lock; /* holds the rest */
    pthread_cond_t cond;
    unsigned ended; /* how often done was called */
    enum err_code code;
    char msg[ERR_MSG_SIZE];
    int status;
    char *body;
    size_t body_len;
    uint64_t received;
    bool sent;
    char x_test[64]; /* the header X-Test, "" if absent */
};

/* Starts `r` on `url` + `path`; fails the test where that is refused. */
void call_start(struct call *c, struct http_engine *h, const char *url, const char *path, struct http_request r);
void call_wait(struct call *c);
void call_release(struct call *c);

/* Both. */
void call_run(struct call *c, struct http_engine *h, const char *url, const char *path, struct http_request r);

/* An engine with short limits; a field of `config` that is set stays. */
struct http_engine *test_engine(struct http_config config);

/* A body whose byte at offset i is i % 251; fails at `fail_at`, ends early at `end_at` (0: never). */
struct pattern {
    struct http_body body;
    uint64_t fail_at, end_at;
    unsigned from_start; /* how often it was read from offset 0 */
};
void pattern_init(struct pattern *p, uint64_t size);
bool pattern_matches(const char *p, size_t len);

/* Milliseconds on the monotonic clock; sleeping. */
uint64_t test_now_ms(void);
void test_sleep_ms(unsigned ms);

#endif
