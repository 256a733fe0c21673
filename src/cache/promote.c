/*
 * The idler: one thread at lowest priority that waits until nobody reads, and then computes the SHA-512 of contents whose
 * chunks are all here, or soon will be (whole.c), and checks what was not checked yet of those that somebody has open.
 */
#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define QUIET_MS  300   /* nobody has read for so long; where the rest is about to come, as long as the rest waits */
#define PATIENCE  10000 /* or it has waited for so long */
#define NICE      15

void entry_idle_locked(struct cache_entry *n)
{
    struct cache *c = n->cache;
    lock_assert_held(&n->lock);
    bool promote = whole_due_locked(n);
    bool check = n->state == CONTENT_WHOLE && n->n_checked < n->n_chunks && !n->damaged;
    if ((!promote && !check) || n->idle_due)
        return;
    LOCK_SCOPE(&c->lock);
    if (c->stop)
        return;
    n->idle_due = true;
    n->refs++;
    struct cache_entry **end = &c->idle_list;
    while (*end)
        end = &(*end)->next_idle;
    n->next_idle = NULL;
    *end = n;
    cond_signal(&c->idle_work);
}

static bool stopping(struct cache *c)
{
    LOCK_SCOPE(&c->lock);
    return c->stop;
}

struct promote_job {
    struct job job;
    struct cache_entry *entry, *named;
    int64_t content, twin;
    uint8_t hash[DIGEST_MAX], md5[DIGEST_MAX];
    bool has_md5, gone;
    struct stamp seen;
};

/* ---- Remembering what was checked */

static enum err_code stamp_in(struct cache *c, struct job *j, struct err *e)
{
    struct promote_job *p = (struct promote_job *)j;
    struct db_stmt *s = db_use(c->db, SQL_STAMP);
    db_bind_int(s, 1, p->content);
    db_bind_blob(s, 2, &p->seen, sizeof(p->seen));
    return db_step(c->db, s, NULL, e);
}

static void stamp_after(struct cache *c, struct job *j, bool committed)
{
    cache_entry_unref(((struct promote_job *)j)->entry);
    free(j);
}

static void post_stamp_locked(struct cache_entry *n)
{
    struct promote_job *p = calloc(1, sizeof(*p));
    if (!p)
        return;
    *p = (struct promote_job){.job = {.in = stamp_in, .after = stamp_after}, .content = n->content, .seen = n->seen};
    p->entry = cache_entry_ref(n);
    (void)job_post(n->cache, &p->job);
}

static void check_whole(struct cache_entry *n)
{
    (void)whole_walk(n, NULL, 0, n->n_chunks);
    LOCK_SCOPE(&n->lock);
    if (n->state != CONTENT_WHOLE || n->damaged)
        return;
    entry_watch_locked(n);
    if (n->n_checked == n->n_chunks)
        post_stamp_locked(n);
}

/* ---- Promotion */

/* What `named` had so far was only a part of it. */
static enum err_code name_it(struct cache *c, const struct promote_job *p, struct err *e)
{
    return index_put_version(c, p->named, p->twin ? p->twin : p->content, e);
}

static enum err_code promote_in(struct cache *c, struct job *j, struct err *e)
{
    struct promote_job *p = (struct promote_job *)j;
    bool row = false;
    struct db_stmt *s = db_use(c->db, SQL_KNOWN_HASH);
    db_bind_blob(s, 1, p->hash, CACHE_SHA512);
    enum err_code code = db_step(c->db, s, &row, e);
    p->twin = !code && row ? db_int(s, 0) : 0;
    if (p->twin == p->content) /* an earlier job has promoted it already */
        p->twin = 0;
    db_reset(s);
    if (!code && p->named)
        code = index_do(c, SQL_DROP_STRAY, p->content, 0, e);
    if (!code && p->twin) {
        code = index_repoint(c, p->content, p->twin, e);
        if (!code)
            code = content_gone(c, p->content, e);
        return code || !p->named ? code : name_it(c, p, e);
    }
    s = db_use(c->db, SQL_PROMOTE);
    db_bind_int(s, 1, p->content);
    db_bind_blob(s, 2, p->hash, CACHE_SHA512);
    db_bind_blob(s, 3, p->has_md5 ? p->md5 : NULL, 16);
    if (!code)
        code = db_step(c->db, s, NULL, e);
    p->gone = !code && db_changes(c->db) == 0;
    return code || p->gone || !p->named ? code : name_it(c, p, e);
}

/* What it had so far may be gone. */
static void named_after(struct cache *c, struct cache_entry *n, bool committed)
{
    if (!n)
        return;
    lock_take(&n->lock);
    if (committed && n->state != CONTENT_WHOLE && n->state != CONTENT_INLINE) {
        entry_forget_locked(n);
        n->looked = false;
    }
    lock_drop(&n->lock);
    cache_entry_unref(n);
    lock_take(&c->lock);
    c->reap_due = true;
    lock_drop(&c->lock);
}

