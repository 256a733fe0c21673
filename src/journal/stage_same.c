/*
 * What of a staging file is as it is in the object: in the version it started from, or in the one it was last put as. One bit for each `step`,
 * a mebibyte, so that a file that is put again and again (fsync) costs what was changed, however that is scattered.
 */
#include "journal/stage_impl.h"

#include <stdlib.h>
#include <string.h>

static bool bit(const struct stage_same *m, uint64_t k)
{
    return m->bits[k / 8] >> (k % 8) & 1;
}

static uint64_t steps(const struct stage_same *m, uint64_t size)
{
    return size / m->step + (size % m->step != 0);
}

/* Without memory it is only not known that they are the same. */
void stage_same_all(struct stage_same *m, uint64_t size)
{
    size_t need = (size_t)(steps(m, size) / 8 + 1);
    m->upto = 0;
    if (need > m->cap) {
        uint8_t *more = realloc(m->bits, need);
        if (!more)
            return;
        m->bits = more;
        m->cap = need;
    }
    memset(m->bits, 0xff, need);
    m->upto = size;
}

static void copy(struct stage_same *m, const struct stage_same *from)
{
    stage_same_all(m, from->upto);
    if (m->upto)
        memcpy(m->bits, from->bits, (size_t)(steps(m, m->upto) / 8 + 1));
}

static void change(struct stage_same *m, uint64_t start, uint64_t end)
{
    end = end < m->upto ? end : m->upto;
    for (uint64_t k = start / m->step; start < end && k < steps(m, end); k++)
        m->bits[k / 8] &= (uint8_t)~(1u << (k % 8));
}

void stage_same_init(struct stage_same *m)
{
    *m = (struct stage_same){.step = 1 << 20};
}

void stage_same_release(struct stage_same *m)
{
    free(m->bits);
    *m = (struct stage_same){.step = m->step};
}

void stage_same_changed_locked(struct stage *s, uint64_t start, uint64_t end)
{
    lock_assert_held(&s->map_lock);
    change(&s->same, start, end);
    change(&s->same_since, start, end);
}

void stage_same_freeze_locked(struct stage *s)
{
    lock_assert_held(&s->map_lock);
    if (!s->dir)
        return;
    copy(&s->same_frozen, &s->same);
    stage_same_all(&s->same_since, s->frozen.size);
}

void stage_same_thaw_locked(struct stage *s)
{
    lock_assert_held(&s->map_lock);
    stage_same_release(&s->same_frozen);
    stage_same_release(&s->same_since);
}

void stage_put_done(struct stage *s)
{
    LOCK_SCOPE(&s->map_lock);
    struct stage_same before = s->same;
    s->same = s->same_since;
    s->same_since = before;
    s->same_since.upto = 0;
}

bool stage_same_at(struct stage *s, uint64_t offset, bool frozen, uint64_t *len)
{
    LOCK_SCOPE(&s->map_lock);
    const struct stage_same *m = frozen ? &s->same_frozen : &s->same;
    uint64_t size = frozen ? s->frozen.size : s->live.size, upto = m->upto < size ? m->upto : size;
    *len = size > offset ? size - offset : 0;
    if (offset >= upto)
        return false;
    uint64_t k = offset / m->step;
    bool same = bit(m, k);
    while (k < steps(m, upto) && bit(m, k) == same)
        k++;
    uint64_t end = k * m->step < upto ? k * m->step : same ? upto : size;
    *len = end - offset;
    return same;
}
