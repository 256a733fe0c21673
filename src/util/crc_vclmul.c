/* crc_clmul.c with four such registers in each of 512 bits. */
#include "util/crc_kernel.h"

#include <immintrin.h>

static __m512i load(const unsigned char *p)
{
    return _mm512_loadu_si512((const void *)p);
}

static __m128i power(struct crc_move by)
{
    return _mm_set_epi64x((long long)by.high, (long long)by.low);
}

/* x moved up, plus y. */
static __m512i moved(__m512i x, __m512i by, __m512i y)
{
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, by, 0x00), _mm512_clmulepi64_epi128(x, by, 0x11), y, 0x96);
}

static __m128i moved_one(__m128i x, __m128i by, __m128i y)
{
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), _mm_clmulepi64_si128(x, by, 0x11)), y);
}

void crc_vclmul_fold(const struct crc_moves *moves, uint64_t crc, const unsigned char *p, size_t len, unsigned char out[16])
{
    const __m512i far = _mm512_broadcast_i32x4(power(moves->by_2048)), near = _mm512_broadcast_i32x4(power(moves->by_512));
    const __m128i next = power(moves->by_128);
    __m512i a = _mm512_xor_si512(load(p), _mm512_zextsi128_si512(_mm_set_epi64x(0, (long long)crc)));
    __m512i b = load(p + 64), c = load(p + 128), d = load(p + 192);

    for (p += CRC_VCLMUL_STEP, len -= CRC_VCLMUL_STEP; len > 0; p += CRC_VCLMUL_STEP, len -= CRC_VCLMUL_STEP) {
        a = moved(a, far, load(p));
        b = moved(b, far, load(p + 64));
        c = moved(c, far, load(p + 128));
        d = moved(d, far, load(p + 192));
    }
    d = moved(moved(moved(a, near, b), near, c), near, d);

    __m128i one = moved_one(_mm512_extracti32x4_epi32(d, 0), next, _mm512_extracti32x4_epi32(d, 1));
    one = moved_one(one, next, _mm512_extracti32x4_epi32(d, 2));
    one = moved_one(one, next, _mm512_extracti32x4_epi32(d, 3));
    _mm_storeu_si128((__m128i *)(void *)out, one);
}
