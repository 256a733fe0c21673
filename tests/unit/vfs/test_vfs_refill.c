/* What the disk cache takes from the kernel's pages after a read. */
#include "support.h"

#include "cache/cache.h"
#include "cache/cache_internal.h"
#include "util/clock.h"

#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ORIGIN "http://test/bucket"
#define MIB    (1024u * 1024)
#define CHUNK  CACHE_CHUNK
#define SIZE   (24 * MIB + 4567)
#define CHUNKS ((SIZE + CHUNK - 1) / CHUNK)

/* The kernel: the pages of one file, and how it is asked for them. */
static struct kernel {
    pthread_mutex_t mutex;
    const char *pages;
    uint64_t lacks; /* the first byte of a page that is not there; UINT64_MAX: all are */
    bool unknown;   /* it has forgotten the inode */
    bool holds;     /* it does not answer yet */
    unsigned asked;
    unsigned behind;           /* so many times the reader is not there yet */
    struct cache_entry *entry; /* of what he reads */
    struct vfs_retrieve *held[8];
    uint64_t held_at[8];
    size_t held_len[8];
    unsigned n_held;
    uint64_t asked_next; /* where it was asked first after it had answered; UINT64_MAX: not yet */
} kernel;

static size_t there_from(uint64_t offset, size_t len)
{
    uint64_t lacks = kernel.lacks / 4096 * 4096;
    if (kernel.lacks == UINT64_MAX || lacks + 4096 <= offset || lacks >= offset + len)
        return len;
    return lacks < offset ? 0 : (size_t)(lacks - offset);
}

static bool retrieve(void *arg, uint64_t ino, uint64_t offset, size_t len, struct vfs_retrieve *r)
{
    pthread_mutex_lock(&kernel.mutex);
    assert_true(len <= VFS_RETRIEVE_MAX && offset + len <= SIZE);
    kernel.asked++;
    if (kernel.behind > 0 && --kernel.behind > 0)
        cache_reading(kernel.entry);
    else if (kernel.entry)
        kernel.lacks = UINT64_MAX;
    bool known = !kernel.unknown, holds = kernel.holds && known;
    size_t have = there_from(offset, len);
    if (holds) {
        kernel.held[kernel.n_held] = r;
        kernel.held_at[kernel.n_held] = offset;
        kernel.held_len[kernel.n_held++] = have;
    }
    if (!holds && kernel.asked_next == UINT64_MAX)
        kernel.asked_next = offset;
    pthread_mutex_unlock(&kernel.mutex);
    if (known && !holds)
        r->done(r, kernel.pages + offset, have);
    return known;
}

static void answer_held(void)
{
    pthread_mutex_lock(&kernel.mutex);
    kernel.holds = false;
    kernel.asked_next = UINT64_MAX;
    unsigned n = kernel.n_held;
    pthread_mutex_unlock(&kernel.mutex);
    for (unsigned i = 0; i < n; i++)
        kernel.held[i]->done(kernel.held[i], kernel.pages + kernel.held_at[i], kernel.held_len[i]);
}

static unsigned asked(void)
{
    pthread_mutex_lock(&kernel.mutex);
    unsigned n = kernel.asked;
    pthread_mutex_unlock(&kernel.mutex);
    return n;
}

struct place {
    char dir[64];
    struct cache *cache;
    char *text;
};

