/*
 * A reader who takes one file of each of many directories in turn, then the next file of each: a round. The files after the one
 * that he reads are then in the other directories, and that of his own is wanted last. Who does not go on stops between two
 * rounds, so nothing of a round is fetched before its first file is read: nothing is left behind by who reads so many
 * rounds and no more.
 *
 * The directories are gathered in the order in which they are read, until he comes back to one of them: it begins the round.
 * The round is known as long as each read is in the directory that comes next; any other, two reads in one directory, or a read while
 * another waits (several readers) begin anew. Where a directory has no more files the round goes on without it.
 */
#include "vfs/inode.h"
#include "vfs/neighbours_impl.h"

#include <string.h>

#define ROUND_LEAST 8 /* directories: for fewer, each one's next file is fetched as soon as one is read there */

static void forget_locked(struct rounds *r)
{
    r->n = r->at = 0;
    r->known = false;
}

static void note_file_locked(struct vfs *v, struct rounds *r, struct inode *i)
{
    if (i)
        inode_ref_locked(i);
    if (r->last)
        inode_unref_locked(v, r->last);
    r->last = i;
}

static unsigned place_of(const struct rounds *r, const struct followed *f)
{
    unsigned k = 0;
    while (k < r->n && r->dir[k] != f)
        k++;
    return k;
}

/* Of the reader who was there last. */
static struct stream *latest_locked(struct followed *f)
{
    struct stream *best = NULL;
    for (unsigned k = 0; k < STREAMS; k++)
        if (f->streams[k].id && (!best || f->streams[k].used_at > best->used_at))
            best = &f->streams[k];
    return best;
}

/* The next file there, as a position; f->order.n: there is none. */
static size_t next_locked(struct vfs *v, struct followed *f, struct stream **s)
{
    *s = followed_begin_locked(v, f) ? latest_locked(f) : NULL;
    size_t at = *s ? followed_past_seen(f, (*s)->next) : f->order.n;
    return at < f->order.n ? at : f->order.n;
}

static void take_out(struct rounds *r, unsigned k)
{
    memmove(&r->dir[k], &r->dir[k + 1], (r->n - k - 1) * sizeof(r->dir[0]));
    r->n--;
    if (r->at > k)
        r->at--;
}

/* Goes on to the directory of the read; false where that is not the next one that has files. */
static bool go_on_locked(struct vfs *v, struct followed *f)
{
    struct rounds *r = &v->neighbours->rounds;
    struct stream *s;
    for (;;) {
        unsigned to = (r->at + 1) % r->n;
        if (r->dir[to] == f) {
            r->at = to;
            return true;
        }
        if (r->n <= ROUND_LEAST || next_locked(v, r->dir[to], &s) < r->dir[to]->order.n)
            return false;
        take_out(r, to);
    }
}

/* Another read is under way: of somebody else. */
static bool is_crowded_locked(const struct rounds *r)
{
    return r->last && r->last->content && content_is_coming(r->last->content);
}

void rounds_gone_locked(struct vfs *v, const struct followed *f)
{
    struct rounds *r = &v->neighbours->rounds;
    if (place_of(r, f) < r->n)
        forget_locked(r);
    if (r->last && r->last->parent == f->dir)
        note_file_locked(v, r, NULL);
}

void rounds_end_locked(struct vfs *v)
{
    struct rounds *r = &v->neighbours->rounds;
    forget_locked(r);
    note_file_locked(v, r, NULL);
}

static void gather_locked(struct rounds *r, struct followed *f)
{
    unsigned first = place_of(r, f);
    if (first < r->n && r->n - first >= ROUND_LEAST) {
        memmove(&r->dir[0], &r->dir[first], (r->n - first) * sizeof(r->dir[0]));
        r->n -= first;
        r->at = 0;
        r->known = true;
        r->window = 1;
        return;
    }
    if (first < r->n || r->n == ROUND_MAX)
        forget_locked(r);
    r->dir[r->n++] = f;
}

void rounds_break_locked(struct vfs *v, struct followed *f)
{
    struct rounds *r = &v->neighbours->rounds;
    forget_locked(r);
    r->dir[r->n++] = f;
}

bool rounds_read_locked(struct vfs *v, struct followed *f, struct inode *i, enum content_hand hand)
{
    lock_assert_held(&v->tree);
    struct rounds *r = &v->neighbours->rounds;
    if (is_crowded_locked(r))
        forget_locked(r);
    note_file_locked(v, r, i);
    pace_note_locked(v, &r->pace);
    if (r->known && !go_on_locked(v, f))
        forget_locked(r);
    else if (r->known && r->at > 0 && hand != CONTENT_HELD)
        r->window = r->window < ROUND_MAX / 2 ? r->window * 2 : ROUND_MAX;
    if (!r->known)
        gather_locked(r, f);
    return r->known;
}

void rounds_plan_locked(struct vfs *v, struct neighbours_plan *plan)
{
    struct rounds *r = &v->neighbours->rounds;
    struct ahead_account a;
    ahead_begin_locked(v, &r->pace, r->window, &a);
    for (unsigned k = r->at + 1; k < r->n && a.out < a.window; k++) {
        struct stream *s;
        size_t at = next_locked(v, r->dir[k], &s);
        if (at == r->dir[k]->order.n)
            continue;
        if (held_get_locked(&v->neighbours->held, r->dir[k]->order.files[at].inode)) {
            a.out++;
            continue;
        }
        if (!ahead_fetch_locked(v, &a, r->dir[k], s, at, plan))
            return;
        if (s->ahead <= at)
            s->ahead = at + 1;
    }
}
