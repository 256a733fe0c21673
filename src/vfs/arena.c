#include "vfs/arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#define HUGE_PAGE    (2u * 1024 * 1024)
#define HUGE_ARENA   (32u * 1024 * 1024) /* huge pages from this size on */

struct arena {
    char *base;
    size_t map_len, frame, n;
    /* Stacks of free frames' numbers: the top is the next to be taken. */
    uint32_t *warm, *cold;
    size_t warm_n, cold_n;
    size_t low; /* the fewest WARM ones in this period */
};

struct arena_rest {
    size_t n;
    uint32_t frames[];
};

void arena_free(struct arena *a)
{
    if (!a)
        return;
    assert(!a->base || a->warm_n + a->cold_n == a->n);
    if (a->base) {
        UNPOISON(a->base, a->map_len);
        munmap(a->base, a->map_len);
    }
    free(a->warm);
    free(a->cold);
    free(a);
}

/* Aligned to huge pages, which are only used so. */
static char *map_aligned(size_t len)
{
    size_t whole = len + HUGE_PAGE;
    char *p = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t before = (HUGE_PAGE - (uintptr_t)p % HUGE_PAGE) % HUGE_PAGE;
    if (before)
        munmap(p, before);
    if (whole - before > len)
        munmap(p + before + len, whole - before - len);
    return p + before;
}

struct arena *arena_new(size_t n, size_t frame)
{
    CLEANUP(arena_free) struct arena *a = calloc(1, sizeof(*a));
    if (!a || n == 0 || n > UINT32_MAX || n > (SIZE_MAX - 2 * HUGE_PAGE) / frame)
        return NULL;
    a->frame = frame;
    a->n = n;
    a->map_len = (n * frame + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    a->warm = calloc(n, sizeof(*a->warm));
    a->cold = calloc(n, sizeof(*a->cold));
    if (!a->warm || !a->cold || !(a->base = map_aligned(a->map_len)))
        return NULL;
    if (a->map_len >= HUGE_ARENA)
        (void)madvise(a->base, a->map_len, MADV_HUGEPAGE);
    POISON(a->base, a->map_len);
    while (a->cold_n < n) { /* frames side by side are taken one after another, so that they share huge pages */
        a->cold[a->cold_n] = (uint32_t)(n - 1 - a->cold_n);
        a->cold_n++;
    }
    return TAKE(a);
}

void *arena_take(struct arena *a)
{
    uint32_t i;
    if (a->warm_n > 0)
        i = a->warm[--a->warm_n];
    else if (a->cold_n > 0)
        i = a->cold[--a->cold_n];
    else
        return NULL;
    if (a->warm_n < a->low)
        a->low = a->warm_n;
    char *p = a->base + (size_t)i * a->frame;
    UNPOISON(p, a->frame);
    return p;
}

void arena_give(struct arena *a, void *frame)
{
    size_t at = (size_t)((char *)frame - a->base);
    assert(at % a->frame == 0 && at / a->frame < a->n);
    POISON(frame, a->frame);
    a->warm[a->warm_n++] = (uint32_t)(at / a->frame);
}

uint64_t arena_warm(const struct arena *a)
{
    return (uint64_t)a->warm_n * a->frame;
}

/* The `n` bottom ones of the WARM leave. */
static void leave_warm(struct arena *a, size_t n)
{
    a->warm_n -= n;
    memmove(a->warm, a->warm + n, a->warm_n * sizeof(*a->warm));
    if (a->low > a->warm_n)
        a->low = a->warm_n;
}

bool arena_shrink(struct arena *a)
{
    if (a->warm_n == 0)
        return false;
    uint32_t i = a->warm[0];
    leave_warm(a, 1);
    (void)madvise(a->base + (size_t)i * a->frame, a->frame, MADV_DONTNEED);
    a->cold[a->cold_n++] = i;
    return true;
}

static int descending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

struct arena_rest *arena_rest(struct arena *a)
{
    size_t n = a->low;
    a->low = a->warm_n;
    struct arena_rest *r = n ? malloc(sizeof(*r) + n * sizeof(r->frames[0])) : NULL;
    if (!r)
        return NULL;
    r->n = n;
    memcpy(r->frames, a->warm, n * sizeof(r->frames[0]));
    leave_warm(a, n);
    qsort(r->frames, n, sizeof(r->frames[0]), descending);
    return r;
}

void arena_rest_free(const struct arena *a, struct arena_rest *r)
{
    for (size_t i = 0, k; i < r->n; i = k) {
        for (k = i + 1; k < r->n && r->frames[k] + 1 == r->frames[k - 1];)
            k++;
        (void)madvise(a->base + (size_t)r->frames[k - 1] * a->frame, (k - i) * a->frame, MADV_DONTNEED);
    }
}

void arena_rest_end(struct arena *a, struct arena_rest *r)
{
    memcpy(a->cold + a->cold_n, r->frames, r->n * sizeof(r->frames[0]));
    a->cold_n += r->n;
    free(r);
}
