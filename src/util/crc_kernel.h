/* The parts of the CRCs that take an instruction set of their own: private to crc.c and to the files that implement them, which are
 * compiled for it and must only be called where it exists. */
#ifndef UTIL_CRC_KERNEL_H
#define UTIL_CRC_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* The steps of the folding, in bytes. */
#define CRC_CLMUL_STEP  64
#define CRC_VCLMUL_STEP 256

/* To move 128 bits up by n bits: x^(n + 63) and x^(n - 1) modulo the polynomial, bit 63 being x^0. */
struct crc_move {
    uint64_t low, high;
};

struct crc_moves {
    struct crc_move by_2048, by_512, by_128;
};

/* Each folds `len` bytes, a multiple of its step and not 0, into 16 that have the same CRC when it begins at 0; `crc` (not inverted)
 * is the one that it begins with here. */
void crc_clmul_fold(const struct crc_moves *moves, uint64_t crc, const unsigned char *p, size_t len, unsigned char out[16]);
void crc_vclmul_fold(const struct crc_moves *moves, uint64_t crc, const unsigned char *p, size_t len, unsigned char out[16]);

#endif