static void start(struct rig *r, struct place *p)
{
    struct err e = ERR_INIT;
    snprintf(p->dir, sizeof(p->dir), "/var/tmp/awsfs-refill-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    const struct cache_config config = {.dir = p->dir, .size = 4 * CACHE_MIN_SIZE};
    if (cache_open(&config, &p->cache, &e))
        fail_msg("%s", e.msg);
    p->text = bytes_of(SIZE);
    kernel = (struct kernel){.pages = p->text, .lacks = UINT64_MAX};
    pthread_mutex_init(&kernel.mutex, NULL);
    rig_store(r, &(struct rig_kind){.async = true});
    r->cfg.memory = 7 * CHUNK; /* an eighth of it is less than a chunk: none but the short last one is kept */
    r->cfg.cache = p->cache;
    r->cfg.origin = ORIGIN;
    r->cfg.notify.retrieve = retrieve;
    rig_mount(r);
    others_put(r, "f", p->text);
}

static void stop(struct rig *r, struct place *p)
{
    static int (*const remove_one)(const char *, const struct stat *, int, struct FTW *) =
        (int (*)(const char *, const struct stat *, int, struct FTW *))(void (*)(void))remove;
    rig_stop(r);
    cache_close(p->cache);
    nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(p->text);
    pthread_mutex_destroy(&kernel.mutex);
}

static struct vfs_stats stats(struct rig *r)
{
    struct vfs_stats s;
    vfs_stats(r->v, &s);
    return s;
}

static void wait_for(bool (*done)(struct rig *r), struct rig *r)
{
    uint64_t until = clock_mono_ms() + 60000;
    while (!done(r)) {
        assert_true(clock_mono_ms() < until);
        usleep(2000);
    }
}

static bool nothing_waits(struct rig *r)
{
    return stats(r).refill_waiting == 0;
}

static bool all_that_is_asked_at_once_is_held(struct rig *r)
{
    pthread_mutex_lock(&kernel.mutex);
    bool both = kernel.n_held == 2;
    pthread_mutex_unlock(&kernel.mutex);
    return both;
}

static struct cache_version version(struct rig *r)
{
    static char etag[256];
    struct store_object o = {0};
    expect_ok(r, store_stat(r->store, "f", NULL, &o, &r->err));
    snprintf(etag, sizeof(etag), "%s", o.version.etag);
    store_object_release(&o);
    return (struct cache_version){.origin = ORIGIN, .key = "f", .etag = etag, .size = SIZE};
}

/* Chunks that the cache has, each of which must be right. */
static unsigned held(struct rig *r, struct place *p)
{
    static char got[CHUNK];
    struct cache_version v = version(r);
    unsigned n = 0;
    assert_true(cache_drain(p->cache, 60000));
    struct cache_entry *entry = cache_entry_get(p->cache, &v);
    for (uint64_t at = 0; at < SIZE; at += CHUNK) {
        size_t len = SIZE - at < CHUNK ? SIZE - at : CHUNK;
        if (!cache_read(entry, at, got, len))
            continue;
        assert_memory_equal(got, p->text + at, len);
        n++;
    }
    cache_entry_unref(entry);
    return n;
}

static void read_all(struct rig *r, struct place *p)
{
    struct vfs_handle *h = open_at(r, "f", O_RDONLY);
    for (uint64_t at = 0; at < SIZE; at += CHUNK) {
        BUF(out, CHUNK);
        expect_ok(r, read_some(r, h, at, CHUNK, &out));
        assert_int_equal(out.len, SIZE - at < CHUNK ? SIZE - at : CHUNK);
        assert_memory_equal(buf_str(&out), p->text + at, out.len);
    }
    release(r, h);
}

static void what_memory_may_not_be_kept_for_comes_from_the_kernels_pages(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    read_all(&r, &p);
    wait_for(nothing_waits, &r);
    assert_int_equal(held(&r, &p), CHUNKS);
    assert_int_equal(stats(&r).bytes_refilled, (uint64_t)(CHUNKS - 1) * CHUNK);
    assert_int_equal(stats(&r).bytes_uncached, 0);
    assert_int_equal(stats(&r).bytes_fetched, SIZE);
    stop(&r, &p);
}

/* What others put into the cache's queue, and the writer at the first of it. */
static struct {
    pthread_mutex_t go;
    atomic_bool at_it;
    atomic_uint ended;
    struct cache_block blocks[1024];
} others = {.go = PTHREAD_MUTEX_INITIALIZER};

static void other_written(struct cache_block *b)
{
    if (b == others.blocks) {
        atomic_store(&others.at_it, true);
        pthread_mutex_lock(&others.go);
        pthread_mutex_unlock(&others.go);
    }
    atomic_fetch_add(&others.ended, 1);
}

static bool the_writer_is_at_others(struct rig *r)
{
    return atomic_load(&others.at_it);
}

static unsigned fill_the_queue(struct rig *r, struct cache_entry *entry, const char *text)
{
    unsigned n = 0;
    enum cache_answer answer = CACHE_TAKEN;
    while (answer == CACHE_TAKEN && n < ARRAY_LEN(others.blocks)) {
        others.blocks[n] = (struct cache_block){.index = n, .p = text, .len = CHUNK, .own = true, .done = other_written};
        answer = cache_put(entry, &others.blocks[n]);
        if (n == 0)
            wait_for(the_writer_is_at_others, r);
        n += answer == CACHE_TAKEN;
    }
    assert_int_equal(answer, CACHE_FULL);
    return n;
}

/* All was read, and the kernel has been asked for something, which it keeps until answer_held(). */
static void start_held(struct rig *r, struct place *p)
{
    start(r, p);
    kernel.holds = true;
    read_all(r, p);
    wait_for(all_that_is_asked_at_once_is_held, r);
}

static void what_comes_while_the_queue_is_full_is_asked_for_again(void **state)
{
    struct rig r;
    struct place p;
    start_held(&r, &p);
    const struct cache_version v = {.origin = ORIGIN, .key = "others", .etag = "\"e\"", .size = 100 * MIB};
    struct cache_entry *entry = cache_entry_get(p.cache, &v);
    pthread_mutex_lock(&others.go);
    unsigned n = fill_the_queue(&r, entry, p.text);
    assert_in_range(n, 2, ARRAY_LEN(others.blocks) - 1);
    struct cache_stats s;
    cache_stats(p.cache, &s);
    assert_in_range(s.memory, (uint64_t)(n - 64) * CHUNK, (uint64_t)n * CHUNK);
    assert_true(stats(&r).refill_memory >= VFS_RETRIEVE_MAX); /* as much as is asked for at once */
    answer_held();
    pthread_mutex_unlock(&others.go);
    wait_for(nothing_waits, &r);
    assert_int_equal(kernel.asked_next, kernel.held_at[0]); /* in order */
    assert_int_equal(stats(&r).bytes_uncached, 0);
    assert_int_equal(held(&r, &p), CHUNKS);
    assert_int_equal(atomic_load(&others.ended), n);
    cache_stats(p.cache, &s);
    assert_int_equal(s.memory, 0);
    assert_int_equal(stats(&r).refill_memory, 0);
    cache_entry_unref(entry);
    stop(&r, &p);
}

static bool losses_are_known(struct rig *r)
{
    struct cache *c = r->cfg.cache;
    LOCK_SCOPE(&c->pace.lock);
    return c->pace.read_ms > 0 && c->pace.began_ms == 0;
}

/* A chunk is counted after its reader has got it. */
static bool all_long_chunks_are_lost(struct rig *r)
{
    return stats(r).bytes_uncached >= (uint64_t)(CHUNKS - 1) * CHUNK;
}

/* All but the short last chunk, which is kept in memory. */
static void read_chunks(struct rig *r, struct place *p, int flags)
{
    struct vfs_handle *h = open_at(r, "f", O_RDONLY | flags);
    for (uint64_t at = 0; at + CHUNK <= SIZE; at += CHUNK) {
        BUF(out, CHUNK);
        expect_ok(r, read_some(r, h, at, CHUNK, &out));
        assert_memory_equal(buf_str(&out), p->text + at, CHUNK);
    }
    release(r, h);
}

static void what_is_read_past_the_kernels_pages_is_not_asked_for_and_the_cache_waits_no_longer(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    read_chunks(&r, &p, O_DIRECT);
    wait_for(all_long_chunks_are_lost, &r);
    wait_for(losses_are_known, &r);
    assert_int_equal(asked(), 0);
    assert_int_equal(stats(&r).refill_waiting, 0);
    stop(&r, &p);
}

static void who_reads_by_the_kernels_pages_after_that_has_them_asked_for(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    read_chunks(&r, &p, O_DIRECT);
    wait_for(losses_are_known, &r);
    kernel.holds = true;
    read_chunks(&r, &p, 0);
    wait_for(all_that_is_asked_at_once_is_held, &r);
    answer_held();
    wait_for(nothing_waits, &r);
    assert_true(stats(&r).bytes_refilled > 0);
    stop(&r, &p);
}

static void pages_that_are_gone_are_lost_alone_and_counted(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    kernel.lacks = SIZE / 2;
    read_all(&r, &p);
    wait_for(nothing_waits, &r);
    assert_int_equal(held(&r, &p), CHUNKS - 1);
    assert_int_equal(stats(&r).bytes_uncached, CHUNK);
    stop(&r, &p);
}

static void what_was_fetched_ahead_of_the_reader_is_not_lost(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    struct cache_version v = version(&r);
    kernel.entry = cache_entry_get(p.cache, &v);
    kernel.lacks = 10 * CHUNK;
    kernel.behind = 5;
    read_all(&r, &p);
    wait_for(nothing_waits, &r);
    assert_true(asked() > 5);
    assert_int_equal(held(&r, &p), CHUNKS);
    assert_int_equal(stats(&r).bytes_uncached, 0);
    cache_entry_unref(kernel.entry);
    stop(&r, &p);
}

static void pages_with_other_bytes_are_not_taken(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    char *other = bytes_of(SIZE);
    for (uint64_t at = 77; at < SIZE; at += CHUNK)
        other[at] ^= 1;
    kernel.pages = other;
    read_all(&r, &p);
    wait_for(nothing_waits, &r);
    assert_int_equal(held(&r, &p), 1); /* what was kept in memory */
    assert_int_equal(stats(&r).bytes_refilled, 0);
    assert_int_equal(stats(&r).bytes_uncached, (uint64_t)(CHUNKS - 1) * CHUNK);
    stop(&r, &p);
    free(other);
}

static void what_is_opened_for_writing_meanwhile_is_not_taken(void **state)
{
    struct rig r;
    struct place p;
    start_held(&r, &p);
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    answer_held();
    wait_for(nothing_waits, &r);
    assert_int_equal(stats(&r).bytes_refilled, 0);
    assert_int_equal(stats(&r).bytes_uncached, (uint64_t)(CHUNKS - 1) * CHUNK);
    release(&r, h);
    stop(&r, &p);
}

static void an_inode_that_the_kernel_has_forgotten_is_given_up(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    kernel.unknown = true;
    read_all(&r, &p);
    wait_for(nothing_waits, &r);
    assert_int_equal(held(&r, &p), 1);
    assert_int_equal(stats(&r).bytes_uncached, (uint64_t)(CHUNKS - 1) * CHUNK);
    stop(&r, &p);
}

static void *answer_later(void *arg)
{
    usleep(100000);
    answer_held();
    return NULL;
}

static void the_end_of_the_mount_waits_for_what_was_asked_and_asks_no_more(void **state)
{
    struct rig r;
    struct place p;
    pthread_t thread;
    start(&r, &p);
    kernel.holds = true;
    read_all(&r, &p);
    wait_for(all_that_is_asked_at_once_is_held, &r);
    pthread_create(&thread, NULL, answer_later, NULL);
    rig_unmount(&r);
    unsigned n = asked();
    pthread_join(thread, NULL);
    assert_int_equal(asked(), n);
    assert_true(n <= 2);
    stop(&r, &p);
}

static void *settle_long(void *arg)
{
    vfs_settle_cache(arg, 60000);
    return NULL;
}

/* Somebody reads alone, as far as is known. */
static void let_read_until(struct cache *c, uint64_t ms)
{
    LOCK_SCOPE(&c->pace.lock);
    c->pace.read_ms = c->pace.began_ms = ms;
    c->pace.sampled_ms = 0;
    if (c->pace.fd >= 0)
        close(c->pace.fd);
    c->pace.fd = -1;
}

static void before_an_unmount_each_waits_until_his_own_deadline(void **state)
{
    struct rig r;
    struct place p;
    pthread_t thread;
    start(&r, &p);
    read_all(&r, &p);
    vfs_settle_cache(r.v, 60000);
    assert_int_equal(stats(&r).refill_waiting, 0);
    assert_int_equal(held(&r, &p), CHUNKS);
    stop(&r, &p);
    start(&r, &p);
    kernel.holds = true;
    let_read_until(p.cache, clock_mono_ms() + 3600000);
    read_all(&r, &p);
    let_read_until(p.cache, clock_mono_ms() + 3600000);
    pthread_create(&thread, NULL, settle_long, r.v);
    wait_for(all_that_is_asked_at_once_is_held, &r);
    vfs_settle_cache(r.v, 50);
    assert_true(stats(&r).refill_waiting > 0);
    answer_held();
    pthread_join(thread, NULL);
    assert_int_equal(stats(&r).refill_waiting, 0);
    let_read_until(p.cache, 0);
    stop(&r, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_memory_may_not_be_kept_for_comes_from_the_kernels_pages),
        cmocka_unit_test(what_comes_while_the_queue_is_full_is_asked_for_again),
        cmocka_unit_test(what_is_read_past_the_kernels_pages_is_not_asked_for_and_the_cache_waits_no_longer),
        cmocka_unit_test(who_reads_by_the_kernels_pages_after_that_has_them_asked_for),
        cmocka_unit_test(pages_that_are_gone_are_lost_alone_and_counted),
        cmocka_unit_test(what_was_fetched_ahead_of_the_reader_is_not_lost),
        cmocka_unit_test(pages_with_other_bytes_are_not_taken),
        cmocka_unit_test(what_is_opened_for_writing_meanwhile_is_not_taken),
        cmocka_unit_test(an_inode_that_the_kernel_has_forgotten_is_given_up),
        cmocka_unit_test(the_end_of_the_mount_waits_for_what_was_asked_and_asks_no_more),
        cmocka_unit_test(before_an_unmount_each_waits_until_his_own_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
