/* What refill.c (asking, answers) and refill_notes.c (what is noted) share. */
#ifndef VFS_REFILL_IMPL_H
#define VFS_REFILL_IMPL_H

#include "cache/cache.h"
#include "vfs/refill.h"

#include <pthread.h>

#define CHUNK        CONTENT_BLOCK
#define ASK_CHUNKS   (VFS_RETRIEVE_MAX / CHUNK)
#define REFILL_ASKED 2                  /* requests under way */
#define BUFFERS      (24 * ASK_CHUNKS)  /* of a chunk: asked for, being written, or waiting to be summed */
#define SEGMENT      1024u              /* chunks */

struct segment {
    uint64_t noted[SEGMENT / 64];
    uint32_t crc[]; /* one a chunk */
};

/* Of one nodeid. */
struct note {
    TAILQ_ENTRY(note) link;
    uint64_t ino, size, n_chunks;
    struct cache_entry *entry; /* a reference */
    uint64_t n_noted, at;      /* chunks; where to go on, */
    uint64_t not_before_ms;    /* and when */
    uint64_t again;            /* the first that was put back before that, UINT64_MAX: none; */
    uint64_t again_ms;         /* from then on it is gone back to */
    unsigned asked;            /* requests under way */
    bool dropped;              /* goes with the last of them */
    struct segment *segments[];
};
TAILQ_HEAD(note_list, note);

struct buffer {
    struct cache_block block;
    struct refill *refill;
    struct buffer *next; /* while free */
    char *p;
};

struct refill {
    struct vfs *v;
    struct lock lock; /* LOCK_VFS_REFILL: all below */
    struct cond work, idle;
    struct map *by_ino;
    struct note_list notes; /* the oldest first */
    uint64_t bytes;         /* of notes */
    uint64_t waiting;       /* chunks noted, or asked for */
    unsigned asked;
    bool stop;
    unsigned hurry; /* who waits for all of it: nothing is put off for readers */
    struct refill_stats stats;
    char *memory;
    struct buffer buffers[BUFFERS], *free;
    unsigned n_free;
    uint64_t spent_us; /* by those who answered */
    pthread_t thread;
    bool started;
};

/* A request. The note stays as long as it is under way. */
struct asked {
    struct vfs_retrieve ask;
    struct refill *refill;
    struct note *note;
    uint64_t first; /* chunk */
    unsigned n;
    bool held; /* the cache got them in another way */
    bool full; /* it had no room for all that came */
    uint32_t crc[ASK_CHUNKS];
    struct buffer *to[ASK_CHUNKS];
};

static inline uint32_t chunk_len(const struct note *n, uint64_t chunk)
{
    uint64_t left = n->size - chunk * CHUNK;
    return left < CHUNK ? (uint32_t)left : CHUNK;
}

/* Key of refill.by_ino. */
struct map_key note_key(const void *value);

/* Out of the list: what it still had is lost. It is freed with the last request. */
void note_drop_locked(struct refill *r, struct note *n);

/* So many of those waiting do not any more. */
void chunks_end_locked(struct refill *r, uint64_t chunks);

/* The next chunks of a note, none of which counts as noted any more: their number, and their CRCs, are put into `a`. 0 at its end: the
 * next call begins anew. */
unsigned note_take_locked(struct note *n, struct asked *a);

/* The chunks of the request from number `from` on are noted again, and in `wait_ms` they come next: the sum of the whole goes on in
 * order. */
void note_put_back_locked(struct asked *a, unsigned from, unsigned wait_ms);

/* The size of a file whose pages are those of its version; 0: they need not be. Takes the tree lock. */
uint64_t pristine_size(struct vfs *v, uint64_t ino);

#endif
