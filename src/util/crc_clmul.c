/*
 * CRCs by carry-less multiplication (V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
 * Instruction", Intel 2009). A register of 128 bits holds a polynomial whose bit k is the coefficient of x^(127 - k). To move it n
 * bits up is to multiply its low half by x^(n + 64) and its high half by x^n, both modulo the polynomial; a product of reflected
 * words comes out one bit low, so that the powers are one less.
 */
#include "util/crc_kernel.h"

#include <smmintrin.h>
#include <wmmintrin.h>

static __m128i load(const unsigned char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static __m128i power(struct crc_move by)
{
    return _mm_set_epi64x((long long)by.high, (long long)by.low);
}

static __m128i moved(__m128i x, __m128i by)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), _mm_clmulepi64_si128(x, by, 0x11));
}

void crc_clmul_fold(const struct crc_moves *moves, uint64_t crc, const unsigned char *p, size_t len, unsigned char out[16])
{
    const __m128i far = power(moves->by_512), near = power(moves->by_128);
    __m128i a = _mm_xor_si128(load(p), _mm_set_epi64x(0, (long long)crc));
    __m128i b = load(p + 16), c = load(p + 32), d = load(p + 48);

    for (p += CRC_CLMUL_STEP, len -= CRC_CLMUL_STEP; len > 0; p += CRC_CLMUL_STEP, len -= CRC_CLMUL_STEP) {
        a = _mm_xor_si128(moved(a, far), load(p));
        b = _mm_xor_si128(moved(b, far), load(p + 16));
        c = _mm_xor_si128(moved(c, far), load(p + 32));
        d = _mm_xor_si128(moved(d, far), load(p + 48));
    }
    b = _mm_xor_si128(b, moved(a, near));
    c = _mm_xor_si128(c, moved(b, near));
    d = _mm_xor_si128(d, moved(c, near));
    _mm_storeu_si128((__m128i *)(void *)out, d);
}
