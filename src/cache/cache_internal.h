/*
 * The inside of the cache.
 *
 * On disk: index.db (SQLite, WAL); part/EPOCH-ID, sparse files of contents of which not every chunk is held, or whose SHA-512
 * is not known yet; content/XX/HASH, whole contents of more than SMALL_MAX bytes, never written again. EPOCH is the database's:
 * one that is made new never meets the files of the one before, which sweep.c removes.
 *
 * A content is a row: PART -> WHOLE, or INLINE (its bytes in the row); PART or WHOLE -> GONE -> no row. Invariants:
 * - a row is committed before its file is made, and a file is unlinked before its row is deleted, inside the transaction that
 *   does so: so no file is without a row whenever a process is killed;
 * - content.disk is raised in a transaction before the bytes are written, and lowered only after they are gone: so their sum,
 *   which triggers keep in the table space, is never less than what is on the disk;
 * - no row with a SHA-512 in `hash` but that of its bytes as they were hashed from memory or from checked chunks;
 * - a chunk counts as held when its SHA-512 is recorded; what a killed process wrote and did not record is not held;
 * - a file is unlinked only under an exclusive flock on it; whoever has it open holds a shared one. One process at a time
 *   writes a PART: it has a lock (of the open file description) on its first byte.
 *
 * Threads: the writer (writer.c) is the only one that changes the index: it hashes and writes what is put, in batches of one
 * transaction, and runs jobs in it. The idler (promote.c) hashes whole contents in order and checks what is not checked yet,
 * at lowest priority. The adopter (adopt.c) reads what was stored from here. Readers have connections of their own and never
 * wait for the writer.
 */
#ifndef CACHE_CACHE_INTERNAL_H
#define CACHE_CACHE_INTERNAL_H

#include "cache/cache.h"
#include "cache/pace.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/map.h"
#include "util/sqlite.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/stat.h>

#define CACHE_MD5    16
#define SMALL_MAX    (64u * 1024) /* contents up to this live in the database */
#define GROUP_CHUNKS 64u          /* chunks whose sums share a row */
#define READERS      4
#define QUEUE_BYTES  (32ull << 20) /* of chunks that wait to be written */
#define QUEUE_JOBS   4096
#define BATCH_CHUNKS 64
#define BATCH_JOBS   512
#define FEED_CHUNKS  128u  /* that wait to be summed, at most, */
#define FEED_AHEAD   1024u /* and how far ahead: beyond that they would stay too long */
#define HOPELESS     3            /* failed transactions after which nobody waits for a record */
#define WAL_ROOM     (8ull << 20) /* what the write-ahead log may take, set aside of the limit */

enum content_state { CONTENT_PART, CONTENT_INLINE, CONTENT_WHOLE, CONTENT_GONE, CONTENT_NONE /* no row */ };

/* When a file was last known to have checked bytes. No padding: it is stored as it is. */
struct stamp {
    uint8_t boot[16];
    uint64_t dev, ino, size;
    int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
};

struct group {
    uint64_t mask; /* chunks whose sums are here */
    bool dirty;    /* more than the index knows */
    uint8_t sums[GROUP_CHUNKS][CACHE_SHA512];
};

struct cache_entry {
    struct cache *cache;
    unsigned refs; /* under cache.lock */
    int64_t origin;
    char *id; /* its name in cache.entries */
    size_t id_len;
    char *origin_name, *key, *etag;
    uint64_t size, n_chunks;

    struct lock lock; /* for all below */
    bool looked;      /* the index was asked */
    unsigned generation;
    enum content_state state;
    int64_t content;
    int fd;
    int direct_fd; /* the same file past the page cache (direct.c); -1: not opened, -2: cannot be */
    int *old_fds; /* of what it was before: closed with the entry */
    unsigned n_old;
    bool writer;              /* the one that may write this PART */
    bool told;                /* that something was bad */
    bool damaged;             /* a WHOLE of which a chunk was found bad: to be salvaged when something is put */
    uint64_t *held, *checked; /* bits */
    uint64_t n_held, n_checked;
    struct group **groups;
    struct stamp seen;
    uint8_t hash[CACHE_SHA512]; /* of a WHOLE */
    bool hash_known;
    bool idle_due;              /* is with the idler */
    bool promoting;             /* a job is on its way that makes a WHOLE of it */
    struct whole *whole;        /* the sums of the first `summed` chunks (whole.c); NULL also while the idler goes on with them */
    uint64_t summed;
    unsigned sums_dropped;      /* how often: who went on meanwhile has something that counts no more */
    _Atomic uint64_t expected;  /* chunks that are said to come soon */
    int64_t planned;            /* the writer's: a row of the transaction under way; 0 */
    bool planned_inline, planned_copy;
    bool in_dirty;              /* the writer's: has groups to be recorded, holds a reference */
    struct cache_entry *next_dirty, *next_idle;
};

