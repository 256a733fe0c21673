/* Ranges that are sent while the program still writes: whether they changed since, and those whose bytes are only there. */
#include "journal/stage_impl.h"

#include <assert.h>
#include <stdlib.h>

/* The first that ends behind `offset`. */
static size_t find_locked(const struct stage *s, uint64_t offset)
{
    size_t low = 0, high = s->n_parts;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->parts[mid].end <= offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct stage_part *part_locked(struct stage *s, uint64_t start)
{
    lock_assert_held(&s->map_lock);
    size_t i = find_locked(s, start);
    return i < s->n_parts && s->parts[i].start == start ? &s->parts[i] : NULL;
}

void stage_touch_locked(struct stage *s, uint64_t start, uint64_t end)
{
    lock_assert_held(&s->lock);
    LOCK_SCOPE(&s->map_lock);
    stage_same_changed_locked(s, start, end);
    for (size_t i = find_locked(s, start); i < s->n_parts && s->parts[i].start < end; i++)
        s->parts[i].touched = true;
}

enum err_code stage_check_here_locked(const struct stage *s, uint64_t start, uint64_t end, struct err *e)
{
    for (uint64_t at = start, len; s->live.bytes[MAP_SENT] > 0 && at < end; at += len) {
        enum map_kind kind = stage_map_at(&s->live, at, &len);
        if (kind == MAP_KINDS)
            break;
        if (kind == MAP_SENT)
            return err_set(e, ERR_BUSY, "these bytes are in an upload that is under way: there was no space to keep them here");
    }
    return ERR_OK;
}

enum err_code stage_watch(struct stage *s, uint64_t start, uint64_t len, struct err *e)
{
    LOCK_SCOPE(&s->map_lock);
    assert(s->n_parts == 0 || s->parts[s->n_parts - 1].end <= start);
    if (s->n_parts == s->parts_cap) {
        size_t cap = 2 * s->parts_cap + 16;
        struct stage_part *more = reallocarray(s->parts, cap, sizeof(*more));
        if (!more)
            return err_set(e, ERR_NOMEM, "no memory for the parts of a staging file");
        s->parts = more;
        s->parts_cap = cap;
    }
    s->parts[s->n_parts++] = (struct stage_part){.start = start, .end = start + len};
    return ERR_OK;
}

bool stage_touched(struct stage *s, uint64_t start, bool frozen)
{
    LOCK_SCOPE(&s->map_lock);
    const struct stage_part *p = part_locked(s, start);
    return !p || (frozen ? p->frozen_touched : p->touched);
}

static bool mark_away_locked(struct stage *s, uint64_t start, uint64_t *len)
{
    lock_assert_held(&s->lock);
    LOCK_SCOPE(&s->map_lock);
    const struct stage_part *p = part_locked(s, start);
    bool arrives = s->arriving && p && p->end > s->arriving_at;
    if (!p || p->touched || arrives || p->end > s->live.size || stage_map_reserve(&s->live, s->arriving ? 2 : 1, NULL))
        return false; /* what arrives may become LOST */
    *len = p->end - p->start;
    stage_map_set(&s->live, start, *len, MAP_SENT);
    return true;
}

bool stage_send_away(struct stage *s, uint64_t start)
{
    uint64_t len;
    LOCK_SCOPE(&s->lock); /* what arrives behind it may wait for the room */
    assert(!s->is_frozen);
    return mark_away_locked(s, start, &len) && stage_bytes_drop(&s->main, start, len);
}

bool stage_is_away(struct stage *s)
{
    LOCK_SCOPE(&s->map_lock);
    return s->live.bytes[MAP_SENT] > 0;
}

static void come_back_locked(struct stage *s)
{
    lock_assert_held(&s->lock);
    LOCK_SCOPE(&s->map_lock);
    for (uint64_t at = 0, len; s->live.bytes[MAP_SENT] > 0; at += len) {
        enum map_kind kind = stage_map_at(&s->live, at, &len);
        assert(kind != MAP_KINDS);
        if (kind == MAP_SENT) /* joins neighbours or stays as it is: needs no memory */
            stage_map_set(&s->live, at, len, MAP_BASE);
    }
}

void stage_come_back(struct stage *s)
{
    STAGE_SCOPE(s);
    come_back_locked(s);
}

void stage_unwatch(struct stage *s)
{
    LOCK_SCOPE(&s->map_lock);
    free(s->parts);
    s->parts = NULL;
    s->n_parts = s->parts_cap = 0;
}
