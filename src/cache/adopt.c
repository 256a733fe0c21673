/*
 * What this machine stored itself is in the cache already: copied from the file it was sent from, or from memory where it is small, by
 * a thread of its own, since whoever stored it has other things to do. Each that waits holds room on its disk or in memory, so there is
 * a limit to them, and none waits for a cache in trouble. What may wait does so while somebody writes on (pace.h), unless half of that
 * room is taken: who makes many files has the processors first.
 *
 * The file may be written to while it is copied. So what takes more than one chunk is copied under a name that stands for nothing
 * (origin STRAY), and gets the version's name in the transaction in which all its bytes are known to be right. What a killed
 * process left under such a name goes when the cache is opened next (strays_drop()).
 */
#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/str.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define NICE      10
#define MAX_FILES 256          /* that wait */
#define MAX_BYTES (1ull << 30) /* of them; one alone may be larger */
#define MAX_SMALL 8192         /* that wait in memory */
#define MAX_SMALL_BYTES (256ull * CACHE_ADOPT_BYTES)
#define COPIES    16           /* chunks on their way at once */
#define PACE_MS   50           /* of pace_wait_ms() */

/* The origin, and the key as a string. */
struct adoption_name {
    int64_t origin;
    char key[];
};

struct adoption {
    TAILQ_ENTRY(adoption) link;
    struct adoption_name *name;
    uint64_t until_ms; /* it may wait for a pause so long */
    struct cache_entry *entry;
    int fd;      /* -1: the bytes are in memory */
    char *bytes;
    bool has_sha512, has_crc;
    uint8_t sha512[CACHE_SHA512];
    uint64_t crc;
};

static void adoption_free(struct adoption *a)
{
    if (!a)
        return;
    if (a->bytes)
        atomic_fetch_sub(&a->entry->cache->own_bytes, a->entry->size);
    cache_entry_unref(a->entry);
    if (a->fd >= 0)
        close(a->fd);
    free(a->bytes);
    free(a->name);
    free(a);
}
CLEANUP_DEFINE(struct adoption, adoption_free)

static bool unwanted_locked(const struct cache *c)
{
    return c->stop || cache_in_trouble_locked(c);
}

/* ---- Those that wait */

static struct map_key name_of(const void *value)
{
    const struct adoption *a = value;
    return (struct map_key){a->name, sizeof(*a->name) + strlen(a->name->key)};
}

static struct adoption_name *name_new(const struct cache_entry *n)
{
    size_t size = strlen(n->key) + 1;
    struct adoption_name *name = malloc(sizeof(*name) + size);
    if (name) {
        name->origin = n->origin;
        memcpy(name->key, n->key, size);
    }
    return name;
}

static void count_locked(struct cache *c, const struct adoption *a, int by)
{
    struct adoptions_room *room = a->bytes ? &c->small : &c->large;
    room->n += (unsigned)by;
    room->bytes += by < 0 ? -a->entry->size : a->entry->size;
}

static struct adoption *unqueue_locked(struct cache *c, struct adoption *a)
{
    if (!a)
        return NULL;
    struct map_key name = name_of(a);
    (void)map_remove(c->adoption_names, name.p, name.len);
    TAILQ_REMOVE(&c->adoptions, a, link);
    count_locked(c, a, -1);
    return a;
}

static bool is_full_locked(const struct cache *c, const struct adoption *a)
{
    uint64_t size = a->entry->size;
    if (a->bytes)
        return c->small.n >= MAX_SMALL || c->small.bytes + size > MAX_SMALL_BYTES;
    return c->large.n >= MAX_FILES || (c->large.n > 0 && c->large.bytes + size > MAX_BYTES);
}

static bool is_half_full_locked(const struct cache *c)
{
    return c->small.n > MAX_SMALL / 2 || c->small.bytes > MAX_SMALL_BYTES / 2 || c->large.n > MAX_FILES / 2 || c->large.bytes > MAX_BYTES / 2;
}