/* Work for the writer. in() runs inside its transaction, perhaps several times; after() once, outside, and frees. */
struct job {
    struct job *next;
    enum err_code (*in)(struct cache *c, struct job *j, struct err *e);
    void (*after)(struct cache *c, struct job *j, bool committed); /* NULL: free() */
};

/* feed.c: chunks from...from+FEED_AHEAD-1, where they are here. */
struct feed {
    struct cache_entry *entry; /* NULL: none are taken. The idler has a reference */
    uint64_t from, at[2];      /* of the two threads that sum, where each is; UINT64_MAX: there is one only */
    bool closed;               /* they do not come on */
    unsigned n;
    uint64_t offered;          /* so many were taken since the cache is open */
    struct cache_block *blocks[FEED_AHEAD];
};

struct cache {
    struct cache_config config;
    char *dir;
    int dirfd, part_fd, content_fd;
    uint8_t boot[16];
    struct changes *changes; /* NULL: none can be noted, and no listing is kept */
    struct stamp db_file; /* dev and ino of the database that is open */

    struct lock lock; /* LOCK_CACHE */
    struct cond work, idle_work, idle_done, adopt_work;
    struct cond room; /* in the queue of puts, or no use to wait for it */
    struct map *entries;
    struct cache_block *puts, **puts_end;
    uint64_t put_bytes;
    struct job *jobs, **jobs_end;
    unsigned n_jobs;
    TAILQ_HEAD(, note_job) held; /* by when they are due */
    struct map *held_names;
    uint64_t listing_bytes; /* of listings among them */
    bool dropping;          /* all listings, by one of them */
    struct cache_entry *idle_list; /* each with a reference */
    struct feed feed;
    TAILQ_HEAD(adoptions, adoption) adoptions; /* that wait */
    struct map *adoption_names;
    struct adoptions_room {
        unsigned n;
        uint64_t bytes;
    } small, large; /* of those in memory, of those in files */
    _Atomic uint64_t own_bytes; /* cache_stats.memory */
    bool writing, idling, adopting; /* busy with something */
    bool stop;
    unsigned draining; /* who waits for all of it: nothing is put off for readers */
    struct pace pace;
    struct cache_stats stats;
    struct job *refused; /* not taken, to be ended */
    bool reap_due; /* a GONE file may have been closed */
    bool strays_due;
    bool sweep_due, mend_due;
    uint64_t sweep_at_ms;   /* not before; 0: at once */
    unsigned sweeps_failed; /* since one succeeded */
    uint64_t trouble_until_ms;
    unsigned failures; /* transactions since one was committed; one that waited in vain for a lock counts as HOPELESS */

    struct lock index_lock; /* LOCK_CACHE_INDEX */
    struct cond index_free;
    struct db *readers[READERS]; /* those nobody uses */
    unsigned n_readers;          /* all there are */
    unsigned generation;         /* of the database; raised when it is made anew */
    bool index_ok, index_bad;    /* usable; found to be garbage */
    char epoch[17];
    bool swept; /* no files of an earlier database are left */
    bool marked; /* nor any whose rows a loss of power has taken back */

    /* The writer's */
    struct db *db;
    struct cache_entry *dirty; /* whose sums are to be recorded */
    bool failed;               /* the last transaction */
    bool listings_tidied;      /* those of other boots are gone */
    pthread_t writer_thread, idle_thread, adopt_thread;
    bool has_writer, has_idler, has_adopter;
};

/* ---- dir.c: the directory, files, stamps */

