/*
 * The disk cache: contents of objects by their SHA-512, found by the version of an object that has them, shared by every
 * process that opens the same directory, and kept when all of them are gone.
 *
 * An entry stands for one version (origin, key, ETag, size) as long as somebody uses it. Its bytes are held in chunks of
 * CACHE_CHUNK (the last one shorter), each with its SHA-512. No byte is given out that was not checked since it was last out
 * of this process's sight (the boot, or device, inode, size, mtime and ctime of its file): a chunk that fails is counted,
 * forgotten, and counts as not held.
 *
 * Nothing here fails the caller: whatever the disk or the index does (full, read-only, garbage, locked by a stopped process)
 * is logged once, counted, and looks like an empty cache. NULL is a cache that holds nothing, and a NULL entry an entry of it:
 * every call takes them. A content that is open in any process (a shared flock on its file says so) or pinned is not evicted.
 *
 * Threads: every call from any thread. Calls that touch the disk say so; they need ranks above LOCK_CACHE_ENTRY free.
 */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct cache;
struct cache_entry;

#define CACHE_CHUNK (128u * 1024)
#define CACHE_MIN_SIZE (32ull << 20)
#define CACHE_SHA512 64

struct cache_config {
    const char *dir;    /* made with mode 0700 where missing */
    uint64_t size;      /* bytes it may take on the disk, database included; at least CACHE_MIN_SIZE */
    uint64_t keep_free; /* bytes of the file system that stay free of it */
};

struct cache_version {
    const char *origin; /* whose keys these are: endpoint and bucket */
    const char *key;
    const char *etag; /* without quotes */
    uint64_t size;
};

/* Opens the directory and starts the cache's threads: in constant time, however much it holds. ERR_NOT_DIR (also of a
 * symbolic link) and ERR_ACCESS (it belongs to somebody else) are the user's to mend; any other error means that the mount
 * does without. Blocks on the disk. */
enum err_code cache_open(const struct cache_config *config, struct cache **out, struct err *e) MUST_CHECK;

/* Waits until all that was put is written, hashed and recorded; true if it is. False: `timeout_ms` has passed, or the index could
 * not be written several times in succession. */
bool cache_drain(struct cache *c, uint64_t timeout_ms);

/* The same of contents, for a cache that stays in use: notes with `hold_ms` stay held. */
bool cache_settle(struct cache *c, uint64_t timeout_ms);

/* Drops what is still queued. Every entry must have been unref'd. */
void cache_close(struct cache *c);
CLEANUP_DEFINE(struct cache, cache_close)

/* ---- Contents */

/* The entry of a version, with a reference. Copies. Touches no disk, may be called under locks below LOCK_CACHE. NULL of a
 * NULL cache, of size 0, and without memory. */
struct cache_entry *cache_entry_get(struct cache *c, const struct cache_version *v);
struct cache_entry *cache_entry_ref(struct cache_entry *n);
void cache_entry_unref(struct cache_entry *n); /* may close a file; under no lock above LOCK_VFS_REFILL */
CLEANUP_DEFINE(struct cache_entry, cache_entry_unref)

/* How many bytes from `offset` on are held without a gap, at most `len`. What the index says: a read may still find them
 * bad. Blocks on the disk at an entry's first use only. */
uint64_t cache_held(struct cache_entry *n, uint64_t offset, uint64_t len);

/* `len` bytes from `offset` on, all of them and checked, or false: then `buf` is undefined and they must be fetched. Blocks
 * on the disk. */
bool cache_read(struct cache_entry *n, uint64_t offset, void *buf, size_t len);

/* A chunk that was fetched. The caller's storage, and the bytes stay, until done() was called: exactly once, perhaps before
 * cache_put() returns, else on the cache's thread without locks. */
