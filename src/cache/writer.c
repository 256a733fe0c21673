/*
 * The writer: one thread that turns what was queued into batches. A batch is hashed, gets rows and room in one transaction,
 * and is then written to its files; the sums of what was written go into the transaction of the next batch, or into one of
 * their own when the queue is empty. A transaction that finds the database locked is tried again for a while; meanwhile the
 * queue fills and drops, and readers notice nothing. While somebody reads what is not here yet, batches are small and wait their turn
 * (pace.h).
 */
#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/sha512_lanes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define NICE          10 /* behind those who read */
#define RETRY_MS      50
#define RETRIES       60
#define LOOK_MS       2000 /* after the database, and at what failed */
#define BUSY_CHUNKS   16   /* of a batch while somebody reads */
#define PACE_MS       50   /* whether anybody still does is looked at so often */

struct batch {
    struct cache_block *blocks[BATCH_CHUNKS];
    uint8_t (*sums)[CACHE_SHA512]; /* BATCH_CHUNKS */
    bool plan[BATCH_CHUNKS];
    unsigned n;
    struct job *jobs;
    struct job **jobs_end;
};

/* ---- Queues */

static void put_locked(struct cache *c, struct cache_entry *n, struct cache_block *b)
{
    n->refs++;
    if (b->own)
        atomic_fetch_add(&c->own_bytes, b->len);
    b->entry = n;
    b->next = NULL;
    *c->puts_end = b;
    c->puts_end = &b->next;
    c->put_bytes += b->len;
    if (c->puts == b) /* with more of them the writer is at work, or waits for its turn */
        cond_signal(&c->work);
}

enum cache_answer cache_put(struct cache_entry *n, struct cache_block *b)
{
    if (!n)
        return CACHE_REFUSED;
    struct cache *c = n->cache;
    uint64_t now = clock_mono_ms();
    LOCK_SCOPE(&c->lock);
    if (c->stop || now < c->trouble_until_ms)
        return CACHE_REFUSED;
    if (c->put_bytes + b->len > QUEUE_BYTES)
        return CACHE_FULL;
    put_locked(c, n, b);
    return CACHE_TAKEN;
}

bool cache_has_room(struct cache *c, uint64_t bytes)
{
    LOCK_SCOPE(&c->lock);
    return c->put_bytes + bytes <= QUEUE_BYTES;
}

bool cache_puts_off(struct cache_entry *n)
{
    return n && n->size > QUEUE_BYTES && pace_wait_ms(&n->cache->pace, 0) > 0;
}

bool cache_put_wait(struct cache_entry *n, struct cache_block *b)
{
    struct cache *c = n->cache;
    LOCK_SCOPE(&c->lock);
    while (!c->stop && !cache_in_trouble_locked(c) && c->put_bytes + b->len > QUEUE_BYTES / 2)
        (void)cond_wait(&c->room, &c->lock, UINT64_MAX);
    if (c->stop || cache_in_trouble_locked(c))
        return false;
    put_locked(c, n, b);
    return true;
}

void cache_reading(struct cache_entry *n)
{
    if (n)
        pace_reading(&n->cache->pace);
}

void cache_losing(struct cache_entry *n)
{
    if (n)
        pace_losing(&n->cache->pace);
}

void cache_writing(struct cache *c)
{
    if (c)
        pace_writing(&c->pace);
}

bool cache_is_read(struct cache *c)
{
    return c && !pace_is_quiet(&c->pace, PACE_QUIET_MS);
}

unsigned cache_wait_ms(struct cache *c, uint64_t spent_us)
{
    return c ? pace_wait_ms(&c->pace, spent_us) : 0;
}

static void job_end(struct cache *c, struct job *j, bool committed)
{
    if (j->after)
        j->after(c, j, committed);
    else
        free(j);
}

bool job_post_locked(struct cache *c, struct job *j)
{
    lock_assert_held(&c->lock);
    bool room = !c->stop && c->n_jobs < QUEUE_JOBS;
    if (room) {
        j->next = NULL;
        *c->jobs_end = j;
        c->jobs_end = &j->next;
        c->n_jobs++;
    } else {
        j->next = c->refused;
        c->refused = j; /* its end may need locks that the caller holds */
    }
    cond_signal(&c->work);
    return room;
}

