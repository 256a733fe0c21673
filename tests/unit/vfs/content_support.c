#include "content_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/ops.h"
#include "util/cancel.h"
#include "util/cleanup.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned char byte_at(unsigned salt, uint64_t offset)
{
    uint64_t h = (offset / 8 + salt * 1000003u) * 0x9E3779B97F4A7C15u;
    return (unsigned char)(h >> (8 * (offset % 8)));
}

static ssize_t derive(void *arg, uint64_t offset, void *buf, size_t len)
{
    unsigned char *p = buf;
    for (size_t i = 0; i < len; i++)
        p[i] = byte_at(*(unsigned *)arg, offset + i);
    return (ssize_t)len;
}

struct store_version put_object(struct store *s, const char *key, unsigned salt, uint64_t size)
{
    struct store_body body = {.size = size, .read = derive, .arg = &salt};
    struct store_version v;
    struct err e = ERR_INIT;
    assert_int_equal(store_put(s, key, &body, NULL, NULL, NULL, &v, &e), ERR_OK);
    return v;
}

struct fixture fixture_new(struct mem_options o, uint64_t memory, uint64_t size)
{
    struct fixture f;
    struct err e = ERR_INIT;
    f.s = mem_store_new(&o, &f.m, &e);
    f.cs = contents_new(f.s, memory, false, &e);
    struct store_version v = put_object(f.s, "k", 1, size);
    f.c = content_new(f.cs, "k", &v, &e);
    assert_non_null(f.c);
    return f;
}

void fixture_free(struct fixture *f)
{
    content_unref(f->c);
    contents_free(f->cs);
    store_free(f->s);
}

struct content_stats stats(const struct fixture *f)
{
    struct content_stats s;
    contents_stats(f->cs, &s);
    return s;
}

static bool right(const struct reading *r, const struct iovec *iov, int n_iov, size_t len)
{
    uint64_t at = r->offset;
    for (int i = 0; i < n_iov; i++) {
        const unsigned char *p = iov[i].iov_base;
        /* All of them would take too long under sanitizers. */
        for (size_t k = 0; k < iov[i].iov_len; k += k < 64 || k + 64 > iov[i].iov_len ? 1 : 61)
            if (p[k] != byte_at(r->salt, at + k))
                return false;
        at += iov[i].iov_len;
    }
    return at == r->offset + r->len && len == r->len;
}

static void on_read(struct content_read *cr, enum err_code code, const struct iovec *iov, int n_iov, size_t len,
                    const struct err *e)
{
    struct reading *r = cr->arg;
    r->code = code;
    r->wrong = code == ERR_OK ? !right(r, iov, n_iov, len) : !e || e->code != code;
    if (e)
        r->err = *e;
    __atomic_add_fetch(&r->answers, 1, __ATOMIC_RELEASE);
}

void start_read(struct reading *r, struct content *c, unsigned salt, uint64_t offset, size_t len, struct readahead *ra,
                struct cancel *cancel)
{
    *r = (struct reading){.salt = salt, .offset = offset, .len = len};
    r->read = (struct content_read){.done = on_read, .arg = r};
    content_read(c, offset, len, ra, cancel, &r->read);
}

bool answered(const struct reading *r)
{
    return __atomic_load_n(&r->answers, __ATOMIC_ACQUIRE) > 0;
}

enum err_code answer(struct reading *r)
{
    for (int i = 0; i < 10000 && !answered(r); i++)
        usleep(1000);
    assert_int_equal(__atomic_load_n(&r->answers, __ATOMIC_ACQUIRE), 1);
    assert_false(r->wrong);
    return r->code;
}

enum err_code read_now(struct content *c, unsigned salt, uint64_t offset, size_t len, struct readahead *ra)
{
    struct reading r;
    start_read(&r, c, salt, offset, len, ra, NULL);
    return answer(&r);
}

/* ---- The store that does wrong */

struct wrong_get {
    struct store_get g;
    struct wrong_get *next;
};

static unsigned roll(struct wrong_store *w, unsigned n)
{
    return n ? (unsigned)rand_r(&w->seed) % n : 0;
}

