#include "vfs/refill_impl.h"

#include "util/clock.h"
#include "util/digest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 50 /* whether somebody still reads, and whether there are buffers */
#define NICE    10

static uint64_t cpu_us(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- Buffers */

static void buffer_give_locked(struct refill *r, struct buffer *b)
{
    b->next = r->free;
    r->free = b;
    if (++r->n_free == BUFFERS && r->waiting == 0) /* the memory goes back */
        (void)madvise(r->memory, (size_t)BUFFERS * CHUNK, MADV_DONTNEED);
    cond_signal(&r->work);
}

static void written(struct cache_block *block)
{
    struct buffer *b = CONTAINER_OF(block, struct buffer, block);
    struct refill *r = b->refill;
    LOCK_SCOPE(&r->lock);
    buffer_give_locked(r, b);
    cond_broadcast(&r->idle);
}

static bool buffers_new(struct refill *r)
{
    void *p = mmap(NULL, (size_t)BUFFERS * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    r->memory = p;
    for (unsigned i = 0; i < BUFFERS; i++) {
        r->buffers[i] = (struct buffer){.refill = r, .p = r->memory + (size_t)i * CHUNK, .next = r->free};
        r->free = &r->buffers[i];
    }
    r->n_free = BUFFERS;
    return true;
}

/* ---- Answers */

/* Of the chunks of a request, `whole` came; true of those whose bytes are in their buffers. */
static void check(struct asked *a, const char *p, unsigned whole, bool good[ASK_CHUNKS])
{
    for (unsigned i = 0; i < whole; i++) {
        uint32_t len = chunk_len(a->note, a->first + i);
        good[i] = crc32c(0, p + (size_t)i * CHUNK, len) == a->crc[i];
        if (good[i])
            memcpy(a->to[i]->p, p + (size_t)i * CHUNK, len);
    }
}

static unsigned whole_chunks(const struct asked *a, size_t len)
{
    unsigned n = 0;
    for (size_t at = 0; n < a->n && at + chunk_len(a->note, a->first + n) <= len; n++)
        at += chunk_len(a->note, a->first + n);
    return n;
}

/* `given`: to the cache, which counts them; else they are lost. */
static void count_locked(struct asked *a, unsigned ended, const bool *given)
{
    struct refill_stats *s = &a->refill->stats;
    for (unsigned i = 0; i < ended; i++)
        *(given[i] ? &s->got : &s->lost) += chunk_len(a->note, a->first + i);
}

/* How many chunks need not be asked for again, of which `whole` came. The next one is not in the page cache: while somebody reads, it
 * may have been fetched ahead of him and will be. Else it is lost. Where the cache's queue was full, for others fill it too, the rest is
 * asked for again when it is not. */
static unsigned ended_locked(const struct asked *a, unsigned whole)
{
    const struct refill *r = a->refill;
    if (a->note->dropped || whole == a->n)
        return a->n;
    if (a->full)
        return r->stop ? a->n : whole;
    return cache_is_read(r->v->cfg.cache) && !r->hurry && !r->stop ? whole : whole + 1;
}

/* given[i] of those that the cache has taken, with their buffers. */
static void asked_end(struct asked *a, unsigned whole, const bool *given)
{
    struct refill *r = a->refill;
    struct note *n = a->note;
    LOCK_SCOPE(&r->lock);
    unsigned ended = ended_locked(a, whole);
    if (!a->held)
        count_locked(a, ended, given);
    for (unsigned i = 0; i < a->n; i++)
        if (!given[i])
            buffer_give_locked(r, a->to[i]);
    if (ended < a->n)
        note_put_back_locked(a, ended, ended == whole && !a->full ? LOOK_MS : 0);
    chunks_end_locked(r, ended);
    r->asked--;
    if (n->n_noted == 0)
        cache_expect(n->entry, 0);
    if (--n->asked == 0 && (n->dropped || n->n_noted == 0))
        note_drop_locked(r, n);
    cond_signal(&r->work);
    cond_broadcast(&r->idle);
}

static void answered(struct vfs_retrieve *ask, const void *p, size_t len)
{
    CLEANUP(free) struct asked *a = CONTAINER_OF(ask, struct asked, ask);
    struct refill *r = a->refill;
    bool good[ASK_CHUNKS] = {false}, given[ASK_CHUNKS] = {false};
    uint64_t from_us = cpu_us();
    unsigned whole = whole_chunks(a, len);
    if (pristine_size(r->v, a->note->ino) == a->note->size)
        check(a, p, whole, good);
    lock_take(&r->lock);
    struct cache_entry *entry = cache_entry_ref(a->note->entry);
    r->spent_us += cpu_us() - from_us;
    lock_drop(&r->lock);
    for (unsigned i = 0; i < whole; i++) {
        struct buffer *b = a->to[i];
        b->block = (struct cache_block){.index = a->first + i, .p = b->p, .len = chunk_len(a->note, a->first + i), .done = written};
        enum cache_answer answer = good[i] ? cache_put(entry, &b->block) : CACHE_REFUSED;
        given[i] = answer == CACHE_TAKEN;
        a->full = answer == CACHE_FULL;
        if (a->full)
            whole = i;
    }
    cache_entry_unref(entry);
    asked_end(a, whole, given);
}

/* ---- Asking */

/* Of a note with something to ask for now. */
static bool choose_locked(struct refill *r, struct asked *a)
{
    uint64_t now = clock_mono_ms();
    TAILQ_FOREACH(a->note, &r->notes, link) {
        if (a->note->n_noted == 0 || now < a->note->not_before_ms)
            continue;
        if (note_take_locked(a->note, a) > 0) {
            cache_expect(a->note->entry, a->note->n_noted + a->n);
            return true;
        }
        a->note->not_before_ms = now + LOOK_MS; /* it begins anew then */
    }
    return false;
}

/* A request for something that is noted; NULL while there is nothing, or it must wait. */
static struct asked *next_locked(struct refill *r)
{
    if (r->asked == REFILL_ASKED || r->n_free < ASK_CHUNKS || r->waiting == 0 ||
        !cache_has_room(r->v->cfg.cache, (r->asked + 1) * VFS_RETRIEVE_MAX))
        return NULL;
    struct asked *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    *a = (struct asked){.ask = {.done = answered}, .refill = r};
    if (!choose_locked(r, a)) {
        free(a);
        return NULL;
    }
    struct note *n = a->note;
    for (unsigned i = 0; i < a->n; i++) {
        a->to[i] = r->free;
        r->free = r->free->next;
        r->n_free--;
    }
    n->asked++;
    r->asked++;
    return a;
}

static size_t asked_len(const struct asked *a)
{
    return (size_t)(a->n - 1) * CHUNK + chunk_len(a->note, a->first + a->n - 1);
}

/* Without an answer. */
static void refuse(struct asked *a, bool drop)
{
    struct refill *r = a->refill;
    const bool none[ASK_CHUNKS] = {false};
    if (drop) {
        LOCK_SCOPE(&r->lock);
        if (!a->note->dropped)
            note_drop_locked(r, a->note);
    }
    asked_end(a, a->n, none);
    free(a);
}

static void ask(struct asked *a)
{
    struct refill *r = a->refill;
    struct vfs_notify *k = &r->v->cfg.notify;
    uint64_t ino = a->note->ino, offset = a->first * CHUNK;
    size_t len = asked_len(a);
    lock_take(&r->lock);
    struct cache_entry *entry = cache_entry_ref(a->note->entry);
    lock_drop(&r->lock);
    a->held = cache_held(entry, offset, len) == len;
    cache_entry_unref(entry);
    if (a->held)
        refuse(a, false);
    else if (pristine_size(r->v, ino) != a->note->size || !k->retrieve(k->arg, ino, offset, len, &a->ask))
        refuse(a, true);
}

static unsigned pause_locked(struct refill *r, uint64_t spent_us)
{
    unsigned ms = r->waiting > 0 && !r->hurry ? cache_wait_ms(r->v->cfg.cache, spent_us) : 0;
    return ms < LOOK_MS ? ms : LOOK_MS;
}

static void *refill_main(void *arg)
{
    struct refill *r = arg;
    uint64_t before_us = cpu_us();
    id_t self = (id_t)syscall(SYS_gettid);
    (void)setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + NICE);
    lock_take(&r->lock);
    while (!r->stop) {
        uint64_t now_us = cpu_us(), spent_us = now_us - before_us + r->spent_us;
        before_us = now_us;
        r->spent_us = 0;
        unsigned wait_ms = pause_locked(r, spent_us);
        struct asked *a = wait_ms == 0 ? next_locked(r) : NULL;
        if (!a) {
            uint64_t until = r->waiting == 0 ? UINT64_MAX : clock_mono_ms() + (wait_ms ? wait_ms : LOOK_MS);
            (void)cond_wait(&r->work, &r->lock, until);
            continue;
        }
        lock_drop(&r->lock);
        ask(a);
        lock_take(&r->lock);
    }
    lock_drop(&r->lock);
    return NULL;
}

bool refill_finish(struct refill *r, unsigned wait_ms)
{
    if (!r)
        return true;
    uint64_t until = clock_mono_ms() + wait_ms;
    LOCK_SCOPE(&r->lock);
    r->hurry++;
    cond_signal(&r->work);
    while (r->waiting > 0 && cond_wait(&r->idle, &r->lock, until))
        ;
    r->hurry--;
    return r->waiting == 0;
}

void refill_stats(struct refill *r, struct refill_stats *out)
{
    *out = (struct refill_stats){0};
    if (!r)
        return;
    LOCK_SCOPE(&r->lock);
    *out = r->stats;
    out->waiting = r->waiting;
    out->memory = (uint64_t)(BUFFERS - r->n_free) * CHUNK + r->bytes;
}

/* ---- */

struct refill *refill_new(struct vfs *v, struct err *e)
{
    struct refill *r = calloc(1, sizeof(*r));
    if (!r) {
        (void)err_set(e, ERR_NOMEM, "no memory for filling the cache");
        return NULL;
    }
    r->v = v;
    lock_init(&r->lock, "refill", LOCK_VFS_REFILL);
    cond_init(&r->work);
    cond_init(&r->idle);
    TAILQ_INIT(&r->notes);
    r->by_ino = map_new(note_key);
    r->started = r->by_ino && buffers_new(r) && pthread_create(&r->thread, NULL, refill_main, r) == 0;
    if (r->started) {
        pthread_setname_np(r->thread, "cache-refill");
        return r;
    }
    refill_free(r);
    (void)err_set(e, ERR_NOMEM, "no memory for filling the cache");
    return NULL;
}

void refill_end(struct refill *r)
{
    if (!r)
        return;
    lock_take(&r->lock);
    r->stop = true;
    cond_signal(&r->work);
    lock_drop(&r->lock);
    if (r->started)
        pthread_join(r->thread, NULL);
    r->started = false;
    LOCK_SCOPE(&r->lock);
    while (r->asked > 0 || (r->memory && r->n_free < BUFFERS))
        (void)cond_wait(&r->idle, &r->lock, UINT64_MAX);
    for (struct note *n; (n = TAILQ_FIRST(&r->notes)) != NULL;)
        note_drop_locked(r, n);
}

void refill_free(struct refill *r)
{
    if (!r)
        return;
    refill_end(r);
    if (r->memory)
        munmap(r->memory, (size_t)BUFFERS * CHUNK);
    map_free(r->by_ino);
    cond_release(&r->work);
    cond_release(&r->idle);
    lock_release(&r->lock);
    free(r);
}
