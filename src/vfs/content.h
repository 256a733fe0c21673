/*
 * The bytes of one version of one object, as far as they are held in memory: blocks of 128 KiB, fetched by ranged reads with
 * the version's ETag, shared by everybody who reads that version. A read of what is held is answered at once; one that must
 * wait is parked on the blocks it needs and answered by whoever completes the last of them.
 *
 * A block is EMPTY -> FETCHING -> HELD -> EMPTY (evicted), or FETCHING -> EMPTY (failed: those parked on it get the error).
 * Invariants: a block is fetched by at most one request at a time; memory for a block is reserved before its request starts
 * and the sum of all blocks never passes the limit: when nothing can be evicted, fetches wait in order of arrival; only HELD
 * blocks that no reply is copying from are evicted, least recently used first. Read-ahead never evicts what was not yet read
 * and never waits for memory (it is dropped).
 *
 * Locks: one for all contents of a mount (LOCK_VFS_CONTENT); completions run without it.
 */
#ifndef VFS_CONTENT_H
#define VFS_CONTENT_H

#include "awsfs/store.h"
#include "util/cleanup.h"
#include "vfs/readahead.h"

#include <sys/uio.h>

struct timers;
struct contents; /* all of a mount: the store, the memory, the counters */
struct content;  /* one version; reference-counted */
struct cancel;

#define CONTENT_BLOCK (128u * 1024)

/* `memory`: bytes that blocks may take. `secret`: blocks live in secret memory. */
struct contents *contents_new(struct store *store, uint64_t memory, bool secret, struct err *e);
/* What holds bytes beside the store: the disk cache. */
struct content_block; /* a complete block that stays in memory */
struct content_side {
    /* What the side knows of one version, until close(); NULL: nothing, and it wants nothing. Touches no disk, any lock of the vfs
     * may be held; so for close() and same(). */
    void *(*open)(void *arg, const char *key, const struct store_version *version);
    void (*close)(void *known);
    /* The bytes of `to`, of which nothing is known yet, are those of `from`. */
    void (*same)(void *arg, void *to, void *from);
    /* Asked before every request: how many of the `length` bytes at `offset`, a multiple of CONTENT_BLOCK, are all here
     * (`*here` true) or all not; whole blocks, at least one. A request is divided there. */
    uint64_t (*run)(void *known, uint64_t offset, uint64_t length, bool *here);
    /* Gives bytes that run() said are here, as store_get() would; data() and done() come on any thread. An error from it, whatever
     * it is, leads to a request for what it had not given yet. */
    enum err_code (*get)(void *known, const struct store_get *g, struct err *e);
    /* These bytes of that version came from the store and are complete. True: they are kept in place until
     * content_block_release(). Not called while an eighth of the memory is kept so: readers come first. */
    bool (*keep)(void *known, uint64_t offset, const void *p, size_t len, struct content_block *b);
    /* Whether what comes for that reader should rather pass now: it would wait long until the side writes it, and passed() will take
     * it. Any lock of the vfs may be held. NULL: never. */
    bool (*lets_pass)(void *arg, void *known, uint64_t reader);
    /* The block that begins there came, and was not kept: its bytes have that CRC32C (where `sums`; else it is 0), and go to the
     * readers of the content (content_set_reader()). False: nothing will bring them back, they are fetched again when they are next
     * wanted (content_stats.unkept). NULL: always so. */
    bool (*passed)(void *arg, void *known, uint64_t reader, uint64_t offset, uint32_t crc32c);
    bool sums;
    void *arg;
};
/* Before the first content; `side` is copied. run(), get(), keep() and passed() are called without any lock and may wait for a local disk,
 * for nothing else. None is called any more once contents_free() has returned, for which every block must be released. */
void contents_beside(struct contents *cs, const struct content_side *side);
/* Any thread; takes the contents' lock, so any lock of lower rank may be held. */
void content_block_release(struct content_block *b);

/* Memory that nobody needed for so long goes back to the system from now on. `timers` is borrowed until contents_free(). */
void contents_give_back(struct contents *cs, struct timers *timers, unsigned after_ms);
/* Every content must be gone; waits for fetches that are still under way (they are canceled). */
void contents_free(struct contents *cs);

/* One reference. Copies. */
struct content *content_new(struct contents *cs, const char *key, const struct store_version *version, struct err *e);
struct content *content_ref(struct content *c);
void content_unref(struct content *c);
CLEANUP_DEFINE(struct content, content_unref)
/* The metadata that a get's reply brought along, with a reference for the caller; NULL if none did yet. */
struct store_meta *content_meta(struct content *c);

uint64_t content_size(const struct content *c);

/* Who reads it, in words of the side: it is told to passed(). 0, as at first: nobody that it knows. */
void content_set_reader(struct content *c, uint64_t reader);

/* The same bytes now live under another key or ETag (after a copy, a rename). Fetches under way that fail with CONFLICT or
 * NOT_FOUND are made again there. Copies its arguments. */
enum err_code content_relocate(struct content *c, const char *key, const char *etag, struct err *e) MUST_CHECK;

/* The whole bytes are known: from a listing. Copies. Never evicted while `pin`. */
enum err_code content_fill(struct content *c, const void *p, size_t len, bool pin, struct err *e) MUST_CHECK;

/* A read that may have to wait. The caller's storage (zeroed) until done was called: exactly once, before content_read()
 * returns or later on any thread, without locks. `iov` is borrowed for the call and points into blocks that stay meanwhile. */
struct content_read {
    void (*done)(struct content_read *r, enum err_code code, const struct iovec *iov, int n_iov, size_t len,
                 const struct err *e);
    void *arg;
    void *priv[8]; /* content.c's */
};

/* `offset` + `len` must lie inside the content (callers clip), `len` at most 4 MiB. `ra`, of the open file whose readers get
 * ranges fetched ahead, may be NULL; the contents' lock guards it, and it is not used after the call. */
void content_read(struct content *c, uint64_t offset, size_t len, struct readahead *ra, struct cancel *cancel,
                  struct content_read *r);

/* The same, waiting, into a buffer. `ahead`: what follows will be read too, and is fetched ahead. */
enum err_code content_read_wait(struct content *c, uint64_t offset, void *buf, size_t len, bool ahead, struct cancel *cancel,
                                struct err *e) MUST_CHECK;

/* Begins to fetch what is missing of the first `len` bytes although nobody reads them yet, and never waits; false where there
 * is no room for that. As with read-ahead, reads go first. No lock may be held. */
bool content_prefetch(struct content *c, uint64_t len);

/* Whether the first bytes of what is, or is about to be, given to content_prefetch() are here. */
enum content_hand { CONTENT_ABSENT /* they could not be fetched */, CONTENT_COMING, CONTENT_HELD };
enum content_hand content_at_hand(struct content *c);
/* Its first bytes are being fetched, for whomever. Locks as contents_room(). */
bool content_is_coming(struct content *c);

/* Bytes of memory that may be fetched ahead now: 0 while reads wait for memory. Any lock of the vfs may be held. */
uint64_t contents_room(struct contents *cs);
/* How long a request takes to its first byte where hardly anything else is under way, in microseconds; 0: not known. Locks as above. */
uint32_t contents_latency_us(struct contents *cs);

struct content_stats {
    uint64_t memory_used; /* by blocks */
    uint64_t memory_idle; /* that blocks may have again */
    uint64_t parked, hits, misses, fetched_bytes, requests;
    uint64_t beside_bytes; /* that the side had, and no request asked for */
    uint64_t unkept;       /* bytes that it did not get */
};
void contents_stats(struct contents *cs, struct content_stats *out);

#endif
