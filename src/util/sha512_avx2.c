/* Four lanes: AVX2. */
#include "util/sha512_kernel.h"

#include <immintrin.h>

typedef __m256i vec;

#define ADD(a, b)         _mm256_add_epi64(a, b)
#define XOR(a, b)         _mm256_xor_si256(a, b)
#define AND(a, b)         _mm256_and_si256(a, b)
#define XOR3(a, b, c)     XOR(XOR(a, b), c)
#define CHOOSE(a, b, c)   XOR(c, AND(a, XOR(b, c)))
#define MAJORITY(a, b, c) XOR(AND(XOR(a, b), XOR(b, c)), b)
#define SHIFT(a, n)       _mm256_srli_epi64(a, n)
#define ROTATE(a, n)      _mm256_or_si256(_mm256_srli_epi64(a, n), _mm256_slli_epi64(a, 64 - (n)))
#define SPREAD(x)         _mm256_set1_epi64x((long long)(x))

#include "util/sha512_rounds.inc"

/* Four big-endian words from each of four places: word i of place l to lane l of w[i]. */
static inline __attribute__((always_inline)) void gather(vec w[4], const uint8_t *const *data, size_t offset)
{
    const vec swap = _mm256_broadcastsi128_si256(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    vec r[4];

    for (int l = 0; l < 4; l++)
        r[l] = _mm256_shuffle_epi8(_mm256_loadu_si256((const vec *)(data[l] + offset)), swap);
    vec even01 = _mm256_unpacklo_epi64(r[0], r[1]), even23 = _mm256_unpacklo_epi64(r[2], r[3]);
    vec odd01 = _mm256_unpackhi_epi64(r[0], r[1]), odd23 = _mm256_unpackhi_epi64(r[2], r[3]);
    w[0] = _mm256_permute2x128_si256(even01, even23, 0x20);
    w[1] = _mm256_permute2x128_si256(odd01, odd23, 0x20);
    w[2] = _mm256_permute2x128_si256(even01, even23, 0x31);
    w[3] = _mm256_permute2x128_si256(odd01, odd23, 0x31);
}

void sha512_avx2_blocks(struct sha512_states *states, const uint8_t *const *data, size_t blocks)
{
    vec s[8], w[16];

    for (int i = 0; i < 8; i++)
        s[i] = _mm256_loadu_si256((const vec *)states->word[i]);
    for (size_t offset = 0; offset < blocks * SHA512_BLOCK; offset += SHA512_BLOCK) {
        for (size_t quarter = 0; quarter < 4; quarter++)
            gather(w + 4 * quarter, data, offset + 32 * quarter);
        rounds(s, w);
    }
    for (int i = 0; i < 8; i++)
        _mm256_storeu_si256((vec *)states->word[i], s[i]);
}
