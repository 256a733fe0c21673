#include "vfs/readahead.h"

#include <string.h>

#define MIB         (1024u * 1024)
#define WINDOW_MIN  (256u * 1024)
#define WINDOW_MAX  (1024u * MIB)
#define WINDOW_FREE (16 * MIB)
#define DISORDER    (2 * MIB) /* the kernel has two reads of 1 MiB under way, which two threads take */
#define RANGE_MIN   MIB
#define RANGE_MAX   (4 * MIB)
#define PARALLEL    28 /* of a window */
#define PRODUCTS    16 /* how many connections' worth a late reader asks for at once */
#define LATENCY_MIN 8000 /* below, a window of WINDOW_FREE carries more than any link */
#define LATENCY_MAX (10u * 1000 * 1000)
#define RATE_MAX    100000u
#define LEAPS_MAX   16 /* of scattered reads; */
#define LEAPS_BACK  64 /* of backward ones */
#define LEAP_MAX    (64 * MIB)
#define EQUAL       2 /* steps like the one before */

static int64_t clamp_sample(uint64_t sample, uint64_t most)
{
    return (int64_t)(sample < 1 ? 1 : sample > most ? most : sample);
}

/* Moves by a part of the difference: a `down`th where the sample is below, an `up`th where it is above. */
static uint32_t follow(uint32_t old, int64_t sample, int down, int up)
{
    int64_t gap = sample - (int64_t)old;
    return old == 0 ? (uint32_t)sample : (uint32_t)(old + gap / (gap < 0 ? down : up));
}

void link_note(struct readahead_link *l, bool alone, uint64_t first_us, uint64_t rest_us, uint64_t bytes)
{
    if (alone) {
        uint32_t first = (uint32_t)clamp_sample(first_us, LATENCY_MAX);
        l->latency_us = l->alone_us && l->alone_us < first ? l->alone_us : first;
        l->alone_us = first;
    }
    if (bytes < WINDOW_MIN)
        return;
    int64_t rate = clamp_sample(bytes / (rest_us ? rest_us : 1), RATE_MAX);
    l->rate = follow(l->rate, rate, 8, 8);
    l->peak = follow(l->peak, rate, 64, 1);
}

/* What one connection carries in the time of a first byte: with less than that under way it is idle most of the time. */
static uint64_t product(const struct readahead_link *l)
{
    return (uint64_t)l->latency_us * l->rate;
}

static uint64_t clamp(uint64_t v, uint64_t least, uint64_t most)
{
    return v > most ? most : v < least ? least : v;
}

/* Where the first byte takes long, many short ranges side by side are faster than few long ones; where it does not, a
 * request costs more than its latency: the processor's time for it, and on S3 its price. */
static uint32_t range_of(uint64_t window, const struct readahead_link *l)
{
    uint64_t range = window / 4;
    if (l->latency_us >= LATENCY_MIN && product(l) > MIB && range > product(l) / 4)
        range = product(l) / 4;
    if (range < window / PARALLEL)
        range = window / PARALLEL;
    return (uint32_t)(clamp(range, RANGE_MIN, RANGE_MAX) / (128 * 1024) * (128 * 1024));
}

/* ---- Streams */

/* Another, shorter version may have come in between. */
static bool goes_on(const struct readahead_stream *s, uint64_t offset, uint64_t size)
{
    if (s->used == 0 || s->next > size || s->ahead > size)
        return false;
    if (s->window > 0)
        return offset <= s->ahead && offset + DISORDER >= s->next;
    return offset == s->next;
}

static struct readahead_stream *find(struct readahead *ra, uint64_t offset, uint64_t size)
{
    struct readahead_stream *found = NULL;
    for (unsigned i = 0; i < READAHEAD_STREAMS; i++) {
        struct readahead_stream *s = &ra->streams[i];
        if (goes_on(s, offset, size) && (!found || s->used > found->used))
            found = s;
    }
    return found;
}

/* In place of the one that was used least recently, of those without a window if there are any. */
static struct readahead_stream *begin(struct readahead *ra, const struct readahead_read *r)
{
    struct readahead_stream *oldest = &ra->streams[0];
    for (unsigned i = 1; i < READAHEAD_STREAMS; i++) {
        struct readahead_stream *s = &ra->streams[i];
        if ((s->window == 0) != (oldest->window == 0) ? s->window == 0 : s->used < oldest->used)
            oldest = s;
    }
    /* One that has not gone on for long is given up, too: else eight of them would keep all others out. */
    for (unsigned i = 0; i < READAHEAD_STREAMS; i++)
        if (ra->reads - ra->streams[i].used > 256)
            ra->streams[i].window = 0;
    uint64_t end = r->offset + r->len;
    *oldest = (struct readahead_stream){.next = end, .ahead = end, .mark = end, .mark_us = r->now_us, .used = ra->reads};
    return oldest;
}

