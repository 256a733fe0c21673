#include "vfs/neighbours.h"

#include "util/clock.h"
#include "vfs/inode.h"
#include "vfs/neighbours_impl.h"

#include <string.h>

#define NEED_MAX     8                 /* files in order before a reader is believed */
#define WAIT_MS      10000             /* for a reader to come */
#define FORGET_MS    60000             /* a directory nobody reads in */
#define SWEEP_MS     2000
/* The allowance: what is not read yet and what was fetched in vain cost two, each file that was used earns one. Seconds
 * give back what it began with. */
#define ALLOWED_FIRST 64
#define ALLOWED_MAX   512
#define COST          2

static struct map_key key_of(const void *value)
{
    const struct followed *f = value;
    return (struct map_key){&f->dir, sizeof(f->dir)};
}

struct neighbours *neighbours_new(struct err *e)
{
    struct neighbours *n = calloc(1, sizeof(*n));
    if (!n || held_init(&n->held, e) || !(n->by_dir = map_new(key_of))) {
        (void)err_set(e, ERR_NOMEM, "out of memory");
        neighbours_free(n);
        return NULL;
    }
    TAILQ_INIT(&n->oldest_first);
    n->allowed = ALLOWED_FIRST;
    n->allowed_ms = clock_mono_ms();
    return n;
}

void neighbours_free(struct neighbours *n)
{
    if (!n)
        return;
    held_release(&n->held);
    map_free(n->by_dir);
    free(n);
}

void neighbours_stats_locked(const struct vfs *v, struct neighbours_stats *out)
{
    *out = v->neighbours->stats;
}

/* ---- What is used, and what is not */

static void earn_locked(struct neighbours *n, uint64_t more, unsigned most)
{
    if (n->allowed < most)
        n->allowed = more < most - n->allowed ? n->allowed + (unsigned)more : most;
}

void neighbours_earn_time_locked(struct neighbours *n)
{
    uint64_t seconds = (clock_mono_ms() - n->allowed_ms) / 1000;
    n->allowed_ms += seconds * 1000;
    earn_locked(n, seconds * COST, ALLOWED_FIRST);
}

bool neighbours_may_fetch_locked(const struct neighbours *n)
{
    size_t held = map_size(n->held.by_inode);
    return (held + 1) * COST <= n->allowed;
}

static struct stream *stream_by_id_locked(struct vfs *v, const struct held_file *file, struct followed **of)
{
    *of = file->inode->parent ? followed_get_locked(v->neighbours, file->inode->parent) : NULL;
    for (unsigned k = 0; *of && file->stream && k < STREAMS; k++)
        if ((*of)->streams[k].id == file->stream)
            return &(*of)->streams[k];
    return NULL;
}

void neighbours_lose_locked(struct vfs *v, struct held_file *file)
{
    struct neighbours *n = v->neighbours;
    struct followed *f;
    struct stream *s = stream_by_id_locked(v, file, &f);
    if (file->stream) {
        n->stats.unused++;
        n->allowed = n->allowed > COST ? n->allowed - COST : 0;
    }
    if (s && s->window > 0 && (s->window /= 2) == 0) {
        s->run = 0;
        f->need = f->need < NEED_MAX ? f->need * 2 : NEED_MAX;
    }
    held_drop_locked(v, &n->held, file, NULL);
}

struct content *neighbours_take_locked(struct vfs *v, struct inode *i, enum content_hand *hand)
{
    struct neighbours *n = v->neighbours;
    *hand = CONTENT_ABSENT;
    struct held_file *file = held_get_locked(&n->held, i);
    if (!file)
        return NULL;
    *hand = content_at_hand(file->content);
    if (!held_fits_locked(file, i) || *hand == CONTENT_ABSENT) { /* another version, or it could not be fetched */
        neighbours_lose_locked(v, file);
        *hand = CONTENT_ABSENT;
        return NULL;
    }
    struct followed *f;
    if (stream_by_id_locked(v, file, &f))
        f->need = 1;
    if (f)
        f->used = true;
    if (file->stream) {
        n->stats.used++;
        earn_locked(n, 1, ALLOWED_MAX);
    }
    struct content *c;
    held_drop_locked(v, &n->held, file, &c);
    return c;
}

/* ---- Time */

static void sweep(void *arg);

void neighbours_arm_locked(struct vfs *v)
{
    struct neighbours *n = v->neighbours;
    if (n->timer_armed || n->ended)
        return;
    n->timer_armed = true;
    timer_arm(v->timers, &n->timer, clock_mono_ms() + SWEEP_MS, sweep, v);
}

static void sweep(void *arg)
{
    struct vfs *v = arg;
    struct neighbours *n = v->neighbours;
    uint64_t now = clock_mono_ms();
    LOCK_SCOPE(&v->tree);
    n->timer_armed = false;
    for (struct held_file *h; (h = TAILQ_FIRST(&n->held.oldest_first)) && now - h->at_ms >= WAIT_MS && now >= h->at_ms;)
        neighbours_lose_locked(v, h);
    for (struct followed *f; (f = TAILQ_FIRST(&n->oldest_first)) && now - f->read_ms >= FORGET_MS && now >= f->read_ms;)
        followed_forget_locked(v, f);
    if (!TAILQ_EMPTY(&n->held.oldest_first) || !TAILQ_EMPTY(&n->oldest_first))
        neighbours_arm_locked(v);
}

void neighbours_end(struct vfs *v)
{
    struct neighbours *n = v->neighbours;
    if (!n)
        return;
    lock_take(&v->tree);
    n->ended = true;
    lock_drop(&v->tree);
    if (v->timers)
        (void)timer_disarm(v->timers, &n->timer);
    LOCK_SCOPE(&v->tree);
    for (struct held_file *h; (h = TAILQ_FIRST(&n->held.oldest_first));)
        held_drop_locked(v, &n->held, h, NULL);
    rounds_end_locked(v);
    for (struct followed *f; (f = TAILQ_FIRST(&n->oldest_first));)
        followed_forget_locked(v, f);
}

/* ---- Bytes that came with attributes */

bool neighbours_may_keep_locked(const struct vfs *v, const struct inode *i)
{
    const struct neighbours *n = v->neighbours;
    return !n->ended && neighbours_may_fetch_locked(n) && i->size <= contents_room(v->contents) && !held_get_locked(&n->held, i);
}

void neighbours_keep_locked(struct vfs *v, struct inode *i, const char *key, const char *etag, const void *bytes)
{
    struct neighbours *n = v->neighbours;
    bool same = i->etag && strcmp(i->etag, etag) == 0 && inode_key_is_locked(i, key) && order_takes_locked(i);
    if (!same || i->content || i->active || !neighbours_may_keep_locked(v, i))
        return;
    struct content *c = held_add_locked(v, &n->held, i, i->size, 0);
    if (!c)
        return;
    neighbours_arm_locked(v);
    if (content_fill(c, bytes, i->size, false, NULL))
        held_drop_locked(v, &n->held, held_get_locked(&n->held, i), NULL);
}
