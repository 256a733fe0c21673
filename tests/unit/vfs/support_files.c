/* The part of support.h that opens, reads and writes files, and that looks into the store. */
#include "support.h"

#include "util/lock.h"
#include "util/str.h"

#include <stdio.h>
#include <unistd.h>

/* ---- The store */

static ssize_t text_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const char *text = arg;
    size_t left = strlen(text) - offset, n = left < len ? left : len;
    memcpy(buf, text + offset, n);
    return (ssize_t)n;
}

void others_put_meta(struct rig *r, const char *key, const char *text, struct store_meta *meta)
{
    struct store_body body = {.size = strlen(text), .read = text_read, .arg = (void *)text};
    expect_ok(r, store_put(r->store, key, &body, meta, NULL, NULL, NULL, &r->err));
    store_meta_unref(meta);
    rig_mark(r);
}

void others_put(struct rig *r, const char *key, const char *text)
{
    others_put_meta(r, key, text, NULL);
}

void others_remove(struct rig *r, const char *key)
{
    expect_ok(r, store_remove(r->store, key, NULL, NULL, &r->err));
    rig_mark(r);
}

bool there(struct rig *r, const char *key)
{
    struct store_object o = {0};
    struct err e = ERR_INIT;
    enum err_code code = store_stat(r->store, key, NULL, &o, &e);
    store_object_release(&o);
    assert_true(code == ERR_OK || code == ERR_NOT_FOUND);
    return code == ERR_OK;
}

void expect_no_object(struct rig *r, const char *key)
{
    if (there(r, key))
        fail_msg("the object \"%s\" is there", key);
}

struct fetched {
    struct buf bytes;
    enum err_code code;
    int done; /* atomic */
};

static bool fetched_data(void *arg, const void *p, size_t len)
{
    struct fetched *f = arg;
    buf_add(&f->bytes, p, len);
    return true;
}

static void fetched_done(void *arg, enum err_code code, const struct store_object *o, const struct err *e)
{
    struct fetched *f = arg;
    f->code = code;
    __atomic_store_n(&f->done, 1, __ATOMIC_RELEASE);
}

void expect_object(struct rig *r, const char *key, const char *text)
{
    struct store_object o = {0};
    if (store_stat(r->store, key, NULL, &o, &r->err))
        fail_msg("no object \"%s\": %s", key, r->err.msg);
    uint64_t size = o.version.size;
    store_object_release(&o);
    struct fetched f = {.bytes = {.max = 64 << 20}};
    struct store_get g = {.key = key, .length = size, .whole = true, .data = fetched_data, .done = fetched_done, .arg = &f};
    if (size > 0) {
        expect_ok(r, store_get(r->store, &g, &r->err));
        while (!__atomic_load_n(&f.done, __ATOMIC_ACQUIRE))
            usleep(500);
        assert_int_equal(f.code, ERR_OK);
    }
    assert_int_equal(f.bytes.len, strlen(text));
    assert_memory_equal(buf_str(&f.bytes), text, f.bytes.len);
    buf_release(&f.bytes);
}

static unsigned scan(struct rig *r, const char *prefix, const char *part, char *first)
{
    unsigned n = 0;
    char *token = NULL;
    do {
        struct store_list l = {.prefix = prefix, .token = token};
        struct store_page page = {0};
        expect_ok(r, store_list(r->store, &l, NULL, &page, &r->err));
        for (size_t k = 0; k < page.n; k++) {
            if (part && !strstr(page.entries[k].key, part))
                continue;
            if (first && n == 0)
                snprintf(first, 1100, "%s", page.entries[k].key);
            n++;
        }
        free(token);
        token = TAKE(page.next);
        store_page_release(&page);
    } while (token);
    return n;
}

unsigned objects_below(struct rig *r, const char *prefix)
{
    return scan(r, prefix, NULL, NULL);
}

bool find_key(struct rig *r, const char *part, char out[1100])
{
    return scan(r, "", part, out) > 0;
}

struct store_meta *object_meta(struct rig *r, const char *key)
{
    struct store_object o = {0};
    expect_ok(r, store_stat(r->store, key, NULL, &o, &r->err));
    struct store_meta *meta = store_meta_ref(o.meta);
    store_object_release(&o);
    return meta;
}

struct store_meta *meta_of(mode_t mode, const char *content_type)
{
    struct store_meta *m = store_meta_new();
    assert_non_null(m);
    if (mode) {
        m->has = STORE_HAS_MODE;
        m->mode = mode;
    }
    if (content_type)
        assert_int_equal(store_meta_set_prop(m, "content-type", content_type, strlen(content_type), NULL), ERR_OK);
    return m;
}

