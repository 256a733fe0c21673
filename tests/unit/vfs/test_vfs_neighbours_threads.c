/*
 * Readers that go through directories in order while others rename, remove and rewrite the files, with little memory. No read
 * is a mixture, and nothing is left behind.
 */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILES   40
#define READERS 6
#define CHANGES 300
#define SIZE    20000

struct reading {
    struct vfs_read read;
    char *bytes;
    size_t len;
    enum err_code code;
    int done; /* atomic */
};

struct worker {
    struct rig *r;
    unsigned seed;
    const char *bad;
};

static int ended; /* atomic */

static void on_read(struct vfs_read *read, enum err_code code, const struct iovec *iov, int n, size_t len, const struct err *e)
{
    struct reading *x = read->arg;
    for (int k = 0; !code && k < n; x->len += iov[k].iov_len, k++)
        memcpy(x->bytes + x->len, iov[k].iov_base, iov[k].iov_len);
    x->code = code;
    __atomic_store_n(&x->done, 1, __ATOMIC_RELEASE);
}

/* All bytes of a version are the same letter. */
static void check(struct worker *w, const struct reading *x)
{
    for (size_t k = 1; !x->code && k < x->len; k++)
        if (x->bytes[k] != x->bytes[0])
            w->bad = "a mixture";
}

static void read_one(struct worker *w, uint64_t dir, int file)
{
    struct vfs *v = w->r->v;
    struct err e = ERR_INIT;
    struct vfs_entry entry = {0};
    struct vfs_handle *h = NULL;
    char name[16];
    snprintf(name, sizeof(name), "f%02d", file);
    if (vfs_lookup(v, dir, name, &w->r->who, &entry, &e) || !entry.ino)
        return;
    if (vfs_open(v, entry.ino, O_RDONLY, &w->r->who, &h, &e) == ERR_OK) {
        struct reading x = {.read = {.done = on_read}, .bytes = malloc(SIZE)};
        assert_non_null(x.bytes);
        x.read.arg = &x;
        vfs_read(v, h, 0, SIZE, &w->r->who, &x.read);
        while (!__atomic_load_n(&x.done, __ATOMIC_ACQUIRE))
            usleep(100);
        check(w, &x);
        free(x.bytes);
        vfs_release(v, h);
    }
    vfs_forget(v, entry.ino, 1);
}

static void *reader(void *arg)
{
    struct worker *w = arg;
    struct vfs_entry dir = {0};
    struct err e = ERR_INIT;
    if (vfs_lookup(w->r->v, VFS_ROOT, "d", &w->r->who, &dir, &e) || !dir.ino) {
        w->bad = "no directory";
        return NULL;
    }
    while (!w->bad && !__atomic_load_n(&ended, __ATOMIC_RELAXED))
        for (int k = rand_r(&w->seed) % FILES, n = 0; n < 15 && k < FILES; k++, n++)
            read_one(w, dir.ino, k);
    vfs_forget(w->r->v, dir.ino, 1);
    return NULL;
}

static void change_one(struct rig *r, unsigned *seed, char *text)
{
    char a[16], b[16];
    struct vfs_handle *h = NULL;
    snprintf(a, sizeof(a), "d/f%02d", rand_r(seed) % FILES);
    snprintf(b, sizeof(b), "d/f%02d", rand_r(seed) % FILES);
    memset(text, 'a' + rand_r(seed) % 26, SIZE);
    switch (rand_r(seed) % 4) {
    case 0:
        (void)!try_rename(r, a, b, 0);
        break;
    case 1:
        (void)!try_unlink(r, a);
        break;
    case 2:
        others_put(r, a, text);
        break;
    default: /* may fail, for a conflict */
        if (try_create(r, a, O_RDWR | O_CREAT, &h) == ERR_OK) {
            (void)!vfs_write(r->v, h, text, SIZE, 0, &r->who, &r->err);
            (void)!close_file(r, h);
        }
    }
}

static bool served(void *arg)
{
    struct vfs_stats s;
    vfs_stats(((struct rig *)arg)->v, &s);
    return s.files_ahead_used > 10;
}

static void readers_in_order_beside_changes_never_read_a_mixture(void **state)
{
    struct rig r;
    rig_store(&r, &(struct rig_kind){.async = true, .meta_in_get = true, .ttl_ms = 50});
    r.cfg.memory = 1 << 20;
    rig_mount(&r);
    char *text = bytes_of(SIZE), key[16];
    for (int k = 0; k < FILES; k++) {
        memset(text, 'a' + k % 26, SIZE);
        snprintf(key, sizeof(key), "d/f%02d", k);
        others_put(&r, key, text);
    }
    rig_slow(&r, MEM_GET, 1);
    struct worker workers[READERS];
    pthread_t threads[READERS];
    for (int k = 0; k < READERS; k++) {
        workers[k] = (struct worker){.r = &r, .seed = (unsigned)k + 1};
        assert_int_equal(pthread_create(&threads[k], NULL, reader, &workers[k]), 0);
    }
    unsigned seed = 99;
    assert_true(within(60 * 1000, served, &r));
    for (int k = 0; k < CHANGES; k++)
        change_one(&r, &seed, text);
    __atomic_store_n(&ended, 1, __ATOMIC_RELAXED);
    for (int k = 0; k < READERS; k++) {
        assert_int_equal(pthread_join(threads[k], NULL), 0);
        if (workers[k].bad)
            fail_msg("%s", workers[k].bad);
    }
    struct vfs_stats s;
    vfs_stats(r.v, &s);
    assert_true(s.memory_used <= r.cfg.memory);
    free(text);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_in_order_beside_changes_never_read_a_mixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