static void rename_locked(struct cache_entry *n, const struct promote_job *p)
{
    struct cache *c = n->cache;
    char part[PATH_LEN], whole[PATH_LEN], folder[16];
    path_part(c, p->content, part);
    path_whole(p->hash, whole);
    snprintf(folder, sizeof(folder), "%.10s", whole);
    entry_watch_locked(n);
    bool checked = n->n_checked == n->n_chunks;
    if ((mkdirat(c->dirfd, folder, 0700) != 0 && errno != EEXIST) || renameat(c->dirfd, part, c->dirfd, whole) != 0)
        return; /* found under its old name later */
    n->state = CONTENT_WHOLE;
    memcpy(n->hash, p->hash, CACHE_SHA512);
    n->hash_known = true;
    if (stamp_take(c, n->fd, &n->seen) && checked)
        post_stamp_locked(n);
}

static void promote_after(struct cache *c, struct job *j, bool committed)
{
    struct promote_job *p = (struct promote_job *)j;
    struct cache_entry *n = p->entry;
    lock_take(&n->lock);
    n->promoting = false;
    if (committed && n->state == CONTENT_PART && n->content == p->content) {
        if (p->twin || p->gone) {
            entry_forget_locked(n);
            n->looked = false;
        } else {
            rename_locked(n, p);
        }
    }
    lock_drop(&n->lock);
    if (committed && p->twin)
        cache_count(c, &c->stats.deduplicated, 1);
    lock_take(&c->lock);
    c->reap_due |= committed && p->twin;
    lock_drop(&c->lock);
    named_after(c, p->named, committed && !p->gone);
    cache_entry_unref(n);
    free(p);
}

static void promote(struct cache_entry *n)
{
    struct promote_job *p = calloc(1, sizeof(*p));
    if (!p)
        return;
    lock_take(&n->lock);
    p->content = n->content;
    bool known = n->hash_known;
    memcpy(p->hash, n->hash, CACHE_SHA512);
    lock_drop(&n->lock);
    if (!known && !whole_sum(n, p->hash, p->md5, &p->has_md5)) {
        free(p);
        return;
    }
    p->job = (struct job){.in = promote_in, .after = promote_after};
    p->entry = cache_entry_ref(n);
    lock_take(&n->lock);
    n->promoting = n->content == p->content;
    lock_drop(&n->lock);
    (void)job_post(n->cache, &p->job);
}

bool promote_as(struct cache_entry *n, const uint8_t sha512[CACHE_SHA512], const uint8_t *md5, struct cache_entry *named)
{
    struct promote_job *p = calloc(1, sizeof(*p));
    if (!p)
        return false;
    *p = (struct promote_job){.job = {.in = promote_in, .after = promote_after}, .has_md5 = md5 != NULL};
    lock_take(&n->lock);
    p->content = n->content;
    lock_drop(&n->lock);
    memcpy(p->hash, sha512, CACHE_SHA512);
    if (md5)
        memcpy(p->md5, md5, 16);
    p->entry = cache_entry_ref(n);
    p->named = cache_entry_ref(named);
    return job_post(n->cache, &p->job);
}

/* ---- The thread */

static void work_on(struct cache_entry *n)
{
    lock_take(&n->lock);
    n->idle_due = false;
    enum content_state state = n->state;
    bool due = whole_due_locked(n);
    lock_drop(&n->lock);
    if (state == CONTENT_PART && due)
        promote(n);
    else if (state == CONTENT_WHOLE)
        check_whole(n);
}

/* The next entry, when nobody has read for a while. NULL: look whether to stop or sweep. */
static struct cache_entry *next(struct cache *c)
{
    uint64_t since = 0;
    LOCK_SCOPE(&c->lock);
    c->idling = false;
    while (!c->stop && !sweep_is_due_locked(c)) {
        uint64_t now = clock_mono_ms();
        if (!c->idle_list) {
            cond_broadcast(&c->idle_done);
            (void)cond_wait(&c->idle_work, &c->lock, c->sweep_due ? c->sweep_at_ms : UINT64_MAX);
            continue;
        }
        if (since == 0)
            since = now;
        unsigned quiet_ms = atomic_load(&c->idle_list->expected) > 0 ? PACE_QUIET_MS : QUIET_MS;
        if (pace_is_quiet(&c->pace, quiet_ms) || c->draining || now >= since + PATIENCE)
            break;
        (void)cond_wait(&c->idle_work, &c->lock, now + quiet_ms / 3);
    }
    c->idling = true;
    struct cache_entry *n = c->stop || sweep_is_due_locked(c) ? NULL : c->idle_list;
    if (n)
        c->idle_list = n->next_idle;
    return n;
}

void *idle_main(void *arg)
{
    struct cache *c = arg;
    id_t self = (id_t)syscall(SYS_gettid);
    (void)setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + NICE);
    while (!stopping(c)) {
        struct cache_entry *n = next(c);
        if (n) {
            work_on(n);
            cache_entry_unref(n);
        } else if (!stopping(c)) {
            sweep(c);
        }
    }
    return NULL;
}