static enum err_code say(const struct wrong_get *g, enum err_code code)
{
    struct err e = ERR_INIT;
    if (code)
        (void)err_set(&e, code, "on request");
    struct store_object o = {0};
    g->g.done(g->g.arg, code, code ? NULL : &o, code ? &e : NULL);
    return code;
}

static void serve_one(struct wrong_get *a, unsigned luck, unsigned shorten, unsigned lengthen, unsigned fail)
{
    unsigned char chunk[40000];
    uint64_t end = a->g.length, at = 0;
    if (luck < shorten)
        end = a->g.length / 2;
    else if (luck < shorten + lengthen)
        end = a->g.length + 5;
    else if (luck < shorten + lengthen + fail)
        end = a->g.length * luck / 100;
    for (uint64_t n; at < end; at += n) {
        n = end - at < sizeof(chunk) ? end - at : sizeof(chunk);
        unsigned salt = 7;
        derive(&salt, a->g.offset + at, chunk, n);
        if (cancel_fired(a->g.call.cancel) || !a->g.data(a->g.arg, chunk, n)) {
            say(a, ERR_CANCELED);
            return;
        }
    }
    say(a, luck >= shorten + lengthen && luck < shorten + lengthen + fail ? ERR_NET : ERR_OK);
}

static struct wrong_get *next_get(struct wrong_store *w, unsigned *luck, unsigned *delay)
{
    pthread_mutex_lock(&w->mutex);
    while (!w->gets && !w->ends)
        pthread_cond_wait(&w->changed, &w->mutex);
    struct wrong_get *a = w->gets;
    if (a)
        w->gets = a->next;
    *luck = roll(w, 100);
    *delay = roll(w, w->delay_us + 1);
    pthread_mutex_unlock(&w->mutex);
    return a;
}

static void *serve(void *arg)
{
    struct wrong_store *w = arg;
    unsigned luck, delay;
    for (struct wrong_get *a; (a = next_get(w, &luck, &delay)) != NULL; free(a)) {
        usleep(delay);
        if (luck < w->hang) {
            for (int i = 0; i < 20 && !cancel_fired(a->g.call.cancel); i++)
                usleep(1000);
            say(a, ERR_TIMEOUT);
        } else {
            serve_one(a, luck - w->hang, w->shorten, w->lengthen, w->fail);
        }
        cancel_unref(a->g.call.cancel);
    }
    return NULL;
}

/* One in eight ends before it returns, and one in eight is refused. */
static enum err_code wrong_get_start(void *impl, const struct store_get *g, struct err *e)
{
    struct wrong_store *w = impl;
    struct wrong_get *a = calloc(1, sizeof(*a));
    a->g = *g;
    pthread_mutex_lock(&w->mutex);
    unsigned luck = w->fail ? roll(w, 8) : 2;
    if (luck > 1) {
        a->g.call.cancel = cancel_ref(g->call.cancel);
        struct wrong_get **at = &w->gets;
        while (*at)
            at = &(*at)->next;
        *at = a;
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&w->mutex);
    if (luck > 1)
        return ERR_OK;
    if (luck == 1)
        serve_one(a, 99, 0, 0, 0);
    free(a);
    return luck == 1 ? ERR_OK : err_set(e, ERR_NET, "refused");
}

static enum err_code no_list(void *impl, const struct store_list *l, const struct store_call *call,
                             struct store_page *out, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "only gets");
}

static enum err_code no_stat(void *impl, const char *key, const struct store_call *call, struct store_object *out,
                             struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "only gets");
}

static void wrong_free(void *impl)
{
    struct wrong_store *w = impl;
    pthread_mutex_lock(&w->mutex);
    w->ends = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->mutex);
    for (size_t i = 0; i < ARRAY_LEN(w->threads); i++)
        pthread_join(w->threads[i], NULL);
}

struct store *wrong_store_new(struct wrong_store *w)
{
    static const struct store_ops ops = {.list = no_list, .stat = no_stat, .get = wrong_get_start, .free = wrong_free};
    struct store_caps caps;
    struct err e = ERR_INIT;
    mem_default_caps(&caps);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
    for (size_t i = 0; i < ARRAY_LEN(w->threads); i++)
        assert_int_equal(pthread_create(&w->threads[i], NULL, serve, w), 0);
    struct store *s = store_new(&ops, w, &caps, &e);
    assert_non_null(s);
    return s;
}
