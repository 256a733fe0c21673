/*
 * The checksums of util/digest.h. All are reflected CRCs that start from and end with an inversion, so that a CRC of
 * nothing is 0 and a running CRC is a CRC. Without an instruction for them, 16 (8 for CRC-32C) bytes are folded at a
 * time through tables: table[k][b] is the CRC of byte b followed by k zero bytes.
 */
#include "util/crc64_kernel.h"
#include "util/digest.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#define POLY32   0xEDB88320U           /* 0x04C11DB7 with its bits reversed */
#define POLY32C  0x82F63B78U           /* 0x1EDC6F41 with its bits reversed */
#define POLY64   0x9A6C9329AC4BC9B5ULL /* 0xAD93D23594C93659 with its bits reversed */
#define SLICES32 8
#define SLICES64 16

static uint32_t table32[SLICES32][256]; /* of POLY32C */
static uint32_t table32_ieee[SLICES32][256];
static uint64_t table64[SLICES64][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void build_tables32(uint32_t poly, uint32_t t[SLICES32][256])
{
    for (unsigned b = 0; b < 256; b++) {
        t[0][b] = b;
        for (int bit = 0; bit < 8; bit++)
            t[0][b] = t[0][b] >> 1 ^ (t[0][b] & 1 ? poly : 0);
    }
    for (unsigned b = 0; b < 256; b++)
        for (int k = 1; k < SLICES32; k++)
            t[k][b] = t[k - 1][b] >> 8 ^ t[0][t[k - 1][b] & 255];
}

static void build_tables(void)
{
    build_tables32(POLY32, table32_ieee);
    build_tables32(POLY32C, table32);
    for (unsigned b = 0; b < 256; b++) {
        uint64_t c64 = b;
        for (int bit = 0; bit < 8; bit++)
            c64 = c64 >> 1 ^ (c64 & 1 ? POLY64 : 0);
        table64[0][b] = c64;
    }
    for (unsigned b = 0; b < 256; b++)
        for (int k = 1; k < SLICES64; k++)
            table64[k][b] = table64[k - 1][b] >> 8 ^ table64[0][table64[k - 1][b] & 255];
}

static uint64_t load_le64(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static uint32_t crc32_tables(const uint32_t t[SLICES32][256], uint32_t crc, const unsigned char *p, size_t len)
{
    pthread_once(&tables_once, build_tables);
    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word = load_le64(p) ^ crc;
        crc = 0;
        for (int k = 0; k < 8; k++)
            crc ^= t[7 - k][word >> (8 * k) & 255];
    }
    for (; len; p++, len--)
        crc = crc >> 8 ^ t[0][(crc ^ *p) & 255];
    return crc;
}

uint32_t crc32_ieee(uint32_t crc, const void *p, size_t len)
{
    return ~crc32_tables(table32_ieee, ~crc, p, len);
}

#if defined(__x86_64__)
/* a * b modulo the polynomial; bit 31 is the coefficient of x^0. */
static uint32_t multiply_mod32(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = UINT32_C(1) << 31; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b >> 1 ^ (b & 1 ? POLY32C : 0);
    }
    return product;
}

/* The instruction takes eight bytes a cycle and answers three cycles later, so three stretches of the buffer are worked
 * on at a time, and the CRC of each is moved over the stretch behind it: a multiplication by x^(8 * its length). */
static const size_t stretches[] = {4096, 256};
static uint32_t moves[2][4][256]; /* of stretches[i]: of byte b of a CRC, the k-th from the low end */
static pthread_once_t moves_once = PTHREAD_ONCE_INIT;

static void build_moves(void)
{
    for (int i = 0; i < 2; i++) {
        uint32_t power = UINT32_C(1) << 23; /* x^8 */
        for (size_t len = stretches[i]; len > 1; len /= 2)
            power = multiply_mod32(power, power);
        for (int k = 0; k < 4; k++)
            for (uint32_t b = 0; b < 256; b++)
                moves[i][k][b] = multiply_mod32(b << (8 * k), power);
    }
}

