/*
 * Which buffer is in which lane, and when a lane is worth its share. Each lane carries a buffer's whole blocks and then its
 * last one or two, which are padded in a copy; the kernel runs for as long as no lane reaches an end. Buffers are taken
 * longest first, so that lanes end together; a lane that has ended goes on over bytes of another, to no effect.
 */
#include "util/sha512_lanes.h"

#include "util/digest.h"
#include "util/sha512_kernel.h"

#include <stdlib.h>
#include <string.h>

struct kernel {
    unsigned lanes;
    unsigned pays; /* buffers of one length that are hashed in less time than one after another */
    void (*blocks)(struct sha512_states *states, const uint8_t *const *data, size_t blocks);
};

static const struct kernel kernels[SHA512_WAYS] = {
#ifdef HAVE_SHA512_AVX2
    [SHA512_AVX2] = {4, 4, sha512_avx2_blocks},
#endif
#ifdef HAVE_SHA512_AVX512
    [SHA512_AVX512] = {8, 3, sha512_avx512_blocks},
#endif
};

struct lane {
    const struct sha512_buf *buf; /* NULL: idle */
    const uint8_t *at;
    size_t blocks;      /* left at `at` */
    size_t tail_blocks; /* to follow from `tail`; 0: these are they */
    uint8_t tail[2 * SHA512_BLOCK];
};

struct work {
    const struct kernel *kernel;
    const struct sha512_buf *next, *end;
    uint64_t left; /* blocks of all buffers that have not ended */
    struct sha512_states states;
    struct lane lanes[SHA512_MAX_LANES];
};

/* With the padding: a bit, zeros, and the length in sixteen bytes. */
static uint64_t blocks_of(size_t len)
{
    return (uint64_t)len / SHA512_BLOCK + (len % SHA512_BLOCK < SHA512_BLOCK - 16 ? 1 : 2);
}

static void put_be64(uint8_t *p, uint64_t x)
{
    for (int i = 7; i >= 0; i--, x >>= 8)
        p[i] = (uint8_t)x;
}

static void begin(struct work *w, unsigned l, const struct sha512_buf *buf)
{
    static const uint64_t start[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                      0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
    struct lane *lane = &w->lanes[l];
    size_t whole = buf->len / SHA512_BLOCK, rest = buf->len % SHA512_BLOCK;

    for (int i = 0; i < 8; i++)
        w->states.word[i][l] = start[i];
    *lane = (struct lane){.buf = buf, .at = buf->p, .blocks = whole, .tail_blocks = (size_t)blocks_of(buf->len) - whole};
    if (rest)
        memcpy(lane->tail, (const uint8_t *)buf->p + whole * SHA512_BLOCK, rest);
    lane->tail[rest] = 0x80;
    uint8_t *length = lane->tail + lane->tail_blocks * SHA512_BLOCK - 16;
    put_be64(length, (uint64_t)buf->len >> 61);
    put_be64(length + 8, (uint64_t)buf->len << 3);
}

/* A buffer is worth a lane where the rest of the work can fill as many lanes for as long as it lasts. */
static enum err_code fill_lane(struct work *w, unsigned l, struct err *e)
{
    for (; w->next < w->end; w->next++) {
        const struct sha512_buf *buf = w->next;
        uint64_t blocks = blocks_of(buf->len);
        if (blocks <= w->left / w->kernel->pays) {
            begin(w, l, buf);
            w->next++;
            return ERR_OK;
        }
        enum err_code code = digest_once(DIGEST_SHA512, buf->p, buf->len, buf->digest, e);
        if (code != ERR_OK)
            return code;
        w->left -= blocks;
    }
    w->lanes[l].buf = NULL;
    return ERR_OK;
}

/* Goes on to the tail where the whole blocks are done. True: the buffer has ended. */
static bool lane_ended(struct lane *lane)
{
    if (lane->blocks)
        return false;
    lane->at = lane->tail;
    lane->blocks = lane->tail_blocks;
    lane->tail_blocks = 0;
    return !lane->blocks;
}

static void put_digest(const struct work *w, unsigned l)
{
    for (int i = 0; i < 8; i++)
        put_be64(w->lanes[l].buf->digest + 8 * i, w->states.word[i][l]);
}

/* Runs the kernel to the next end of some lane's blocks. */
static void run(struct work *w)
{
    const uint8_t *data[SHA512_MAX_LANES];
    const struct lane *shortest = NULL;

    for (unsigned l = 0; l < w->kernel->lanes; l++)
        if (w->lanes[l].buf && (!shortest || w->lanes[l].blocks < shortest->blocks))
            shortest = &w->lanes[l];
    size_t blocks = shortest->blocks;
    for (unsigned l = 0; l < w->kernel->lanes; l++)
        data[l] = w->lanes[l].buf ? w->lanes[l].at : shortest->at;
    w->kernel->blocks(&w->states, data, blocks);
    for (unsigned l = 0; l < w->kernel->lanes; l++) {
        if (!w->lanes[l].buf)
            continue;
        w->lanes[l].at += blocks * SHA512_BLOCK;
        w->lanes[l].blocks -= blocks;
        w->left -= blocks;
    }
}

static enum err_code work_off(struct work *w, struct err *e)
{
    for (;;) {
        bool any = false;
        for (unsigned l = 0; l < w->kernel->lanes; l++) {
            struct lane *lane = &w->lanes[l];
            if (lane->buf && !lane_ended(lane)) {
                any = true;
                continue;
            }
            if (lane->buf)
                put_digest(w, l);
            enum err_code code = fill_lane(w, l, e);
            if (code != ERR_OK)
                return code;
            if (lane->buf)
                lane_ended(lane); /* a short one begins with its tail */
            any = any || lane->buf;
        }
        if (!any)
            return ERR_OK;
        run(w);
    }
}

static int longest_first(const void *a, const void *b)
{
    size_t x = ((const struct sha512_buf *)a)->len, y = ((const struct sha512_buf *)b)->len;
    return x < y ? 1 : x > y ? -1 : 0;
}

bool sha512_way_works(enum sha512_way way)
{
#if defined(__x86_64__)
    if (way == SHA512_AVX2)
        return kernels[way].lanes && __builtin_cpu_supports("avx2");
    if (way == SHA512_AVX512)
        return kernels[way].lanes && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
#endif
    return way == SHA512_ONE_BY_ONE;
}

enum sha512_way sha512_way_best(void)
{
    if (sha512_way_works(SHA512_AVX512))
        return SHA512_AVX512;
    return sha512_way_works(SHA512_AVX2) ? SHA512_AVX2 : SHA512_ONE_BY_ONE;
}

unsigned sha512_way_pays(enum sha512_way way)
{
    return kernels[way].pays;
}

static enum err_code one_by_one(const struct sha512_buf *bufs, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        enum err_code code = digest_once(DIGEST_SHA512, bufs[i].p, bufs[i].len, bufs[i].digest, e);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

enum err_code sha512_each_by(enum sha512_way way, struct sha512_buf *bufs, size_t n, struct err *e)
{
    if (n < kernels[way].pays || !kernels[way].lanes)
        return one_by_one(bufs, n, e);
    qsort(bufs, n, sizeof(*bufs), longest_first);
    struct work w = {.kernel = &kernels[way], .next = bufs, .end = bufs + n};
    for (size_t i = 0; i < n; i++)
        w.left += blocks_of(bufs[i].len);
    return work_off(&w, e);
}

enum err_code sha512_each(struct sha512_buf *bufs, size_t n, struct err *e)
{
    return sha512_each_by(sha512_way_best(), bufs, n, e);
}
