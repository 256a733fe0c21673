/*
 * The inside of contents (content.h): blocks and their memory (content_memory.c), requests (content_fetch.c), reads and
 * who waits (content_read.c), read-ahead (content_ahead.c).
 *
 * `_locked` functions need contents.lock. Nothing is called back and no request is started with it: what is to be
 * started or answered is collected in lists and done afterwards. Bytes are copied into a FETCHING block without the
 * lock: it belongs to its one request.
 *
 * A parked read is SETUP (its owner is still at it) -> QUEUED (waits for memory, holds nothing) -> WAITING (all its
 * blocks are held and pinned, or being fetched) -> TAKEN. Who moves it to TAKEN, under the lock, is the one who answers
 * it. All the memory a read needs is reserved at once, so that reads never wait for each other's.
 */
#ifndef VFS_CONTENT_INTERNAL_H
#define VFS_CONTENT_INTERNAL_H

#include "util/cancel.h"
#include "util/lock.h"
#include "util/pool.h"
#include "util/timer.h"
#include "vfs/arena.h"
#include "vfs/content.h"

#define BLOCK_GRAIN   4096u
#define BLOCK_CLASSES (CONTENT_BLOCK / BLOCK_GRAIN)
#define READ_MAX      (4u * 1024 * 1024)
#define READ_BLOCKS   (READ_MAX / CONTENT_BLOCK + 1)
#define DEMAND_BLOCKS (READ_MAX / CONTENT_BLOCK) /* of one request somebody waits for */
#define FETCH_BLOCKS  (8u * 1024 * 1024 / CONTENT_BLOCK)

/* ---- Lists: the head is an element too */

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_add_before(struct list *at, struct list *l)
{
    l->next = at;
    l->prev = at->prev;
    at->prev->next = l;
    at->prev = l;
}

static inline void list_del(struct list *l)
{
    l->next->prev = l->prev;
    l->prev->next = l->next;
    list_init(l);
}

/* The first element, taken out; NULL of an empty list. */
static inline struct list *list_take(struct list *head)
{
    struct list *l = head->next;
    if (l == head)
        return NULL;
    list_del(l);
    return l;
}

/* ---- Structures */

struct block {
    struct content *c;
    uint64_t index; /* at offset index * CONTENT_BLOCK */
    struct block *hash_next;
    struct list of_content;
    struct list lru;   /* linked while it may be evicted */
    struct list waits; /* struct slot: reads that wait while it is FETCHING */
    char *data;
    uint32_t len, size; /* bytes it has, bytes it takes */
    unsigned pins;      /* reads that need it to stay */
    bool held;          /* else FETCHING */
    bool read;          /* by somebody, not only fetched ahead */
    bool spent;         /* its last reader reads on behind it */
    uint64_t since_ms;  /* when it became evictable */
};

/* Where a content is in the store. Immutable, reference-counted under the lock. */
struct place {
    unsigned refs;
    char *key, *etag;
    void *known; /* the side's; NULL: it has none of it */
    const struct content_side *side;
};

struct content {
    struct contents *cs;
    uint64_t id, size;
    uint64_t reader; /* for the side */
    struct place *place;
    struct store_meta *meta;
    struct list blocks;
    struct readahead waiting; /* of content_read_wait() */
    unsigned refs;            /* the users' and the reads' */
    unsigned holds;           /* requests, and who else must find it in place without being a user */
    bool pinned;
    bool prefetched; /* content_prefetch() was called */
};

struct fetch {
    struct list link; /* contents.fetches */
    struct list start;
    struct content *c;
    struct place *place;
    struct cancel *cancel;
    bool urgent, too_much, canceled;
    bool beside;     /* the side gives its bytes */
    bool side_fails; /* it was to, and did not */
    bool alone;      /* little else was under way when it started */
    unsigned n, at;  /* blocks; the one that is being filled */
    uint64_t started_us, first_us, got; /* times, and bytes after the first of them: the request's own thread's */
    uint32_t filled; /* bytes of that one, */
    uint32_t crc;    /* and their CRC32C, where the side is told of it */
    struct block *blocks[FETCH_BLOCKS];
};

struct slot {
    struct list wait; /* linked while it waits for the block */
    struct parked *p;
    struct block *b;
    bool pinned;
};

enum parked_state { PARKED_SETUP, PARKED_QUEUED, PARKED_WAITING, PARKED_TAKEN };

struct parked {
    struct content_read *r;
    struct content *c; /* a reference */
    uint64_t offset;
    size_t len;
    struct cancel *cancel;
    struct cancel_hook hook;
    enum parked_state state;
    bool fired;       /* the token fired during SETUP */
    bool passes;      /* one of a sequential reader's */
    struct list link; /* the queue, or a list of those to be answered */
    unsigned waiting; /* slots that are */
    unsigned n;
    struct slot slots[];
};

struct contents {
    struct store *store;
    struct content_side side; /* constant */
    uint64_t limit;
    bool secret;
    struct pool *pool; /* for what must not run under a caller's locks */
    struct lock lock;
    struct cond idle; /* busy fell to 0 */
    unsigned busy;    /* threads inside that a caller cannot know of, and requests */
    uint64_t next_id;
    size_t n_contents;