/*
 * Half a window was read. Beyond WINDOW_FREE a larger one helps only where the reader waits for the link's latency: where
 * what it reads in the time of one request on an idle link is a good part of its window. Where the link, the processor or the
 * reader is what limits, it is less. Each step up takes a round trip, so what is known of the link is used: one that is far too late
 * gets what PRODUCTS connections carry in that time.
 */
static void look_again(struct readahead_stream *s, const struct readahead_read *r)
{
    const struct readahead_link *l = &r->link;
    uint64_t limit = clamp(r->share, WINDOW_MIN, WINDOW_MAX);
    uint64_t us = r->now_us > s->mark_us ? r->now_us - s->mark_us : 1;
    uint64_t request_us = l->latency_us + range_of(s->window, l) / (l->peak ? l->peak : 1);
    uint64_t read = (s->next - s->mark) * request_us / us;
    bool late = s->waited && l->latency_us >= LATENCY_MIN && read > s->window / 2;
    uint64_t larger = late && read > s->window && s->window >= MIB ? clamp(PRODUCTS * product(l), 4ull * s->window, WINDOW_MAX)
                                               : (late ? 4ull : 2ull) * s->window;
    if (s->window < WINDOW_FREE || late)
        s->window = (uint32_t)clamp(larger, 0, limit);
    if (s->window > limit)
        s->window = (uint32_t)limit;
    s->mark = s->next;
    s->mark_us = r->now_us;
    s->waited = false;
}

static struct readahead_plan go_on(struct readahead_stream *s, const struct readahead_read *r)
{
    uint64_t end = r->offset + r->len;
    struct readahead_plan p = {.stream = s};
    if (end > s->next)
        s->next = end;
    s->waited = s->waited || r->waits;
    if (s->window == 0)
        s->window = (uint32_t)clamp(r->share, 0, WINDOW_MIN);
    else if (s->next - s->mark >= s->window / 2)
        look_again(s, r);
    p.range = range_of(s->window, &r->link);
    p.from = s->ahead > s->next ? s->ahead : s->next;
    p.to = s->window < r->size - s->next ? s->next + s->window : r->size;
    uint64_t whole = p.range < s->window ? p.range : s->window / 2;
    if (p.to == r->size || p.to <= p.from)
        return p;
    if (p.to - p.from < whole)
        p.to = p.from; /* no request for a rest */
    else if (p.to - p.from > p.range)
        p.to = p.from + (p.to - p.from) / p.range * p.range;
    return p;
}

/* ---- Reads at equal distances */

static void leap(struct readahead *ra, const struct readahead_read *r, struct readahead_plan *p)
{
    int64_t step = (int64_t)(r->offset - ra->last);
    bool equal = ra->reads > 1 && step != 0 && step == ra->step;
    ra->equal = !equal ? 0 : ra->equal < EQUAL ? ra->equal + 1 : EQUAL;
    unsigned limit = step + (int64_t)r->len == 0 ? LEAPS_BACK : LEAPS_MAX;
    ra->leaps = ra->equal < EQUAL ? 1 : ra->leaps < limit / 2 ? ra->leaps * 2 : limit;
    ra->step = step;
    ra->last = r->offset;
    if (ra->equal < EQUAL || step > (int64_t)LEAP_MAX || step < -(int64_t)LEAP_MAX || r->len > r->share)
        return;
    uint64_t most = r->share / r->len;
    p->step = step;
    p->leaps = ra->leaps < most ? ra->leaps : (unsigned)most;
}

struct readahead_plan readahead_move(struct readahead *ra, const struct readahead_read *r)
{
    bool first = ra->reads++ == 0;
    if (ra->reads == 0) { /* it came round */
        memset(ra, 0, sizeof(*ra));
        ra->reads = 1;
    }
    struct readahead_plan p = {0};
    struct readahead_stream *s = find(ra, r->offset, r->size);
    if (!s) {
        s = begin(ra, r);
        if (!first || r->offset != 0) {
            leap(ra, r, &p);
            return p;
        }
        s->next = s->ahead = s->mark = 0; /* who begins at the beginning goes on, most likely */
    }
    s->used = ra->reads;
    ra->last = r->offset;
    ra->equal = 0;
    return go_on(s, r);
}

void readahead_cut(struct readahead_plan *p, uint64_t reached, uint64_t size)
{
    struct readahead_stream *s = p->stream;
    s->ahead = reached < size ? reached : size;
    if (s->ahead < s->next)
        s->ahead = s->next;
}