struct cache_block {
    uint64_t index; /* the chunk's: its bytes begin at index * CACHE_CHUNK */
    const void *p;
    uint32_t len;   /* CACHE_CHUNK, or what the last chunk has */
    bool own;       /* the memory is in no other account: it counts in cache_stats.memory until done() */
    void (*done)(struct cache_block *b);
    struct cache_block *next; /* private from here */
    struct cache_entry *entry;
};

/* Queues the chunk to be hashed and written. Never blocks and touches no disk. Unless it is CACHE_TAKEN, done() does not come.
 * May be called under locks below LOCK_CACHE. */
enum cache_answer {
    CACHE_TAKEN,  /* done() comes later */
    CACHE_FULL,   /* the queue: it has room again when the writer has written some of it */
    CACHE_REFUSED /* the disk is in trouble, or there is no cache: it is no use to wait */
};
enum cache_answer cache_put(struct cache_entry *n, struct cache_block *b);

/* Whether what is put of this content now would be written after a while only, and all of it is more than can wait that long: who
 * can give it later should. NULL is fine. Any lock below LOCK_LEAF. */
bool cache_puts_off(struct cache_entry *n);

/* Whether cache_put() would take so much now, as far as the queue is concerned: for who can wait. Any lock below LOCK_CACHE. */
bool cache_has_room(struct cache *c, uint64_t bytes);

/* So many chunks more are about to be put: whether it pays to begin with what needs all of them. A guess; any thread, any lock. NULL is
 * fine. */
void cache_expect(struct cache_entry *n, uint64_t chunks);

/* Somebody waits for bytes that come from elsewhere: what the cache does meanwhile keeps out of the way (pace.h). Any thread, under
 * any lock below LOCK_LEAF. */
void cache_reading(struct cache_entry *n);

/* What he waited for was not put, and no kernel's page will bring it back: what was put is written meanwhile. Locks as above. */
void cache_losing(struct cache_entry *n);

/* Somebody writes files: as cache_reading(). NULL is fine. */
void cache_writing(struct cache *c);

/* Whether somebody does, or did a moment ago. */
bool cache_is_read(struct cache *c);

/* How many milliseconds whoever has chunks to put that can wait should wait: 0 when nobody reads. `spent_us`: what that has taken it
 * since it last asked. */
unsigned cache_wait_ms(struct cache *c, uint64_t spent_us);

/* What is known of the bytes that were stored: NULL where it is not. */
struct cache_sums {
    const uint8_t *sha512; /* 64 bytes */
    const uint64_t *crc64nvme;
};

/* What was stored under the version is in the open file `fd` (from its beginning, v->size bytes), which is taken and closed: queues
 * it to be copied, unless a sum turns out to be another. Never blocks. Where too many files wait, or the cache is in trouble, it is
 * dropped at once (counted): each that waits keeps its room on its own disk. */
void cache_adopt(struct cache *c, const struct cache_version *v, int fd, const struct cache_sums *sums);

/* The same of v->size bytes in memory (malloc'd, taken), at most CACHE_ADOPT_BYTES. While somebody writes (cache_writing()) it may wait
 * `hold_ms`, unless cache_drain() or cache_settle() is called, or half of what may wait does. */
#define CACHE_ADOPT_BYTES 65536u
void cache_adopt_bytes(struct cache *c, const struct cache_version *v, char *bytes, const struct cache_sums *sums, unsigned hold_ms);

/* A checksum that the server computed: of all bytes, or (where `parts` is not 0) of the sums of that many parts. */
enum cache_sum_kind { CACHE_SUM_CRC32, CACHE_SUM_CRC32C, CACHE_SUM_CRC64NVME, CACHE_SUM_SHA1, CACHE_SUM_SHA256, CACHE_SUM_MD5 };
#define CACHE_SUM_MAX 32
struct cache_sum {
    enum cache_sum_kind kind;
    unsigned parts;
    uint8_t value[CACHE_SUM_MAX]; /* cache_sum_size(kind) bytes, a CRC's highest first */
};
size_t cache_sum_size(enum cache_sum_kind kind); /* pure */

