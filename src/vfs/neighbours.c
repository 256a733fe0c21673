#include "vfs/neighbours.h"

#include "util/clock.h"
#include "vfs/inode.h"
#include "vfs/neighbours_held.h"
#include "vfs/neighbours_order.h"

#include <string.h>

#define FOLLOWED_MAX 64                /* directories */
#define STREAMS      16                /* readers of one directory that are told apart */
#define PASSED       32                /* files this far behind a reader come out of order at most */
#define PASSED_MS    3000              /* for another reader, which is near, to come for it */
#define NEED_MAX     8                 /* files in order before a reader is believed */
#define WHOLE_MAX    (1024u * 1024)    /* a larger file is fetched as far as its first block */
#define WINDOW_BYTES (8u * 1024 * 1024)
#define WAIT_MS      10000             /* for a reader to come */
#define FORGET_MS    60000             /* a directory nobody reads in */
#define SWEEP_MS     2000
#define REMAKES      16                /* of the order of a small directory, before there are fewer */
#define SKIP_MAX     1023
/* The allowance: what is not read yet and what was fetched in vain cost two, each file that was used earns one. Seconds
 * give back what it began with. */
#define ALLOWED_FIRST 64
#define ALLOWED_MAX   512
#define COST          2

struct stream {
    uint64_t id;      /* 0: free */
    size_t next;      /* where the reader would go on */
    size_t ahead;     /* files before this were fetched, or passed over */
    size_t tail;      /* files before this are not looked at any more */
    unsigned run;     /* files it read in order */
    unsigned window;  /* files ahead; 0: not RUNNING */
    uint64_t used_at; /* the count of reads, to replace the one that was least recently used */
};

/* A directory in which files are read. */
struct followed {
    struct inode *dir;   /* counted */
    struct inode *first; /* counted: the only file read so far; or NULL */
    struct order order;
    struct stream streams[STREAMS];
    unsigned need;       /* files in order that make a reader RUNNING */
    unsigned skip, skips; /* reads that are not in the order before it is made anew; what `skip` begins with */
    unsigned remakes;    /* of the order without anything being used */
    bool used;           /* something was, since it was made */
    uint64_t read_ms;
    TAILQ_ENTRY(followed) link;
};

TAILQ_HEAD(followed_list, followed);

struct neighbours {
    struct held held;
    struct map *by_dir;
    struct followed_list oldest_first;
    uint64_t streams, reads; /* ever */
    unsigned allowed;
    uint64_t allowed_ms;
    struct neighbours_stats stats;
    struct timer timer;
    bool timer_armed, ended;
};

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

/* ---- Directories */

static struct followed *followed_get_locked(const struct neighbours *n, const struct inode *dir)
{
    return map_get(n->by_dir, &dir, sizeof(dir));
}

static void forget_locked(struct vfs *v, struct followed *f)
{
    struct inode *dir = f->dir;
    map_remove(v->neighbours->by_dir, &dir, sizeof(dir));
    TAILQ_REMOVE(&v->neighbours->oldest_first, f, link);
    order_release_locked(v, &f->order);
    if (f->first)
        inode_unref_locked(v, f->first);
    inode_unref_locked(v, dir);
    free(f);
}

/* NULL without memory. */
static struct followed *follow_locked(struct vfs *v, struct inode *dir)
{
    struct neighbours *n = v->neighbours;
    struct followed *f = followed_get_locked(n, dir);
    if (f) {
        TAILQ_REMOVE(&n->oldest_first, f, link);
    } else {
        f = calloc(1, sizeof(*f));
        if (!f)
            return NULL;
        f->dir = dir;
        f->need = 1;
        if (map_put(n->by_dir, f, NULL)) {
            free(f);
            return NULL;
        }
        inode_ref_locked(dir);
    }
    TAILQ_INSERT_TAIL(&n->oldest_first, f, link);
    f->read_ms = clock_mono_ms();
    if (map_size(n->by_dir) > FOLLOWED_MAX)
        forget_locked(v, TAILQ_FIRST(&n->oldest_first));
    return f;
}

/* ---- What is used, and what is not */

static void earn_locked(struct neighbours *n, uint64_t more, unsigned most)
{
    if (n->allowed < most)
        n->allowed = more < most - n->allowed ? n->allowed + (unsigned)more : most;
}

static void earn_time_locked(struct neighbours *n)
{
    uint64_t seconds = (clock_mono_ms() - n->allowed_ms) / 1000;
    n->allowed_ms += seconds * 1000;
    earn_locked(n, seconds * COST, ALLOWED_FIRST);
}

static bool may_fetch_locked(const struct neighbours *n)
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

static void lose_locked(struct vfs *v, struct held_file *file)
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
        lose_locked(v, file);
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

