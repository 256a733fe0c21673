/*
 * The compression function of SHA-512 over lanes: what sha512_lanes.c needs of each instruction set. Private to it and to
 * the files that implement it, which are compiled for their instruction set and must only be called where it exists.
 */
#ifndef UTIL_SHA512_KERNEL_H
#define UTIL_SHA512_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define SHA512_BLOCK     128
#define SHA512_MAX_LANES 8

/* Word w of the hash in lane l is word[w][l]; of the second index only as many count as there are lanes. */
struct sha512_states {
    uint64_t word[8][SHA512_MAX_LANES];
};

/* Takes `blocks` blocks into every lane; lane l's lie at data[l], wherever that is aligned. */
void sha512_avx2_blocks(struct sha512_states *states, const uint8_t *const *data, size_t blocks);   /* four lanes */
void sha512_avx512_blocks(struct sha512_states *states, const uint8_t *const *data, size_t blocks); /* eight lanes */

#endif
