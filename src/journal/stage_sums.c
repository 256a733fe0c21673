/*
 * The CRC-64/NVME of what is written in order, taken while its bytes are at hand: of each stretch of `step` bytes, and of what
 * is there of the last one. Where something else is written into a stretch, its sum is not known any more. During a freeze the
 * sums of the frozen state stay: what changes below its end is forgotten at the thaw.
 */
#include "journal/stage_impl.h"
#include "util/digest.h"

#include <stdlib.h>

#define NEVER UINT64_MAX

/* Room for one more; without memory none are taken any more, and none are known. */
static bool reserve(struct stage_sums *m)
{
    if (m->n < m->cap)
        return true;
    size_t cap = 2 * m->cap + 16;
    struct stage_sum *more = reallocarray(m->whole, cap, sizeof(*more));
    if (!more) {
        m->at = NEVER;
        m->n = 0; /* nothing is forgotten any more either */
        return false;
    }
    m->whole = more;
    m->cap = cap;
    return true;
}

static void add_locked(struct stage *s, const char *p, size_t len)
{
    struct stage_sums *m = &s->sums;
    while (len > 0 && m->at != NEVER) {
        uint64_t left = m->step - m->at % m->step;
        size_t n = len < left ? len : (size_t)left;
        uint64_t crc = m->last.known ? crc64nvme(m->last.crc, p, n) : 0;
        LOCK_SCOPE(&s->map_lock);
        m->last.crc = crc;
        m->at += n;
        p += n;
        len -= n;
        if (n == left && reserve(m)) {
            m->whole[m->n++] = m->last;
            m->last = (struct stage_sum){.known = true};
        }
    }
}

static void cut(struct stage_sums *m, uint64_t size)
{
    if (m->at == NEVER || size >= m->at)
        return;
    m->n = (size_t)(size / m->step);
    m->at = size;
    m->last = (struct stage_sum){.known = size % m->step == 0};
}

static void forget_locked(struct stage *s, uint64_t start, uint64_t end)
{
    struct stage_sums *m = &s->sums;
    LOCK_SCOPE(&s->map_lock);
    if (m->at == NEVER || start >= m->at)
        return;
    if (s->is_frozen) {
        m->cut = start < m->cut ? start : m->cut;
        return;
    }
    for (uint64_t k = start / m->step; k < m->n && k * m->step < end; k++)
        m->whole[k].known = false;
    if (end > m->n * m->step)
        m->last.known = false;
}

void stage_sums_wrote_locked(struct stage *s, uint64_t offset, const void *p, size_t len)
{
    lock_assert_held(&s->lock);
    bool in_order = s->dir && p && offset == s->sums.at && s->sums.cut == NEVER;
    if (in_order && (!s->is_frozen || offset >= s->frozen.size))
        add_locked(s, p, len);
    else
        forget_locked(s, offset, offset + len);
}

void stage_sums_cut_locked(struct stage *s, uint64_t size)
{
    lock_assert_held(&s->lock);
    LOCK_SCOPE(&s->map_lock);
    if (size >= s->sums.at)
        return;
    if (s->is_frozen)
        s->sums.cut = size < s->sums.cut ? size : s->sums.cut;
    else
        cut(&s->sums, size);
}

void stage_sums_freeze_locked(struct stage *s)
{
    lock_assert_held(&s->map_lock);
    s->sums.frozen_at = s->sums.at;
    s->sums.frozen_last = s->sums.last;
}

void stage_sums_thaw_locked(struct stage *s)
{
    lock_assert_held(&s->map_lock);
    cut(&s->sums, s->sums.cut);
    s->sums.cut = NEVER;
}

void stage_sums_init(struct stage_sums *m)
{
    *m = (struct stage_sums){.step = STAGE_SUM_BYTES, .last = {.known = true}, .cut = NEVER};
}

/* What is there of the stretch that ends at `end`, which is not its end. */
static const struct stage_sum *last_locked(const struct stage *s, uint64_t end, bool frozen)
{
    const struct stage_sums *m = &s->sums;
    return end == (frozen ? m->frozen_at : m->at) ? (frozen ? &m->frozen_last : &m->last) : NULL;
}

bool stage_crc(struct stage *s, uint64_t start, uint64_t len, bool frozen, uint64_t *crc)
{
    if (!frozen)
        stage_wait_for(s, start + len);
    LOCK_SCOPE(&s->map_lock);
    uint64_t sum = 0, end = start + len, step = s->sums.step;
    if (start % step != 0 || (!frozen && end > s->sums.cut))
        return false;
    for (uint64_t at = start, n; at < end; at += n) {
        size_t k = (size_t)(at / step);
        n = end - at < step ? end - at : step;
        const struct stage_sum *one = n < step ? last_locked(s, end, frozen) : k < s->sums.n ? &s->sums.whole[k] : NULL;
        if (!one || !one->known)
            return false;
        sum = crc64nvme_combine(sum, one->crc, n);
    }
    *crc = sum;
    return true;
}
