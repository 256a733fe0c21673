/* Readers that go through a directory, and what is fetched ahead of them. */
#include "util/clock.h"
#include "vfs/inode.h"
#include "vfs/neighbours_impl.h"

#define PASSED        32               /* files this far behind a reader come out of order at most */
#define PASSED_MS     3000             /* for another reader, which is near, to come for it */
#define WHOLE_MAX     (1024u * 1024)   /* a larger file is fetched as far as its first block */
#define WINDOW_BYTES  (8u * 1024 * 1024)
#define LATENCY_LEAST 2000             /* microseconds: files ahead are for round trips of this length at least */
#define FEW           8                /* files ahead of all readers together that need no reason but a wait */

void stream_start_locked(struct neighbours *n, struct followed *f, size_t at)
{
    struct stream *s = &f->streams[0];
    for (unsigned k = 1; k < STREAMS; k++)
        if (f->streams[k].used_at < s->used_at)
            s = &f->streams[k];
    *s = (struct stream){.id = ++n->streams, .next = at + 1, .ahead = at + 1, .tail = at + 1, .used_at = ++n->reads,
                          .pace.read_us = clock_mono_us()};
}

static bool goes_on(const struct followed *f, const struct stream *s, size_t at)
{
    if (s->window == 0)
        return s->id && at == followed_past_seen(f, s->next);
    return at + PASSED >= s->next && at <= followed_past_seen(f, s->ahead);
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

/* Files that the reader has left behind, some time ago, will not be used. */
static void lose_passed_locked(struct vfs *v, struct followed *f, struct stream *s)
{
    for (; s->tail + PASSED < s->next && s->tail < f->order.n; s->tail++) {
        struct held_file *h = held_get_locked(&v->neighbours->held, f->order.files[s->tail].inode);
        if (h && h->stream == s->id && clock_mono_ms() - h->at_ms < PASSED_MS)
            return;
        if (h && h->stream == s->id)
            neighbours_lose_locked(v, h);
    }
}

/* Two round trips; UINT32_MAX: unknown, nothing was asked of a server. */
static uint32_t horizon_us(struct vfs *v)
{
    uint32_t latency = contents_latency_us(v->contents);
    if (latency == 0 || latency > UINT32_MAX / 2)
        return UINT32_MAX;
    return 2 * (latency > LATENCY_LEAST ? latency : LATENCY_LEAST);
}

void pace_note_locked(struct vfs *v, struct pace *p)
{
    uint64_t now = clock_mono_us(), most = horizon_us(v);
    uint64_t gap = now - p->read_us < most ? now - p->read_us : most;
    p->read_us = now;
    uint64_t mean = p->gap_us ? (3 * (uint64_t)p->gap_us + gap) / 4 : gap;
    p->gap_us = (uint32_t)(mean < most ? mean : most);
}

static void adapt_locked(struct vfs *v, struct followed *f, struct stream *s, size_t at, enum content_hand hand)
{
    bool reached_end = at >= s->ahead;
    s->run++;
    s->used_at = ++v->neighbours->reads;
    pace_note_locked(v, &s->pace);
    if (at >= s->next)
        s->next = at + 1;
    if (s->ahead < s->next)
        s->ahead = s->next;
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

void ahead_begin_locked(struct vfs *v, const struct pace *p, unsigned window, struct ahead_account *out)
{
    uint32_t files = horizon_us(v) / (p->gap_us ? p->gap_us : 1);
    *out = (struct ahead_account){.window = window, .pace = files > 1 ? files : 1, .room = room_locked(v)};
}

bool ahead_fetch_locked(struct vfs *v, struct ahead_account *a, struct followed *f, struct stream *s, size_t at,
                        struct neighbours_plan *plan)
{
    const struct neighbours *n = v->neighbours;
    if (!neighbours_may_fetch_locked(n))
        return false;
    struct inode *i = followed_seen(f, at) ? NULL : order_at_locked(v, f->dir, &f->order, at);
    if (!i || i->content || i->active || held_get_locked(&n->held, i))
        return true;
    if (a->out >= a->pace && map_size(n->held.by_inode) >= FEW)
        return false;
    uint64_t len = i->size <= WHOLE_MAX ? i->size : CONTENT_BLOCK;
    if (len > a->room || !fetch_locked(v, s, i, len, plan))
        return false;
    a->room -= len;
    a->out++;
    return true;
}

static void plan_locked(struct vfs *v, struct followed *f, struct stream *s, struct neighbours_plan *plan)
{
    struct neighbours *n = v->neighbours;
    struct ahead_account a;
    ahead_begin_locked(v, &s->pace, s->window, &a);
    for (size_t k = s->next; k < s->ahead; k++)
        a.out += held_get_locked(&n->held, f->order.files[k].inode) != NULL;
    size_t end = s->next + 2 * s->window + STREAMS < f->order.n ? s->next + 2 * s->window + STREAMS : f->order.n;
    while (a.out < a.window && s->ahead < end && ahead_fetch_locked(v, &a, f, s, s->ahead, plan))
        s->ahead++;
}

void neighbours_read_locked(struct vfs *v, struct inode *i, enum content_hand hand, struct neighbours_plan *plan)
{
    lock_assert_held(&v->tree);
    struct neighbours *n = v->neighbours;
    if (n->ended || !i->parent || !order_takes_locked(i) || vfs_has(v, STORE_LIST_CONTENT) || vfs_has(v, STORE_SECRET))
        return;
    struct followed *f = followed_note_locked(v, i->parent);
    size_t at;
    if (!f)
        return;
    neighbours_arm_locked(v);
    bool in_turn = rounds_read_locked(v, f, i, hand);
    if (!followed_find_locked(v, f, i, &at)) {
        if (f->first != i)
            i->flags |= INODE_READ;
        return;
    }
    struct stream *s = stream_at_locked(f, at);
    followed_mark_seen(f, at);
    if (!s) {
        rounds_break_locked(v, f);
        stream_start_locked(n, f, at);
        return;
    }
    neighbours_earn_time_locked(n);
    adapt_locked(v, f, s, at, hand);
    if (in_turn)
        rounds_plan_locked(v, plan);
    else if (s->window > 0)
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