static bool waits_locked(struct cache *c, const struct adoption *a)
{
    return !c->stop && !c->draining && !is_half_full_locked(c) && clock_mono_ms() < a->until_ms && !pace_is_quiet(&c->pace, PACE_QUIET_MS);
}

/* One that waits for what this is a later version of goes: nobody asks for that any more. */
static bool queue(struct cache *c, struct adoption *a)
{
    CLEANUP(adoption_free) struct adoption *earlier = NULL;
    struct map_key name = name_of(a);
    LOCK_SCOPE(&c->lock);
    earlier = unqueue_locked(c, map_get(c->adoption_names, name.p, name.len));
    if (is_full_locked(c, a) || unwanted_locked(c) || map_put(c->adoption_names, a, NULL)) {
        c->stats.dropped_bytes += a->entry->size;
        return false;
    }
    bool alone = TAILQ_EMPTY(&c->adoptions);
    TAILQ_INSERT_TAIL(&c->adoptions, a, link);
    count_locked(c, a, 1);
    if (alone) /* with more of them the adopter is at work, or looks again soon */
        cond_signal(&c->adopt_work);
    return true;
}

/* Takes `n` (NULL: there is no memory), fd and bytes. */
static void adopt_later(struct cache *c, struct cache_entry *n, int fd, char *bytes, const struct cache_sums *sums, unsigned hold_ms)
{
    struct adoption_name *name = n ? name_new(n) : NULL;
    struct adoption *made = name ? calloc(1, sizeof(*made)) : NULL;
    if (!made) {
        cache_entry_unref(n);
        free(name);
        free(bytes);
        if (fd >= 0)
            close(fd);
        return;
    }
    *made = (struct adoption){.name = name, .entry = n, .fd = fd, .bytes = bytes, .has_sha512 = sums->sha512, .has_crc = sums->crc64nvme};
    CLEANUP(adoption_free) struct adoption *a = made;
    a->until_ms = clock_mono_ms() + hold_ms;
    if (bytes)
        atomic_fetch_add(&c->own_bytes, n->size);
    if (sums->sha512)
        memcpy(a->sha512, sums->sha512, CACHE_SHA512);
    if (sums->crc64nvme)
        a->crc = *sums->crc64nvme;
    if (queue(c, a))
        (void)TAKE(a);
}

void cache_adopt(struct cache *c, const struct cache_version *v, int fd, const struct cache_sums *sums)
{
    adopt_later(c, cache_entry_get(c, v), fd, NULL, sums, 0);
}

void cache_adopt_bytes(struct cache *c, const struct cache_version *v, char *bytes, const struct cache_sums *sums, unsigned hold_ms)
{
    assert(v->size <= CACHE_ADOPT_BYTES);
    adopt_later(c, cache_entry_get(c, v), -1, bytes, sums, hold_ms);
}

/* ---- Sums */

struct sums {
    struct digest *sha, *md5;
    uint64_t crc;
};

static bool sums_add(struct sums *s, const void *p, size_t len)
{
    s->crc = crc64nvme(s->crc, p, len);
    return digest_update(s->sha, p, len, NULL) == ERR_OK && (!s->md5 || digest_update(s->md5, p, len, NULL) == ERR_OK);
}

/* Whether these are the bytes that were stored. */
static bool sums_agree(const struct adoption *a, const struct sums *s, uint8_t sha512[DIGEST_MAX])
{
    return digest_final(s->sha, sha512, NULL) == ERR_OK && (!a->has_sha512 || memcmp(sha512, a->sha512, CACHE_SHA512) == 0) &&
           (!a->has_crc || s->crc == a->crc);
}

static bool put(struct cache_entry *n, struct cache_block *b)
{
    if (cache_put_wait(n, b))
        return true;
    cache_count(n->cache, &n->cache->stats.dropped_bytes, n->size - b->index * CACHE_CHUNK);
    return false;
}