bool job_post(struct cache *c, struct job *j)
{
    LOCK_SCOPE(&c->lock);
    return job_post_locked(c, j);
}

static void take_batch_locked(struct cache *c, struct batch *b, unsigned most)
{
    lock_assert_held(&c->lock);
    while (c->puts && b->n < most) {
        struct cache_block *p = c->puts;
        c->puts = p->next;
        if (!c->puts)
            c->puts_end = &c->puts;
        b->blocks[b->n++] = p;
    }
    b->jobs_end = &b->jobs;
    for (unsigned i = 0; c->jobs && i < BATCH_JOBS; i++) {
        struct job *j = c->jobs;
        c->jobs = j->next;
        if (!c->jobs)
            c->jobs_end = &c->jobs;
        c->n_jobs--;
        j->next = NULL;
        *b->jobs_end = j;
        b->jobs_end = &j->next;
    }
}

/* ---- One batch */

static bool hash_batch(struct batch *b)
{
    struct sha512_buf bufs[BATCH_CHUNKS];
    for (unsigned i = 0; i < b->n; i++)
        bufs[i] = (struct sha512_buf){b->blocks[i]->p, b->blocks[i]->len, b->sums[i]};
    return sha512_each(bufs, b->n, NULL) == ERR_OK;
}

static enum err_code transaction(struct cache *c, struct batch *b, struct err *e)
{
    enum err_code code = index_begin(c, e);
    if (code)
        return code;
    code = record_in(c, e);
    if (!code && b->n > 0)
        code = admit_plan(c, b->blocks, b->n, b->sums, b->plan, e);
    for (struct job *j = b->jobs; !code && j; j = j->next)
        code = j->in(c, j, e);
    if (!code)
        code = index_do(c, SQL_TICK, 0, 0, e);
    return index_end(c, code, e);
}

static bool stopping(struct cache *c)
{
    LOCK_SCOPE(&c->lock);
    return c->stop;
}

static bool commit_batch(struct cache *c, struct batch *b)
{
    struct err e = ERR_INIT;
    enum err_code code = ERR_OK;
    for (unsigned i = 0; i < RETRIES && (i == 0 || !stopping(c)); i++) {
        code = transaction(c, b, &e);
        if (code != ERR_BUSY)
            break;
        usleep(RETRY_MS * 1000);
    }
    if (code == ERR_BUSY)
        cache_trouble(c, &e);
    else if (code)
        index_failed(c, code, &e);
    LOCK_SCOPE(&c->lock);
    c->failures = code ? c->failures + (code == ERR_BUSY ? HOPELESS : 1) : 0;
    return code == ERR_OK;
}

static uint64_t bytes_of(const struct batch *b)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < b->n; i++)
        bytes += b->blocks[i]->len;
    return bytes;
}

void block_end(struct cache_block *b)
{
    struct cache_entry *n = b->entry;
    if (b->own)
        atomic_fetch_sub(&n->cache->own_bytes, b->len);
    b->done(b);
    cache_entry_unref(n);
}

/* Those that were written may be wanted for the sum of the whole. */
static void end_blocks(struct cache *c, struct batch *b, bool written)
{
    for (unsigned i = 0; i < b->n; i++) {
        uint32_t len = b->blocks[i]->len;
        if (!written || !feed_offer(c, b->blocks[i], b->sums[i]))
            block_end(b->blocks[i]);
        LOCK_SCOPE(&c->lock);
        c->put_bytes -= len;
        cond_broadcast(&c->room);
    }
}

static bool is_swept(struct cache *c)
{
    LOCK_SCOPE(&c->index_lock);
    return c->swept;
}

