#include "vfs/ranges.h"

#include "util/buf.h"
#include "util/str.h"
#include "vfs/inode.h"
#include "vfs/merge.h"

#include <string.h>

#define RANGES 8 /* of one directory; the oldest goes first */

/* Keys without the directory's own: behind `from` ("": from the beginning) up to `to` (NULL: to the end). */
struct range {
    char *from, *to;
    uint64_t seq, start_ms;
};

struct ranges {
    unsigned n;
    struct range r[RANGES];
};

static void range_release(struct range *r)
{
    free(r->from);
    free(r->to);
    *r = (struct range){0};
}

void ranges_free(struct ranges *r)
{
    for (unsigned k = 0; r && k < r->n; k++)
        range_release(&r->r[k]);
    free(r);
}

void dir_unlist_locked(struct vfs *v, struct inode *dir)
{
    lock_assert_held(&v->tree);
    dir->dir->listed = false;
    dir->dir->doubt_seq = v->seq + 1; /* of the next request */
    ranges_free(dir->dir->ranges);
    dir->dir->ranges = NULL;
}

/* The end of a range in a directory: `key` may be beyond it. */
static const char *end_in(const char *key, const char *prefix, size_t len)
{
    return key && str_starts(key, prefix) ? key + len : NULL;
}

static bool reaches(const char *to, const char *other)
{
    return !to || (other && strcmp(to, other) >= 0);
}

/* The one that begins there too, else a free one, else the oldest; NULL where what is known reaches further. */
static struct range *place_for(struct ranges *all, const char *from, const char *to)
{
    struct range *oldest = all->r;
    for (unsigned k = 0; k < all->n; k++) {
        struct range *r = &all->r[k];
        if (strcmp(r->from, from) == 0)
            return reaches(to, r->to) ? r : NULL;
        if (r->start_ms < oldest->start_ms)
            oldest = r;
    }
    return all->n < RANGES ? &all->r[all->n++] : oldest;
}

void range_add_locked(struct vfs *v, struct inode *dir, const struct merge *m)
{
    lock_assert_held(&v->tree);
    struct dir *d = dir->dir;
    size_t len = strlen(m->prefix);
    bool nothing = m->last_key && strcmp(m->last_key, m->prefix) < 0;
    if (nothing || m->seq < d->doubt_seq || (!d->ranges && !(d->ranges = calloc(1, sizeof(*d->ranges)))))
        return;
    const char *from = m->from && str_starts(m->from, m->prefix) ? m->from + len : "";
    const char *to = end_in(m->last_key, m->prefix, len);
    char *own_from = strdup(from), *own_to = to ? strdup(to) : NULL;
    struct range *r = own_from && (own_to || !to) ? place_for(d->ranges, from, to) : NULL;
    if (!r) {
        free(own_from);
        free(own_to);
        return;
    }
    range_release(r);
    *r = (struct range){own_from, own_to, m->seq, m->start_ms};
}

bool range_covers_locked(const struct vfs *v, const struct inode *dir, const char *component, uint64_t *seq,
                         uint64_t *start_ms)
{
    const struct ranges *all = dir->dir->ranges;
    if (!all || !*component)
        return false;
    BUF(as_dir, KEY_BUF_MAX);
    buf_add_str(&as_dir, component);
    buf_add_char(&as_dir, '/');
    for (unsigned k = 0; k < all->n; k++) {
        const struct range *r = &all->r[k];
        bool inside = strcmp(component, r->from) > 0 && reaches(r->to, buf_str(&as_dir));
        if (!inside || r->seq < dir->dir->known_seq || ttl_left_ms(v, r->start_ms) == 0)
            continue;
        *seq = r->seq;
        *start_ms = r->start_ms;
        return true;
    }
    return false;
}
