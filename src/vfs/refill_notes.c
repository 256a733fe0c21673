/* What is to be taken from the kernel's pages: a CRC32C a chunk, by nodeid. */
#include "vfs/refill_impl.h"

#include "util/clock.h"
#include "vfs/inode.h"

#include <stdlib.h>
#include <string.h>

#define NOTES_BYTES (8u * 1024 * 1024) /* of all notes: about 200 GiB of contents */

struct map_key note_key(const void *value)
{
    const struct note *n = value;
    return (struct map_key){&n->ino, sizeof(n->ino)};
}

static uint64_t n_segments(uint64_t n_chunks)
{
    return (n_chunks + SEGMENT - 1) / SEGMENT;
}

static size_t segment_bytes(const struct note *n, uint64_t which)
{
    uint64_t left = n->n_chunks - which * SEGMENT;
    return sizeof(struct segment) + (left < SEGMENT ? left : SEGMENT) * sizeof(uint32_t);
}

static size_t note_bytes(uint64_t n_chunks)
{
    return sizeof(struct note) + n_segments(n_chunks) * sizeof(struct segment *);
}

static bool is_noted(const struct note *n, uint64_t chunk)
{
    const struct segment *s = n->segments[chunk / SEGMENT];
    return s && s->noted[chunk % SEGMENT / 64] >> (chunk % 64) & 1;
}

static void flip(struct note *n, uint64_t chunk)
{
    n->segments[chunk / SEGMENT]->noted[chunk % SEGMENT / 64] ^= 1ull << (chunk % 64);
}

static void note_free_locked(struct refill *r, struct note *n)
{
    for (uint64_t i = 0; i < n_segments(n->n_chunks); i++)
        if (n->segments[i]) {
            r->bytes -= segment_bytes(n, i);
            free(n->segments[i]);
        }
    r->bytes -= note_bytes(n->n_chunks);
    cache_entry_unref(n->entry);
    free(n);
}

void chunks_end_locked(struct refill *r, uint64_t chunks)
{
    r->waiting -= chunks;
    if (r->waiting == 0)
        cond_broadcast(&r->idle);
}

void note_drop_locked(struct refill *r, struct note *n)
{
    lock_assert_held(&r->lock);
    if (!n->dropped) {
        map_remove(r->by_ino, &n->ino, sizeof(n->ino));
        TAILQ_REMOVE(&r->notes, n, link);
        n->dropped = true;
        r->stats.lost += n->n_noted * CHUNK;
        chunks_end_locked(r, n->n_noted);
        n->n_noted = 0;
        cache_expect(n->entry, 0);
    }
    if (n->asked == 0)
        note_free_locked(r, n);
}

static struct note *note_new_locked(struct refill *r, struct cache_entry *entry, uint64_t ino, uint64_t size)
{
    uint64_t n_chunks = (size + CHUNK - 1) / CHUNK;
    size_t bytes = note_bytes(n_chunks);
    struct note *n = r->bytes + bytes <= NOTES_BYTES ? calloc(1, bytes) : NULL;
    if (!n)
        return NULL;
    n->ino = ino;
    n->size = size;
    n->n_chunks = n_chunks;
    n->again = UINT64_MAX;
    if (map_put(r->by_ino, n, NULL) != ERR_OK) {
        free(n);
        return NULL;
    }
    n->entry = cache_entry_ref(entry);
    r->bytes += bytes;
    TAILQ_INSERT_TAIL(&r->notes, n, link);
    return n;
}

static struct segment *segment_locked(struct refill *r, struct note *n, uint64_t which)
{
    size_t bytes = segment_bytes(n, which);
    if (!n->segments[which] && r->bytes + bytes <= NOTES_BYTES && (n->segments[which] = calloc(1, bytes)))
        r->bytes += bytes;
    return n->segments[which];
}

static void entry_put_locked(struct note *n, struct cache_entry *entry)
{
    if (n->entry == entry)
        return;
    cache_expect(n->entry, 0);
    cache_entry_unref(n->entry);
    n->entry = cache_entry_ref(entry);
}

uint64_t pristine_size(struct vfs *v, uint64_t ino)
{
    struct err e = ERR_INIT;
    struct inode *i = NULL;
    LOCK_SCOPE(&v->tree);
    if (inode_find_locked(v, ino, &i, &e) != ERR_OK || i->kind != INODE_FILE || !i->etag ||
        (i->flags & (INODE_NEW | INODE_LOCAL | INODE_WRITTEN | INODE_CONFLICT | INODE_SEALED)))
        return 0;
    const struct active *a = i->active;
    return a && (a->stage || a->writers > 0) ? 0 : i->size;
}

bool refill_note(struct refill *r, struct cache_entry *entry, uint64_t ino, uint64_t offset, uint32_t crc)
{
    uint64_t size = ino ? pristine_size(r->v, ino) : 0, chunk = offset / CHUNK;
    if (offset >= size)
        return false;
    LOCK_SCOPE(&r->lock);
    struct note *n = map_get(r->by_ino, &ino, sizeof(ino));
    if (r->stop || (n && n->size != size))
        return false;
    if (!n && !(n = note_new_locked(r, entry, ino, size)))
        return false;
    entry_put_locked(n, entry);
    struct segment *s = segment_locked(r, n, chunk / SEGMENT);
    if (!s)
        return false;
    s->crc[chunk % SEGMENT] = crc;
    if (!is_noted(n, chunk)) {
        flip(n, chunk);
        n->n_noted++;
        r->waiting++;
    }
    if (r->waiting == 1) /* else the thread has work, or waits for its turn */
        cond_signal(&r->work);
    return true;
}

void refill_moved(struct refill *r, struct cache_entry *to, struct cache_entry *from)
{
    struct note *n;
    LOCK_SCOPE(&r->lock);
    TAILQ_FOREACH(n, &r->notes, link)
        if (n->entry == from)
            entry_put_locked(n, to);
}

static void go_back_locked(struct note *n)
{
    if (n->again == UINT64_MAX || clock_mono_ms() < n->again_ms)
        return;
    if (n->at > n->again)
        n->at = n->again;
    n->again = UINT64_MAX;
}

unsigned note_take_locked(struct note *n, struct asked *a)
{
    go_back_locked(n);
    while (n->at < n->n_chunks && !is_noted(n, n->at))
        n->at += n->segments[n->at / SEGMENT] ? 1 : SEGMENT - n->at % SEGMENT;
    a->first = n->at;
    if (n->at >= n->n_chunks) {
        n->at = 0;
        return 0;
    }
    while (a->n < ASK_CHUNKS && n->at < n->n_chunks && is_noted(n, n->at)) {
        flip(n, n->at);
        n->n_noted--;
        a->crc[a->n++] = n->segments[n->at / SEGMENT]->crc[n->at % SEGMENT];
        n->at++;
    }
    return a->n;
}

void note_put_back_locked(struct asked *a, unsigned from, unsigned wait_ms)
{
    struct note *n = a->note;
    uint64_t at_ms = clock_mono_ms() + wait_ms;
    if (n->again == UINT64_MAX || n->again_ms > at_ms)
        n->again_ms = at_ms;
    if (n->again > a->first + from)
        n->again = a->first + from;
    for (unsigned i = from; i < a->n; i++) {
        if (is_noted(n, a->first + i)) {
            a->refill->waiting--; /* has come anew meanwhile */
            continue;
        }
        flip(n, a->first + i);
        n->n_noted++;
    }
}