/* ---- One chunk: looked at before it is put, so it may have its name at once */

struct single {
    struct cache_block block;
    char bytes[];
};

static void single_done(struct cache_block *b)
{
    free(CONTAINER_OF(b, struct single, block));
}

static bool bytes_of(const struct adoption *a, char *to, size_t len)
{
    if (!a->bytes)
        return read_full(a->fd, to, len, 0);
    memcpy(to, a->bytes, len);
    return true;
}

static bool adopt_single(struct adoption *a)
{
    uint8_t sha512[DIGEST_MAX];
    size_t len = (size_t)a->entry->size;
    CLEANUP(digest_free) struct digest *sha = digest_new(DIGEST_SHA512, NULL);
    CLEANUP(free) struct single *s = malloc(sizeof(*s) + len);
    struct sums sums = {.sha = sha};
    if (!sha || !s || !bytes_of(a, s->bytes, len) || !sums_add(&sums, s->bytes, len) || !sums_agree(a, &sums, sha512))
        return false;
    s->block = (struct cache_block){.index = 0, .p = s->bytes, .len = (uint32_t)len, .own = true, .done = single_done};
    if (!put(a->entry, &s->block))
        return false;
    (void)TAKE(s);
    return true;
}

/* ---- More */

struct copies {
    struct lock lock;
    struct cond cond;
    struct copy {
        struct cache_block block;
        struct copies *all;
        bool busy;
        char *buf;
    } each[COPIES];
};

static void copy_done(struct cache_block *b)
{
    struct copy *p = CONTAINER_OF(b, struct copy, block);
    LOCK_SCOPE(&p->all->lock);
    p->busy = false;
    cond_signal(&p->all->cond);
}

static void wait_for(struct copy *p)
{
    LOCK_SCOPE(&p->all->lock);
    while (p->busy)
        (void)cond_wait(&p->all->cond, &p->all->lock, UINT64_MAX);
}

static uint64_t cpu_us(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Whoever writes the next file has the processors first (pace.h). `*at_us`: this thread's time when it last gave way. */
static void give_way(struct cache *c, uint64_t *at_us)
{
    uint64_t now = cpu_us(), spent_us = now - *at_us;
    *at_us = now;
    LOCK_SCOPE(&c->lock);
    for (unsigned wait_ms; !c->stop && !c->draining && (wait_ms = pace_wait_ms(&c->pace, spent_us)) > 0; spent_us = 0)
        (void)cond_wait(&c->adopt_work, &c->lock, clock_mono_ms() + (wait_ms < PACE_MS ? wait_ms : PACE_MS));
}

static bool copy_all(struct cache_entry *n, int fd, struct copies *all, struct sums *sums)
{
    bool good = true;
    uint64_t at_us = cpu_us();
    for (uint64_t i = 0; good && i < n->n_chunks; i++) {
        give_way(n->cache, &at_us);
        struct copy *p = &all->each[i % COPIES];
        uint32_t len = chunk_len(n, i);
        wait_for(p);
        p->block = (struct cache_block){.index = i, .p = p->buf, .len = len, .own = true, .done = copy_done};
        good = read_full(fd, p->buf, len, i * CACHE_CHUNK) && sums_add(sums, p->buf, len);
        p->busy = good;
        if (good && !put(n, &p->block))
            good = p->busy = false;
    }
    for (unsigned i = 0; i < COPIES; i++)
        wait_for(&all->each[i]);
    return good;
}

static bool copy(struct cache_entry *n, int fd, struct sums *sums)
{
    struct copies all = {0};
    char *bufs = aligned_alloc(4096, COPIES * CACHE_CHUNK);
    lock_init(&all.lock, "copy into the cache", LOCK_LEAF);
    cond_init(&all.cond);
    for (unsigned i = 0; bufs && i < COPIES; i++)
        all.each[i] = (struct copy){.all = &all, .buf = bufs + i * CACHE_CHUNK};
    bool good = bufs && copy_all(n, fd, &all, sums);
    cond_release(&all.cond);
    lock_release(&all.lock);
    free(bufs);
    return good;
}

static struct cache_entry *stray_new(struct cache *c, uint64_t size)
{
    char name[33];
    uint8_t random[16];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), name);
    struct cache_entry *n = cache_entry_get(c, &(struct cache_version){.origin = "", .key = name, .etag = "", .size = size});
    if (n)
        n->origin = ORIGIN_STRAY; /* nobody else has its name */
    return n;
}

