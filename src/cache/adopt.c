/* What this machine stored itself is in the cache already: copied from the file it was sent from. */
#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/digest.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_MS 30000
#define COPIES  16 /* chunks on their way at once */

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

/* Waits for room: the queue is the readers'. */
static bool put_one(struct cache_entry *n, struct copy *p)
{
    uint64_t deadline = clock_mono_ms() + WAIT_MS;
    p->busy = true;
    while (!cache_put(n, &p->block)) {
        if (clock_mono_ms() > deadline)
            return p->busy = false;
        usleep(20 * 1000);
    }
    return true;
}

static bool copy_all(struct cache_entry *n, int fd, struct copies *all, const struct cache_sums *sums)
{
    uint8_t sum[DIGEST_MAX];
    uint64_t crc = 0;
    CLEANUP(digest_free) struct digest *sha = digest_new(DIGEST_SHA512, NULL);
    bool good = sha != NULL;
    for (uint64_t i = 0; good && i < n->n_chunks; i++) {
        struct copy *p = &all->each[i % COPIES];
        uint32_t len = chunk_len(n, i);
        wait_for(p);
        p->block = (struct cache_block){.index = i, .p = p->buf, .len = len, .done = copy_done};
        good = read_full(fd, p->buf, len, i * CACHE_CHUNK) && digest_update(sha, p->buf, len, NULL) == ERR_OK && put_one(n, p);
        if (good && sums->crc64nvme)
            crc = crc64nvme(crc, p->buf, len);
    }
    for (unsigned i = 0; i < COPIES; i++)
        wait_for(&all->each[i]);
    good = good && digest_final(sha, sum, NULL) == ERR_OK;
    return good && (!sums->sha512 || memcmp(sum, sums->sha512, CACHE_SHA512) == 0) &&
           (!sums->crc64nvme || crc == *sums->crc64nvme);
}

static bool copy(struct cache_entry *n, int fd, const struct cache_sums *sums)
{
    struct copies all = {0};
    uint64_t n_bufs = n->n_chunks < COPIES ? n->n_chunks : COPIES;
    char *bufs = malloc(n_bufs * CACHE_CHUNK);
    lock_init(&all.lock, "copy into the cache", LOCK_LEAF);
    cond_init(&all.cond);
    for (unsigned i = 0; bufs && i < COPIES; i++)
        all.each[i] = (struct copy){.all = &all, .buf = bufs + i % n_bufs * CACHE_CHUNK};
    bool good = bufs && copy_all(n, fd, &all, sums);
    cond_release(&all.cond);
    lock_release(&all.lock);
    free(bufs);
    return good;
}

void cache_adopt(struct cache *c, const struct cache_version *v, int fd, const struct cache_sums *sums)
{
    CLEANUP(cache_entry_unref) struct cache_entry *n = cache_entry_get(c, v);
    if (!n)
        return;
    if (sums->sha512)
        cache_entry_hint(n, sums->sha512);
    if (cache_held(n, 0, n->size) == n->size)
        return;
    bool copied = copy(n, fd, sums);
    LOCK_SCOPE(&n->lock);
    /* It may have been written to meanwhile: then these are not the version's bytes. */
    if (n->state <= CONTENT_WHOLE && !copied) {
        entry_bad_content(c, n->content);
        entry_forget_locked(n);
    }
}
