/* Helpers of the conformance suite. */
#include "suite.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

const char *key_of(const struct suite *s, const char *name)
{
    static char keys[16][1200];
    static unsigned next;
    char *key = keys[next++ % 16];
    (void)snprintf(key, sizeof(keys[0]), "%s%s", s->base, name);
    return key;
}

static ssize_t read_bytes(void *arg, uint64_t offset, void *buf, size_t len)
{
    const struct bytes *b = arg;
    if (offset >= b->len)
        return 0;
    size_t n = b->len - offset < len ? b->len - offset : len;
    memcpy(buf, b->p + offset, n);
    return (ssize_t)n;
}

const struct store_body *body_of(struct bytes *b, const void *p, size_t len)
{
    *b = (struct bytes){.p = p, .len = len};
    b->body = (struct store_body){.size = len, .read = read_bytes, .arg = b};
    return &b->body;
}

const struct store_body *body_of_str(struct bytes *b, const char *s)
{
    return body_of(b, s, strlen(s));
}

char *pattern(size_t len)
{
    char *p = malloc(len > 0 ? len : 1);
    assert_non_null(p);
    uint64_t x = 88172645463325252ULL;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = (char)x;
    }
    return p;
}

struct waiting {
    struct got *got;
    pthread_mutex_t lock;
    pthread_cond_t ended;
};

static bool on_data(void *arg, const void *p, size_t len)
{
    struct waiting *w = arg;
    buf_add(&w->got->bytes, p, len);
    return true;
}

static void on_done(void *arg, enum err_code code, const struct store_object *o, const struct err *e)
{
    struct waiting *w = arg;
    pthread_mutex_lock(&w->lock);
    w->got->code = code;
    w->got->calls++;
    if (code != ERR_OK && code != ERR_NOT_FOUND && code != ERR_CONFLICT && e != NULL)
        print_message("    get: %s %s\n", err_name(code), e->msg);
    if (o != NULL) {
        w->got->version = o->version;
        w->got->meta = store_meta_ref(o->meta);
    }
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
}