static void arm_locked(struct vfs *v)
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
        lose_locked(v, h);
    for (struct followed *f; (f = TAILQ_FIRST(&n->oldest_first)) && now - f->read_ms >= FORGET_MS && now >= f->read_ms;)
        forget_locked(v, f);
    if (!TAILQ_EMPTY(&n->held.oldest_first) || !TAILQ_EMPTY(&n->oldest_first))
        arm_locked(v);
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
    for (struct followed *f; (f = TAILQ_FIRST(&n->oldest_first));)
        forget_locked(v, f);
}

/* ---- Bytes that came with attributes */

bool neighbours_may_keep_locked(const struct vfs *v, const struct inode *i)
{
    const struct neighbours *n = v->neighbours;
    return !n->ended && may_fetch_locked(n) && i->size <= contents_room(v->contents) && !held_get_locked(&n->held, i);
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
    arm_locked(v);
    if (content_fill(c, bytes, i->size, false, NULL))
        held_drop_locked(v, &n->held, held_get_locked(&n->held, i), NULL);
}

/* ---- Positions */

static void stream_start_locked(struct neighbours *n, struct followed *f, size_t at)
{
    struct stream *s = &f->streams[0];
    for (unsigned k = 1; k < STREAMS; k++)
        if (f->streams[k].used_at < s->used_at)
            s = &f->streams[k];
    *s = (struct stream){.id = ++n->streams, .next = at + 1, .ahead = at + 1, .tail = at + 1, .used_at = ++n->reads};
}

static bool seen(const struct followed *f, size_t at)
{
    return at < f->order.n && f->order.files[at].seen;
}

/* Files are passed over that others have read, some way. */
static size_t past_seen(const struct followed *f, size_t at)
{
    for (unsigned k = 0; k < STREAMS && seen(f, at); k++)
        at++;
    return at;
}

static bool goes_on(const struct followed *f, const struct stream *s, size_t at)
{
    if (s->window == 0)
        return s->id && at == past_seen(f, s->next);
    return at + PASSED >= s->next && at <= past_seen(f, s->ahead);
}

/* The one whose next file this is, or who is RUNNING nearest to it. */
static struct stream *stream_at_locked(struct followed *f, size_t at)
{
    struct stream *best = NULL;
    size_t least = SIZE_MAX;
    for (unsigned k = 0; k < STREAMS; k++) {
        struct stream *s = &f->streams[k];
        size_t distance = at > s->next ? at - s->next : s->next - at;
        if (distance < least && goes_on(f, s, at)) {
            best = s;
            least = distance;
        }
    }
    return best;
}

/* Where the streams are in another order of the same directory; those that are not there are forgotten. */
static void move_streams(struct followed *f, const struct order *to)
{
    for (unsigned k = 0; k < STREAMS; k++) {
        struct stream *s = &f->streams[k];
        if (!s->id)
            continue;
        size_t at = order_find_locked(to, f->order.files[s->next - 1].inode->name);
        size_t ahead = s->ahead > s->next ? order_find_locked(to, f->order.files[s->ahead - 1].inode->name) : at;
        if (at == to->n) {
            *s = (struct stream){0};
            continue;
        }
        s->next = s->tail = at + 1;
        s->ahead = ahead < to->n ? ahead + 1 : at + 1;
    }
}

/* The order is made from what is known now: lookups may have brought names. Who reads at random in a large directory, or one in
 * which names come and go, gets a new one ever less often. */
static bool remake_locked(struct vfs *v, struct followed *f, const struct inode *i)
{
    if (f->skip > 0 && !f->used) {
        f->skip--;
        return false;
    }
    const char *from = f->first && strcmp(f->first->name, i->name) < 0 ? f->first->name : i->name;
    struct order order = {0};
    if (!order_build_locked(f->dir, from, &order))
        return false;
    for (size_t k = 0; k < f->order.n; k++) {
        size_t at = f->order.files[k].seen ? order_find_locked(&order, f->order.files[k].inode->name) : order.n;
        if (at < order.n)
            order.files[at].seen = true;
    }
    move_streams(f, &order);
    order_release_locked(v, &f->order);
    f->order = order;
    f->remakes = f->used ? 0 : f->remakes + 1;
    bool cheap = f->order.n < ORDER_MAX && f->remakes < REMAKES;
    f->skips = f->used || cheap ? 0 : f->skips * 2 + 1 < SKIP_MAX ? f->skips * 2 + 1 : SKIP_MAX;
    f->skip = f->skips;
    f->used = false;
    return true;
}

static void mark_seen(struct followed *f, size_t at)
{
    if (f->order.files[at].seen) /* a second pass begins */
        for (size_t k = 0; k < f->order.n; k++)
            f->order.files[k].seen = false;
    f->order.files[at].seen = true;
}

