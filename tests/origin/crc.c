#include "crc.h"

#include <string.h>

/* Bit-reversed polynomials. */
static const uint64_t polynomial[CRC_KINDS] = {0xEDB88320U, 0x82F63B78U, 0x9A6C9329AC4BC9B5U};
static const uint64_t ones[CRC_KINDS] = {0xFFFFFFFFU, 0xFFFFFFFFU, 0xFFFFFFFFFFFFFFFFU};
static const int width[CRC_KINDS] = {32, 32, 64};

static uint64_t table[CRC_KINDS][8][256];

__attribute__((constructor)) static void fill_tables(void)
{
    for (int k = 0; k < CRC_KINDS; k++) {
        for (unsigned i = 0; i < 256; i++) {
            uint64_t r = i;

            for (int bit = 0; bit < 8; bit++)
                r = (r >> 1) ^ (r & 1 ? polynomial[k] : 0);
            table[k][0][i] = r;
        }
        for (unsigned i = 0; i < 256; i++)
            for (int n = 1; n < 8; n++)
                table[k][n][i] = (table[k][n - 1][i] >> 8) ^ table[k][0][table[k][n - 1][i] & 0xff];
    }
}

uint64_t crc_update(enum crc_kind kind, uint64_t crc, const void *data, size_t len)
{
    const unsigned char *p = data;
    uint64_t(*t)[256] = table[kind];

    crc ^= ones[kind];
    for (; len >= 8; len -= 8, p += 8) {
        uint64_t word;

        memcpy(&word, p, 8);
        crc ^= word;
        crc = t[7][crc & 0xff] ^ t[6][crc >> 8 & 0xff] ^ t[5][crc >> 16 & 0xff] ^ t[4][crc >> 24 & 0xff] ^
              t[3][crc >> 32 & 0xff] ^ t[2][crc >> 40 & 0xff] ^ t[1][crc >> 48 & 0xff] ^ t[0][crc >> 56];
    }
    for (; len; len--, p++)
        crc = (crc >> 8) ^ t[0][(crc ^ *p) & 0xff];
    return crc ^ ones[kind];
}

static uint64_t times(const uint64_t *matrix, uint64_t vector)
{
    uint64_t sum = 0;

    for (; vector; vector >>= 1, matrix++)
        if (vector & 1)
            sum ^= *matrix;
    return sum;
}

static void square(uint64_t *out, const uint64_t *matrix)
{
    for (int i = 0; i < 64; i++)
        out[i] = times(matrix, matrix[i]);
}

/* Appending zero bits is linear over GF(2): the operator for one bit, squared again and again,
 * gives those for 2^n bits, and those that len_b's binary digits name are applied to crc_a. */
uint64_t crc_combine(enum crc_kind kind, uint64_t crc_a, uint64_t crc_b, uint64_t len_b)
{
    uint64_t op[64] = {polynomial[kind]}, next[64];

    for (int i = 1; i < width[kind]; i++)
        op[i] = 1ULL << (i - 1);
    for (int i = 0; i < 3; i++) {
        square(next, op);
        memcpy(op, next, sizeof(op));
    }
    for (; len_b; len_b >>= 1) {
        if (len_b & 1)
            crc_a = times(op, crc_a);
        square(next, op);
        memcpy(op, next, sizeof(op));
    }
    return crc_a ^ crc_b;
}