static void read_as(struct suite *s, const struct store_get *what, struct got *out)
{
    memset(out, 0, sizeof(*out));
    buf_init(&out->bytes, 64 << 20);
    struct waiting w = {out, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
    struct store_get g = *what;
    g.data = on_data;
    g.done = on_done;
    g.arg = &w;
    g.call.timeout_ms = 10000;
    struct err e = ERR_INIT;
    assert_ok(store_get(s->store, &g, &e), &e);
    pthread_mutex_lock(&w.lock);
    while (out->calls == 0)
        pthread_cond_wait(&w.ended, &w.lock);
    pthread_mutex_unlock(&w.lock);
    assert_false(out->bytes.failed);
    if (out->code == ERR_OK)
        assert_int_equal(out->bytes.len, what->length);
}

void read_range(struct suite *s, const char *key, const char *etag, uint64_t offset, uint64_t length, struct got *out)
{
    read_as(s, &(struct store_get){.key = key, .etag = etag, .offset = offset, .length = length}, out);
}

void read_whole(struct suite *s, const char *key, const char *etag, uint64_t length, struct got *out)
{
    read_as(s, &(struct store_get){.key = key, .etag = etag, .length = length, .whole = true}, out);
}

static void add_count(void *arg, const char *kind, uint64_t count)
{
    *(uint64_t *)arg += count;
}

uint64_t requests_so_far(struct suite *s)
{
    uint64_t sum = 0;
    store_each_count(s->store, add_count, &sum);
    return sum;
}

void got_release(struct got *g)
{
    buf_release(&g->bytes);
    store_meta_unref(g->meta);
    g->meta = NULL;
}

void assert_ok(enum err_code code, const struct err *e)
{
    if (code != ERR_OK)
        fail_msg("%s: %s", err_name(code), e->msg);
}

struct store_version put_meta(struct suite *s, const char *key, const char *text, const struct store_meta *meta)
{
    struct bytes b;
    struct store_version v;
    struct err e = ERR_INIT;
    assert_ok(store_put(s->store, key, body_of_str(&b, text), meta, NULL, NULL, &v, &e), &e);
    return v;
}

struct store_version put_str(struct suite *s, const char *key, const char *text)
{
    return put_meta(s, key, text, NULL);
}

enum err_code put_if(struct suite *s, const char *key, const char *text, int kind, const char *etag,
                     struct store_version *out)
{
    struct bytes b;
    struct err e = ERR_INIT;
    struct store_cond cond = {.kind = kind, .etag = etag};
    return store_put(s->store, key, body_of_str(&b, text), NULL, &cond, NULL, out, &e);
}

void stat_ok(struct suite *s, const char *key, struct store_object *out)
{
    struct err e = ERR_INIT;
    assert_ok(store_stat(s->store, key, NULL, out, &e), &e);
}

void assert_content(struct suite *s, const char *key, const char *text)
{
    struct store_object o;
    stat_ok(s, key, &o);
    assert_int_equal(o.version.size, strlen(text));
    store_object_release(&o);
    struct got g;
    read_range(s, key, NULL, 0, strlen(text), &g);
    assert_int_equal(g.code, ERR_OK);
    assert_memory_equal(g.bytes.data, text, strlen(text));
    got_release(&g);
}

void assert_absent(struct suite *s, const char *key)
{
    struct store_object o = {0};
    struct err e = ERR_INIT;
    enum err_code code = store_stat(s->store, key, NULL, &o, &e);
    store_object_release(&o);
    if (code != ERR_NOT_FOUND)
        fail_msg("'%s' is there: %s", key, err_name(code));
}

enum err_code upload(struct suite *s, const char *key, const char *bytes, size_t len, size_t part,
                     const struct store_cond *cond, struct store_version *out)
{
    char id[STORE_ID_SIZE];
    struct err e = ERR_INIT;
    struct store_part parts[16];
    size_t n = 0;
    enum err_code code = store_upload_begin(s->store, key, NULL, NULL, NULL, id, &e);
    for (size_t at = 0; code == ERR_OK && at < len && n < 16; at += part, n++) {
        struct bytes b;
        parts[n] = (struct store_part){.number = (unsigned)n + 1};
        code = store_upload_part(s->store, key, id, body_of(&b, bytes + at, len - at < part ? len - at : part), NULL,
                                 &parts[n], &e);
    }
    if (code == ERR_OK)
        code = store_upload_finish(s->store, key, id, parts, n, NULL, cond, NULL, out, &e);
    if (code != ERR_OK) {
        struct err ignored = ERR_INIT;
        (void)!store_upload_abort(s->store, key, id, NULL, &ignored);
        if (code != ERR_CONFLICT)
            print_message("    upload: %s\n", e.msg);
    }
    return code;
}

/* One request to the origin's control endpoint; its answer must be a 2xx. */
static void control(struct suite *s, const char *method, const char *path, const char *json)
{
    unsigned port = 0;
    assert_int_equal(sscanf(s->endpoint, "http://127.0.0.1:%u", &port), 1);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    char text[2048];
    int len = snprintf(text, sizeof(text),
                       "%s /-/%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                       method, path, port, strlen(json), json);
    assert_int_equal(write(fd, text, (size_t)len), len);
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(got > 12);
    text[got] = 0;
    if (text[9] != '2')
        fail_msg("the origin's control endpoint: %s", text);
}

static void fault(struct suite *s, const char *kind, const char *key, const char *action, const char *count)
{
    char json[1024];
    (void)snprintf(json, sizeof(json), "{\"kind\":\"%s\",\"key\":\"%s/*%s\",%s\"skip\":0,\"action\":%s}", kind,
                   s->bucket, strcmp(key, "*") == 0 ? "" : key, count, action);
    control(s, "POST", "faults", json);
}

void origin_fault(struct suite *s, const char *kind, const char *key, const char *action)
{
    fault(s, kind, key, action, "\"count\":1,");
}

void origin_fault_always(struct suite *s, const char *kind, const char *key, const char *action)
{
    fault(s, kind, key, action, "\"count\":-1,");
}

void origin_keep_acls(struct suite *s)
{
    char json[256];
    (void)snprintf(json, sizeof(json), "{\"bucket\":\"%s\",\"ownership\":\"ObjectWriter\"}", s->bucket);
    control(s, "POST", "settings", json);
}

void origin_settings(struct suite *s, const char *json)
{
    control(s, "POST", "settings", json);
}

void origin_clear(struct suite *s)
{
    control(s, "DELETE", "faults", "");
}