/* ---- Files */

enum err_code try_create(struct rig *r, const char *path, int flags, struct vfs_handle **out)
{
    uint64_t parent;
    const char *slash = strrchr(path, '/');
    CLEANUP(free) char *dir = slash ? str_ndup(path, (size_t)(slash - path)) : strdup("");
    struct vfs_entry entry = {0};
    enum err_code code = try_walk(r, dir, &parent);
    return code ? code : vfs_create(r->v, parent, slash ? slash + 1 : path, 0644, flags, &r->who, &entry, out, &r->err);
}

enum err_code try_open(struct rig *r, const char *path, int flags, struct vfs_handle **out)
{
    uint64_t ino;
    enum err_code code = try_walk(r, path, &ino);
    return code ? code : vfs_open(r->v, ino, flags, &r->who, out, &r->err);
}

struct vfs_handle *create_at(struct rig *r, const char *path)
{
    struct vfs_handle *h = NULL;
    expect_ok(r, try_create(r, path, O_RDWR | O_CREAT, &h));
    return h;
}

struct vfs_handle *open_at(struct rig *r, const char *path, int flags)
{
    struct vfs_handle *h = NULL;
    expect_ok(r, try_open(r, path, flags, &h));
    return h;
}

void write_at(struct rig *r, struct vfs_handle *h, uint64_t offset, const char *text)
{
    expect_ok(r, vfs_write(r->v, h, text, strlen(text), offset, &r->who, &r->err));
}

struct reading {
    struct vfs_read read;
    struct buf *out;
    enum err_code code;
    struct err err;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
};

static void read_done(struct vfs_read *read, enum err_code code, const struct iovec *iov, int n, size_t len,
                      const struct err *e)
{
    struct reading *x = read->arg;
    size_t sum = 0;
    for (int k = 0; k < n; k++) {
        buf_add(x->out, iov[k].iov_base, iov[k].iov_len);
        sum += iov[k].iov_len;
    }
    pthread_mutex_lock(&x->mutex);
    x->code = code ? code : sum == len ? ERR_OK : ERR_PROTO;
    if (code && e)
        x->err = *e;
    x->done = true;
    pthread_cond_signal(&x->cond);
    pthread_mutex_unlock(&x->mutex);
}

enum err_code read_some(struct rig *r, struct vfs_handle *h, uint64_t offset, size_t size, struct buf *out)
{
    struct reading x = {.out = out, .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
    x.read = (struct vfs_read){.done = read_done, .arg = &x};
    vfs_read(r->v, h, offset, size, &r->who, &x.read);
    pthread_mutex_lock(&x.mutex);
    while (!x.done)
        pthread_cond_wait(&x.cond, &x.mutex);
    pthread_mutex_unlock(&x.mutex);
    if (x.code)
        r->err = x.err;
    return x.code;
}

void expect_bytes(struct rig *r, struct vfs_handle *h, const char *text)
{
    BUF(out, 64 << 20);
    for (size_t want = strlen(text) + 1, at = 0; at < want; at = out.len) {
        size_t piece = want - at < (1 << 20) ? want - at : 1 << 20;
        expect_ok(r, read_some(r, h, at, piece, &out));
        if (out.len == at)
            break;
    }
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(buf_str(&out), text, out.len);
}

enum err_code flush(struct rig *r, struct vfs_handle *h)
{
    return vfs_flush(r->v, h, &r->who, &r->err);
}

enum err_code fsync_file(struct rig *r, struct vfs_handle *h)
{
    return vfs_fsync(r->v, 0, h, &r->who, &r->err);
}

void release(struct rig *r, struct vfs_handle *h)
{
    vfs_release(r->v, h);
}

enum err_code close_file(struct rig *r, struct vfs_handle *h)
{
    enum err_code code = flush(r, h);
    vfs_release(r->v, h);
    return code;
}

void write_file(struct rig *r, const char *path, const char *text)
{
    struct vfs_handle *h = NULL;
    expect_ok(r, try_create(r, path, O_WRONLY | O_CREAT | O_TRUNC, &h));
    write_at(r, h, 0, text);
    expect_ok(r, close_file(r, h));
}

void expect_file(struct rig *r, const char *path, const char *text)
{
    struct vfs_handle *h = open_at(r, path, O_RDONLY);
    expect_bytes(r, h, text);
    expect_ok(r, close_file(r, h));
}