/* The file's position; false while it is not known. One file alone costs nothing but this. */
static bool find_locked(struct vfs *v, struct followed *f, struct inode *i, size_t *at)
{
    if (!f->order.files && !f->first) {
        f->first = inode_ref_locked(i);
        return false;
    }
    if (f->first == i)
        return false;
    *at = order_find_locked(&f->order, i->name);
    if (*at == f->order.n && remake_locked(v, f, i))
        *at = order_find_locked(&f->order, i->name);
    if (!f->order.files || *at == f->order.n)
        return false;
    if (f->first) {
        size_t first = order_find_locked(&f->order, f->first->name);
        if (first < f->order.n) {
            mark_seen(f, first);
            stream_start_locked(v->neighbours, f, first);
        }
        inode_unref_locked(v, TAKE(f->first));
    }
    return true;
}

/* ---- Reading on */

/* Files that the reader has left behind, some time ago, will not be used. */
static void lose_passed_locked(struct vfs *v, struct followed *f, struct stream *s)
{
    for (; s->tail + PASSED < s->next && s->tail < f->order.n; s->tail++) {
        struct held_file *h = held_get_locked(&v->neighbours->held, f->order.files[s->tail].inode);
        if (h && h->stream == s->id && clock_mono_ms() - h->at_ms < PASSED_MS)
            return;
        if (h && h->stream == s->id)
            lose_locked(v, h);
    }
}

static void adapt_locked(struct vfs *v, struct followed *f, struct stream *s, size_t at, enum content_hand hand)
{
    bool reached_end = at >= s->ahead;
    s->run++;
    s->used_at = ++v->neighbours->reads;
    if (at >= s->next)
        s->next = at + 1;
    lose_passed_locked(v, f, s);
    if (s->window == 0 && s->run >= f->need) {
        s->window = 1;
        s->ahead = s->next;
    } else if (s->window > 0 && (hand == CONTENT_COMING || (reached_end && hand == CONTENT_ABSENT))) {
        s->window = s->window < NEIGHBOURS_WINDOW / 2 ? s->window * 2 : NEIGHBOURS_WINDOW;
    }
}

static bool fetch_locked(struct vfs *v, struct stream *s, struct inode *i, uint64_t len, struct neighbours_plan *plan)
{
    struct content *c = held_add_locked(v, &v->neighbours->held, i, len, s->id);
    if (!c)
        return false;
    v->neighbours->stats.fetched++;
    plan->item[plan->n].content = content_ref(c);
    plan->item[plan->n++].len = len;
    return true;
}

/* The bytes that may be fetched now for one reader. */
static uint64_t room_locked(struct vfs *v)
{
    const struct held *h = &v->neighbours->held;
    uint64_t all = v->cfg.memory / 4, room = contents_room(v->contents) / 2;
    uint64_t left = h->bytes < all ? all - h->bytes : 0;
    if (left > room)
        left = room;
    return left < WINDOW_BYTES ? left : WINDOW_BYTES;
}

static void plan_locked(struct vfs *v, struct followed *f, struct stream *s, struct neighbours_plan *plan)
{
    struct neighbours *n = v->neighbours;
    uint64_t room = room_locked(v);
    unsigned out = 0;
    for (size_t k = s->next; k < s->ahead; k++)
        out += held_get_locked(&n->held, f->order.files[k].inode) != NULL;
    if (s->ahead < s->next)
        s->ahead = s->next;
    size_t end = s->next + 2 * s->window + STREAMS < f->order.n ? s->next + 2 * s->window + STREAMS : f->order.n;
    for (; out < s->window && s->ahead < end && may_fetch_locked(n); s->ahead++) {
        struct inode *i = seen(f, s->ahead) ? NULL : order_at_locked(v, f->dir, &f->order, s->ahead);
        if (!i || i->content || i->active || held_get_locked(&n->held, i))
            continue;
        uint64_t len = i->size <= WHOLE_MAX ? i->size : CONTENT_BLOCK;
        if (len > room || !fetch_locked(v, s, i, len, plan))
            return;
        room -= len;
        out++;
    }
}

void neighbours_read_locked(struct vfs *v, struct inode *i, enum content_hand hand, struct neighbours_plan *plan)
{
    lock_assert_held(&v->tree);
    struct neighbours *n = v->neighbours;
    if (n->ended || !i->parent || !order_takes_locked(i) || vfs_has(v, STORE_LIST_CONTENT) || vfs_has(v, STORE_SECRET))
        return;
    struct followed *f = follow_locked(v, i->parent);
    size_t at;
    if (!f)
        return;
    arm_locked(v);
    if (!find_locked(v, f, i, &at)) {
        if (f->first != i)
            i->flags |= INODE_READ;
        return;
    }
    struct stream *s = stream_at_locked(f, at);
    mark_seen(f, at);
    if (!s) {
        stream_start_locked(n, f, at);
        return;
    }
    earn_time_locked(n);
    adapt_locked(v, f, s, at, hand);
    if (s->window > 0)
        plan_locked(v, f, s, plan);
}

void neighbours_start(struct neighbours_plan *plan)
{
    for (unsigned k = 0; k < plan->n; k++) {
        (void)content_prefetch(plan->item[k].content, plan->item[k].len); /* where there is no room, its reader asks */
        content_unref(plan->item[k].content);
    }
    plan->n = 0;
}