/* Looks for a content, held whole under another name, that has the version's bytes: by what is told of them. True: the entry holds
 * bytes. Blocks on the disk, and may read and hash what is held: as long as stop(arg) is false. */
struct cache_claim {
    const uint8_t *sha512;       /* 64 bytes that the server computed over the whole object; NULL: not told */
    const uint8_t *said_sha512;  /* that somebody stored with it, perhaps with other bytes: counts only where `sum`, or else an ETag
                                    that is an MD5, says so of the held bytes too */
    const struct cache_sum *sum; /* NULL: not told */
    bool guess;                  /* compute the MD5 of files of the same size, where the ETag may be one; each once. Where `sum` is a SHA
                                    of all bytes, that; each time */
    bool (*stop)(void *arg);     /* NULL: never */
    void *arg;
};
bool cache_entry_claim(struct cache_entry *n, const struct cache_claim *claim);

/* Whether a file of that size is held whole: then a claim may be worth a request. Blocks on the disk. */
bool cache_has_size(struct cache *c, uint64_t size);

/* The server itself said that the version's bytes have this SHA-512 (a full-object checksum, nothing less): where such a
 * content is held, the entry has it. Blocks on the disk. */
void cache_entry_hint(struct cache_entry *n, const uint8_t sha512[CACHE_SHA512]);

/* The bytes of `to`, of which nothing is known yet, are those of `from` (after a copy or a rename). Never blocks; either may be
 * NULL. */
void cache_entry_same(struct cache_entry *to, struct cache_entry *from);

/* A descriptor, open for reading, of a file that has exactly the version's bytes, all checked; -1 unless the whole content is
 * held as a file. Borrowed: it stays as long as the entry. The file is never written again. Blocks on the disk shortly. */
int cache_entry_fd(struct cache_entry *n);

/* ---- What is known of versions beside their bytes */

/* Remembers up to CACHE_NOTE_MAX bytes about a version, and a number that tells apart what has the same name (`modified`, as the
 * caller has it): in place of what was noted about the key. Copies; never blocks; dropped where the queue is full. All notes
 * together take at most an eighth of the cache's size: those that were not used for longest go. One with `hold_ms` is not in the
 * database before that time is over, or cache_drain() is called, and not at all if another of its key comes before: so that an older one
 * cannot outlive a newer one which a kill has lost. */
#define CACHE_NOTE_MAX (64u * 1024)
void cache_note_put(struct cache *c, const struct cache_version *v, int64_t modified, const void *p, size_t len, unsigned hold_ms);

/* malloc'd, NULL if there is none of that version; one that is damaged is none. Blocks on the disk. */
void *cache_note_get(struct cache *c, const struct cache_version *v, int64_t *modified, size_t *len);

/* Whether there is one about the key, whatever the version. Blocks on the disk. */
bool cache_note_has(struct cache *c, const char *origin, const char *key);

/* ---- State */

struct cache_stats {
    uint64_t limit, used;               /* bytes on the disk; used counts database and log */
    uint64_t hits, misses;              /* chunks asked for */
    uint64_t hit_bytes, filled_bytes;   /* given out; written */
    uint64_t dropped_bytes;             /* taken, and not written: no room, disk trouble */
    uint64_t verified_bytes, bad;       /* checked against their SHA-512; chunks and files that failed */
    uint64_t evicted, evicted_bytes, deduplicated;
    uint64_t pending;                   /* chunks and contents waiting for work: 0 when idle */
    uint64_t memory;                    /* bytes: of cache_adopt_bytes(), and of blocks that are `own` */
    uint64_t rebuilt;                   /* databases moved aside */
    char trouble[ERR_MSG_SIZE];         /* why nothing is stored now; "" */
};
void cache_stats(struct cache *c, struct cache_stats *out);

#endif