static void run_batch(struct cache *c, struct batch *b)
{
    c->failed = false;
    if (b->n == 0 && !b->jobs && !c->dirty)
        return;
    bool room = b->n == 0 || (is_swept(c) && hash_batch(b) && space_make(c, bytes_of(b) + b->n * 4096));
    if (!room) {
        cache_count(c, &c->stats.dropped_bytes, bytes_of(b));
        end_blocks(c, b, false);
        b->n = 0;
    }
    bool committed = c->db && commit_batch(c, b);
    c->failed = !committed;
    record_after(c, committed);
    if (b->n > 0) {
        admit_write(c, b->blocks, b->n, b->sums, b->plan, committed);
        end_blocks(c, b, committed);
    }
    for (struct job *j = b->jobs, *next; j; j = next) {
        next = j->next;
        job_end(c, j, committed);
    }
}

/* ---- The thread */

static void end_refused(struct cache *c)
{
    lock_take(&c->lock);
    struct job *j = TAKE(c->refused);
    lock_drop(&c->lock);
    for (struct job *next; j; j = next) {
        next = j->next;
        job_end(c, j, false);
    }
}

static void end_idle(struct cache *c)
{
    lock_take(&c->lock);
    struct cache_entry *n = TAKE(c->idle_list);
    lock_drop(&c->lock);
    for (struct cache_entry *next; n; n = next) {
        next = n->next_idle;
        cache_entry_unref(n);
    }
}

/* The database may be garbage, another process may have made a new one, or it was not to be had so far. */
static void mend_index(struct cache *c)
{
    struct err e = ERR_INIT;
    lock_take(&c->index_lock);
    bool bad = c->index_bad;
    lock_drop(&c->index_lock);
    bool ours = index_is_ours(c);
    if (c->db && !bad && ours)
        return;
    if (c->db && !ours)
        LOG_WARN("cache", "%s/index.db was removed, or replaced by another: what only the old one knew is fetched again", c->dir);
    index_close(c);
    enum err_code code = index_open(c, &e);
    if (code) {
        cache_trouble(c, &e);
        return;
    }
    lock_take(&c->index_lock);
    bool swept = c->swept && c->marked;
    lock_drop(&c->index_lock);
    lock_take(&c->lock);
    c->trouble_until_ms = 0;
    c->stats.trouble[0] = '\0';
    c->sweep_due = !swept;
    c->sweep_at_ms = 0;
    cond_signal(&c->idle_work);
    lock_drop(&c->lock);
}

/* A checkpoint syncs, and so waits for the files that were just written: with nothing else to do, or when it must be. */
static bool checkpoint_due(struct cache *c)
{
    uint64_t bytes = dir_wal_bytes(c);
    LOCK_SCOPE(&c->lock);
    return bytes > WAL_ROOM / 4 * 3 || (bytes > WAL_ROOM / 8 && !c->puts);
}

/* Files that were in use, and a log that has grown. */
static void tidy(struct cache *c)
{
    lock_take(&c->lock);
    bool reap = c->reap_due, strays = c->strays_due && c->db;
    c->reap_due = false;
    c->strays_due &= !strays;
    lock_drop(&c->lock);
    if (strays)
        strays_drop(c);
    if (reap && c->db)
        space_reap(c);
    struct err e = ERR_INIT;
    if (c->db && checkpoint_due(c) && db_exec(c->db, "PRAGMA wal_checkpoint(TRUNCATE)", &e) != ERR_OK)
        LOG_DEBUG("cache", "%s: %s", c->dir, e.msg);
    if (c->db)
        (void)space_make(c, 0); /* cache_size= may be less than it was */
}