enum err_code dir_open(struct cache *c, struct err *e) MUST_CHECK;
void dir_close(struct cache *c);
/* Below dirfd: "part/EPOCH-ID", "content/XX/HASH". */
#define PATH_LEN 160
void path_part(const struct cache *c, int64_t id, char out[PATH_LEN]);
void path_whole(const uint8_t hash[CACHE_SHA512], char out[PATH_LEN]);
/* Opens for reading (or both) a regular file of ours with a shared lock; -1 if it is not there, is something else, or about
 * to go. */
int file_open_shared(struct cache *c, const char *path, bool write);
/* Opens under an exclusive lock: -1 with *missing if there is no file; -1 without where somebody has it open. */
int file_open_alone(struct cache *c, const char *path, bool *missing);
int file_create(struct cache *c, const char *path);
bool file_lock_writer(int fd);
bool stamp_take(const struct cache *c, int fd, struct stamp *out);
bool stamp_same(const struct stamp *a, const struct stamp *b);
bool read_full(int fd, void *p, size_t len, uint64_t offset);
enum err_code write_full(int fd, const void *p, size_t len, uint64_t offset, struct err *e) MUST_CHECK;
uint64_t dir_db_bytes(const struct cache *c); /* database, log, and what was moved aside */
uint64_t dir_wal_bytes(const struct cache *c);
uint64_t dir_free_bytes(const struct cache *c);

/* ---- index.c: connections, and what is wrong with them */

enum err_code index_open(struct cache *c, struct err *e) MUST_CHECK; /* the writer's; makes, moves aside as needed */
void index_close(struct cache *c);
/* Notes what a failed statement tells about the database; logs once. */
void index_failed(struct cache *c, enum err_code code, const struct err *e);
/* Whether the file under our name is still the one that is open. */
bool index_is_ours(struct cache *c);
struct db *reader_take(struct cache *c, unsigned *generation); /* NULL: none to be had */
void reader_give(struct cache *c, struct db *d, unsigned generation);

/* ---- index_sql.c: the statements */

enum sql {
    SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK, SQL_FIND_VERSION, SQL_CONTENT, SQL_FIND_HASH, SQL_FIND_MD5, SQL_BODY, SQL_GROUP,
    SQL_ADD_CONTENT, SQL_ADD_INLINE, SQL_PUT_VERSION, SQL_PUT_ORIGIN, SQL_PUT_GROUP, SQL_DROP_GROUPS, SQL_FORGET_CHUNK, SQL_RESERVE, SQL_RECORD,
    SQL_STAMP, SQL_PROMOTE, SQL_VERSIONS_OF, SQL_DROP_VERSIONS, SQL_DROP_CONTENT, SQL_GONE, SQL_GONES, SQL_TOUCH,
    SQL_VICTIMS, SQL_SPACE, SQL_TICK, SQL_BY_HASH, SQL_BY_SIZE, SQL_HAS_SIZE, SQL_SET_MD5, SQL_PUT_NOTE, SQL_GET_NOTE, SQL_HAS_NOTE, SQL_TOUCH_NOTE,
    SQL_TRIM_NOTES, SQL_DROP_NOTES, SQL_STATE, SQL_SWEPT, SQL_KNOWN_HASH, SQL_STRAYS, SQL_DROP_STRAY, SQL_VERSION_CONTENT, SQL_PAGE, SQL_PIN, SQL_KEEP_PIN, SQL_MAY_GO,
    SQL_PUT_LISTING, SQL_GET_LISTING, SQL_HINT_LISTING, SQL_DROP_LISTING, SQL_DROP_LISTINGS, SQL_OTHER_LISTINGS, SQL_TRIM_LISTINGS, SQL_COUNT
};
extern const char *const index_sql[SQL_COUNT];
/* Whether the statement, which `bind` gives its parameters, finds a row. False where the index cannot be asked, or `c` is NULL. */
bool index_has(struct cache *c, enum sql which, void (*bind)(struct db_stmt *s, const void *arg), const void *arg);
extern const char index_schema[];
/* What makes a database of version i one of version i + 1; NULL for one that cannot be kept. */
extern const char *const index_steps[];
/* Binds a version's name to parameters 1 to 4. */
void index_bind_name(struct db_stmt *s, int64_t origin, const char *key, const char *etag, uint64_t size);
int64_t index_guard(int64_t origin, const char *key, const char *etag, uint64_t size, int64_t content);
/* Says that the version has the content; the one it had goes, unless other versions have it. Inside a transaction. */
enum err_code index_put_version(struct cache *c, const struct cache_entry *n, int64_t content, struct err *e) MUST_CHECK;
/* All versions of content `from` have `to` now, which is pinned where that was. */
enum err_code index_repoint(struct cache *c, int64_t from, int64_t to, struct err *e) MUST_CHECK;
/* A statement with one or two numbers for parameters and no result. */
enum err_code index_do(struct cache *c, enum sql which, int64_t a, int64_t b, struct err *e) MUST_CHECK;
enum err_code index_begin(struct cache *c, struct err *e) MUST_CHECK;
/* Commits, or rolls back if `code` is an error or the commit fails. */
enum err_code index_end(struct cache *c, enum err_code code, struct err *e) MUST_CHECK;
#define INDEX_VERSION     4
#define INDEX_APPLICATION 0x61776366 /* "awcf" */

