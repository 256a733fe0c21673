#include "journal/stage_map.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A change splits at both its ends and may add a hole before it. */
#define EXTENTS_PER_CHANGE 3

enum err_code stage_map_reserve(struct stage_map *m, size_t changes, struct err *e)
{
    size_t need = m->n + changes * EXTENTS_PER_CHANGE;
    if (need <= m->cap)
        return ERR_OK;
    size_t cap = need + need / 2;
    struct map_extent *p = reallocarray(m->extents, cap, sizeof(*p));
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for the extents of a staging file");
    m->extents = p;
    m->cap = cap;
    return ERR_OK;
}

enum err_code stage_map_copy(struct stage_map *m, const struct stage_map *from, struct err *e)
{
    struct stage_map copy = *from;
    copy.cap = from->n + EXTENTS_PER_CHANGE;
    copy.extents = malloc(copy.cap * sizeof(*copy.extents));
    if (!copy.extents)
        return err_set(e, ERR_NOMEM, "no memory for the extents of a staging file");
    if (from->n)
        memcpy(copy.extents, from->extents, from->n * sizeof(*copy.extents));
    free(m->extents);
    *m = copy;
    return ERR_OK;
}

void stage_map_release(struct stage_map *m)
{
    free(m->extents);
    *m = (struct stage_map){0};
}

static uint64_t end_of(const struct stage_map *m, size_t i)
{
    return i + 1 < m->n ? m->extents[i + 1].start : m->size;
}

/* The first extent that starts at `offset` or later. */
static size_t lower_bound(const struct stage_map *m, uint64_t offset)
{
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (m->extents[mid].start < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The one that holds `offset`, which lies inside the size. */
static size_t find(const struct stage_map *m, uint64_t offset)
{
    size_t i = lower_bound(m, offset);
    return i < m->n && m->extents[i].start == offset ? i : i - 1;
}

enum map_kind stage_map_at(const struct stage_map *m, uint64_t offset, uint64_t *len)
{
    if (offset >= m->size) {
        *len = 0;
        return MAP_KINDS;
    }
    size_t i = find(m, offset);
    *len = end_of(m, i) - offset;
    return m->extents[i].kind;
}

/* Puts `with` in the place of the extents [from, to). */
static void replace(struct stage_map *m, size_t from, size_t to, const struct map_extent *with, size_t n)
{
    assert(m->n - (to - from) + n <= m->cap);
    memmove(m->extents + from + n, m->extents + to, (m->n - to) * sizeof(*with));
    memcpy(m->extents + from, with, n * sizeof(*with));
    m->n = m->n - (to - from) + n;
}

static void append_hole(struct stage_map *m, uint64_t size)
{
    bool merges = m->n > 0 && m->extents[m->n - 1].kind == MAP_HOLE;
    if (!merges) {
        struct map_extent hole = {m->size, MAP_HOLE};
        replace(m, m->n, m->n, &hole, 1);
    }
    m->bytes[MAP_HOLE] += size - m->size;
    m->size = size;
}

/* Takes the bytes of [start, end) out of the counts of their kinds; `i` is the extent that holds `start`. */
static void discount(struct stage_map *m, size_t i, uint64_t start, uint64_t end)
{
    for (; start < end; i++) {
        uint64_t stop = end_of(m, i) < end ? end_of(m, i) : end;
        m->bytes[m->extents[i].kind] -= stop - start;
        start = stop;
    }
}

void stage_map_resize(struct stage_map *m, uint64_t size)
{
    if (size > m->size) {
        append_hole(m, size);
    } else if (size < m->size) {
        discount(m, find(m, size), size, m->size);
        m->n = lower_bound(m, size);
        m->size = size;
    }
}

void stage_map_set(struct stage_map *m, uint64_t offset, uint64_t len, enum map_kind kind)
{
    uint64_t end = offset + len;
    assert(len > 0 && end > offset);
    if (offset > m->size)
        append_hole(m, offset);
    if (offset < m->size)
        discount(m, find(m, offset), offset, end < m->size ? end : m->size);
    m->bytes[kind] += len;

    /* [from, to) are the extents that start inside; what reaches over the end goes on behind it. */
    size_t from = lower_bound(m, offset), to = lower_bound(m, end);
    struct map_extent with[2];
    size_t n = 0;
    if (from == 0 || m->extents[from - 1].kind != kind)
        with[n++] = (struct map_extent){offset, kind};
    bool goes_on = end < m->size && (to == m->n || m->extents[to].start != end);
    if (goes_on && m->extents[to - 1].kind != kind)
        with[n++] = (struct map_extent){end, m->extents[to - 1].kind};
    else if (!goes_on && to < m->n && m->extents[to].kind == kind)
        to++;
    if (end > m->size)
        m->size = end;
    replace(m, from, to, with, n);
}