static uint64_t cpu_us(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* How many chunks may be written now, and when to ask again if there are more. */
static unsigned turn_locked(struct cache *c, uint64_t spent_us, uint64_t *again_ms)
{
    unsigned wait_ms = pace_wait_ms(&c->pace, spent_us);
    *again_ms = clock_mono_ms() + LOOK_MS;
    if (!c->puts || c->draining || wait_ms == 0)
        return c->draining || pace_is_quiet(&c->pace, PACE_QUIET_MS) ? BATCH_CHUNKS : BUSY_CHUNKS;
    *again_ms = clock_mono_ms() + (wait_ms < PACE_MS ? wait_ms : PACE_MS);
    return 0;
}

static bool wait_for_work(struct cache *c, struct batch *b, uint64_t spent_us)
{
    LOCK_SCOPE(&c->lock);
    bool records = c->dirty != NULL && !c->failed;
    uint64_t again_ms;
    unsigned most = turn_locked(c, spent_us, &again_ms);
    c->writing = c->dirty != NULL;
    while (!c->stop && (!c->puts || most == 0) && !c->jobs && !c->refused && !records && !c->reap_due && !c->mend_due) {
        bool held_back = c->puts != NULL;
        if (!held_back)
            cond_broadcast(&c->idle_done);
        if (!cond_wait(&c->work, &c->lock, notes_next_locked(c, again_ms)) && !held_back)
            break;
        most = turn_locked(c, 0, &again_ms);
    }
    c->writing = true;
    c->mend_due = false;
    notes_due_locked(c, false);
    if (!c->stop)
        take_batch_locked(c, b, most);
    return !c->stop;
}

static void *writer_main(void *arg)
{
    struct cache *c = arg;
    uint8_t (*sums)[CACHE_SHA512] = calloc(BATCH_CHUNKS, CACHE_SHA512);
    id_t self = (id_t)syscall(SYS_gettid);
    (void)setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + NICE);
    for (uint64_t spent_us = 0;;) {
        struct batch b = {.sums = sums};
        if (!sums || !wait_for_work(c, &b, spent_us))
            break;
        uint64_t from_us = cpu_us();
        mend_index(c);
        end_refused(c);
        run_batch(c, &b);
        tidy(c);
        spent_us = cpu_us() - from_us;
    }
    free(sums);
    return NULL;
}

static bool start(pthread_t *thread, const char *name, void *(*main)(void *), struct cache *c, int *rc)
{
    if (*rc == 0)
        *rc = pthread_create(thread, NULL, main, c);
    if (*rc == 0)
        pthread_setname_np(*thread, name);
    return *rc == 0;
}

enum err_code writer_start(struct cache *c, struct err *e)
{
    int rc = 0;
    c->has_writer = start(&c->writer_thread, "cache-writer", writer_main, c, &rc);
    c->has_idler = start(&c->idle_thread, "cache-idler", idle_main, c, &rc);
    c->has_adopter = start(&c->adopt_thread, "cache-adopter", adopt_main, c, &rc);
    return rc == 0 ? ERR_OK : err_sys(e, rc, "a thread of the cache");
}

void writer_stop(struct cache *c)
{
    lock_take(&c->lock);
    c->stop = true;
    cond_broadcast(&c->work);
    cond_broadcast(&c->idle_work);
    cond_broadcast(&c->adopt_work);
    cond_broadcast(&c->room);
    lock_drop(&c->lock);
    if (c->has_idler)
        pthread_join(c->idle_thread, NULL);
    if (c->has_writer)
        pthread_join(c->writer_thread, NULL);
    struct batch b = {0};
    do {
        b = (struct batch){0};
        lock_take(&c->lock);
        take_batch_locked(c, &b, BATCH_CHUNKS);
        lock_drop(&c->lock);
        end_blocks(c, &b, false);
        for (struct job *j = b.jobs, *next; j; j = next) {
            next = j->next;
            job_end(c, j, false);
        }
    } while (b.n > 0 || b.jobs);
    if (c->has_adopter) /* it may have waited for blocks that were ended just now */
        pthread_join(c->adopt_thread, NULL);
    adoptions_drop(c);
    end_idle(c);
    end_refused(c);
    if (c->db) { /* what is written is recorded */
        struct err e = ERR_INIT;
        enum err_code code = index_begin(c, &e);
        if (!code)
            code = index_end(c, record_in(c, &e), &e);
        record_after(c, code == ERR_OK);
        /* While others may read: what the closing of the last connection syncs, it syncs with the database locked, and a mount that
         * begins meanwhile would find nothing. */
        if (db_exec(c->db, "PRAGMA wal_checkpoint(PASSIVE)", &e) != ERR_OK)
            LOG_DEBUG("cache", "%s: %s", c->dir, e.msg);
    }
    record_after(c, true); /* lets go of the entries */
}
