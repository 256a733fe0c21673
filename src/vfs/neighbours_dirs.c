/* The directories in which files are read, and the places of these files in the order of their names. */
#include "util/clock.h"
#include "vfs/inode.h"
#include "vfs/neighbours_impl.h"

#include <string.h>

#define FOLLOWED_MAX 64                /* directories */
#define REMAKES      16                /* of the order of a small directory, before there are fewer */
#define SKIP_MAX     1023

struct followed *followed_get_locked(const struct neighbours *n, const struct inode *dir)
{
    return map_get(n->by_dir, &dir, sizeof(dir));
}

void followed_forget_locked(struct vfs *v, struct followed *f)
{
    struct inode *dir = f->dir;
    map_remove(v->neighbours->by_dir, &dir, sizeof(dir));
    TAILQ_REMOVE(&v->neighbours->oldest_first, f, link);
    rounds_gone_locked(v, f);
    order_release_locked(v, &f->order);
    if (f->first)
        inode_unref_locked(v, f->first);
    inode_unref_locked(v, dir);
    free(f);
}

/* NULL without memory. */
struct followed *followed_note_locked(struct vfs *v, struct inode *dir)
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
        followed_forget_locked(v, TAILQ_FIRST(&n->oldest_first));
    return f;
}

bool followed_seen(const struct followed *f, size_t at)
{
    return at < f->order.n && f->order.files[at].seen;
}

/* Files are passed over that others have read, some way. */
size_t followed_past_seen(const struct followed *f, size_t at)
{
    for (unsigned k = 0; k < STREAMS && followed_seen(f, at); k++)
        at++;
    return at;
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

void followed_mark_seen(struct followed *f, size_t at)
{
    if (f->order.files[at].seen) /* a second pass begins */
        for (size_t k = 0; k < f->order.n; k++)
            f->order.files[k].seen = false;
    f->order.files[at].seen = true;
}

/* Where the first file that was read is in the order, a reader begins. */
static void start_first_locked(struct vfs *v, struct followed *f)
{
    size_t first = order_find_locked(&f->order, f->first->name);
    if (first < f->order.n) {
        followed_mark_seen(f, first);
        stream_start_locked(v->neighbours, f, first);
    }
    inode_unref_locked(v, TAKE(f->first));
}

bool followed_begin_locked(struct vfs *v, struct followed *f)
{
    if (f->first && (f->order.files || remake_locked(v, f, f->first)))
        start_first_locked(v, f);
    return f->order.files != NULL;
}

/* The file's position; false while it is not known. One file alone costs nothing but this. */
bool followed_find_locked(struct vfs *v, struct followed *f, struct inode *i, size_t *at)
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
    if (f->first)
        start_first_locked(v, f);
    return true;
}
