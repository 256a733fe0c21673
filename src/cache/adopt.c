/*
 * What this machine stored itself is in the cache already: copied from the file it was sent from, or from memory where it is small, by
 * a thread of its own, since whoever stored it has other things to do. Each that waits holds room on its disk or in memory, so few do,
 * and none for a cache in trouble.
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
#define COPIES    16           /* chunks on their way at once */
#define PACE_MS   50           /* of pace_wait_ms() */

struct adoption {
    struct adoption *next;
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
    free(a);
}
CLEANUP_DEFINE(struct adoption, adoption_free)

static bool unwanted_locked(const struct cache *c)
{
    return c->stop || cache_in_trouble_locked(c);
}

/* One that waits for what `n` is a later version of: nobody asks for that any more. Off the queue, or NULL. */
static struct adoption *take_earlier_locked(struct cache *c, const struct cache_entry *n)
{
    struct adoption **at = &c->adoptions, *a;
    while ((a = *at) != NULL && (a->entry->origin != n->origin || strcmp(a->entry->key, n->key) != 0))
        at = &a->next;
    if (!a)
        return NULL;
    *at = a->next;
    if (!a->next)
        c->adoptions_end = at;
    c->n_adoptions--;
    c->adoption_bytes -= a->entry->size;
    return a;
}

static bool queue(struct cache *c, struct adoption *a)
{
    CLEANUP(adoption_free) struct adoption *earlier = NULL;
    LOCK_SCOPE(&c->lock);
    uint64_t size = a->entry->size;
    earlier = take_earlier_locked(c, a->entry);
    bool full = c->n_adoptions >= MAX_FILES || (c->n_adoptions > 0 && c->adoption_bytes + size > MAX_BYTES);
    if (full || unwanted_locked(c)) {
        c->stats.dropped_bytes += size;
        return false;
    }
    a->next = NULL;
    *c->adoptions_end = a;
    c->adoptions_end = &a->next;
    c->n_adoptions++;
    c->adoption_bytes += size;
    cond_signal(&c->adopt_work);
    return true;
}

/* Takes `n` (NULL: there is no memory), fd and bytes. */
static void adopt_later(struct cache *c, struct cache_entry *n, int fd, char *bytes, const struct cache_sums *sums)
{
    struct adoption *made = n ? calloc(1, sizeof(*made)) : NULL;
    if (!made) {
        cache_entry_unref(n);
        free(bytes);
        if (fd >= 0)
            close(fd);
        return;
    }
    *made = (struct adoption){.entry = n, .fd = fd, .bytes = bytes, .has_sha512 = sums->sha512, .has_crc = sums->crc64nvme};
    CLEANUP(adoption_free) struct adoption *a = made;
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
    adopt_later(c, cache_entry_get(c, v), fd, NULL, sums);
}

void cache_adopt_bytes(struct cache *c, const struct cache_version *v, char *bytes, const struct cache_sums *sums)
{
    assert(v->size <= CACHE_ADOPT_BYTES);
    adopt_later(c, cache_entry_get(c, v), -1, bytes, sums);
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
    LOCK_SCOPE(&c->lock);
    c->adopting = false;
    while (!c->stop && !c->adoptions) {
        cond_broadcast(&c->idle_done);
        (void)cond_wait(&c->adopt_work, &c->lock, UINT64_MAX);
    }
    struct adoption *a = c->stop ? NULL : c->adoptions;
    if (!a)
        return NULL;
    c->adopting = true;
    c->adoptions = a->next;
    if (!c->adoptions)
        c->adoptions_end = &c->adoptions;
    c->n_adoptions--;
    c->adoption_bytes -= a->entry->size;
    return a;
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

void adoptions_drop(struct cache *c)
{
    lock_take(&c->lock);
    struct adoption *a = TAKE(c->adoptions);
    c->adoptions_end = &c->adoptions;
    c->n_adoptions = 0;
    lock_drop(&c->lock);
    for (struct adoption *next; a; a = next) {
        next = a->next;
        adoption_free(a);
    }
}