static bool adopt_file(struct cache *c, struct adoption *a)
{
    uint8_t sha512[DIGEST_MAX], md5[DIGEST_MAX], told[16];
    bool wants_md5 = strlen(a->entry->etag) == 32 && hex_decode(a->entry->etag, told, sizeof(told));
    CLEANUP(digest_free) struct digest *sha = digest_new(DIGEST_SHA512, NULL);
    CLEANUP(digest_free) struct digest *md5er = wants_md5 ? digest_new(DIGEST_MD5, NULL) : NULL;
    CLEANUP(cache_entry_unref) struct cache_entry *n = stray_new(c, a->entry->size);
    struct sums sums = {.sha = sha, .md5 = md5er};
    if (!sha || !n)
        return false;
    bool good = copy(n, a->fd, &sums) && sums_agree(a, &sums, sha512);
    bool is_md5 = good && md5er && digest_final(md5er, md5, NULL) == ERR_OK && memcmp(md5, told, sizeof(told)) == 0;
    lock_take(&n->lock);
    int64_t content = n->content;
    good = good && n->state == CONTENT_PART && n->n_held == n->n_chunks;
    if (!good && content) {
        entry_bad_content(c, content);
        entry_forget_locked(n);
    }
    lock_drop(&n->lock);
    return good && promote_as(n, sha512, is_md5 ? md5 : NULL, a->entry);
}

/* ---- The thread */

static void adopt(struct cache *c, struct adoption *a)
{
    struct cache_entry *n = a->entry;
    if (a->has_sha512)
        cache_entry_hint(n, a->sha512);
    if (cache_held(n, 0, n->size) == n->size)
        return;
    if (!(n->size <= CACHE_CHUNK ? adopt_single(a) : adopt_file(c, a)))
        LOG_DEBUG("cache", "%s: what was stored was not copied into the cache", n->key);
}

static struct adoption *take(struct cache *c)
{
    struct adoption *a = NULL;
    LOCK_SCOPE(&c->lock);
    c->adopting = false;
    while (!c->stop && ((a = TAILQ_FIRST(&c->adoptions)) == NULL || waits_locked(c, a))) {
        if (!a)
            cond_broadcast(&c->idle_done);
        (void)cond_wait(&c->adopt_work, &c->lock, a ? clock_mono_ms() + PACE_MS : UINT64_MAX);
    }
    c->adopting = !c->stop;
    return c->stop ? NULL : unqueue_locked(c, a);
}

void *adopt_main(void *arg)
{
    struct cache *c = arg;
    id_t self = (id_t)syscall(SYS_gettid);
    (void)setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + NICE);
    for (struct adoption *a; (a = take(c)) != NULL; adoption_free(a)) {
        lock_take(&c->lock);
        bool unwanted = unwanted_locked(c);
        if (unwanted)
            c->stats.dropped_bytes += a->entry->size;
        lock_drop(&c->lock);
        if (!unwanted)
            adopt(c, a);
    }
    return NULL;
}

void adoptions_init(struct cache *c)
{
    TAILQ_INIT(&c->adoptions);
    c->adoption_names = map_new(name_of);
}

void adoptions_drop(struct cache *c)
{
    struct adoption *a;
    do {
        lock_take(&c->lock);
        a = unqueue_locked(c, TAILQ_FIRST(&c->adoptions));
        lock_drop(&c->lock);
        adoption_free(a);
    } while (a);
}
