/* Eight lanes: AVX-512F and AVX-512BW. A rotation and any function of three bits are one instruction each. */
#include "util/sha512_kernel.h"

#include <immintrin.h>

typedef __m512i vec;

#define ADD(a, b)         _mm512_add_epi64(a, b)
#define XOR3(a, b, c)     _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define CHOOSE(a, b, c)   _mm512_ternarylogic_epi64(a, b, c, 0xCA)
#define MAJORITY(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xE8)
#define ROTATE(a, n)      _mm512_ror_epi64(a, n)
#define SHIFT(a, n)       _mm512_srli_epi64(a, n)
#define SPREAD(x)         _mm512_set1_epi64((long long)(x))

#include "util/sha512_rounds.inc"

/* Eight big-endian words from each of eight places: word i of place l to lane l of w[i]. */
static inline __attribute__((always_inline)) void gather(vec w[8], const uint8_t *const *data, size_t offset)
{
    const vec swap = _mm512_broadcast_i32x4(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    vec r[8], pairs[8];

    for (int l = 0; l < 8; l++)
        r[l] = _mm512_shuffle_epi8(_mm512_loadu_si512(data[l] + offset), swap);
    for (int l = 0; l < 8; l += 2) {
        pairs[l] = _mm512_unpacklo_epi64(r[l], r[l + 1]);     /* words 0 2 4 6 of both */
        pairs[l + 1] = _mm512_unpackhi_epi64(r[l], r[l + 1]); /* words 1 3 5 7 */
    }
    for (int odd = 0; odd < 2; odd++) {
        vec low04 = _mm512_shuffle_i64x2(pairs[odd], pairs[2 + odd], 0x88);
        vec low26 = _mm512_shuffle_i64x2(pairs[odd], pairs[2 + odd], 0xDD);
        vec high04 = _mm512_shuffle_i64x2(pairs[4 + odd], pairs[6 + odd], 0x88);
        vec high26 = _mm512_shuffle_i64x2(pairs[4 + odd], pairs[6 + odd], 0xDD);
        w[odd] = _mm512_shuffle_i64x2(low04, high04, 0x88);
        w[4 + odd] = _mm512_shuffle_i64x2(low04, high04, 0xDD);
        w[2 + odd] = _mm512_shuffle_i64x2(low26, high26, 0x88);
        w[6 + odd] = _mm512_shuffle_i64x2(low26, high26, 0xDD);
    }
}

void sha512_avx512_blocks(struct sha512_states *states, const uint8_t *const *data, size_t blocks)
{
    vec s[8], w[16];

    for (int i = 0; i < 8; i++)
        s[i] = _mm512_loadu_si512(states->word[i]);
    for (size_t offset = 0; offset < blocks * SHA512_BLOCK; offset += SHA512_BLOCK) {
        gather(w, data, offset);
        gather(w + 8, data, offset + 64);
        rounds(s, w);
    }
    for (int i = 0; i < 8; i++)
        _mm512_storeu_si512(states->word[i], s[i]);
}
