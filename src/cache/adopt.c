/* What this machine stored itself is in the cache already: copied from the file it was sent from. */
#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/digest.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_MS 30000

struct copy {
    struct cache_block block;
    struct lock lock;
    struct cond cond;
    bool ended;
};

static void copy_done(struct cache_block *b)
{
    struct copy *p = CONTAINER_OF(b, struct copy, block);
    LOCK_SCOPE(&p->lock);
    p->ended = true;
    cond_signal(&p->cond);
}

/* Puts one chunk and waits: the queue is the readers'. */
static bool put_one(struct cache_entry *n, struct copy *p)
{
    uint64_t deadline = clock_mono_ms() + WAIT_MS;
    p->ended = false;
    while (!cache_put(n, &p->block)) {
        if (clock_mono_ms() > deadline)
            return false;
        usleep(20 * 1000);
    }
    LOCK_SCOPE(&p->lock);
    while (!p->ended)
        (void)cond_wait(&p->cond, &p->lock, UINT64_MAX);
    return true;
}

static bool copy_all(struct cache_entry *n, int fd, struct copy *p, char *buf, uint8_t sum[DIGEST_MAX])
{
    CLEANUP(digest_free) struct digest *sha = digest_new(DIGEST_SHA512, NULL);
    for (uint64_t i = 0; sha && i < n->n_chunks; i++) {
        uint32_t len = chunk_len(n, i);
        p->block.index = i;
        p->block.p = buf;
        p->block.len = len;
        if (!read_full(fd, buf, len, i * CACHE_CHUNK) || digest_update(sha, buf, len, NULL) != ERR_OK || !put_one(n, p))
            return false;
    }
    return sha && digest_final(sha, sum, NULL) == ERR_OK;
}

void cache_adopt(struct cache *c, const struct cache_version *v, int fd, const uint8_t *sha512)
{
    uint8_t sum[DIGEST_MAX];
    CLEANUP(cache_entry_unref) struct cache_entry *n = cache_entry_get(c, v);
    CLEANUP(free) char *buf = n ? malloc(CACHE_CHUNK) : NULL;
    if (!buf)
        return;
    if (sha512)
        cache_entry_hint(n, sha512);
    if (cache_held(n, 0, n->size) == n->size)
        return;
    struct copy p = {.block = {.done = copy_done}};
    lock_init(&p.lock, "copy into the cache", LOCK_LEAF);
    cond_init(&p.cond);
    bool copied = copy_all(n, fd, &p, buf, sum);
    cond_release(&p.cond);
    lock_release(&p.lock);
    LOCK_SCOPE(&n->lock);
    /* It may have been written to meanwhile: then these are not the version's bytes. */
    if (n->state <= CONTENT_WHOLE && (!copied || (sha512 && memcmp(sum, sha512, CACHE_SHA512) != 0))) {
        entry_bad_content(c, n->content);
        entry_forget_locked(n);
    }
}
