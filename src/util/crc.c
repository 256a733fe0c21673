/*
 * The checksums of util/digest.h. All are reflected CRCs that start from and end with an inversion, so that a CRC of
 * nothing is 0 and a running CRC is a CRC. Without an instruction for them, 16 (8 for CRC-32C) bytes are folded at a
 * time through tables: table[k][b] is the CRC of byte b followed by k zero bytes.
 */
#include "util/crc_kernel.h"
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

/* ---- Folding */

/* a * b modulo the polynomial; bit 63 is the coefficient of x^0. */
static uint64_t multiply_mod(uint64_t poly, uint64_t a, uint64_t b)
{
    uint64_t product = 0;
    for (uint64_t bit = UINT64_C(1) << 63; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b >> 1 ^ (b & 1 ? poly : 0);
    }
    return product;
}

#ifdef HAVE_CRC_CLMUL
/* Those of 32 bits are of the polynomial times x^32, which has 64, the same word, and no multiple that is not the polynomial's. */
static struct crc_moves moves32, moves32c, moves64;
static pthread_once_t moves_once = PTHREAD_ONCE_INIT;

static uint64_t power(uint64_t poly, unsigned n)
{
    uint64_t x_n = UINT64_C(1) << 63, square = UINT64_C(1) << 62; /* x^0, x^1 */
    for (; n; n >>= 1) {
        if (n & 1)
            x_n = multiply_mod(poly, x_n, square);
        square = multiply_mod(poly, square, square);
    }
    return x_n;
}

static struct crc_move move(uint64_t poly, unsigned bits)
{
    return (struct crc_move){power(poly, bits + 63), power(poly, bits - 1)};
}

static struct crc_moves moves(uint64_t poly)
{
    return (struct crc_moves){move(poly, 2048), move(poly, 512), move(poly, 128)};
}

static void build_moves(void)
{
    moves32 = moves(POLY32);
    moves32c = moves(POLY32C);
    moves64 = moves(POLY64);
}

/* Folds as much as comes in whole steps of the widest kind that there is. How much: 0 for what is too short, or without the
 * instructions. */
static size_t fold(const struct crc_moves *by, uint64_t crc, const unsigned char *p, size_t len, unsigned char out[16])
{
    pthread_once(&moves_once, build_moves);
#ifdef HAVE_CRC_VCLMUL
    if (len >= CRC_VCLMUL_STEP && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq")) {
        len -= len % CRC_VCLMUL_STEP;
        crc_vclmul_fold(by, crc, p, len, out);
        return len;
    }
#endif
    if (len < CRC_CLMUL_STEP || !__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1"))
        return 0;
    len -= len % CRC_CLMUL_STEP;
    crc_clmul_fold(by, crc, p, len, out);
    return len;
}
#endif

/* ---- CRC-32 and CRC-32C */

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const unsigned char *p, size_t len)
{
    uint64_t wide = crc;
    for (; len >= 8; p += 8, len -= 8)
        wide = _mm_crc32_u64(wide, load_le64(p));
    crc = (uint32_t)wide;
    for (; len; p++, len--)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}
#endif

uint32_t crc32_ieee(uint32_t crc, const void *p, size_t len)
{
    const unsigned char *at = p;
    crc = ~crc;
#ifdef HAVE_CRC_CLMUL
    unsigned char folded[16];
    for (size_t n; (n = fold(&moves32, crc, at, len, folded)) > 0; at += n, len -= n)
        crc = crc32_tables(table32_ieee, 0, folded, sizeof(folded));
#endif
    return ~crc32_tables(table32_ieee, crc, at, len);
}

static uint32_t crc32c_short(uint32_t crc, const unsigned char *p, size_t len)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, p, len);
#endif
    return crc32_tables(table32, crc, p, len);
}

uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
    const unsigned char *at = p;
    crc = ~crc;
#ifdef HAVE_CRC_CLMUL
    unsigned char folded[16];
    for (size_t n; (n = fold(&moves32c, crc, at, len, folded)) > 0; at += n, len -= n)
        crc = crc32c_short(0, folded, sizeof(folded));
#endif
    return ~crc32c_short(crc, at, len);
}

/* ---- CRC-64/NVME */

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

uint64_t crc64nvme(uint64_t crc, const void *p, size_t len)
{
    const unsigned char *at = p;
    crc = ~crc;
#ifdef HAVE_CRC_CLMUL
    unsigned char folded[16];
    for (size_t n; (n = fold(&moves64, crc, at, len, folded)) > 0; at += n, len -= n)
        crc = crc64_tables(0, folded, sizeof(folded));
#endif
    return ~crc64_tables(crc, at, len);
}

uint64_t crc64nvme_combine(uint64_t crc_a, uint64_t crc_b, uint64_t len_b)
{
    /* A's CRC moves len_b bytes up, which is a multiplication by x^(8 * len_b); the inversions at both ends cancel out.
     */
    uint64_t power = UINT64_C(1) << 55; /* x^8 */
    for (; len_b; len_b >>= 1) {
        if (len_b & 1)
            crc_a = multiply_mod(POLY64, crc_a, power);
        power = multiply_mod(POLY64, power, power);
    }
    return crc_a ^ crc_b;
}