static uint32_t moved(int i, uint32_t crc)
{
    return moves[i][0][crc & 255] ^ moves[i][1][crc >> 8 & 255] ^ moves[i][2][crc >> 16 & 255] ^ moves[i][3][crc >> 24];
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const unsigned char *p, size_t len)
{
    pthread_once(&moves_once, build_moves);
    for (int i = 0; i < 2; i++) {
        for (size_t one = stretches[i]; len >= 3 * one; p += 3 * one, len -= 3 * one) {
            uint64_t a = crc, b = 0, c = 0;
            for (size_t at = 0; at < one; at += 8) {
                a = _mm_crc32_u64(a, load_le64(p + at));
                b = _mm_crc32_u64(b, load_le64(p + one + at));
                c = _mm_crc32_u64(c, load_le64(p + 2 * one + at));
            }
            crc = moved(i, moved(i, (uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
        }
    }
    uint64_t wide = crc;
    for (; len >= 8; p += 8, len -= 8)
        wide = _mm_crc32_u64(wide, load_le64(p));
    crc = (uint32_t)wide;
    for (; len; p++, len--)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_sse42(~crc, p, len);
#endif
    return ~crc32_tables(table32, ~crc, p, len);
}

static uint64_t crc64_tables(uint64_t crc, const unsigned char *at, size_t len)
{
    pthread_once(&tables_once, build_tables);
    for (; len >= 16; at += 16, len -= 16) {
        uint64_t a = load_le64(at) ^ crc, b = load_le64(at + 8);
        crc = table64[15][a & 255] ^ table64[14][a >> 8 & 255] ^ table64[13][a >> 16 & 255] ^
              table64[12][a >> 24 & 255] ^ table64[11][a >> 32 & 255] ^ table64[10][a >> 40 & 255] ^
              table64[9][a >> 48 & 255] ^ table64[8][a >> 56] ^ table64[7][b & 255] ^ table64[6][b >> 8 & 255] ^
              table64[5][b >> 16 & 255] ^ table64[4][b >> 24 & 255] ^ table64[3][b >> 32 & 255] ^
              table64[2][b >> 40 & 255] ^ table64[1][b >> 48 & 255] ^ table64[0][b >> 56];
    }
    for (; len; at++, len--)
        crc = crc >> 8 ^ table64[0][(crc ^ *at) & 255];
    return crc;
}

/* a * b modulo the polynomial; bit 63 is the coefficient of x^0. */
static uint64_t multiply_mod(uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = UINT64_C(1) << 63; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b >> 1 ^ (b & 1 ? POLY64 : 0);
    }
    return product;
}

#ifdef HAVE_CRC64_CLMUL
static struct crc64_powers powers64;
static pthread_once_t powers_once = PTHREAD_ONCE_INIT;

static uint64_t power64(unsigned n)
{
    uint64_t power = UINT64_C(1) << 63, square = UINT64_C(1) << 62; /* x^0, x^1 */
    for (; n; n >>= 1) {
        if (n & 1)
            power = multiply_mod(power, square);
        square = multiply_mod(square, square);
    }
    return power;
}

static void build_powers(void)
{
    powers64 = (struct crc64_powers){power64(511 + 64), power64(511), power64(127 + 64), power64(127)};
}

/* As much as comes in whole steps; the rest, and the 16 bytes that it leaves, go through the tables. */
static uint64_t crc64_clmul(uint64_t crc, const unsigned char *p, size_t len)
{
    unsigned char folded[16];
    size_t steps = len / CRC64_STEP * CRC64_STEP;
    pthread_once(&powers_once, build_powers);
    if (steps) {
        crc64_clmul_fold(&powers64, crc, p, steps, folded);
        crc = crc64_tables(0, folded, sizeof(folded));
    }
    return crc64_tables(crc, p + steps, len - steps);
}
#endif

uint64_t crc64nvme(uint64_t crc, const void *p, size_t len)
{
#ifdef HAVE_CRC64_CLMUL
    if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"))
        return ~crc64_clmul(~crc, p, len);
#endif
    return ~crc64_tables(~crc, p, len);
}

uint64_t crc64nvme_combine(uint64_t crc_a, uint64_t crc_b, uint64_t len_b)
{
    /* A's CRC moves len_b bytes up, which is a multiplication by x^(8 * len_b); the inversions at both ends cancel out.
     */
    uint64_t power = UINT64_C(1) << 55; /* x^8 */
    for (; len_b; len_b >>= 1) {
        if (len_b & 1)
            crc_a = multiply_mod(crc_a, power);
        power = multiply_mod(power, power);
    }
    return crc_a ^ crc_b;
}
