/* The part of the CRC-64 that takes an instruction set of its own: private to crc.c and to the file that implements it, which is
 * compiled for it and must only be called where it exists. */
#ifndef UTIL_CRC64_KERNEL_H
#define UTIL_CRC64_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* A step of the folding: 64 bytes. */
#define CRC64_STEP 64

/* x^n modulo the polynomial, bit 63 being x^0, for n = 511 + 64, 511, 127 + 64, 127. */
struct crc64_powers {
    uint64_t far_low, far_high, near_low, near_high;
};

/* Folds `len` bytes, a multiple of CRC64_STEP and not 0, into 16 that have the same CRC when it begins at 0; `crc` (not inverted) is
 * the one that it begins with here. */
void crc64_clmul_fold(const struct crc64_powers *powers, uint64_t crc, const unsigned char *p, size_t len, unsigned char out[16]);

#endif