    uint64_t used, fetching; /* bytes of all blocks, of those FETCHING */
    uint64_t kept;           /* bytes of blocks that the side keeps in place */
    uint64_t fixed;          /* bytes of blocks that are held for good: of pinned contents */
    /* Recycled buffers, beside `used` inside the limit: frames of whole blocks, and smaller ones by size. */
    struct arena *arena;
    void *pools[BLOCK_CLASSES];
    uint64_t small, small_low; /* bytes in `pools`; the fewest since the last rest */
    struct timers *timers;     /* NULL: idle memory is not given back */
    struct timer rest_timer;
    unsigned rest_ms;
    bool resting; /* the timer is armed, or its task is under way */
    struct block **table;
    size_t table_mask;
    struct list lru_spent, lru_read, lru_unread; /* the least recent first */
    uint64_t read_bytes, unread_bytes, spent_bytes; /* the spent are among the read */

    struct list queue; /* reads that wait for memory */
    bool kicking, kick_again;
    struct readahead_link link;                        /* what requests have shown */
    uint64_t slice;                          /* of time: in which sequential readers are counted, */
    unsigned active, active_before;          /* in this slice and in the one before */
    struct list fetches;
    struct content_stats stats;
};

/* ---- content_memory.c */

enum room { ROOM_FILL, ROOM_DEMAND, ROOM_AHEAD };

enum err_code memory_init(struct contents *cs, struct err *e) MUST_CHECK;
void memory_release(struct contents *cs);

/* Bytes of recycled buffers that no block has. */
uint64_t memory_idle_locked(const struct contents *cs);

struct block *block_find_locked(const struct content *c, uint64_t index);

/* Bytes of memory that the block takes or would take. */
uint32_t block_cost(const struct content *c, uint64_t index);

/* Evicts until `need` more bytes fit; false, and nothing evicted, where that cannot be. */
bool memory_room_locked(struct contents *cs, uint64_t need, enum room why);

/* Bytes for which there would be room ahead. */
uint64_t memory_ahead_locked(const struct contents *cs);

/* True if `need` bytes will not fit whatever ends: then waiting is in vain. */
bool memory_hopeless_locked(const struct contents *cs, uint64_t need);

/* A new FETCHING block; there must be room. NULL without memory. */
struct block *block_new_locked(struct content *c, uint64_t index);
void block_free_locked(struct block *b);

/* FETCHING to HELD. Whoever waits for it is not looked at. */
void block_hold_locked(struct block *b);

void block_pin_locked(struct block *b);
/* `spent`: a sequential reader has passed it. May free it, when its content is gone. */
void block_unpin_locked(struct block *b, bool spent);

/* Pins for the side, which is no reader. False where it has as much as it may. block_unpin_locked() undoes it. */
bool block_keep_locked(struct block *b);

/* Pins the content: none of its blocks is evicted any more. */
void blocks_pin_locked(struct content *c);

/* ---- content.c */

void place_unref_locked(struct place *p);
void content_put_locked(struct content *c);     /* a reference */
void content_release_locked(struct content *c); /* a hold */

/* Frames whatever touches `cs` after somebody may have been told that it is done. */
void contents_enter_locked(struct contents *cs);
void contents_leave(struct contents *cs);

/* Reads that wait for memory get their turn, on another thread: for callers that may hold locks. */
void contents_kick_later_locked(struct contents *cs);

/* ---- content_fetch.c */

/* Builds requests from blocks of rising index, all missing; adjacent ones share a request. */
struct batch {
    struct content *c;
    struct list *starts; /* gets the requests */
    unsigned max;        /* blocks of a request */
    bool urgent;
    struct fetch *open;
};

/* False without memory: then there is no block. There must be room. */
bool batch_add_locked(struct batch *t, uint64_t index);

/* Starts the requests. No lock may be held. */
void fetches_start(struct list *starts);

/* Cancels the requests of `c`, or all. No lock may be held. */
void fetches_cancel(struct contents *cs, const struct content *c);

/* ---- content_ahead.c */

/* Notes the read; `waits`: it is not held. */
struct readahead_plan ahead_move_locked(struct content *c, struct readahead *ra, uint64_t offset, size_t len, bool waits);

/* Starts what was planned as far as there is room. `t`, with a request that it goes on from (may be NULL), is extended
 * first. `offset`, `len`: of the read. */
void ahead_start_locked(struct content *c, struct readahead_plan *plan, uint64_t offset, size_t len, struct batch *t,
                        struct list *starts);

/* ---- content_read.c */

/* Those that wait for the block move to `ready` if it was their last. */
void parked_block_held_locked(struct block *b, struct list *ready);

/* Those that wait for the block move to `failed`. */
void parked_block_failed_locked(struct block *b, struct list *failed);

/* Answers and frees. No lock may be held. */
void parked_answer(struct list *taken, enum err_code code, const struct err *e);

/* Admits reads that wait for memory, while there is some. No lock may be held. */
void parked_kick(struct contents *cs);

#endif