/* ---- entry.c, entry_look.c, entry_read.c */

#define ORIGIN_STRAY 0 /* of contents that are being copied (adopt.c) */
int64_t origin_id(const char *name);
/* Asks the index on first use. */
void entry_look_locked(struct cache_entry *n);
/* Nothing is held any more. */
void entry_forget_locked(struct cache_entry *n);
/* Whoever wrote this PART may have ended: then it is this entry's to write, and what was recorded is read again. */
void entry_take_over_locked(struct cache_entry *n);
/* Room for bitmaps and groups. */
bool entry_shape_locked(struct cache_entry *n);
struct group *entry_group_locked(struct cache_entry *n, uint64_t chunk);
uint32_t chunk_len(const struct cache_entry *n, uint64_t chunk);
/* Of the bitmaps; and of groups there are as many. */
static inline uint64_t words_of(const struct cache_entry *n)
{
    return (n->n_chunks + 63) / 64;
}
static inline bool bit_get(const uint64_t *bits, uint64_t i)
{
    return bits && bits[i / 64] >> (i % 64) & 1;
}
bool bit_put(uint64_t *bits, uint64_t i, bool v); /* true if that changed it */
/* Looks at the file: where it was touched by others, what was checked counts no more. */
void entry_watch_locked(struct cache_entry *n);
/* Reads and checks one chunk, where it is held. False: not held (any more). */
bool entry_chunk(struct cache_entry *n, uint64_t chunk, void *buf);
void entry_dirty_locked(struct cache_entry *n); /* to be recorded; the writer only */
/* The content's row goes, and its file as soon as nobody has it open. */
void entry_bad_content(struct cache *c, int64_t id);
/* Hands the entry to the idler if there is something for it to do. */
void entry_idle_locked(struct cache_entry *n);

/* ---- whole.c: SHA-512 and MD5 of all of a PART's bytes, each chunk of them checked */

struct whole;
/* Whether the idler has something to sum: all is here, or half of it and a good piece in order. */
bool whole_due_locked(const struct cache_entry *n);
/* What was summed counts no more: chunks of it are bad, or it is another content now. */
void whole_drop_locked(struct cache_entry *n);
/* Reads and checks chunks from...to-1 in order, and adds them to `w`; with NULL, those that are not checked yet. False when one is not
 * good, or the cache is closed. After one that is bad all others are looked at: who reads next then fetches all that is bad at
 * once. */
bool whole_walk(struct cache_entry *n, struct whole *w, uint64_t from, uint64_t to);
/* Sums what is here. True if that was the rest; *has_md5 if the ETag is the MD5. The idler only; takes seconds for a GiB. */
bool whole_sum(struct cache_entry *n, uint8_t sha512[CACHE_SHA512], uint8_t md5[CACHE_MD5], bool *has_md5);

/* ---- feed.c: what is being written goes to the sum of the whole from memory */

/* The idler sums `n` from chunk `from` on; `twice`: a second thread goes over the same chunks. */
void feed_begin(struct cache_entry *n, uint64_t from, bool twice);
void feed_end(struct cache *c);
/* The writer's: true if the block was taken, to be ended later. It is not where the file may have other bytes than those of that
 * SHA-512. Without locks. */
bool feed_offer(struct cache *c, struct cache_block *b, const uint8_t sum[CACHE_SHA512]);
/* The bytes of a chunk, which stay until feed_passed(); NULL: to be read from the file. Without locks, both. */
const void *feed_get(struct cache_entry *n, uint64_t chunk);
void feed_passed(struct cache_entry *n, bool second, uint64_t chunk);
/* Waits a moment for more to be handed over than `offered`, of which it gives the new value. Without locks. */
uint64_t feed_wait(struct cache_entry *n, uint64_t offered);

/* ---- direct.c: adjacent chunks into the entry's file. Under the entry's lock. */

enum err_code direct_write(struct cache_entry *n, struct cache_block **b, unsigned count, struct err *e) MUST_CHECK;
void direct_close_locked(struct cache_entry *n);

/* ---- writer.c, admit.c, adopt.c, promote.c, space.c, sweep.c */

enum err_code writer_start(struct cache *c, struct err *e) MUST_CHECK;
void writer_stop(struct cache *c);
/* Hands a block back that was queued. Without locks. */
void block_end(struct cache_block *b);
/* As cache_put(), but waits for room, of which it leaves half to others. False, not counted: it is no use to wait. */
bool cache_put_wait(struct cache_entry *n, struct cache_block *b);
/* Takes the job (which need not be begun by malloc's header but is freed by after()). False, and freed, if the queue is full. */
bool job_post(struct cache *c, struct job *j);
bool job_post_locked(struct cache *c, struct job *j);
/* Notes that are held back, with `lock`: those that are due, or all, are queued; when the next one is due, or `until_ms` if that is earlier. */
void notes_due_locked(struct cache *c, bool all);
uint64_t notes_next_locked(const struct cache *c, uint64_t until_ms);
void notes_init(struct cache *c); /* held_names NULL: no memory */
void notes_drop(struct cache *c); /* nobody else uses `c` */
/* Rows for the chunks of a batch; those that shall not be written get out[i] false. */
enum err_code admit_plan(struct cache *c, struct cache_block **blocks, unsigned n, uint8_t (*sums)[CACHE_SHA512], bool *out,
                         struct err *e) MUST_CHECK;
/* After the commit (or not): writes the bytes. */
void admit_write(struct cache *c, struct cache_block **blocks, unsigned n, uint8_t (*sums)[CACHE_SHA512], const bool *plan,
                 bool committed);
enum err_code record_in(struct cache *c, struct err *e) MUST_CHECK; /* the sums of what earlier batches wrote */
void record_after(struct cache *c, bool committed);
/* `bytes` of files and of the database more: evicts for them, in transactions of its own. False: there is no room. */
bool space_make(struct cache *c, uint64_t bytes);
enum err_code space_fits(struct cache *c, uint64_t bytes, bool *fits, struct err *e) MUST_CHECK; /* inside a transaction */
enum err_code space_used(struct cache *c, struct db *d, uint64_t *used, struct err *e) MUST_CHECK;
/* Unlinks files of GONE contents that nobody has open, and drops their rows. */
void space_reap(struct cache *c);
enum err_code content_gone(struct cache *c, int64_t id, struct err *e) MUST_CHECK; /* inside a transaction */
void *idle_main(void *arg);
void *adopt_main(void *arg);
void adoptions_init(struct cache *c);
void adoptions_drop(struct cache *c);
/* A PART that is complete and has this SHA-512 (and, where it is not NULL, MD5) becomes a WHOLE that `named` has too. */
bool promote_as(struct cache_entry *n, const uint8_t sha512[CACHE_SHA512], const uint8_t *md5, struct cache_entry *named);
/* What no process is copying any more under a name of origin ORIGIN_STRAY is GONE. */
void strays_drop(struct cache *c);
void sweep(struct cache *c);
/* Whether files were looked at since the power may have gone: `fd` is the file "lock". */
bool sweep_mark_is_there(struct cache *c, int fd);
bool sweep_is_due_locked(const struct cache *c); /* and may be tried now */
/* Without a look into the index: whether there is nothing to sweep. */
bool sweep_needless(struct cache *c);

/* ---- cache.c */

void cache_trouble(struct cache *c, const struct err *e); /* nothing is stored for a while; logged when it begins */
bool cache_in_trouble_locked(const struct cache *c);
void cache_count(struct cache *c, uint64_t *counter, uint64_t n);

#endif
